"""The operator as a process, with the arguments, variables, ServiceAccount and permissions of the chart, and nothing else."""

import os
import re
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from testbed.chart import Release, render
from testbed.cluster import Cluster
from testbed.processes import Process

ROOT = Path(__file__).parents[2]

_PORT = re.compile(r"are served on [^\"]*:(\d+)")


class OperatorProcess:
    """What a Pod of the chart's Deployment runs; its log is a file, and some settings are the test's."""

    def __init__(
        self, arguments: Sequence[str], variables: Mapping[str, str], kubeconfig: Path, **settings: str
    ) -> None:
        self.log = Path(tempfile.mkstemp(prefix="operator-", suffix=".log")[1])
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MILVUS_RBAC_")}
        environment |= {
            **variables,
            "PYTHONPATH": str(ROOT / "operator"),
            "MILVUS_RBAC_KUBECONFIG": str(kubeconfig),
            "MILVUS_RBAC_HTTP_ADDRESS": "127.0.0.1:0",
            "MILVUS_RBAC_LOG_LEVEL": "DEBUG",
        }
        environment |= {f"MILVUS_RBAC_{name.upper()}": value for name, value in settings.items()}
        self.argv = [sys.executable, "-m", "milvus_rbac", *arguments]
        self.process = Process.start(self.argv, self.log, env=environment, cwd=ROOT)

    @property
    def output(self) -> str:
        """Everything that it logged."""
        return self.log.read_text(errors="replace")

    @property
    def port(self) -> int:
        """Where it serves probes and metrics; waits until that is known."""
        self.process.wait_until(lambda: _PORT.search(self.output) is not None, timeout=30)
        found = _PORT.search(self.output)
        assert found is not None
        return int(found.group(1))

    def get(self, path: str) -> str:
        """Ask its HTTP server."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def trace(self) -> str:
        """Its last words, where its threads are now, and what its tasks wait for unless its loop is stuck."""
        said = len(self.output)
        self.process.send(signal.SIGUSR1)
        with suppress(TimeoutError, RuntimeError):
            self.process.wait_until(lambda: "\nTask " in self.output[said:], timeout=3)
        return self.process.tail(400)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self.process.stop(grace=0)

    def stop(self) -> None:
        """End it as Kubernetes does: SIGTERM, then patience."""
        if self.process.alive:
            self.process.stop(grace=20)


def permit(cluster: Cluster, namespace: str, *served: str) -> Release:
    """Give a namespace what the chart installs there to serve some namespaces, but no Deployment: tests start processes."""
    release = render(cluster.facts.helm, {"watchNamespaces": served, "rbac": {"userRoles": False}}, namespace)
    for manifest in release.of_kind("ServiceAccount", "Role", "RoleBinding"):
        group = "/api/v1" if manifest["apiVersion"] == "v1" else f"/apis/{manifest['apiVersion']}"
        path = f"{group}/namespaces/{manifest['metadata']['namespace']}/{manifest['kind'].lower()}s"
        status, answer = cluster.api("POST", path, manifest)
        assert status in {201, 409}, answer
    user = f"system:serviceaccount:{namespace}:{release.account}"
    for one in served:
        cluster.wait_until_allowed(user, namespace=one, verb="list", resource="secrets")
    lease = {"group": "coordination.k8s.io", "resource": "leases"}
    cluster.wait_until_allowed(user, namespace=namespace, verb="create", **lease)
    return release
