"""Stands between the operator and the API server: ends TLS, so that every request's verb and path can be seen."""

import asyncio
import ssl
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import h11
import trustme
from typing_extensions import override

from testbed.forwarder import CHUNK, Action, BrokenError, Call, Connection, Forwarder, both

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_LEASES: Final = "/apis/coordination.k8s.io/"
_NO_BODY: Final = frozenset({204, 304})
_SWITCHING: Final = 101
_FINAL: Final = 200


@dataclass(frozen=True)
class _Body:
    """How long the body of a message is: so many bytes, in chunks, or until the connection ends."""

    length: int = 0
    chunked: bool = False
    until_end: bool = False


class ApiForwarder(Forwarder):
    """A forwarder to an API server, speaking HTTP/1.1 on both sides; clients are known by their tokens only."""

    def __init__(self, upstream: str, upstream_ca: Path) -> None:
        parts = urlsplit(upstream)
        self._host, self._upstream_port = parts.hostname or "", parts.port or 443
        self._upstream_tls = ssl.create_default_context(cafile=str(upstream_ca))
        self._folder = tempfile.TemporaryDirectory(prefix="api-forwarder.")
        self.ca_path = Path(self._folder.name) / "ca.pem"
        """Whom a client of this forwarder must trust."""
        self._tls = self._own_certificate()
        self.last_words: Callable[[Call], bytes | None] | None = None
        """Asked when the head of a reply in chunks was passed on, a watch's; what it returns is all of the body."""
        super().__init__()

    @property
    def url(self) -> str:
        """What a kubeconfig has as its server."""
        return f"https://127.0.0.1:{self.port}"

    @override
    def is_write(self, call: Call) -> bool:
        """Whether the request changes something; Leases, which are renewed all the time, are left out."""
        return call.method in WRITES and not call.path.startswith(_LEASES)

    @override
    def close(self) -> None:
        super().close()
        self._folder.cleanup()

    def _own_certificate(self) -> ssl.SSLContext:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(self.ca_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        return context

    @override
    def _listener_tls(self) -> ssl.SSLContext:
        return self._tls

    @override
    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._upstream_port, ssl=self._upstream_tls)

    @override
    async def _serve(self, connection: Connection) -> None:
        # While a watch is silent nobody reads from the client, so its end is waited for separately.
        gone = asyncio.create_task(_abort_after(connection))
        try:
            while await self._exchange(connection):
                pass
        finally:
            gone.cancel()

    async def _exchange(self, connection: Connection) -> bool:
        """One request and its reply; whether the connection can serve another."""
        try:
            head = await connection.client_reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        await self._passage()
        request = _request(head)
        call = Call(request.method.decode(), request.target.decode())
        self.calls.append(call)
        action = self.hook(call) if self.hook else None
        if action is Action.DROP:
            raise BrokenError(call.path)
        if _waits(request):
            connection.client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.server.write(head)
        await self._body(connection.client_reader, connection.server, _body_of(request))
        return await self._reply(connection, call, lost=action is Action.LOSE_REPLY)

    async def _reply(self, connection: Connection, call: Call, *, lost: bool) -> bool:
        head, response = await self._final_head(connection)
        if lost or (self.on_reply is not None and self.on_reply(call) is not None):
            raise BrokenError(call.path)
        connection.client.write(head)
        if response.status_code == _SWITCHING:
            await both(
                self._copy(connection.client_reader, connection.server),
                self._copy(connection.server_reader, connection.client),
            )
            return False
        said = self.last_words(call) if self.last_words else None
        if said is not None:
            connection.client.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(said), said))
            await connection.client.drain()
            return False
        body = _Body() if call.method == "HEAD" or response.status_code in _NO_BODY else _body_of(response)
        await self._body(connection.server_reader, connection.client, body)
        call.answered = asyncio.get_running_loop().time()
        return not body.until_end

    async def _final_head(
        self, connection: Connection
    ) -> tuple[bytes, h11.Response | h11.InformationalResponse]:
        """The head of the real reply; an invitation to send the body is not passed on, the client has had ours."""
        while True:
            head = await connection.server_reader.readuntil(b"\r\n\r\n")
            await self._passage()
            response = _response(head)
            if response.status_code >= _FINAL or response.status_code == _SWITCHING:
                return head, response

    async def _body(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, body: _Body) -> None:
        if body.chunked:
            await self._chunks(source, sink)
        elif body.until_end:
            await self._copy(source, sink)
        left = body.length
        while left:
            data = await source.read(min(left, CHUNK))
            if not data:
                raise asyncio.IncompleteReadError(data, left)
            await self._passage()
            sink.write(data)
            left -= len(data)
            await sink.drain()
        await sink.drain()

    async def _chunks(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Passes chunks on, each as soon as it is whole: an event of a watch is one."""
        size = -1
        while size:
            line = await source.readuntil(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            data = await source.readexactly(size + 2) if size else await _trailers(source)
            await self._passage()
            sink.write(line + data)
            await sink.drain()


async def _trailers(source: asyncio.StreamReader) -> bytes:
    lines = b""
    while not lines.endswith(b"\r\n\r\n") and lines != b"\r\n":
        lines += await source.readuntil(b"\r\n")
    return lines


async def _abort_after(connection: Connection) -> None:
    with suppress(OSError):
        await connection.client.wait_closed()
    connection.server.transport.abort()


def _request(head: bytes) -> h11.Request:
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(head)
    event = parser.next_event()
    assert isinstance(event, h11.Request)
    return event


def _waits(request: h11.Request) -> bool:
    """Whether the client sends the body only when told to."""
    return any(name.lower() == b"expect" for name, _ in request.headers)


def _response(head: bytes) -> h11.Response | h11.InformationalResponse:
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    parser.receive_data(head)
    event = parser.next_event()
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    return event


def _body_of(message: h11.Request | h11.Response | h11.InformationalResponse) -> _Body:
    headers = {name.lower(): value for name, value in message.headers}
    if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
        return _Body(chunked=True)
    if b"content-length" in headers:
        return _Body(length=int(headers[b"content-length"]))
    return _Body(until_end=not isinstance(message, h11.Request))
