"""All corridors: which connection serves which resource, what a change concerns, and what becomes of the homeless.

Knows who has to look, not what is seen: that is the corridor's.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from milvus_rbac.api.v1alpha1 import KINDS, MilvusConnection
from milvus_rbac.controller.corridor import Corridor
from milvus_rbac.controller.definitions import Definitions
from milvus_rbac.controller.endpoint import endpoint
from milvus_rbac.controller.entry import Entry, Name
from milvus_rbac.controller.ledger import Ledger, ready_condition
from milvus_rbac.controller.lobby import Lobby
from milvus_rbac.controller.metrics import Metrics, Standing, Standings
from milvus_rbac.controller.store import Store
from milvus_rbac.controller.tenancy import Tenancy
from milvus_rbac.controller.tools import Tools
from milvus_rbac.controller.vault import secret_version
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError
from milvus_rbac.kube.leader_election import Lease
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.milvus.port import WRITE_SECONDS
from milvus_rbac.settings import Settings

CONNECTION = MilvusConnection.__name__
SWEEP = 600.0
"""Seconds between two own LISTs of everything: a watch that was interrupted may have lost deletions."""
FIRST_SWEEP = 30.0
"""Seconds until the first of them: what came between the first LIST and a watch that began late is found by then."""

LABELS = 30.0
"""Seconds between two looks at the labels of namespaces, while a connection selects by them."""

logger = logging.getLogger(__name__)


class Scheduler:
    """The operator without Kopf: fed with events, it keeps every Milvus as its resources say."""

    def __init__(self, cluster: Cluster, lease: Lease, settings: Settings, metrics: Metrics) -> None:
        default = settings.default_connection
        self.store = Store((default.namespace, default.name) if default else None)
        self._cluster = cluster
        self._settings = settings
        self._lease = lease
        ledger = Ledger(cluster, self.store, lambda: lease.require(WRITE_SECONDS), self._gone)
        self._tools = Tools(self.store, cluster, ledger, lease, metrics, self._gate)
        self._corridors: dict[str, Corridor] = {}
        self._lobby = Lobby(self._tools)
        self._definitions = Definitions(cluster, metrics)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_complete = False
        self._labels_wanted = asyncio.Event()
        self._installed: set[str] = set()
        self._ended: asyncio.Future[str] | None = None
        metrics.registry.register(Standings(self._standings, self._dirty))

    @property
    def is_ready(self) -> bool:
        """Whether everything was read once."""
        return self._is_complete

    @property
    def watched(self) -> list[str]:
        """The plurals that must be watched: Secrets, and every kind whose CRD was there at the last own LIST."""
        return ["secrets", *sorted(self._installed)]

    async def run(self) -> None:
        """Read everything, then serve until cancelled.

        Raises:
            RuntimeError: a task that serves somebody ended by itself, which is a mistake; starting anew is safe.
        """
        self._ended = asyncio.get_running_loop().create_future()
        try:
            await self._read_everything()
            await self._read_labels()
            self._is_complete = True
            for entry in self.store.of_kind(CONNECTION):
                self._open(entry)
            self._lobby.mark(entry.uid for entry in self.store.entries.values() if self._home(entry) is None)
            self._start("lobby", self._lobby.run())
            self._start("labels", self._follow_labels())
            await self._look_at_definitions()
            pause = FIRST_SWEEP
            while not (await asyncio.wait({self._ended}, timeout=pause))[0]:
                await self._sweep()
                pause = SWEEP
            raise RuntimeError(f"The task {self._ended.result()} has ended by itself.")
        finally:
            tasks, self._tasks = list(self._tasks.values()), {}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the watches tell

    def on_resource(self, event: str | None, body: Mapping[str, Any]) -> None:
        """A resource of ours was seen, changed or is gone (DELETED)."""
        if event == "DELETED":
            self._gone(str(body["metadata"]["uid"]))
            return
        entry, is_news = self.store.put(body)
        if is_news and self._is_complete:
            self._look(entry)

    def on_secret(self, event: str | None, body: Mapping[str, Any]) -> None:
        """A Secret was seen, changed or is gone; only its metadata is known."""
        name = (body["metadata"]["namespace"], body["metadata"]["name"])
        for uid in self.store.put_secret(name, None if event == "DELETED" else secret_version(body)):
            if self._is_complete:
                self._look(self.store.entries[uid])

    # --- who looks

    def _look(self, entry: Entry) -> None:
        if entry.kind == CONNECTION:
            self._open(entry)
            self._corridors[entry.uid].touch()
            self._look_around(entry.name)
            self._labels_wanted.set()
            return
        corridor = self._home(entry)
        if corridor is None:
            self._lobby.mark((entry.uid,))
        else:
            # Whoever claims the same name may be the heir of one that goes.
            rivals = self.store.rivals(entry) if entry.deleting else ()
            corridor.mark((entry.uid, *(rival.uid for rival in rivals)))

    def _home(self, entry: Entry) -> Corridor | None:
        """Find the corridor that serves a resource."""
        name = self.store.connection_name(entry)
        connection = self.store.find(CONNECTION, name) if name else None
        if connection is None or not Tenancy(connection, self.store.labels).serves(entry):
            return None
        return self._corridors.get(connection.uid)

    def _gone(self, uid: str) -> None:
        entry = self.store.remove(uid)
        if entry is None:
            return
        if entry.kind == CONNECTION:
            self._close(uid)
            self._look_around(entry.name)
            return
        corridor = self._home(entry)
        if corridor is not None:
            corridor.forget(uid)
            # Whoever claims the same name has been waiting for this.
            corridor.mark(rival.uid for rival in self.store.rivals(entry))

    def _look_around(self, name: Name) -> None:
        """A connection came, changed or went: so did the home of those that name it, and its endpoint for others."""
        for corridor in self._corridors.values():
            corridor.wake()
        self._lobby.mark(entry.uid for entry in self.store.naming(name) if self._home(entry) is None)

    def _open(self, entry: Entry) -> None:
        if entry.uid in self._corridors:
            return
        corridor = self._corridors[entry.uid] = Corridor(entry, self._tools)
        self._start(entry.uid, corridor.run())

    def _close(self, uid: str) -> None:
        self._corridors.pop(uid, None)
        task = self._tasks.pop(uid, None)
        if task is not None:
            task.cancel()

    def _start(self, name: str, work: Any) -> None:
        task = self._tasks[name] = asyncio.create_task(work, name=f"milvus-rbac {name}")

        def notice(_: object) -> None:
            if self._tasks.get(name) is task and self._ended is not None and not self._ended.done():
                self._ended.set_result(task.get_name())

        task.add_done_callback(notice)

    def _standings(self) -> Iterator[Standing]:
        """Say how every resource stands."""
        for entry in self.store.entries.values():
            ready = ready_condition(entry)
            reason = ready.reason if ready else "Unknown"
            if entry.kind == CONNECTION:
                spec = entry.connection.spec if entry.connection else None
                interval = spec.interval_length.total_seconds() if spec else None
                yield Standing("/".join(entry.name), is_connection=True, reason=reason, interval=interval)
            else:
                label = "/".join(self.store.connection_name(entry) or ())
                yield Standing(label, is_connection=False, reason=reason)

    def _dirty(self) -> dict[str, int]:
        return {corridor.label: corridor.dirty for corridor in self._corridors.values()}

    # --- the labels of namespaces

    async def _follow_labels(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LABELS):
                    await self._labels_wanted.wait()
            self._labels_wanted.clear()
            await self._read_labels()

    async def _read_labels(self) -> None:
        """Read them where a connection selects by them. What can't be read now is as it was."""
        connections = self.store.of_kind(CONNECTION)
        if not any(Tenancy(one, {}).selects_by_label for one in connections):
            self.store.labels, self.store.labels_unreadable = {}, False
            return
        try:
            found = await self._cluster.list_namespace_labels()
        except ClusterError as problem:
            logger.warning("The labels of namespaces can't be read: %s", problem)
            self.store.labels_unreadable = True
            return
        before, self.store.labels, self.store.labels_unreadable = self.store.labels, found, False
        changed = {name for name in before.keys() | found.keys() if before.get(name) != found.get(name)}
        for entry in list(self.store.entries.values()) if self._is_complete else ():
            if entry.name[0] in changed and entry.kind != CONNECTION:
                self._look(entry)

    # --- who may be served

    def _gate(self, entry: Entry) -> Refusal | None:
        """Say why a connection may not be served: what the operator's settings say, and one corridor per endpoint."""
        if entry.connection is None:
            return None
        namespace, uri = entry.name[0], self.store.uri(entry)
        if not self._settings.allows_connections_in(namespace):
            message = f"The operator takes no MilvusConnection from namespace {namespace} (MILVUS_RBAC_CONNECTION_NAMESPACES)."
            return Refusal(Reason.NOT_PERMITTED, message)
        if not uri:
            return None  # not looked up yet
        server = endpoint(uri, namespace)
        if not self._settings.allows_endpoint(server):
            message = f"spec.uri: the operator does not connect to {server} (MILVUS_RBAC_ALLOWED_ENDPOINTS)."
            return Refusal(Reason.NOT_PERMITTED, message)
        elder = self._elder(entry, server)
        if elder is not None:
            where = elder.name[1] if elder.name[0] == namespace else "another namespace"
            message = (
                f"spec.uri: {server} is served by MilvusConnection {where} already: delete one of the two."
            )
            return Refusal(Reason.CONFLICT, message)
        return None

    def _elder(self, entry: Entry, server: str) -> Entry | None:
        """Find the older connection to the same server; settings may keep it from being served."""
        rank = (entry.metadata["creationTimestamp"], entry.uid)
        for other in self.store.of_kind(CONNECTION):
            if other.connection is None or not self._settings.allows_connections_in(other.name[0]):
                continue
            same = endpoint(self.store.uri(other), other.name[0]) == server
            if same and (other.metadata["creationTimestamp"], other.uid) < rank:
                return other
        return None

    # --- the own LIST

    async def _read_everything(self) -> None:
        while True:
            try:
                await self._list()
            except ClusterError as problem:
                logger.warning("Kubernetes could not be read yet: %s", problem)
                await asyncio.sleep(1)
            else:
                return

    async def _sweep(self) -> None:
        with contextlib.suppress(ClusterError):
            await self._list()
        await self._look_at_definitions()

    async def _look_at_definitions(self) -> None:
        if self._settings.namespaces is None:  # others may not read them
            with contextlib.suppress(ClusterError):
                await self._definitions.look()

    async def _list(self) -> None:
        """Put everything there is into the store; what was there before and is not listed any more is gone."""
        known = frozenset(self.store.entries)
        listed: set[str] = set()
        for kind in KINDS:
            listing = await self._cluster.list_all(kind.plural)
            if listing is None:
                self._installed.discard(kind.plural)
                continue
            self._installed.add(kind.plural)
            known -= {
                one.uid for one in self.store.of_kind(kind.__name__) if one.name[0] in listing.unreadable
            }
            for body in listing.items:
                # Items of a list carry neither kind nor apiVersion of their own everywhere.
                full = {
                    **body,
                    "kind": kind.__name__,
                    "apiVersion": body.get("apiVersion", "rbac.milvus.io/v1alpha1"),
                }
                listed.add(body["metadata"]["uid"])
                self.on_resource(None, full)
        for uid in known - listed:
            self._gone(uid)
        secrets = frozenset(self.store.secret_names())
        seen: set[Name] = set()
        listed_secrets = await self._cluster.list_secret_metadata()
        secrets -= {name for name in secrets if name[0] in listed_secrets.unreadable}
        for body in listed_secrets.items:
            seen.add((body["metadata"]["namespace"], body["metadata"]["name"]))
            self.on_secret(None, body)
        for namespace, name in secrets - seen:
            self.on_secret("DELETED", {"metadata": {"namespace": namespace, "name": name}})
