"""What all forwarders share: a listener in a thread of its own, the calls it saw, and connections to be broken."""

import asyncio
import enum
import itertools
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self

from testbed.processes import free_port, release_port

CHUNK: Final = 65536


@dataclass
class Call:
    """One call that passed: `at` is when its head was seen, `answered` when its reply had passed whole."""

    method: str
    path: str
    stream: int = 0
    at: float = field(default_factory=time.monotonic)
    answered: float | None = None


class Action(enum.Enum):
    """What a hook may ask for; None lets the call, or its reply, pass."""

    DROP = "break the connection instead of passing this on"
    LOSE_REPLY = "pass the request on, break the connection instead of delivering the reply"


class BrokenError(OSError):
    """The forwarder breaks this connection on purpose."""


Hook = Callable[[Call], Action | None]


class _Mode(enum.Enum):
    PASS = "pass"  # noqa: S105 - no password
    REFUSE = "refuse"
    SWALLOW = "swallow"


@dataclass(eq=False)
class Connection:
    """A client's connection and ours to the server."""

    client_reader: asyncio.StreamReader
    client: asyncio.StreamWriter
    server_reader: asyncio.StreamReader
    server: asyncio.StreamWriter

    def abort(self) -> None:
        """Breaks both sides at once: the peers see a reset, not an orderly end."""
        self.client.transport.abort()
        self.server.transport.abort()


class Forwarder(ABC):
    """Listens on a free port and passes bytes on, streaming; faults and hooks can be set from any thread.

    A hook runs in the forwarder's thread and blocks it: killing a process is fine, calling this object is not needed
    (say what should happen by an Action).
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.calls: list[Call] = []
        self.hook: Hook | None = None
        """Asked when the head of a request was seen, before anything of it is passed on."""
        self.on_reply: Hook | None = None
        """Asked when the reply begins, before anything of it is delivered; DROP loses it."""
        self._mode = _Mode.PASS
        self._open: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)
        self._thread.start()
        try:
            self._do(self._listen())
        except BaseException:
            self._end_thread()
            raise

    @abstractmethod
    def is_write(self, call: Call) -> bool:
        """Whether the call changes something that tests care about."""

    def writes(self) -> list[Call]:
        """The calls that change something."""
        return [call for call in list(self.calls) if self.is_write(call)]

    def at_write(self, number: int, do: Callable[[], None], *, after: bool = False) -> None:
        """Runs `do` (a kill, say) at the n-th write from now on, and breaks that write's connection.

        Without `after` the write never reaches the server; with it the server has done it, and its reply is lost.
        """
        count = itertools.count(1)
        chosen: list[Call] = []

        def before(call: Call) -> Action | None:
            if not self.is_write(call) or next(count) != number:
                return None
            chosen.append(call)
            return None if after else strike()

        def behind(call: Call) -> Action | None:
            return strike() if any(call is one for one in chosen) else None

        def strike() -> Action:
            do()
            return Action.DROP

        self.hook, self.on_reply = before, behind

    def clear(self) -> None:
        """Forgets the calls seen so far."""
        self.calls.clear()

    def drop_all(self) -> None:
        """Breaks all connections and refuses new ones, as if the server were gone."""
        self._do(self._set(_Mode.REFUSE))

    def black_hole(self) -> None:
        """Accepts and reads nothing more, as if the network swallowed everything; open connections stay open."""
        self._do(self._set(_Mode.SWALLOW))

    def restore(self) -> None:
        """Ends `drop_all` and `black_hole`; connections that were swallowed are broken."""
        self._do(self._set(_Mode.PASS))

    def break_connections(self) -> None:
        """Breaks what is open now; new connections are welcome."""
        self._do(self._abort_all())

    def close(self) -> None:
        """Ends everything."""
        if self._loop.is_closed():
            return
        self._do(self._shut())
        self._end_thread()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What a subclass says.

    @abstractmethod
    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the real server."""

    @abstractmethod
    async def _serve(self, connection: Connection) -> None:
        """Passes everything on until one side ends."""

    def _listener_tls(self) -> ssl.SSLContext | None:
        return None

    async def _passage(self) -> None:
        """Stands before everything that is passed on: in a black hole it never ends."""
        if self._mode is _Mode.SWALLOW:
            await asyncio.get_running_loop().create_future()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Passes bytes on as they come, and the end of the stream too."""
        while data := await source.read(CHUNK):
            await self._passage()
            sink.write(data)
            await sink.drain()
        pass_end(sink)

    # From here on everything runs in the forwarder's own loop.

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._accepted, "127.0.0.1", self.port, backlog=512, ssl=self._listener_tls()
        )

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Not a coroutine: one that is cancelled before its first step never comes to close the connection."""
        task = self._loop.create_task(self._handle(reader, writer))
        self._tasks.add(task)

        def end(_: object) -> None:
            writer.transport.abort()
            self._tasks.discard(task)

        task.add_done_callback(end)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._passage()
            server_reader, server = await self._connect()
        except (OSError, asyncio.CancelledError):
            return
        connection = Connection(reader, writer, server_reader, server)
        self._open.add(connection)
        try:
            # Cancelled is how the forwarder breaks a connection; the other two are how peers end theirs.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(connection)
        finally:
            self._open.discard(connection)
            connection.abort()

    async def _set(self, mode: _Mode) -> None:
        before, self._mode = self._mode, mode
        if mode is _Mode.REFUSE and self._server is not None:
            self._server.close()
            self._server = None
        if mode is _Mode.REFUSE or before is _Mode.SWALLOW:
            await self._abort_all()
        if mode is not _Mode.REFUSE and self._server is None:
            await self._listen()

    async def _abort_all(self) -> None:
        tasks = list(self._tasks)
        for connection in list(self._open):
            connection.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._abort_all()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    # The other threads' way in.

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a hook cannot call its forwarder: return an Action instead")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        release_port(self.port)


def pass_end(sink: asyncio.StreamWriter) -> None:
    """One peer has said everything; the other may still be talking."""
    with suppress(OSError):
        if sink.can_write_eof():
            sink.write_eof()


async def both(*works: Coroutine[Any, Any, None]) -> None:
    """Runs the two directions of a connection; when one fails or is cancelled, so is the other."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
