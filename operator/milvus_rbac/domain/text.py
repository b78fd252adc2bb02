"""Text from elsewhere, made safe to show: names in Milvus may hold anything."""

import re
from collections.abc import Sequence
from typing import Final

MOST_NAMED: Final = 3

_UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def listed(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def cut(text: str, most: int) -> str:
    """Return a text of at most so many bytes in UTF-8; one that is longer ends in an ellipsis."""
    raw = text.encode(errors="replace")
    if len(raw) <= most:
        return text
    return raw[: most - len("…".encode())].decode(errors="ignore") + "…"


def printable(text: str) -> str:
    """Return text with control characters, line breaks and what changes the direction of writing as escapes."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
