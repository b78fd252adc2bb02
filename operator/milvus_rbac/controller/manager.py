"""The operator without Kopf: events come in, and every resource has a reconciler that serves it, or waits as unserved."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Mapping
from typing import Any, Final

from milvus_rbac.controller.cache import Cache, CacheChange
from milvus_rbac.controller.entry import CONNECTION, Entry, Name
from milvus_rbac.controller.events import EventRecorder
from milvus_rbac.controller.marks import read_mark, secret_version
from milvus_rbac.controller.metrics import Metrics, Standings
from milvus_rbac.controller.reconciler import Reconciler, Services
from milvus_rbac.controller.resync import FIRST, INTERVAL, Resync
from milvus_rbac.controller.tenancy import Tenancy
from milvus_rbac.controller.unserved import Unserved
from milvus_rbac.controller.workqueue import Urgency
from milvus_rbac.kube.client import ClusterError
from milvus_rbac.kube.leader_election import Lease
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.pace import Pace
from milvus_rbac.settings import Settings

LABELS_INTERVAL: Final = 30.0
"""Seconds between two looks at the labels of namespaces, while a connection selects by them."""
PULSE: Final = 0.05
"""Seconds between two looks at how late the event loop is."""
RETRY: Final = 1.0
"""Seconds until everything is read again that could not be read before the first turn."""

logger = logging.getLogger(__name__)


class Manager:
    """Fed with events, it keeps every Milvus as its resources say."""

    def __init__(self, cluster: Cluster, lease: Lease, settings: Settings, metrics: Metrics) -> None:
        default = settings.default_connection
        self.cache = Cache((default.namespace, default.name) if default else None)
        self.reconcilers: dict[str, Reconciler] = {}
        self._recorder = EventRecorder(cluster, metrics)
        self._leading = asyncio.Event()
        self._services = Services(
            cluster, self.cache, settings, lease, self._leading, metrics, self._recorder
        )
        self._resync = Resync(
            cluster, self.cache, metrics, reads_definitions=settings.namespaces is None
        )  # an operator for some namespaces may not read definitions
        self.unserved = Unserved(
            cluster, self.cache, self._leading, self._services.may_write, self._recorder, metrics
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: asyncio.Future[str] | None = None
        self.complete = asyncio.Event()
        """Set when everything was read once."""
        self._labels_wanted = asyncio.Event()
        metrics.registry.register(Standings(self.cache.standings, self._queued))

    @property
    def is_ready(self) -> bool:
        """Whether everything was read once."""
        return self.complete.is_set()

    @property
    def watched(self) -> list[str]:
        """Return the plurals that must be watched: Secrets, and every kind whose CRD was there at the last LIST."""
        return ["secrets", *sorted(self._resync.installed)]

    async def run(self) -> None:
        """Read everything, then serve until cancelled.

        Raises:
            RuntimeError: a task that serves resources ended by itself, which is a mistake; starting anew is safe.
        """
        self._ended = asyncio.get_running_loop().create_future()
        try:
            await self._read_everything()
            await self._resync.read_labels()
            self.complete.set()
            for task, work in {
                "dispatch": self._dispatch(),
                "events": self._recorder.run(),
                "unserved": self.unserved.run(),
                "labels": self._follow_labels(),
                "leadership": self._follow_lease(),
                "resync": self._follow_interval(),
                "pulse": self._follow_pulse(),
            }.items():
                self._start(task, work)
            raise RuntimeError(f"The task {await self._ended} has ended by itself.")
        finally:
            tasks, self._tasks = list(self._tasks.values()), {}
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def resync(self) -> None:
        """Read everything again. Raises ClusterError when that fails."""
        await self._resync.read_everything()

    # --- what the watches tell

    def on_resource(self, event: str | None, body: Mapping[str, Any]) -> None:
        """Take in that a resource of ours was seen, has changed or is gone (DELETED)."""
        if event == "DELETED":
            self.cache.remove(str(body["metadata"]["uid"]))
        else:
            self.cache.put(body)

    def on_secret(self, event: str | None, body: Mapping[str, Any]) -> None:
        """Take in that a Secret was seen, has changed or is gone; only its metadata is known."""
        name = (body["metadata"]["namespace"], body["metadata"]["name"])
        if event == "DELETED":
            self.cache.put_secret(name, None)
        else:
            self.cache.put_secret(name, secret_version(body), read_mark(body))

    async def _dispatch(self) -> None:
        """Pass every change of the cache on to who has to look."""
        while True:
            pace = Pace()
            for change in self.cache.take_changes():
                self._handle(change)
                await pace.rest()
            await self.cache.changed.wait()

    def _handle(self, change: CacheChange) -> None:
        if change.is_gone:
            self._handle_gone(change.entry)
            return
        entry = self.cache.entries.get(change.entry.uid)
        if entry is None:
            return
        if entry.kind == CONNECTION:
            self._open(entry)
            self.reconcilers[entry.uid].renew()
            self._look_around(entry.name)
            self._labels_wanted.set()
            return
        self._look(entry, Urgency.PASSWORD if change.by_secret else None)

    def _look(self, entry: Entry, urgency: Urgency | None = None) -> None:
        reconciler = self._serving(entry)
        if reconciler is None:
            self.unserved.add([entry])
            return
        self.unserved.forget(entry.uid)
        reconciler.add([entry], urgency=urgency)
        if entry.deleting:  # what claims the same name may be the heir of one that goes
            reconciler.add(self.cache.rivals(entry))

    def _handle_gone(self, entry: Entry) -> None:
        self.unserved.forget(entry.uid)
        if entry.kind == CONNECTION:
            self._close(entry.uid)
            self._look_around(entry.name)
            return
        for reconciler in self.reconcilers.values():
            reconciler.forget(entry.uid)
        if (serving := self._serving(entry)) is not None:
            serving.add(self.cache.rivals(entry))  # what claims the same name has been waiting for this

    def _look_around(self, name: Name) -> None:
        """A connection came, changed or went: so did the service of those that name it, and its endpoint for others."""
        for reconciler in self.reconcilers.values():
            reconciler.wake()
        for entry in self.cache.naming(name):
            if self._serving(entry) is None:
                self.unserved.add([entry])

    # --- which reconciler serves a resource

    def _serving(self, entry: Entry) -> Reconciler | None:
        name = self.cache.connection_name(entry)
        connection = self.cache.find(CONNECTION, name) if name else None
        if connection is None or not Tenancy(connection, self.cache.labels).serves(entry):
            return None
        return self.reconcilers.get(connection.uid)

    def _open(self, entry: Entry) -> None:
        if entry.uid not in self.reconcilers:
            reconciler = self.reconcilers[entry.uid] = Reconciler(entry, self._services)
            self._start(entry.uid, reconciler.run())

    def _close(self, uid: str) -> None:
        self.reconcilers.pop(uid, None)
        task = self._tasks.pop(uid, None)
        if task is not None:
            task.cancel()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks[name] = asyncio.create_task(work, name=f"milvus-rbac {name}")

        def notice(_: object) -> None:
            if self._tasks.get(name) is task and self._ended is not None and not self._ended.done():
                self._ended.set_result(task.get_name())

        task.add_done_callback(notice)

    # --- what is read again, and when

    async def _read_everything(self) -> None:
        while True:
            try:
                await self._resync.read_everything()
            except ClusterError as problem:
                logger.warning("Kubernetes could not be read yet: %s", problem)
                await asyncio.sleep(RETRY)
            else:
                return

    async def _follow_lease(self) -> None:
        """Let reconcilers write while the Lease is held, each time from what is there after it was won."""
        lease = self._services.lease
        while True:
            await lease.held.wait()
            # What another leader wrote may not have come through the watch yet.
            await self._read_everything()
            self._leading.set()
            await lease.lost.wait()
            self._leading.clear()

    async def _follow_interval(self) -> None:
        pause = FIRST
        while True:
            with contextlib.suppress(ClusterError):
                await self._resync.read_definitions()
            await asyncio.sleep(pause)
            pause = INTERVAL
            try:
                await self.resync()
            except ClusterError as problem:
                logger.warning("Kubernetes could not be read again: %s", problem)

    async def _follow_labels(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LABELS_INTERVAL):
                    await self._labels_wanted.wait()
            self._labels_wanted.clear()
            before = Tenancies(self.cache)
            changed = await self._resync.read_labels()
            for entry in before.affected(changed):
                self._look(entry)

    # --- metrics

    async def _follow_pulse(self) -> None:
        """Measure how late the event loop is because this process computes, whatever else the machine does."""
        loop = asyncio.get_running_loop()
        while True:
            due, computed = loop.time() + PULSE, time.thread_time()
            await asyncio.sleep(PULSE)
            late = min(loop.time() - due, time.thread_time() - computed)
            self._services.metrics.event_loop_block.observe(max(0.0, late))

    def _queued(self) -> dict[str, int]:
        return {one.label: len(one.queue) for one in self.reconcilers.values()}


class Tenancies:
    """What every connection lets the resources have that name it, before labels of namespaces are read again."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._before = cache.labels

    def affected(self, namespaces: frozenset[str]) -> list[Entry]:
        """Return the resources of these namespaces that may have something else now."""
        found = []
        for entry in [one for one in self._cache.entries.values() if one.name[0] in namespaces]:
            name = self._cache.connection_name(entry)
            connection = self._cache.find(CONNECTION, name) if name else None
            if connection is None:
                continue
            before, now = Tenancy(connection, self._before), Tenancy(connection, self._cache.labels)
            if before.permit(entry) != now.permit(entry) or before.serves(entry) != now.serves(entry):
                found.append(entry)
        return found
