"""Apply many users and roles at once: writes, calls, memory and time, beside the same writes by a bare script.

`make bench`, or with `.venv/bin/python` and the Makefile's PYTHONPATH: `-m bench.apply --users 1000 --roles 50 --rounds 3`.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.kube import Kube, all_of
from bench.resources import CONNECTION, Load
from support.operator import OperatorProcess, permit
from testbed.bed import TestBed
from testbed.chart import NAME
from testbed.cluster import Cluster
from testbed.control_plane import events_of
from testbed.milvus import STANDARD
from testbed.milvus_forwarder import MilvusForwarder

ROOT = Path(__file__).parents[1]
MOST_RATIO, MOST_WRITES = 2.0, 2
"""What docs/performance.md claims."""
WRITES = {"create", "update", "patch", "delete"}
OURS = {"milvususers", "milvusroles"}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of the operator came to."""

    seconds: float
    """From the first request of the apply until the last resource was Ready."""
    applying: float
    """Until everything was applied."""
    cpu: float
    memory: float
    """In MiB, when all were Ready."""
    writes_per_resource: float
    most_writes: int
    connection_writes: int
    events: int
    rounds: int
    calls: Counter[str]


@dataclass(frozen=True, slots=True)
class Bare:
    """What the same writes came to without an operator."""

    seconds: float
    cpu: float


class Bench:
    """Both sides, one after the other, on the same servers."""

    def __init__(self, cluster: Cluster, way: MilvusForwarder, users: int, roles: int) -> None:
        self._cluster, self._way, self._users, self._roles = cluster, way, users, roles

    def run_operator(self, name: str) -> Figures:
        """Apply everything with the operator at work."""
        load = self._prepare(name)
        release = permit(self._cluster, name, name)
        kubeconfig = self._cluster.service_account_kubeconfig(name, release.account)
        operator = OperatorProcess(
            release.arguments, release.environment("bench"), kubeconfig, log_level="INFO"
        )
        try:
            self._connect(load)
            return asyncio.run(self._measure(load, operator))
        finally:
            operator.stop()

    def run_bare(self, name: str) -> Bare:
        """Apply everything without an operator, then make the writes."""
        load = self._prepare(name)
        self._post_connection(load)
        asyncio.run(self._apply(load))
        task = {
            "load": {"namespace": load.namespace, "users": load.users, "roles": load.roles},
            "url": self._cluster.url,
            "ca": str(self._cluster.facts.ca),
            "token": self._token(name),
            "milvus": self._way.address,
        }
        done = subprocess.run(
            [sys.executable, "-m", "bench.bare"],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return Bare(**json.loads(done.stdout))

    # --- the operator's side

    async def _measure(self, load: Load, operator: OperatorProcess) -> Figures:
        mark, cpu = self._cluster.audit_mark(), _cpu(operator.process.pid)
        self._way.clear()
        async with self._session(load) as kube:
            ready = asyncio.gather(
                kube.all_ready(load.namespace, "milvususers", load.users),
                kube.all_ready(load.namespace, "milvusroles", load.roles),
            )
            await asyncio.sleep(0.2)  # the watches stand before the clock runs
            started = time.perf_counter()
            await all_of(kube.send("POST", path, body) for path, body in load.bodies())
            applied = time.perf_counter()
            await ready
            done = time.perf_counter()
        used, memory = _cpu(operator.process.pid) - cpu, _memory(operator.process.pid)
        writes = Counter(
            (event["objectRef"]["resource"], event["objectRef"].get("name", ""))
            for event in events_of(self._cluster.audit_events(mark), _account(load))
            if event["verb"] in WRITES
        )
        per_resource = [count for (resource, _), count in writes.items() if resource in OURS]
        return Figures(
            seconds=done - started,
            applying=applied - started,
            cpu=used,
            memory=memory,
            writes_per_resource=statistics.mean(per_resource),
            most_writes=max(per_resource),
            connection_writes=sum(n for (kind, _), n in writes.items() if kind == "milvusconnections"),
            events=sum(n for (kind, _), n in writes.items() if kind == "events"),
            rounds=_rounds(operator),
            calls=Counter(call.method for call in self._way.calls),
        )

    async def _apply(self, load: Load) -> None:
        async with self._session(load) as kube:
            await all_of(kube.send("POST", path, body) for path, body in load.bodies())

    # --- what both need

    def _prepare(self, name: str) -> Load:
        """Make a namespace with an account, and all Secrets: they are not what is measured."""
        self._cluster.create_namespace(name)
        self._permit_applying(name)
        load = Load(name, self._users, self._roles)
        asyncio.run(self._post_secrets(load))
        return load

    async def _post_secrets(self, load: Load) -> None:
        path = f"/api/v1/namespaces/{load.namespace}/secrets"
        admin = {"username": "root", "password": "Milvus"}
        secrets = {f"u{number}": {"password": load.password(number)} for number in range(load.users)}
        async with self._session(load) as kube:
            await all_of(
                kube.send("POST", path, {"metadata": {"name": name}, "stringData": data})
                for name, data in {"milvus-admin": admin, **secrets}.items()
            )

    def _connect(self, load: Load) -> None:
        self._post_connection(load)
        path = f"{load.collection('milvusconnections')}/{CONNECTION}"
        deadline = time.monotonic() + 60
        while "server" not in self._cluster.get(path).get("status", {}):
            if time.monotonic() > deadline:
                raise TimeoutError("the operator never reached Milvus")
            time.sleep(0.1)

    def _post_connection(self, load: Load) -> None:
        body = {
            "apiVersion": "rbac.milvus.io/v1alpha1",
            "kind": "MilvusConnection",
            "metadata": {"name": CONNECTION},
            "spec": {"uri": self._way.uri, "credentialsSecretRef": {"name": "milvus-admin"}},
        }
        self._cluster.call("POST", load.collection("milvusconnections"), body)

    def _permit_applying(self, namespace: str) -> None:
        """Let a second account do all that the apply and the bare script do."""
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
        core = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self._cluster.call("POST", core, {"metadata": {"name": "bench"}})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bench"}
        subjects = [{"kind": "ServiceAccount", "name": "bench", "namespace": namespace}]
        body = {"metadata": {"name": "bench"}, "roleRef": reference, "subjects": subjects}
        self._cluster.call("POST", rbac, body)
        user = f"system:serviceaccount:{namespace}:bench"
        self._cluster.wait_until_allowed(user, namespace=namespace, verb="create", resource="secrets")

    def _session(self, load: Load) -> Any:
        return Kube.connect(self._cluster.url, self._cluster.facts.ca, self._token(load.namespace))

    def _token(self, namespace: str) -> str:
        return self._cluster.service_account_token(namespace, "bench")


def _account(load: Load) -> str:
    return f"system:serviceaccount:{load.namespace}:{NAME}"


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


def _rounds(operator: OperatorProcess) -> int:
    found = re.findall(r"^milvus_rbac_rounds_total\{.*\} (\S+)$", operator.get("/metrics"), re.MULTILINE)
    return int(sum(float(value) for value in found))


def _show(
    console: Console, figures: list[Figures], bare: list[Bare], ratios: list[float], users: int, roles: int
) -> None:
    table = Table(title=f"{users} users and {roles} roles applied at once", show_edge=False)
    table.add_column("")
    for number in range(len(figures)):
        table.add_column(f"run {number + 1}", justify="right")
    rows: dict[str, list[str]] = {
        "Kubernetes writes per resource": [f"{one.writes_per_resource:.2f}" for one in figures],
        "... at most": [str(one.most_writes) for one in figures],
        "... to the connection": [str(one.connection_writes) for one in figures],
        "... Events": [str(one.events) for one in figures],
        "rounds": [str(one.rounds) for one in figures],
        "Milvus calls": [str(sum(one.calls.values())) for one in figures],
        "... that write": [str(_writing(one.calls)) for one in figures],
        "operator memory, MiB": [f"{one.memory:.0f}" for one in figures],
        "operator CPU, s": [f"{one.cpu:.2f}" for one in figures],
        "everything applied, s": [f"{one.applying:.2f}" for one in figures],
        "all Ready, s from the first apply": [f"{one.seconds:.2f}" for one in figures],
        "the same writes by a bare script, s": [f"{one.seconds:.2f}" for one in bare],
        "... its CPU, s": [f"{one.cpu:.2f}" for one in bare],
        "ratio": [f"{ratio:.2f}" for ratio in ratios],
    }
    for name, values in rows.items():
        table.add_row(name, *values)
    console.print(table)
    console.print(f"Milvus calls of run 1: {dict(figures[0].calls.most_common())}")


def _writing(calls: Counter[str]) -> int:
    return sum(count for method, count in calls.items() if method.startswith(("Create", "Operate", "Update")))


def main() -> int:
    """Measure and print; exit with 1 if what is claimed is not so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--roles", type=int, default=20)
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often both sides are run; the median ratio counts"
    )
    options = parser.parse_args()
    bed = TestBed()
    try:
        plane, milvus = bed.control_plane(), bed.milvus(STANDARD)
        plane.kubectl("create", "clusterrole", "bench", "--verb=*", "--resource=*.*")
        with MilvusForwarder(milvus.port) as way:
            bench = Bench(plane, way, options.users, options.roles)
            figures, bare = [], []
            for number in range(options.rounds):
                figures.append(bench.run_operator(f"operator-{number}"))
                bare.append(bench.run_bare(f"bare-{number}"))
    finally:
        bed.close()
    ratios = [one.seconds / other.seconds for one, other in zip(figures, bare, strict=True)]
    console = Console(width=110)
    _show(console, figures, bare, ratios, options.users, options.roles)
    broken = [
        *([f"the ratio is above {MOST_RATIO:g}"] if statistics.median(ratios) > MOST_RATIO else []),
        *(
            ["a resource took more than two writes"]
            if max(one.most_writes for one in figures) > MOST_WRITES
            else []
        ),
    ]
    console.print(f"Not as claimed: {'; '.join(broken)}." if broken else "As claimed.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
