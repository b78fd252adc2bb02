"""Stands between the operator and a Milvus: sees every gRPC call, and can lose, delay or refuse."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from typing_extensions import override

from testbed.forwarder import CHUNK, Action, BrokenError, Call, Connection, Forwarder, both, pass_end
from testbed.http2 import Frame, FrameReader, HeaderReader

WRITES: Final = frozenset(
    {
        "AddUserTags",
        "AlterAlias",
        "AlterCollection",
        "AlterDatabase",
        "AlterRole",
        "CreateAlias",
        "CreateCollection",
        "CreateCredential",
        "CreateDatabase",
        "CreatePartition",
        "CreatePrivilegeGroup",
        "CreateRole",
        "DeleteCredential",
        "DeleteUserTags",
        "DropAlias",
        "DropCollection",
        "DropDatabase",
        "DropPartition",
        "DropPrivilegeGroup",
        "DropRole",
        "OperatePrivilege",
        "OperatePrivilegeGroup",
        "OperatePrivilegeV2",
        "OperateUserRole",
        "RenameCollection",
        "RestoreRBAC",
        "UpdateCredential",
    }
)
"""The calls of Milvus' API that change what the operator may care about."""


@dataclass
class _Stream:
    """One call on its way."""

    call: Call
    lost: bool = False
    reply_seen: bool = False
    held: list[bytes] | None = None


@dataclass
class _Session:
    """What is known about one HTTP/2 connection."""

    connection: Connection
    streams: dict[int, _Stream] = field(default_factory=dict)
    client_frames: FrameReader = field(default_factory=lambda: FrameReader(client_side=True))
    client_headers: HeaderReader = field(default_factory=HeaderReader)
    unsent: list[bytes] = field(default_factory=list)
    server_frames: FrameReader = field(default_factory=lambda: FrameReader(client_side=False))
    deaf: bool = False
    """A reply is being lost: nothing more is delivered, and its end ends the connection."""


class MilvusForwarder(Forwarder):
    """A forwarder to a Milvus on this machine; with `parse=False` (TLS) it only passes bytes and breaks connections."""

    def __init__(self, upstream_port: int, *, parse: bool = True) -> None:
        self.upstream_port = upstream_port
        self._parse = parse
        self._to_lose: dict[str, int] = {}
        self._delays: dict[str, float] = {}
        super().__init__()

    @property
    def address(self) -> str:
        """Host and port, as gRPC wants them."""
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        """The address as a connection's spec has it; another scheme is the caller's to choose."""
        return f"http://{self.address}"

    @override
    def is_write(self, call: Call) -> bool:
        """Whether the call changes something that tests care about."""
        return call.method in WRITES

    def lose_reply(self, method: str, times: int = 1) -> None:
        """The next calls of that method reach Milvus, but their replies are lost with the connection."""
        self._to_lose[method] = times

    def delay(self, method: str, seconds: float) -> None:
        """Calls of that method reach Milvus later; others on the same connection are not held up. 0 ends it."""
        self._delays[method] = seconds

    @override
    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.upstream_port)

    @override
    async def _serve(self, connection: Connection) -> None:
        if not self._parse:
            await both(
                self._copy(connection.client_reader, connection.server),
                self._copy(connection.server_reader, connection.client),
            )
            return
        session = _Session(connection)
        await both(self._requests(session), self._replies(session))

    async def _requests(self, session: _Session) -> None:
        source, sink = session.connection.client_reader, session.connection.server
        while data := await source.read(CHUNK):
            await self._passage()
            for part in session.client_frames.feed(data):
                passed = [part] if isinstance(part, bytes) else self._request_frame(session, part)
                sink.writelines(passed)
            await sink.drain()
        pass_end(sink)

    def _request_frame(self, session: _Session, frame: Frame) -> Iterable[bytes]:
        """What of the client's frames may go on now that this one was seen."""
        stream = session.streams.get(frame.stream)
        if stream is not None and stream.held is not None and frame.is_data:
            stream.held.append(frame.raw)
            return []
        if stream is not None and frame.resets:  # the client gave up: what was held is of no use any more
            stream.held = None
            del session.streams[frame.stream]
        # A header block goes on only when it is whole, so that a hook stands before all of it.
        session.unsent.append(frame.raw)
        if frame.is_headers or frame.continues:
            headers = session.client_headers.feed(frame)
            if headers is None:
                return []
            self._begin(session, frame.stream, headers.get(":path", ""))
        passed, session.unsent = session.unsent, []
        return passed

    def _begin(self, session: _Session, number: int, path: str) -> None:
        if number in session.streams:  # trailers of a request: no call of its own
            return
        call = Call(method=path.rpartition("/")[2], path=path, stream=number)
        self.calls.append(call)
        stream = session.streams[number] = _Stream(call)
        action = self.hook(call) if self.hook else None
        if action is Action.DROP:
            raise BrokenError(call.path)
        stream.lost = action is Action.LOSE_REPLY or self._is_to_lose(call.method)
        if seconds := self._delays.get(call.method, 0):
            # Only its data waits. Headers must keep their order among all calls, and without data no call begins.
            stream.held = []
            asyncio.get_running_loop().call_later(seconds, self._release, session, stream)

    def _is_to_lose(self, method: str) -> bool:
        left = self._to_lose.get(method, 0)
        self._to_lose[method] = max(left - 1, 0)
        return left > 0

    def _release(self, session: _Session, stream: _Stream) -> None:
        held, stream.held = stream.held, None
        if held and not session.connection.server.is_closing():
            session.connection.server.writelines(held)

    async def _replies(self, session: _Session) -> None:
        source, sink = session.connection.server_reader, session.connection.client
        while data := await source.read(CHUNK):
            await self._passage()
            passed: list[bytes] = []
            for part in session.server_frames.feed(data):
                if isinstance(part, Frame):
                    self._reply_frame(session, part)
                    if not session.deaf:
                        passed.append(part.raw)
            sink.writelines(passed)
            await sink.drain()
        pass_end(sink)

    def _reply_frame(self, session: _Session, frame: Frame) -> None:
        stream = session.streams.get(frame.stream)
        # Frames of flow control on a stream are no reply.
        if stream is None or not (frame.is_data or frame.is_headers or frame.resets):
            return
        if not stream.reply_seen:
            stream.reply_seen = True
            dropped = self.on_reply is not None and self.on_reply(stream.call) is not None
            session.deaf = session.deaf or stream.lost or dropped
            stream.lost = stream.lost or dropped
        if frame.ends_stream:
            del session.streams[frame.stream]
            if stream.lost:
                raise BrokenError(stream.call.path)
            stream.call.answered = asyncio.get_running_loop().time()
