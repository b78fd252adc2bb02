"""`make demo` from outside: what it prints, how it ends, and that nothing of it stays."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from house.repository import DOCS, ROOT, blocks_in
from testbed.build import Binaries
from testbed.processes import Process, processes_with

SAMPLES = ROOT / "manifests" / "samples"
PATIENCE = 120.0
ADDRESS = "http://milvus.milvus:19530"
"""That of all examples; the demo's Milvus has another."""
NEEDS = {"milvusprivilegegroup.md": "2.4.18", "zilliz.md": "Zilliz Cloud"}
"""What the examples of these pages need, and the demo does not have."""

LINES = [
    "A Kubernetes API runs",
    "A new Milvus runs",
    "helm install milvus-rbac-operator",
    "The operator runs with that ServiceAccount's token",
    "kubectl apply -f manifests/samples",
    "Every resource becomes Ready",
    "bootstrap: root has the Secret's password",
    "analytics_app logs in with the password of Secret analytics-app",
    "Allowed: analytics_app queries orders",
    "Denied: analytics_app neither inserts into orders nor drops it",
    "Rotation: Secret analytics-app is changed",
    "The old password is refused",
    "By hand: root revokes Query on orders from analytics_reader",
    "Drift: it is put back",
    "Every resource is Ready",
    "kubectl delete -f manifests/samples",
    "Nothing is left in Milvus",
    "Everything is stopped",
]
LEFT_RUNNING = "Everything is left running"

StartDemo = Callable[..., Process]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the demo puts all its files."""
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def start_demo(binaries: Binaries, tmp_path: Path, folder: Path) -> Iterator[StartDemo]:
    """Starts the demo with these arguments."""
    assert binaries.kube_apiserver.exists()
    started: list[Process] = []

    def start(*arguments: str | Path) -> Process:
        environment = os.environ | {"TMPDIR": str(folder)}
        argv = [sys.executable, "-m", "testbed.demo", *arguments]
        started.append(Process.start(argv, tmp_path / "demo.log", env=environment, cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.stop()


def checked_lines(demo: Process) -> list[str]:
    """What follows the number and `ok`."""
    return re.findall(r"^ *\d+ ok (.*)$", demo.log.read_text(), re.MULTILINE)


def remains(folder: Path) -> list[str]:
    """Files, and processes that were told of their folder: all that the demo starts have it in their environment."""
    return [*map(str, folder.iterdir()), *processes_with(f"TMPDIR={folder}")]


def test_every_line_of_the_demo_is_true(start_demo: StartDemo, folder: Path) -> None:
    demo = start_demo()
    assert demo.wait(PATIENCE) == 0, demo.tail()
    lines = checked_lines(demo)
    assert [line for line, promise in zip(lines, LINES, strict=True) if not line.startswith(promise)] == []
    assert "PERMISSION_DENIED PrivilegeInsert" in demo.log.read_text()
    assert not remains(folder)


def test_the_demo_fails_at_the_first_line_that_is_not_true(
    start_demo: StartDemo, folder: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(SAMPLES, tmp_path / "broken"))
    role = broken / "role.yaml"
    role.write_text(role.read_text().replace("Query", "Qwery"))
    demo = start_demo("--samples", broken)
    assert demo.wait(PATIENCE) == 1
    output = demo.log.read_text()
    assert len(checked_lines(demo)) == LINES.index("Every resource becomes Ready")
    assert " 6 FAILED Every resource becomes Ready" in output
    assert "Milvus has no privilege Qwery; write Query" in output
    assert not remains(folder)


def test_keep_leaves_everything_running_until_it_is_interrupted(start_demo: StartDemo, folder: Path) -> None:
    demo = start_demo("--keep")
    left = Left(demo)
    assert left.run(left.command).count("True") == 3
    assert remains(folder)
    demo.send(signal.SIGINT)
    assert demo.wait(PATIENCE) == 0, demo.tail()
    assert not remains(folder)


def test_the_first_example_of_every_page_works_on_what_keep_leaves(start_demo: StartDemo) -> None:
    left = Left(start_demo("--keep"))
    left.run("kubectl create namespace team-a")
    pages = [page for page in (*sorted(DOCS.glob("*.md")), ROOT / "README.md") if blocks_in(page, "yaml")]
    assert len(pages) > len(NEEDS) + 5
    for page in pages:
        said = page.read_text().partition("```")[0]
        if page.name in NEEDS:
            assert NEEDS[page.name] in said, f"{page.name} does not say at its head what its example needs"
            continue
        example = blocks_in(page, "yaml")[0].replace(ADDRESS, left.milvus)
        left.run("kubectl apply --filename=-", example)
        for one in yaml.safe_load_all(example):
            if one["kind"].startswith("Milvus"):
                left.wait_ready(page.name, one)


class Left:
    """What a demo left running, as it says itself."""

    def __init__(self, demo: Process) -> None:
        demo.wait_until(lambda: "Ctrl-C here" in demo.log.read_text(), PATIENCE)
        output = demo.log.read_text()
        assert LEFT_RUNNING in output
        self._exports = "\n".join(re.findall(r"^ *(export .*)$", output, re.MULTILINE))
        (self.command,) = re.findall(r"^ *(kubectl .* get milvus-rbac)$", output, re.MULTILINE)
        (self.milvus,) = re.findall(r"^ *Milvus +(http:\S+)$", output, re.MULTILINE)

    def run(self, command: str, text: str = "") -> str:
        """What a command prints to whoever follows the demo's advice."""
        script = ["bash", "-c", f"{self._exports}\n{command}"]
        return subprocess.run(script, input=text, capture_output=True, text=True, check=True).stdout

    def wait_ready(self, page: str, manifest: dict[str, Any]) -> None:
        """Wait until a resource is as its page says."""
        metadata = manifest["metadata"]
        get = f"kubectl --namespace {metadata['namespace']} get {manifest['kind']} {metadata['name']} --output=json"
        deadline = time.monotonic() + PATIENCE
        while True:
            body = json.loads(self.run(get))
            conditions = {one["type"]: one for one in body["status"]["conditions"]}
            is_seen = body["status"]["observedGeneration"] == body["metadata"]["generation"]
            if is_seen and conditions["Ready"]["reason"] == "Ready":
                return
            is_stuck = (is_seen and "Stalled" in conditions) or time.monotonic() > deadline
            assert not is_stuck, f"{page}: {conditions['Ready']['message']}"
            time.sleep(0.2)


def test_an_interrupted_demo_stops_what_it_started(start_demo: StartDemo, folder: Path) -> None:
    demo = start_demo()
    demo.wait_until(lambda: "2 ok A new Milvus runs" in demo.log.read_text(), PATIENCE)
    demo.send(signal.SIGINT)
    assert demo.wait(PATIENCE) == 130
    assert not remains(folder)
