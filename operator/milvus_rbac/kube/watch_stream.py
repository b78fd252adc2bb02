"""What the API server sends in a watch, line by line, before Kopf reads it: echoes are left out, errors become a new list.

Kopf spends half a millisecond on an event, and ends the process at an ERROR that it does not know.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson

Seen = Callable[[str], bool]
"""Returns whether the object is known with this resourceVersion: our own write was answered with it."""
Pause = Callable[[], Awaitable[None]]

GONE = 410
_TYPE = b'{"type":"'
_ERROR = b'{"type":"ERROR"'
_REPEATABLE = (b'{"type":"MODIFIED"', b'{"type":"ADDED"')
"""An event DELETED is never left out, whatever its resourceVersion: it says something new."""
_VERSION = b'"resourceVersion":"'
_SPEC = b'"spec":{'

RELIST = orjson.dumps({"type": "ERROR", "object": {"kind": "Status", "code": GONE}})
"""The one error after which Kopf lists everything anew, and goes on."""


async def pass_on(
    chunks: AsyncIterator[bytes], seen: Seen | None, on_line: Callable[[], None], pause: Pause
) -> AsyncIterator[bytes]:
    """Return the lines of a watch that Kopf shall see, in chunks.

    Args:
        chunks: the response as it arrives.
        seen: which resourceVersions are echoes; None for kinds of which all events are wanted.
        on_line: called whenever there was something else than an error.
        pause: awaited before the end, when the stream ends with an error.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        wanted: list[bytes] = []
        echo: str | None = None
        for line in filter(None, lines):
            code = _find_error(line)
            if code is not None:
                yield _join(wanted, echo)
                if code != GONE:
                    await pause()
                yield RELIST + b"\n"
                return
            version = _repeated(line, seen)
            if version is None:
                wanted.append(line)
            echo = version
        if lines:
            on_line()
        if wanted or echo:
            yield _join(wanted, echo)
    # What is left without a line break was broken off; Kopf would stumble over it, and asks again from the last event.


def _join(wanted: list[bytes], echo: str | None) -> bytes:
    """Return the lines, and a bookmark for echoes at their end: the watch is resumed from there."""
    lines = [*wanted, _bookmark(echo)] if echo else wanted
    return b"".join(line + b"\n" for line in lines)


def _bookmark(version: str) -> bytes:
    return orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}})


def _find_error(line: bytes) -> int | None:
    """Return the code of an ERROR, 0 for what is no event at all, None for an event."""
    if line.startswith(_TYPE) and not line.startswith(_ERROR):
        return None
    event = _parse(line)
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        return 0
    if event.get("type") != "ERROR":
        return None
    code = event["object"].get("code")
    return code if isinstance(code, int) else 0


def _repeated(line: bytes, seen: Seen | None) -> str | None:
    """Return the resourceVersion of an event that is an echo of our own write; None for what is new."""
    if seen is None or not line.startswith(_REPEATABLE):
        return None
    version = read_version(line)
    return version if version is not None and seen(version) else None


def read_version(line: bytes) -> str | None:
    """Return the resourceVersion of the object in an event of a watch.

    The API server writes keys in alphabetical order, so the metadata is before `"spec":{`. The text of a label, an
    annotation or a managed field can't look like either key: its quotes are escaped, and the keys of managed fields
    begin with `f:`. But a label may be *named* resourceVersion; an event where that is possible is parsed.
    """
    end = line.find(_SPEC)
    if end >= 0 and line.count(_VERSION, 0, end) == 1:
        start = line.find(_VERSION, 0, end) + len(_VERSION)
        return line[start : line.find(b'"', start)].decode()
    event = _parse(line)
    try:
        return str(event["object"]["metadata"]["resourceVersion"])
    except (KeyError, TypeError):
        return None


def _parse(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        return None
