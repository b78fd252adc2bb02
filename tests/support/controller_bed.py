"""The real controller in this process: real reconcilers, queues, caches and Milvus clients, on a dictionary and a double."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

from milvus_rbac.controller.manager import Manager
from milvus_rbac.controller.metrics import Metrics
from milvus_rbac.kube.leader_election import Lease, LeaseName
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.settings import Settings
from support.double.server import Double
from support.double.settings import ServerSettings
from support.kubernetes import KINDS, Json, Kubernetes

ROOT_PASSWORD = "root-of-the-double"  # noqa: S105 - of a server that lives for one test
LIMITS = ServerSettings(
    max_user_num=100_000, max_role_num=100_000, bcrypt_cost=4, default_root_password=ROOT_PASSWORD
)
HOME = "milvus"
"""The namespace of the connection."""
DEADLINE = 20.0
QUIET = 0.5
"""Seconds without a request after which nothing is left to do."""


class ControllerBed:
    """One controller, one Kubernetes, some Milvus."""

    def __init__(
        self,
        double: Double,
        kube: Kubernetes | None = None,
        identity: str = "first",
        client: Any = None,
        **settings: Any,
    ) -> None:
        self.double = double
        self.kube = kube or Kubernetes()
        self.watch_again()
        client = client or self.kube  # the dictionary stands in for the client
        cluster = Cluster(client, settings.get("namespaces"))
        self.lease = Lease(client, LeaseName("operator", "lease"), identity)
        self.metrics = Metrics()
        self.manager = Manager(cluster, self.lease, Settings(**settings), self.metrics)
        self.longest_block = 0.0
        """Seconds for which the event loop did not run other tasks, at most."""
        self._tasks: list[asyncio.Task[None]] = []

    def watch_again(self) -> None:
        """Hear of every change from now on."""
        self.kube.on_event = self._deliver

    def successor(self) -> "ControllerBed":
        """Return the controller of another replica."""
        return ControllerBed(self.double, self.kube, "second")

    async def stop(self) -> None:
        """End the controller, and give the Lease back."""
        await self.__aexit__()

    async def quiet(self) -> None:
        """Wait until nothing is left to do."""
        queues = [one.queue for one in self.manager.reconcilers.values()]
        await self.wait(lambda: not any(len(queue) for queue in queues), "every queue is empty")
        seen, since = -1, time.monotonic()

        def is_quiet() -> bool:
            nonlocal seen, since
            if seen != (now := len(self.double.faults.calls) + len(self.kube.log)):
                seen, since = now, time.monotonic()
            return time.monotonic() - since > QUIET

        await self.wait(is_quiet, "nothing is asked any more")

    def spec(self, plural: str, name: str, namespace: str = HOME) -> Json:
        """Return the spec of a resource."""
        return dict(self.kube.objects[plural, namespace, name]["spec"])

    def _deliver(self, plural: str, event: str, body: Json) -> None:
        if plural in KINDS:
            asyncio.get_running_loop().call_soon(self.manager.on_resource, event, body)
        elif plural == "secrets":
            asyncio.get_running_loop().call_soon(self.manager.on_secret, event, body)

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self.lease.run()),
            asyncio.create_task(self.manager.run()),
            asyncio.create_task(self._watch_loop()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch_loop(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest_block = max(self.longest_block, time.perf_counter() - before - 0.001)

    # --- what people apply

    def connect(self, name: str = "prod", namespace: str = HOME, **spec: Any) -> None:
        """Apply a MilvusConnection to the double, and its Secret."""
        self.secret(f"{name}-admin", namespace, username="root", password=ROOT_PASSWORD)
        whole = {"uri": self.double.uri, "credentialsSecretRef": {"name": f"{name}-admin"}, **spec}
        self.kube.apply("milvusconnections", namespace, name, {"spec": whole})

    def secret(self, name: str, namespace: str = HOME, **data: str) -> None:
        """Apply a Secret."""
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
        self.kube.apply("secrets", namespace, name, {"data": encoded})

    def user(self, name: str, namespace: str = HOME, *, password: str = "a-password", **spec: Any) -> None:
        """Apply a MilvusUser and its Secret."""
        self.secret(name, namespace, password=password)
        whole = {
            "connectionRef": {"name": "prod", "namespace": HOME},
            "userName": name.replace("-", "_"),
            "passwordSecretRef": {"name": name},
            "roles": [],
            **spec,
        }
        self.kube.apply("milvususers", namespace, name, {"spec": whole})

    def role(self, name: str, grants: list[Json], namespace: str = HOME, **spec: Any) -> None:
        """Apply a MilvusRole."""
        whole = {
            "connectionRef": {"name": "prod", "namespace": HOME},
            "roleName": name.replace("-", "_"),
            "grants": grants,
            **spec,
        }
        self.kube.apply("milvusroles", namespace, name, {"spec": whole})

    # --- what is true

    def condition(self, plural: str, name: str, namespace: str = HOME, type_: str = "Ready") -> Json:
        """Return a condition of a resource; an empty one where there is none."""
        body = self.kube.get(plural, namespace, name) or {}
        conditions = (body.get("status") or {}).get("conditions") or ()
        return next((one for one in conditions if one["type"] == type_), {})

    def reason(self, plural: str, name: str, namespace: str = HOME) -> str:
        """Return the reason of a resource's Ready condition."""
        return str(self.condition(plural, name, namespace).get("reason", ""))

    def is_ready(self, plural: str, name: str, namespace: str = HOME) -> bool:
        """Return whether a resource is Ready as it is."""
        body, ready = self.kube.get(plural, namespace, name), self.condition(plural, name, namespace)
        return bool(
            body
            and (ready.get("status"), ready.get("reason")) == ("True", "Ready")
            and ready.get("observedGeneration") == body["metadata"]["generation"]
        )

    async def wait(self, condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
        """Wait for a condition; fail with what was waited for."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{self.summary()}")
            await asyncio.sleep(0.005)

    async def wait_ready(
        self, plural: str, *names: str, namespace: str = HOME, seconds: float = DEADLINE
    ) -> None:
        """Wait until resources are Ready."""
        for name in names:
            await self.wait(
                lambda name=name: self.is_ready(plural, name, namespace),  # type: ignore[misc]  # bound now
                f"{plural} {name} is Ready",
                seconds,
            )

    def summary(self) -> str:
        """Return how every resource stands, for a failure."""
        lines = []
        for plural, namespace, name in self.kube.objects:
            if plural in KINDS:
                ready = self.condition(plural, name, namespace)
                lines.append(f"{plural} {namespace}/{name}: {ready.get('reason')} {ready.get('message')}")
        return "\n".join(lines[:40])


@asynccontextmanager
async def controller_bed(
    dress: str = "3.0", server: ServerSettings = LIMITS, **settings: Any
) -> AsyncIterator[ControllerBed]:
    """Start a double and a controller."""
    async with AsyncExitStack() as stack:
        double = await stack.enter_async_context(Double(dress, server))
        yield await stack.enter_async_context(ControllerBed(double, **settings))
