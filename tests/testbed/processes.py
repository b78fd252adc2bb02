"""Child processes that cannot outlive the tests, and ports that nobody else will take."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

# The kernel sends the death signal when the *thread* that forked ends. So one thread forks them all, and it ends with
# the test process.
_FORKER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")

# Below the range that the kernel takes for outgoing connections, which would otherwise steal ports between here and
# the server's bind.
_PORTS: Final = range(15000, 32000)
_reserved: dict[int, int] = {}


def free_port() -> int:
    """A TCP port on the loopback interface, reserved until it is released among all processes that use this function."""
    for port in random.sample(_PORTS, k=500):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        # The UDP port of the same number is the reservation; the kernel takes it back when this process ends.
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _reserved[port] = mark.detach()
        return port
    raise RuntimeError("no free port on 127.0.0.1")


def release_port(*ports: int) -> None:
    """Gives back what `free_port` reserved."""
    for port in ports:
        if (descriptor := _reserved.pop(port, None)) is not None:
            os.close(descriptor)


class Process:
    """A child process in a session of its own, with its output in a file, killed when this process dies."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._popen = popen

    @classmethod
    def start(
        cls,
        argv: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Self:
        """Starts `argv`; its output is appended to `log`."""
        launcher = [sys.executable, "-I", "-S", __file__, str(os.getpid())]
        command = [*launcher, *map(str, argv)]
        with log.open("ab") as output:

            def fork() -> subprocess.Popen[bytes]:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=env,
                    cwd=cwd,
                    start_new_session=True,
                )

            popen = _FORKER.submit(fork).result()
        return cls(Path(argv[0]).name, popen, log)

    @property
    def pid(self) -> int:
        """The process id; also the id of its process group."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._popen.poll()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.returncode is None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the whole group, if the process has not been reaped."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def stop(self, grace: float = 0.0) -> int:
        """Ends it: asks first if there is a `grace` in seconds, then kills; returns how it ended."""
        if grace:
            self.send(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                return self._popen.wait(grace)
        self.send(signal.SIGKILL)
        return self._popen.wait()

    def wait(self, timeout: float) -> int:
        """Waits for its own end; TimeoutError if it does not come."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} still runs after {timeout} s\n{self.tail()}") from None

    def tail(self, lines: int = 30) -> str:
        """The last lines of its output, for the message of a failure."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], bool], timeout: float, pause: float = 0.02) -> None:
        """Waits for `ready`; fails at once, with the log, when the process ends first."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.alive:
                raise RuntimeError(f"{self.name} ended with {self.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} is not ready after {timeout} s:\n{self.tail()}")
            time.sleep(pause)


def processes_with(variable: str) -> list[str]:
    """What runs with this in its environment (`NAME=value`), and was not reaped yet: process id and command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is somebody else's
            if variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{folder.name} {command}")
    return found


def accepts(port: int) -> bool:
    """Whether something listens on that port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _launch(parent: int, argv: list[str]) -> None:
    """Runs in the child: ties its life to the parent's, then becomes the program."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call above could take effect
            os._exit(1)
    os.execvp(argv[0], argv)  # noqa: S606 - becoming the program is what a launcher is for


if __name__ == "__main__":
    _launch(int(sys.argv[1]), sys.argv[2:])
