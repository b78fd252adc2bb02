"""The operator as a process, with the ServiceAccount and permissions of manifests/operator, and nothing else."""

import os
import re
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from testbed.cluster import Cluster
from testbed.processes import Process

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests" / "operator"
ACCOUNT = "milvus-rbac-operator"
SYSTEM = "milvus-rbac-system"

_PORT = re.compile(r"are served on [^\"]*:(\d+)")


class OperatorProcess:
    """One run of `milvus-rbac run`; its log is a file."""

    def __init__(self, kubeconfig: Path, identity: str, flags: Sequence[str] = (), **settings: str) -> None:
        self.log = Path(tempfile.mkstemp(prefix="operator-", suffix=".log")[1])
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MILVUS_RBAC_")}
        environment |= {
            "PYTHONPATH": str(ROOT / "operator"),
            "MILVUS_RBAC_KUBECONFIG": str(kubeconfig),
            "MILVUS_RBAC_IDENTITY": identity,
            "MILVUS_RBAC_HTTP_ADDRESS": "127.0.0.1:0",
            "MILVUS_RBAC_LOG_LEVEL": "DEBUG",
        }
        environment |= {f"MILVUS_RBAC_{name.upper()}": value for name, value in settings.items()}
        self.argv = [sys.executable, "-m", "milvus_rbac", "run", *flags]
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


def manifests() -> list[Path]:
    """What a cluster-wide operator needs, in the order in which it can be applied: the namespace comes first."""
    return [*sorted((ROOT / "crds").glob("*.yaml")), *sorted(MANIFESTS.glob("*.yaml"))]


def permit_in(cluster: Cluster, namespace: str) -> None:
    """Give a ServiceAccount in one namespace the operator's permissions there, and a Lease there."""
    rights = yaml.safe_load_all((MANIFESTS / "rbac.yaml").read_text())
    rules = next(one for one in rights if one["kind"] == "Role")
    core, rbac = (
        f"/api/v1/namespaces/{namespace}",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}",
    )
    subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}]
    cluster.call("POST", f"{core}/serviceaccounts", {"metadata": {"name": ACCOUNT}})
    cluster.call("POST", f"{rbac}/roles", {"metadata": {"name": "lease"}, "rules": rules["rules"]})
    for kind, name in (("Role", "lease"), ("ClusterRole", ACCOUNT)):
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        body = {"metadata": {"name": kind.lower()}, "roleRef": reference, "subjects": subjects}
        cluster.call("POST", f"{rbac}/rolebindings", body)
    user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    lease = {"group": "coordination.k8s.io", "resource": "leases"}
    cluster.wait_until_allowed(user, namespace=namespace, verb="list", resource="secrets")
    cluster.wait_until_allowed(user, namespace=namespace, verb="create", **lease)


def let_in(cluster: Cluster, home: str, namespace: str) -> None:
    """Let the operator whose ServiceAccount is in one namespace work in another one, too."""
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": home}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ACCOUNT}
    cluster.call("POST", path, {"metadata": {"name": ACCOUNT}, "roleRef": reference, "subjects": [subject]})
    user = f"system:serviceaccount:{home}:{ACCOUNT}"
    cluster.wait_until_allowed(user, namespace=namespace, verb="list", resource="secrets")
