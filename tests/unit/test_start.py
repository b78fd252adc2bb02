"""The process as the first one of a container: a signal ends it at any moment, the first second included."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
import yaml

from testbed.processes import free_port, release_port

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
PROMPTLY = 5.0
IN_ORDER = 20.0
"""With watches and a Lease to end; a Pod has 45 seconds."""


@cache
def as_first_process() -> list[str]:
    """What starts a program as process 1 of a namespace; nothing where that is not allowed."""
    for prefix in (["unshare"], ["unshare", "--user", "--map-root-user"]):
        command = [*prefix, "--pid", "--fork", "--kill-child"]
        try:
            done = subprocess.run([*command, "true"], capture_output=True, check=False)
        except FileNotFoundError:
            return []
        if not done.returncode:
            return command
    return []


class Starting:
    """The operator while it starts; the API server of its kubeconfig is away."""

    def __init__(self, folder: Path, *argv: str) -> None:
        self.log = folder / "log"
        prefix = as_first_process()
        variables = {key: value for key, value in os.environ.items() if not key.startswith("MILVUS_RBAC_")}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, *argv],
                env=variables | {"PYTHONPATH": str(ROOT / "operator")},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._process.pid
        if prefix:
            self.wait(lambda: bool(self._children()), "a child of unshare")
            (self.pid,) = self._children()

    def _children(self) -> list[int]:
        found = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [int(one) for one in found.split()]

    def catches(self, number: signal.Signals) -> bool:
        """Whether a signal has a handler: without one, process 1 ignores it."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (mask,) = (line.split()[1] for line in lines if line.startswith("SigCgt:"))
        return bool(int(mask, 16) & 1 << (number - 1))

    def has_loaded(self, library: str) -> bool:
        return library in Path(f"/proc/{self.pid}/maps").read_text()

    def says(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"{what} never came: {self.log.read_text()}"
            time.sleep(0.002)

    def end(self, number: signal.Signals, timeout: float = PROMPTLY) -> int:
        """Send a signal, and return how the process ended, which must be soon."""
        os.kill(self.pid, number)
        return self._process.wait(timeout)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


Start = Callable[..., Starting]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the operator, and ends it with the test."""
    port = free_port()
    server = {"server": f"http://127.0.0.1:{port}"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "away", "cluster": server}],
        "users": [{"name": "away", "user": {"token": "t"}}],
        "contexts": [{"name": "away", "context": {"cluster": "away", "user": "away"}}],
        "current-context": "away",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    settings = ["run", f"--kubeconfig={tmp_path / 'config'}", "--http-address=127.0.0.1:0"]
    with ExitStack() as stack:
        stack.callback(release_port, port)

        def begin(*how: str) -> Starting:
            starting = Starting(tmp_path, *how, *settings)
            stack.callback(starting.kill)
            return starting

        yield begin


MODULE = ("-m", "milvus_rbac")
SCRIPT = ("-c", "from milvus_rbac.cli import main; main()")
"""What pip makes of the entry point."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("how", [MODULE, SCRIPT], ids=["module", "script"])
def test_signals_are_obeyed_before_anything_is_loaded(
    start: Start, how: tuple[str, ...], number: signal.Signals
) -> None:
    starting = start(*how)
    starting.wait(
        lambda: starting.catches(signal.SIGTERM) and starting.catches(signal.SIGINT), "the handlers"
    )
    assert not starting.has_loaded("pydantic_core")
    assert starting.end(number) == 0


@pytest.mark.parametrize("library", ["pydantic_core", "cygrpc"])
def test_a_signal_while_libraries_are_loaded_ends_it(start: Start, library: str) -> None:
    starting = start(*MODULE)
    starting.wait(lambda: starting.has_loaded(library), library)
    assert starting.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_api_server_is_away_ends_it(start: Start, number: signal.Signals) -> None:
    starting = start(*MODULE)
    starting.wait(lambda: starting.says("are served on"), "the HTTP server")
    assert starting.end(number, IN_ORDER) == 0


def test_the_version_is_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "milvus_rbac", "--version"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "operator")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("milvus-rbac, version ")
