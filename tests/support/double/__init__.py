"""A Milvus that is only its access control: it listens, checks, stores and refuses as real servers of five versions did.

It is believed because tests/contract/test_transcripts.py replays recorded calls of those servers against it. What it
does follows from rules and from one table of differences (dress.py), never from the recordings.
"""

from support.double.dress import DRESSES, Dress
from support.double.server import Double
from support.double.settings import ServerSettings

__all__ = ["DRESSES", "Double", "Dress", "ServerSettings"]
