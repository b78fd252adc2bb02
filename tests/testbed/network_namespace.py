"""A network of its own for a server that listens on every interface and has no setting against it.

Linux can give a process a network namespace, which nothing but its own loopback interface belongs to. One port of the
server is offered on the machine's loopback interface: a socket stays in the namespace in which it was made, so the process
that moved into the new namespace still accepts on the listener that it opened before, and connects inside.

As a program (`network_namespace.py PORT COMMAND...`) it needs nothing but the standard library.
"""

import asyncio
import ctypes
import fcntl
import functools
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

_LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 512
_PROCESSES: Final = Path(__file__).with_name("processes.py")
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # of sched.h
_SET_INTERFACE_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41  # of sockios.h and if.h


def secluded(argv: Sequence[str | Path], port: int) -> list[str | Path]:
    """Return the command that runs `argv` in a network of its own, with this port on the loopback interface of the machine.

    Where the machine has no network namespaces it is `argv` itself.
    """
    if is_available():
        return [*_program(port), *argv]
    _warn(Path(argv[0]).name)
    return list(argv)


@functools.cache
def is_available() -> bool:
    """Return whether processes can be given a network of their own here."""
    if sys.platform != "linux":
        return False
    return subprocess.run([*_program(0), "true"], capture_output=True, check=False).returncode == 0


def enter() -> None:
    """Move this process into a network namespace of its own, and into a user namespace where only that permits it.

    Raises:
        OSError: this machine does not allow it.
    """
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK):
        if libc.unshare(_NEW_USER | _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _raise_loopback()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_INTERFACE_FLAGS, struct.pack("16sh22x", b"lo", _UP_AND_RUNNING))


def _program(port: int) -> list[str]:
    return [sys.executable, "-I", "-S", __file__, str(port)]


@functools.cache
def _warn(name: str) -> None:
    sentence = f"{name} listens on every interface: this machine has no network namespace for it."
    print(sentence, file=sys.stderr)


class _End(asyncio.Protocol):
    """One end of a connection: what it receives, the other end sends."""

    def __init__(self) -> None:
        self.other: _End
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()


class _Outside(_End):
    """The end of a client; what it sends before the server is reached is kept."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.other = _End()
        self.other.other = self
        self._port = port
        self._early = bytearray()
        self._reached = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._reaching = asyncio.ensure_future(self._reach())

    def data_received(self, data: bytes) -> None:
        if self._reached:
            super().data_received(data)
        else:
            self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reached:
            super().connection_lost(exc)
        else:
            self._reaching.cancel()

    async def _reach(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.other, _LOOPBACK, self._port)
        except OSError:
            self.transport.abort()
        else:
            self._reached = True
            self.other.transport.write(self._early)


async def _run(listener: socket.socket, argv: Sequence[str]) -> int:
    """Run the command and pass connections on to it; return how it ended."""
    loop = asyncio.get_running_loop()
    # Asked to end, a server takes its time, and is to be reachable meanwhile.
    loop.add_signal_handler(signal.SIGTERM, lambda: None)
    port = listener.getsockname()[1]
    await loop.create_server(lambda: _Outside(port), sock=listener, backlog=_BACKLOG)
    tied_to_us = [sys.executable, "-I", "-S", str(_PROCESSES), str(os.getpid())]
    server = await asyncio.create_subprocess_exec(*tied_to_us, *argv)
    return await server.wait()


def main(port: int, argv: Sequence[str]) -> int:
    """Run a command in a network of its own; return its exit code, as a shell would."""
    listener = socket.create_server((_LOOPBACK, port), backlog=_BACKLOG)
    enter()
    code = asyncio.run(_run(listener, argv))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
