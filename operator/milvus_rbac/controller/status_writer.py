"""Write statuses: one PATCH a resource, only when something changed, and not for a wait that has just begun."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from milvus_rbac.controller.background import Slots
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.connection import Link, endpoint
from milvus_rbac.controller.connection_status import (
    LABELS_WARNING,
    Caution,
    Crowd,
    cautions,
    connection_conditions,
    connection_status,
)
from milvus_rbac.controller.entry import OWN_TYPES, Entry, Intents, compact, intents_of
from milvus_rbac.controller.events import (
    TIME,
    EventRecorder,
    events_of_transition,
    seconds_unready,
)
from milvus_rbac.controller.memory import ClaimMemory
from milvus_rbac.controller.metrics import ConnectionMetrics
from milvus_rbac.controller.status import Report
from milvus_rbac.controller.tenancy import Tenancy
from milvus_rbac.domain.conditions import Condition, Refusal, settle
from milvus_rbac.kube.resources import Cluster

PATIENCE: Final = 3.0
"""Seconds that a wait must last before a status tells of it."""

logger = logging.getLogger(__name__)


class StatusWriter:
    """Writes the statuses of one connection and of what is claimed on it, or of resources that no connection serves."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        slots: Slots,
        may_write: Callable[[], None],
        recorder: EventRecorder,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._slots = slots
        self._may_write = may_write
        self._recorder = recorder

    async def write(self, entry: Entry, status: Mapping[str, Any], conditions: Sequence[Condition]) -> bool:
        """Make the status of a resource this one; return whether a write was needed.

        Raises:
            ClusterError: the API server did not take it.
        """
        async with self._slots.of(entry.name[0]):
            current = self._cache.entries.get(entry.uid)
            if current is None:
                return False
            now = datetime.now(UTC).strftime(TIME)
            wanted = tuple(settle(current.own_conditions, conditions, now))
            small = compact(status)
            changed = {key: status[key] for key in small if small[key] != current.status.get(key)}
            removed = current.status.keys() - small.keys()
            if not (changed or removed) and _sorted(wanted) == _sorted(current.own_conditions):
                return False
            self._may_write()
            body = await self._cluster.change_status(
                current.body, changed, removed, [_as_json(one) for one in wanted], OWN_TYPES
            )
        if body is None:
            self._cache.remove(entry.uid)
        else:
            self._cache.put(body)
        return True

    async def report(
        self, entry: Entry, report: Report, record: ClaimMemory, metrics: ConnectionMetrics | None = None
    ) -> float | None:
        """Write what is true of a resource and record its Events.

        Returns:
            The seconds after which to report again, where so far there is only a wait that has just begun; else None.

        Raises:
            ClusterError: the API server did not take the status.
        """
        self._recorder.record(entry, report.changes)
        if not report.only_waits:
            record.waits_since = None
        elif (left := _patience_left(record)) > 0:
            return left
        if await self.write(entry, report.status, report.conditions):
            self._recorder.record(entry, report.transitions)
            waited = seconds_unready(entry, report.conditions[0], datetime.now(UTC))
            if metrics is not None and waited is not None:
                metrics.became_ready(waited)
        return None

    async def report_connection(
        self,
        entry: Entry,
        link: Link | None,
        intents: Intents | None,
        crowd: Crowd | None,
        *refusals: Refusal,
    ) -> None:
        """Write what is true of a connection.

        Args:
            entry: the MilvusConnection.
            link: the server, if it answers.
            intents: what is about to be created; None leaves what is written there.
            crowd: how many users and roles the last turn saw.
            refusals: why the connection is not Ready.

        Raises:
            ClusterError: the API server did not take the status.
        """
        current = self._cache.entries.get(entry.uid)
        if current is None or (current.deleting and not current.has_finalizer):
            return
        capabilities = link.capabilities if link else None
        status = connection_status(
            current,
            endpoint(self._cache.uri(current), current.name[0]),
            capabilities,
            self._cache.counts(current.name),
            intents_of(current.status) if intents is None else intents,
            self._warnings(current, crowd),
        )
        conditions = connection_conditions(current, capabilities, refusals)
        transitions = events_of_transition(current, conditions[0])
        if await self.write(current, status, conditions):
            self._recorder.record(current, transitions)

    def _warnings(self, entry: Entry, crowd: Crowd | None) -> Iterator[Caution]:
        if crowd is not None:
            yield from cautions(crowd)
        if self._cache.labels_unreadable and Tenancy(entry, self._cache.labels).selects_by_label:
            yield LABELS_WARNING


def log_failure(entry: Entry, what: str, problem: object) -> None:
    """Log that something could not be done about one resource, which holds up no other."""
    logger.warning("%s can't be %s: %s", entry, what, problem, extra=entry.log_fields)


def _patience_left(record: ClaimMemory) -> float:
    now = time.monotonic()
    if record.waits_since is None:
        record.waits_since = now
    return record.waits_since + PATIENCE - now


def _sorted(conditions: Sequence[Condition]) -> list[Condition]:
    return sorted(conditions, key=lambda one: one.type)


def _as_json(condition: Condition) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": condition.observed_generation,
        "lastTransitionTime": condition.last_transition_time,
    }
