"""The three that are measured: our operator, the bare script, and the operator of the tutorial."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import ClassVar

from typing_extensions import override

from bench.bare import STARTED
from bench.figures import Figures, Took
from bench.kube import is_ready
from bench.machine import Moment, cpu, memory
from bench.resources import CONNECTION, OURS, TUTORIAL, Load
from bench.servers import Servers
from support.operator import OperatorProcess, permit
from testbed.chart import NAME
from testbed.control_plane import events_of
from testbed.processes import Process

ROOT = Path(__file__).parents[1]
TUTORIAL_FILE = Path(__file__).with_name("tutorial.py")
WRITES = {"create", "update", "patch", "delete"}
_START = 60.0
_PATIENCE, _PATIENCE_EACH = 120.0, 0.5
"""Seconds for an operator to begin, and for a run to end: some for itself, and some for each resource."""


class Side(ABC):
    """One of those that are measured, on some servers: it is idle when everything is applied, and done when all are Ready."""

    name: ClassVar[str]
    account: ClassVar[str]
    api = OURS

    def __init__(self, servers: Servers) -> None:
        self.servers = servers

    def run(self, namespace: str, users: int, roles: int) -> Figures:
        """Have so many users and roles in Milvus, and no longer afterwards."""
        load = Load(namespace, users, roles, self.api)
        self.servers.prepare(load)
        figures = self._measure(load)
        self.servers.clear(load)
        return figures

    @abstractmethod
    def _idle(self, load: Load) -> AbstractContextManager[int]:
        """Have a process with this pid that has begun, and end it afterwards."""

    def _everything_is_applied(self) -> None:  # noqa: B027 - whoever watches knows
        """Say so to a process that does not watch."""

    def _measure(self, load: Load) -> Figures:
        with self._idle(load) as pid:
            mark, used = self.servers.cluster.audit_mark(), cpu(pid)
            self.servers.way.clear()
            before = Moment.now()
            seconds = asyncio.run(self._apply(load))
            foreign = Moment.now().foreign_since(before)
            took = Took(seconds, cpu(pid) - used, memory(pid), foreign)
        # Only now: a write is seen by a watch before the audit log has it.
        return self._count(load, mark, took)

    async def _apply(self, load: Load) -> float:
        """Return the seconds from the first request until the last resource is Ready."""
        patience = _PATIENCE + _PATIENCE_EACH * load.size
        async with (
            self.servers.session(load) as kube,
            asyncio.timeout(patience),
            asyncio.TaskGroup() as group,
        ):
            watches = []
            for plural, count in load.counts.items():
                watches.append(asyncio.Event())
                group.create_task(kube.all_ready(load.collection(plural), count, watching=watches[-1]))
            for watch in watches:
                await watch.wait()
            started = time.perf_counter()
            await kube.post_all(load.bodies())
            self._everything_is_applied()
        return time.perf_counter() - started

    def _count(self, load: Load, since: int, took: Took) -> Figures:
        """Return what was counted beside seconds, CPU and memory: writes since then, and the forwarder's calls."""
        user = f"system:serviceaccount:{load.namespace}:{self.account}"
        written = Counter(
            (event["objectRef"]["resource"], event["objectRef"].get("name", ""))
            for event in events_of(self.servers.cluster.audit_events(since), user)
            if event["verb"] in WRITES and event["objectRef"]["resource"] != "leases"
        )
        events = sum(count for (plural, _), count in written.items() if plural == "events")
        writes = tuple(written[name] for name in load.names)
        others = written.total() - events - sum(writes)
        calls = Counter(call.method for call in self.servers.way.calls)
        return Figures(load.size, took, writes, events, others, calls)

    def _post_connection(self, load: Load) -> None:
        body = {
            "apiVersion": OURS,
            "kind": "MilvusConnection",
            "metadata": {"name": CONNECTION},
            "spec": {"uri": self.servers.way.uri, "credentialsSecretRef": {"name": "milvus-admin"}},
        }
        self.servers.cluster.call("POST", load.collection("milvusconnections"), body)


class Bare(Side):
    """It begins as soon as everything is applied."""

    name = "bare script"
    account = "bare"

    @override
    @contextmanager
    def _idle(self, load: Load) -> Iterator[int]:
        cluster = self.servers.cluster
        self.servers.permit(load.namespace, self.account)
        self._post_connection(load)
        task = {
            "load": {"namespace": load.namespace, "users": load.users, "roles": load.roles},
            "url": cluster.url,
            "ca": str(cluster.facts.ca),
            "token": cluster.service_account_token(load.namespace, self.account),
            "milvus": self.servers.way.address,
        }
        command = [sys.executable, "-m", "bench.bare"]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=ROOT) as self._script:
            self._tell(json.dumps(task))
            if not self._script.stdout or self._script.stdout.readline().strip() != STARTED:
                raise RuntimeError("The bare script has not started.")
            yield self._script.pid

    @override
    def _everything_is_applied(self) -> None:
        self._tell("")

    def _tell(self, line: str) -> None:
        print(line, file=self._script.stdin, flush=True)


class Operator(Side):
    """Ours, as the chart installs it."""

    name = "operator"
    account = NAME

    @override
    @contextmanager
    def _idle(self, load: Load) -> Iterator[int]:
        cluster = self.servers.cluster
        release = permit(cluster, load.namespace, load.namespace)
        kubeconfig = cluster.service_account_kubeconfig(load.namespace, release.account)
        operator = OperatorProcess(
            release.arguments, release.environment("bench"), kubeconfig, log_level="INFO"
        )
        try:
            self._post_connection(load)
            path = f"{load.collection('milvusconnections')}/{CONNECTION}"
            operator.process.wait_until(lambda: "server" in cluster.get(path).get("status", {}), _START)
            yield operator.process.pid
        finally:
            operator.stop()
            operator.log.unlink()


class Tutorial(Side):
    """The one of tutorial.py, as Kopf's documentation starts it."""

    name = "tutorial operator"
    account = "tutorial"
    api = TUTORIAL

    @override
    @contextmanager
    def _idle(self, load: Load) -> Iterator[int]:
        cluster = self.servers.cluster
        self.servers.permit(load.namespace, self.account)
        self.servers.permit_scanning(load.namespace, self.account)
        kubeconfig = cluster.service_account_kubeconfig(load.namespace, self.account)
        variables = {
            "KUBECONFIG": str(kubeconfig),
            "MILVUS_URI": self.servers.way.uri,
            "MILVUS_TOKEN": "root:Milvus",
        }
        options = ["--standalone", f"--namespace={load.namespace}"]
        command = [sys.executable, "-m", "kopf", "run", *options, str(TUTORIAL_FILE)]
        with tempfile.TemporaryDirectory() as folder:
            process = Process.start(command, Path(folder) / "log", env=os.environ | variables, cwd=ROOT)
            try:
                self._wait_until_it_serves(load, process)
                yield process.pid
            finally:
                process.stop(grace=20)

    def _wait_until_it_serves(self, load: Load, process: Process) -> None:
        """Create a role and have it deleted: its log says nothing that could be waited for."""
        path, body = load.role("first", f"first_{load.namespace}".replace("-", "_"))
        cluster, one = self.servers.cluster, f"{path}/first"
        cluster.call("POST", path, body)
        process.wait_until(lambda: is_ready(cluster.get(one)), _START)
        cluster.call("DELETE", one)
        process.wait_until(lambda: cluster.get(one) is None, _START)
