"""Resources of a connection that can't be used, and those that are being deleted: what they are told, and who is let go.

No Milvus is asked here.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from milvus_rbac.api.v1alpha1.milvusconnection import Mode
from milvus_rbac.controller.background import Background
from milvus_rbac.controller.batch import item_of
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.finalizers import Finalizers, Leaving, not_let_go, sort_leaving
from milvus_rbac.controller.memory import Memory
from milvus_rbac.controller.status import is_pending, pending_report
from milvus_rbac.controller.status_writer import StatusWriter, log_failure
from milvus_rbac.controller.workqueue import Workqueue
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError, ClusterRefused

LONGEST_LEAVING: Final = 120.0
"""Seconds without progress after which a deleted connection stops waiting for its claims."""
MOST_NAMED: Final = 3
LEAVING_INTERVAL: Final = 10.0
"""Seconds after which a deleted connection looks whether its claims are gone."""

logger = logging.getLogger(__name__)


class Pending:
    """Of one connection."""

    def __init__(  # noqa: PLR0913 - what a connection is made of
        self,
        connection: Entry,
        *,
        cache: Cache,
        queue: Workqueue,
        memory: Memory,
        background: Background,
        writer: StatusWriter,
        finalizers: Finalizers,
    ) -> None:
        self._uid = connection.uid
        self._name = connection.name
        self._cache = cache
        self._queue = queue
        self._memory = memory
        self._background = background
        self._writer = writer
        self._finalizers = finalizers
        self._progress: tuple[int, float] | None = None
        """Of a connection that is being deleted: how many claims were left when their number last fell, and when."""

    @property
    def is_leaving(self) -> bool:
        """Whether the end of the connection must be looked at again soon."""
        return self._progress is not None

    @property
    def _observes(self) -> bool:
        known = self._cache.entries.get(self._uid)
        return known is not None and known.connection is not None and known.connection.mode is Mode.OBSERVE

    async def report(self, refusal: Refusal) -> None:
        """Report that nothing can be done now; but what stays in Milvus needs no server to be let go."""
        await self.tell(await self.release_untouched(self._cache.known(self._queue.uids())), refusal)

    async def tell(self, entries: Sequence[Entry], refusal: Refusal) -> None:
        """Report to these resources why nothing can be done for them."""
        work = {}
        for entry in entries:
            if (why := self._pending_refusal(entry, refusal)) is not None:
                work[entry.uid] = item_of(entry), self._report_one(entry, why)
        await self._background.gather(work, requeue=False)

    async def _report_one(self, entry: Entry, refusal: Refusal) -> None:
        record = self._memory.of(entry.uid)
        try:
            left = await self._writer.report(entry, pending_report(entry, refusal), record)
        except ClusterError as error:
            log_failure(entry, "written", error)
            left = record.backoff()
        if left is not None:
            self._queue.add_after(item_of(entry), left)
            asyncio.get_running_loop().call_later(left, self._queue.wake.set)

    def _pending_refusal(self, entry: Entry, refusal: Refusal) -> Refusal | None:
        """Return what to report of a resource while its connection can't be used; None leaves its last known truth."""
        why = self._explain(entry, refusal)
        if entry.deleting and entry.has_finalizer:
            message = f"It can't be taken out of Milvus now: {why}"
            tenancy = self._cache.tenancy(self._name)
            permit = tenancy.permit(entry) if tenancy else None
            if permit is None:
                message += " To let it go and leave Milvus as it is, annotate it with rbac.milvus.io/force-retain=true."
            return Refusal(Reason.DELETION_BLOCKED, message)
        if entry.deleting or not is_pending(entry, observes=self._observes):
            return None
        # What was never made waits for its connection, whatever that waits for.
        if refusal.reason is Reason.SUSPENDED and entry.has_claim:
            return Refusal(Reason.SUSPENDED, why)
        return Refusal(Reason.WAITING_FOR_CONNECTION, f"Waits for {why}")

    def _explain(self, entry: Entry, refusal: Refusal) -> str:
        """Return what is wrong with the connection; Secrets, hosts and accounts are for its own namespace only."""
        namespace, name = self._name
        if entry.name[0] == namespace:
            return f"MilvusConnection {name}: {refusal.message}"
        return f"MilvusConnection {name}: {refusal.reason.value}; those who run it can see why."

    async def release_untouched(self, entries: Sequence[Entry]) -> list[Entry]:
        """Let go of what is being deleted and leaves Milvus as it is; return the rest."""
        connection = self._cache.entries.get(self._uid)
        leaving = [entry for entry in entries if entry.deleting and entry.has_finalizer]
        if connection is None or not leaving:
            return list(entries)
        try:
            doomed = await self._finalizers.doomed_kinds(leaving)
            found = sort_leaving(connection, self._cache.tenancy(self._name), leaving, doomed)
        except ClusterError as error:
            logger.warning("Whether a CustomResourceDefinition is being deleted can't be read: %s", error)
            found = Leaving((), tuple(leaving))
        await self._release(found.untouched)
        for entry in found.unsure:
            self._queue.discard({entry.uid})
            self._queue.add_after(item_of(entry), self._memory.of(entry.uid).backoff())
        gone = {entry.uid for entry in (*found.untouched, *found.unsure)}
        return [entry for entry in entries if entry.uid not in gone]

    async def release_all(self) -> None:
        """Let go of everything that is being deleted, and name it; no connection is left that could take it out of Milvus."""
        waiting = self._cache.known(self._queue.uids())
        leaving = [entry for entry in waiting if entry.deleting and entry.has_finalizer]
        self._queue.discard(self._queue.uids() - {entry.uid for entry in leaving})
        await self._release(leaving)

    async def _release(self, entries: Sequence[Entry]) -> None:
        results = await self._background.gather(
            {
                entry.uid: (
                    item_of(entry),
                    self._finalizers.remove(entry, stays=True, left_behind=entry.has_claim),
                )
                for entry in entries
            }
        )
        for entry in entries:
            match results.get(entry.uid):
                case ClusterError() as error:
                    log_failure(entry, "let go", error)
                    if isinstance(error, ClusterRefused):
                        await self._report_one(entry, not_let_go(error))
                    self._queue.discard({entry.uid})
                    self._queue.add_after(item_of(entry), self._memory.of(entry.uid).backoff())
                case Exception() as error:
                    raise error
                case _:
                    self._queue.discard({entry.uid})

    def leaving(self, entry: Entry) -> Refusal:
        """Return what a deleted connection waits for, and until when."""
        waiting, seconds_left = self._wait()
        if not waiting:
            return Refusal(Reason.DELETING, "The connection is being deleted.")
        until = (datetime.now(UTC) + timedelta(seconds=seconds_left)).strftime("%H:%M")
        own = [str(one) for one in waiting if one.name[0] == entry.name[0]]
        named = f" ({', '.join(own[:MOST_NAMED])})" if own else ""
        message = (
            f"The connection is being deleted, and waits for {len(waiting)} resources{named} to be deleted and taken out of Milvus. If "
            f"none of them goes until about {until} UTC, it goes without them, and what they have stays in Milvus. Nothing new is begun."
        )
        return Refusal(Reason.DELETING, message)

    def _wait(self) -> tuple[list[Entry], float]:
        """Return the resources that a deleted connection waits for, and the seconds until it goes without them."""
        waiting = [one for one in self._cache.claimants(self._name) if one.has_finalizer]
        if self._progress is None or len(waiting) < self._progress[0]:
            self._progress = (len(waiting), time.monotonic())
        return waiting, self._progress[1] + LONGEST_LEAVING - time.monotonic()

    async def leave_when_done(self) -> None:
        """Let a deleted connection go when no claim needs it, or none gets on any more."""
        entry = self._cache.entries.get(self._uid)
        if entry is None or not entry.deleting or not entry.has_finalizer:
            return
        left, seconds_left = self._wait()
        is_doomed = left and await self._finalizers.doomed_kinds([entry])
        if not left or seconds_left <= 0 or is_doomed:
            await self._finalizers.remove(entry)
