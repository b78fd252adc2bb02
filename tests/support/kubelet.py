"""The part of a kubelet that a Deployment needs: it runs each Pod of the operator as a process, and says when it is ready."""

import threading
import urllib.error
from contextlib import suppress
from typing import Any

from support.operator import OperatorProcess
from testbed.chart import NAME, environment_of
from testbed.cluster import MERGE_PATCH, Cluster

_LOOK = 0.2
"""Seconds between two looks."""


class Kubelet:
    """Runs what is scheduled in one namespace, from `start` to `close`."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._namespace = namespace
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self.processes: dict[str, OperatorProcess] = {}
        """By the name of the Pod; those that have ended, too."""
        self._running: set[str] = set()

    def start(self) -> None:
        """Look after Pods from now on."""
        self._thread.start()

    def close(self) -> None:
        """End every process."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        for name in self._running:
            self.processes[name].kill()

    def _run(self) -> None:
        while not self._over.wait(_LOOK):
            with suppress(OSError):
                found = self._cluster.get(f"{self._pods}?labelSelector=app.kubernetes.io/name%3D{NAME}")
                self._look_at(found["items"])

    def _look_at(self, pods: list[dict[str, Any]]) -> None:
        for name in self._running - {pod["metadata"]["name"] for pod in pods}:
            self.processes[name].stop()
        self._running = {pod["metadata"]["name"] for pod in pods}
        for pod in pods:
            name = pod["metadata"]["name"]
            if name not in self.processes:
                self.processes[name] = self._begin(pod)
            elif not _is_ready(pod) and self._answers(name):
                self._say_ready(name)

    def _begin(self, pod: dict[str, Any]) -> OperatorProcess:
        spec = pod["spec"]
        config = self._cluster.service_account_kubeconfig(self._namespace, spec["serviceAccountName"])
        (container,) = spec["containers"]
        environment = environment_of(container, pod["metadata"]["name"], self._namespace)
        return OperatorProcess(container["args"], environment, config)

    def _answers(self, name: str) -> bool:
        with suppress(urllib.error.URLError, TimeoutError, RuntimeError, ConnectionError):
            return bool(self.processes[name].get("/readyz"))
        return False

    def _say_ready(self, name: str) -> None:
        conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
        status = {"phase": "Running", "conditions": conditions}
        self._cluster.api("PATCH", f"{self._pods}/{name}/status", {"status": status}, MERGE_PATCH)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
