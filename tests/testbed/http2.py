"""Enough of HTTP/2 to follow gRPC calls in a byte stream without changing a byte of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import hpack
import hyperframe.frame as frames

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD: Final = 9

_DATA: Final[int] = frames.DataFrame.type
_HEADERS: Final[int] = frames.HeadersFrame.type
_RST_STREAM: Final[int] = frames.RstStreamFrame.type
_CONTINUATION: Final[int] = frames.ContinuationFrame.type
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4


@dataclass(frozen=True)
class Frame:
    """One frame as it was on the wire."""

    raw: bytes
    kind: int
    flags: int
    stream: int

    @property
    def is_data(self) -> bool:
        """Whether it carries a message's bytes."""
        return self.kind == _DATA

    @property
    def is_headers(self) -> bool:
        """Whether it begins a header block."""
        return self.kind == _HEADERS

    @property
    def continues(self) -> bool:
        """Whether it is a further part of a header block."""
        return self.kind == _CONTINUATION

    @property
    def resets(self) -> bool:
        """Whether it ends its stream without an answer."""
        return self.kind == _RST_STREAM

    @property
    def ends_stream(self) -> bool:
        """Whether its side has said everything on this stream."""
        return self.resets or (self.kind in {_DATA, _HEADERS} and bool(self.flags & _END_STREAM))


@dataclass
class FrameReader:
    """Cuts a byte stream into frames."""

    client_side: bool
    _buffer: bytearray = field(default_factory=bytearray)
    _preface_seen: bool = False

    def feed(self, data: bytes) -> Iterator[Frame | bytes]:
        """What `data` completes; the client's preface is handed out as plain bytes."""
        self._buffer += data
        if self.client_side and not self._preface_seen:
            if len(self._buffer) < len(PREFACE):
                return
            self._preface_seen = True
            yield self._take(len(PREFACE))
        while len(self._buffer) >= _HEAD:
            length = _HEAD + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < length:
                return
            yield _frame(self._take(length))

    def _take(self, length: int) -> bytes:
        raw = bytes(self._buffer[:length])
        del self._buffer[:length]
        return raw


def _frame(raw: bytes) -> Frame:
    stream = int.from_bytes(raw[5:_HEAD], "big") & 0x7FFFFFFF
    return Frame(raw, raw[3], raw[4], stream)


@dataclass
class HeaderReader:
    """Decodes the header blocks of one direction, which must be fed in order: they share a table."""

    _decoder: hpack.Decoder = field(default_factory=hpack.Decoder)
    _block: bytearray = field(default_factory=bytearray)

    def feed(self, frame: Frame) -> dict[str, str] | None:
        """The headers that this frame completes, if it does."""
        if frame.kind not in {_HEADERS, _CONTINUATION}:
            return None
        self._block += _block_part(frame)
        if not frame.flags & _END_HEADERS:
            return None
        block, self._block = bytes(self._block), bytearray()
        return {_text(name): _text(value) for name, value in self._decoder.decode(block)}


def _block_part(frame: Frame) -> bytes:
    """The part of a header block in a frame, without padding and priority."""
    parsed, _ = frames.Frame.parse_frame_header(memoryview(frame.raw[:_HEAD]))
    parsed.parse_body(memoryview(frame.raw[_HEAD:]))
    data: bytes = parsed.data
    return data


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
