"""The outer structure of a serialized protobuf message, for messages that are too large to be parsed in one go.

Parsing blocks the event loop: 40 MB take more than a second. The fields of such a message are found here without looking
into them, and then parsed one by one, or a few together, since the fields of one message make a message themselves.
"""

from collections.abc import Iterator
from typing import Final

_CONTINUES: Final = 128
"""The bit of a byte that says that the number goes on in the next one."""
_OF_LENGTH: Final = 2
"""The wire type of fields that begin with their length: texts and messages."""
_FIXED: Final = {1: 8, 5: 4}
"""The wire types of a fixed size, and the size."""


def fields(message: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """Yield, of each text and message in a message, its field number, where it starts, and where its content lies.

    Numbers are skipped.

    Raises:
        ValueError: this is no protobuf message.
    """
    at, end = start, len(message) if end is None else end
    while at < end:
        begin = at
        tag, at = _number(message, at)
        kind = tag & 7
        if kind == _OF_LENGTH:
            length, at = _number(message, at)
            if at + length > end:
                raise ValueError("a field reaches beyond its message")
            yield tag >> 3, begin, at, at + length
            at += length
        elif kind == 0:
            _, at = _number(message, at)
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ValueError(f"unknown wire type {kind}")


def field(number: int, content: bytes) -> bytes:
    """Return the bytes of a text or message as a field."""
    return _encoded(number << 3 | _OF_LENGTH) + _encoded(len(content)) + content


def _number(message: bytes, at: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    value = shift = 0
    for index in range(at, len(message)):
        byte = message[index]
        value |= (byte & ~_CONTINUES) << shift
        if byte < _CONTINUES:
            return value, index + 1
        shift += 7
    raise ValueError("the message ends within a number")


def _encoded(number: int) -> bytes:
    encoded = bytearray()
    while number >= _CONTINUES:
        encoded.append(number & ~_CONTINUES & 0xFF | _CONTINUES)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
