"""Tell people what is true: statuses and Events of one connection and of what is claimed on it.

A wait that has just begun is not worth a word, so this also remembers since when somebody waits.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from milvus_rbac.controller.complaints import complain
from milvus_rbac.controller.connecting import Link
from milvus_rbac.controller.connection_report import (
    LABELS_WARNING,
    Caution,
    Crowd,
    connection_conditions,
    connection_status,
    crowding,
)
from milvus_rbac.controller.dirty import Dirty
from milvus_rbac.controller.endpoint import endpoint
from milvus_rbac.controller.entry import Entry, Intents, intents_of
from milvus_rbac.controller.ledger import ready_condition
from milvus_rbac.controller.metrics import ConnectionMetrics
from milvus_rbac.controller.news import News, seconds_unready, turn_of
from milvus_rbac.controller.reports import Report, pending_report
from milvus_rbac.controller.tenancy import Tenancy
from milvus_rbac.controller.tools import PATIENCE, RETRY_LATER, Tools
from milvus_rbac.domain.conditions import Patience, Reason, Refusal, patience
from milvus_rbac.kube.client import ClusterRefused

logger = logging.getLogger(__name__)


class Teller:
    """Of one connection."""

    def __init__(self, connection: Entry, tools: Tools, dirty: Dirty, metrics: ConnectionMetrics) -> None:
        self._connection = connection
        self._tools = tools
        self._dirty = dirty
        self._metrics = metrics
        self._waits_since: dict[str, float] = {}
        self.crowd: Crowd | None = None
        """How many users and roles the last round saw."""

    def forget(self, uid: str) -> None:
        """A resource is gone."""
        self._waits_since.pop(uid, None)

    async def tell(self, entry: Entry, report: Report) -> None:
        """Write what is true of a resource, unless it only tells of a wait that has just begun."""
        await self._announce(entry, report.deeds)
        if not report.only_waits:
            self._waits_since.pop(entry.uid, None)
        elif (left := self._patience_left(entry.uid)) > 0:
            self._dirty.mark_later(entry.uid, left)
            return
        try:
            if await self._tools.ledger.write_status(entry, report.status, report.conditions):
                await self._announce(entry, report.turns)
                if (waited := seconds_unready(entry, report.conditions[0], datetime.now(UTC))) is not None:
                    self._metrics.became_ready(waited)
        except ClusterRefused as refusal:
            # What can't be written of one resource must not keep the others from being served.
            complain(logger, entry, "written", refusal)
            self._dirty.mark_later(entry.uid, RETRY_LATER)

    async def tell_connection(self, link: Link | None, intents: Intents | None, *refusals: Refusal) -> None:
        """Write what is true of the connection; `intents` of None leaves those that are written there."""
        entry = self._tools.store.entries.get(self._connection.uid)
        if entry is None or (entry.deleting and not entry.has_finalizer):
            return
        capabilities = link.capabilities if link else None
        identity = endpoint(self._tools.store.uri(entry), entry.name[0])
        kept = intents_of(entry.status) if intents is None else intents
        status = connection_status(
            entry,
            identity,
            capabilities,
            self._tools.store.claimants(entry.name),
            kept,
            self._warnings(entry),
        )
        conditions = connection_conditions(entry, capabilities, refusals)
        turns = turn_of(entry, conditions[0])
        if await self._tools.ledger.write_status(entry, status, conditions):
            await self._announce(entry, turns)

    def _warnings(self, entry: Entry) -> Iterator[Caution]:
        if self.crowd is not None:
            yield from crowding(self.crowd)
        store = self._tools.store
        if store.labels_unreadable and Tenancy(entry, store.labels).selects_by_label:
            yield LABELS_WARNING

    async def tell_pending(self, uids: Iterable[str], refusal: Refusal) -> None:
        """Tell resources that nothing can be done for them now; who was Ready keeps its last known truth."""
        for uid in uids:
            entry = self._tools.store.entries.get(uid)
            if entry is None:
                continue
            why = self._why(entry, refusal)
            if entry.deleting and entry.has_finalizer:
                message = (
                    f"It can't be taken out of Milvus now: {why} To let it go and "
                    "leave Milvus as it is, annotate it with rbac.milvus.io/force-retain=true."
                )
                await self.tell(entry, pending_report(entry, Refusal(Reason.DELETION_BLOCKED, message)))
            elif not entry.deleting and _is_pending(entry):
                suspended = refusal.reason is Reason.SUSPENDED
                reason = Reason.SUSPENDED if suspended else Reason.WAITING_FOR_CONNECTION
                message = f"Waits for {why}"
                await self.tell(entry, pending_report(entry, Refusal(reason, message)))

    def _why(self, entry: Entry, refusal: Refusal) -> str:
        """Say what is wrong with the connection, to those whose it is; Secrets, hosts and accounts are not for others."""
        namespace, name = self._connection.name
        if entry.name[0] == namespace:
            return f"MilvusConnection {name}: {refusal.message}"
        return f"MilvusConnection {name}: {refusal.reason.value}; those who run it are told why."

    async def _announce(self, entry: Entry, news: Iterable[News]) -> None:
        for one in news:
            await self._tools.ledger.announce(entry, one.type, one.reason, one.message)

    def _patience_left(self, uid: str) -> float:
        now = time.monotonic()
        return self._waits_since.setdefault(uid, now) + PATIENCE - now


def _is_pending(entry: Entry) -> bool:
    ready = ready_condition(entry)
    if ready is None or ready.observed_generation != entry.generation:
        return True
    # Who was not permitted and has nothing may be by now: nobody could look.
    is_let_in = ready.reason == Reason.NOT_PERMITTED and "claim" not in entry.status
    return is_let_in or patience(ready.reason) is Patience.WAITING
