"""What the demo runs: a Kubernetes API, a Milvus, and the operator as a process with nothing but its ServiceAccount."""

import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from testbed.build import KubernetesBinaries, MilvusBinary
from testbed.chart import Release, render
from testbed.cluster import Cluster
from testbed.control_plane import ControlPlane
from testbed.demo_narrator import expect
from testbed.milvus import STANDARD, MilvusServer
from testbed.processes import Process, accepts, free_port, release_port

ROOT: Final = Path(__file__).parents[2]
IDENTITY: Final = "demo"


class Operator:
    """What a Pod of the chart's Deployment runs, as the chart permits it."""

    def __init__(self, release: Release, kubeconfig: Path, log: Path) -> None:
        self.log = log
        self._port = free_port()
        ours = {"KUBECONFIG", *(name for name in os.environ if name.startswith("MILVUS_RBAC_"))}
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        environment |= release.environment(IDENTITY) | {
            "PYTHONPATH": str(ROOT / "operator"),
            "MILVUS_RBAC_KUBECONFIG": str(kubeconfig),
            "MILVUS_RBAC_HTTP_ADDRESS": f"127.0.0.1:{self._port}",
            "MILVUS_RBAC_LOG_FORMAT": "text",
        }
        self.process = Process.start(
            [sys.executable, "-m", "milvus_rbac", *release.arguments], log, env=environment, cwd=ROOT
        )

    @property
    def url(self) -> str:
        """Where probes and metrics are served."""
        return f"http://127.0.0.1:{self._port}"

    def is_ready(self) -> bool:
        """Whether it has read everything once."""
        expect(self.process.alive, f"the operator ended:\n{self.process.tail()}")
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):  # noqa: S310 - http to ourselves
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def stop(self) -> None:
        """Ends it as Kubernetes does: asks, waits, kills."""
        self.process.stop(grace=20)
        release_port(self._port)


class Stage:
    """Everything that runs; leaving it stops everything and removes every file."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="demo."))
        self._stack = ExitStack()
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._ports: list[int] = []
        self.cluster: Cluster
        self.milvus: MilvusServer
        self.operator: Operator | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        expect(not self.leftovers(), "; ".join(self.leftovers()))

    def close(self) -> None:
        """Stops everything; a second time does nothing."""
        self._stack.close()

    def start_cluster(self, binaries: KubernetesBinaries) -> None:
        """Starts the control plane, which knows nothing of the operator yet."""
        plane = ControlPlane(binaries)
        self._stack.callback(plane.stop)
        self._ports.append(plane.facts.port)
        self.cluster = plane

    def start_milvus(self, binary: MilvusBinary) -> None:
        """Starts a new Milvus."""
        self.milvus = MilvusServer(binary, STANDARD)
        self._stack.callback(self.milvus.stop)
        self._ports.append(self.milvus.port)

    def start_operator(self) -> Operator:
        """Runs the operator with a token of its ServiceAccount."""
        release = render(self.cluster.facts.helm)
        kubeconfig = self.cluster.service_account_kubeconfig(release.namespace, release.account)
        self.operator = Operator(release, kubeconfig, self.folder / "operator.log")
        self._stack.callback(self.operator.stop)
        return self.operator

    def leftovers(self) -> list[str]:
        """What is still there after the end."""
        found = [f"port {port} still answers" for port in self._ports if accepts(port)]
        if self.operator is not None and self.operator.process.alive:
            found.append("the operator still runs")
        return found + ([f"{self.folder} is still there"] if self.folder.exists() else [])
