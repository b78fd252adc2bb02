"""Every command of the documentation works: on a cluster where the operator is installed as docs/install.md says."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from house.repository import documents, name_of
from support.double.thread import DoubleThread
from support.kubelet import Kubelet
from support.reader import ROOT, Reader, blocks, commands
from testbed import build
from testbed.chart import SYSTEM
from testbed.control_plane import ControlPlane

INSTALL = ROOT / "docs" / "install.md"
ELSEWHERE = {INSTALL.name: "test_install.py", "migrating.md": "test_migrating.py"}
"""Pages that tell a story of their own, and where it is played."""
PAGES = [page for page in documents() if page.name not in ELSEWHERE and commands(page.read_text())]
MAKE = re.compile(r"^make +(\w+)", re.MULTILINE)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody who has followed docs/install.md, on a Milvus that has privilege groups."""
    plane = ControlPlane(build.ensure_kubernetes())
    kubelet = Kubelet(plane, SYSTEM)
    kubelet.start()
    with DoubleThread("2.6") as double:
        own = {"http://milvus.milvus:19530": f"http://127.0.0.1:{double.port}"}
        reader = Reader(plane, tmp_path_factory.mktemp("reader"), own)
        for heading in ("With Helm", "The first Milvus", "The first role and user"):
            reader.does(blocks(INSTALL, heading))
        group = next(
            yaml.safe_load_all((ROOT / "manifests" / "samples" / "privilege-group.yaml").read_text())
        )
        reader.does(f"kubectl apply -f - <<'EOF'\n{yaml.safe_dump(group)}EOF")
        reader.does("kubectl create namespace argocd; kubectl --namespace argocd create configmap argocd-cm")
        yield reader
    kubelet.close()
    plane.stop()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_works(reader: Reader, page: Path) -> None:
    for block in commands(page.read_text()):
        if targets := MAKE.findall(block):
            subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, check=True)
            continue
        # There are no nodes here that could be asked for what a Pod has logged.
        reader.does([line for line in block.splitlines() if " logs " not in line])


def test_the_pages_that_are_left_out_are_read_elsewhere() -> None:
    for page, test in ELSEWHERE.items():
        assert page in (Path(__file__).parent / test).read_text()
