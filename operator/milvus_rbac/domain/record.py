"""What the last status of a resource said that its object in Milvus holds, small enough to be kept for every resource."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from milvus_rbac.domain.state import Grant

_SIZE: Final = 8
_SEPARATOR: Final = "\x1f"


class Record(bytes):
    """A fingerprint of eight bytes for each item, in order; equal lists have equal records."""

    __slots__ = ()

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """Return the fingerprints of all items."""
        return frozenset(self[at : at + _SIZE] for at in range(0, len(self), _SIZE))

    @property
    def length(self) -> int:
        """How many items there are."""
        return len(self) // _SIZE


def record_of(items: Iterable[str]) -> Record:
    """Return the record of these items."""
    return Record(b"".join(map(fingerprint, items)))


def fingerprint(item: str) -> bytes:
    """Return what stands for one item."""
    return blake2b(item.encode(errors="surrogatepass"), digest_size=_SIZE).digest()


def row_item(row: dict[str, str]) -> str:
    """Return a row of a status as one item, whatever the order of its fields."""
    return _SEPARATOR.join(row[field] for field in sorted(row))


def grant_item(grant: Grant) -> str:
    """Return the item that stands for a grant in status.grants."""
    return _SEPARATOR.join((grant.database, grant.object_name, grant.object_type, grant.privilege))
