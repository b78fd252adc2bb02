"""Resources that no connection serves: there is none, none is named, or it is not theirs to use. No Milvus is asked here."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from milvus_rbac.controller.background import Background, Slots
from milvus_rbac.controller.batch import item_of
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.claims import unreadable_spec
from milvus_rbac.controller.entry import CONNECTION, Entry, Name
from milvus_rbac.controller.events import EventRecorder
from milvus_rbac.controller.finalizers import Finalizers
from milvus_rbac.controller.made_secrets import MadeSecrets
from milvus_rbac.controller.memory import Memory
from milvus_rbac.controller.metrics import Metrics
from milvus_rbac.controller.status import pending_report
from milvus_rbac.controller.status_writer import StatusWriter, log_failure
from milvus_rbac.controller.workqueue import Workqueue
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError, ClusterUnavailable, LeaseLost
from milvus_rbac.kube.resources import Cluster

logger = logging.getLogger(__name__)


class Unserved:
    """One task for all of them."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        leading: asyncio.Event,
        may_write: Callable[[], None],
        recorder: EventRecorder,
        metrics: Metrics,
    ) -> None:
        self._cache = cache
        self._leading = leading
        slots = Slots()
        self._queue = Workqueue()
        self._memory = Memory()
        self._background = Background(self._queue)
        secrets = MadeSecrets(cluster, cache, may_write, recorder)
        self._finalizers = Finalizers(secrets, slots, metrics)
        self._writer = StatusWriter(cluster, cache, slots, may_write, recorder)

    def add(self, entries: Iterable[Entry]) -> None:
        """Have these looked at: perhaps no connection serves them."""
        for entry in entries:
            self._queue.add(item_of(entry))

    def forget(self, uid: str) -> None:
        """Forget a resource that is gone."""
        self._queue.forget(uid)
        self._memory.forget(uid)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept of any resource."""
        return self._queue.is_empty and not len(self._memory)

    async def run(self) -> None:
        """Report to these resources what they wait for, and let the deleted ones go, until cancelled."""
        while True:
            self._queue.wake.clear()
            await self._leading.wait()
            entries = self._cache.known(self._queue.take())
            await self._background.gather(
                {entry.uid: (item_of(entry), self._look(entry)) for entry in entries}, requeue=False
            )
            if not len(self._queue):
                await self._sleep()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(self._queue.seconds_to_next()):
                await self._queue.wake.wait()
        except TimeoutError:
            self._queue.uids()  # moves what is due

    async def _look(self, entry: Entry) -> None:
        record = self._memory.of(entry.uid)
        try:
            await self._tell(entry)
        except ClusterError as problem:
            log_failure(entry, "told what it waits for", problem)
            asked = problem.retry_after if isinstance(problem, ClusterUnavailable) else None
            self._queue.add_after(item_of(entry), record.backoff(asked))
        except LeaseLost:
            self._queue.add_after(item_of(entry), record.backoff())
        except Exception:
            logger.exception("%s could not be looked at; it is tried again.", entry)
            self._queue.add_after(item_of(entry), record.backoff())

    async def _tell(self, entry: Entry) -> None:
        refusal = self._refusal(entry)
        if refusal is None:
            self._memory.forget(entry.uid)
        elif entry.deleting:
            if entry.has_finalizer:
                await self._finalizers.remove(entry, stays=True, left_behind=entry.has_claim)
        else:
            record = self._memory.of(entry.uid)
            report = pending_report(entry, refusal)
            left = await self._writer.report(entry, report, record)
            if left is not None:
                self._queue.add_after(item_of(entry), left)

    def _refusal(self, entry: Entry) -> Refusal | None:
        """Return why no connection serves a resource; None when one does by now."""
        if entry.kind == CONNECTION:
            return None
        if entry.claimant is None:
            return unreadable_spec(entry)
        name = self._cache.connection_name(entry)
        if name is None:
            message = (
                "spec.connectionRef is absent and the operator has no default connection: delete this resource and create it again "
                "with a connectionRef."
            )
            return Refusal(Reason.NO_DEFAULT_CONNECTION, message)
        tenancy = self._cache.tenancy(name)
        if tenancy is not None and tenancy.serves(entry):
            return None
        return _not_served(entry, name)


def _not_served(entry: Entry, name: Name) -> Refusal:
    if name[0] != entry.name[0]:
        # Whether it is there, is nothing that other namespaces may find out.
        message = (
            "spec.connectionRef: no MilvusConnection of that name delegates anything to this namespace: ask those who run it, or "
            "create the resource in its namespace."
        )
        return Refusal(Reason.NOT_PERMITTED, message)
    message = (
        f"spec.connectionRef: there is no MilvusConnection {name[1]} in namespace {name[0]} yet: create it, or, if the name is wrong, "
        "delete this resource and create it again."
    )
    return Refusal(Reason.WAITING_FOR_CONNECTION, message)
