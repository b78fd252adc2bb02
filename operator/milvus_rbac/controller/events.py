"""Kubernetes Events: which of them a resource deserves, and a bounded queue from which they are posted.

Nothing waits for an Event: when the API server is slow they are late, and when it is slower still they are dropped and counted.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Literal

from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.metrics import Metrics
from milvus_rbac.domain.changes import Change, DropUser, RecreateUser, UpdatePassword, describe
from milvus_rbac.domain.claims import Origin
from milvus_rbac.domain.conditions import Condition, Patience, Reason, patience
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.text import printable
from milvus_rbac.kube.client import ClusterError
from milvus_rbac.kube.resources import Cluster

MOST_WAITING: Final = 1_000
"""How many Events wait to be posted; the oldest are dropped first."""
WIDTH: Final = 4
"""How many are posted at a time."""
TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
"""How Kubernetes writes a time."""

logger = logging.getLogger(__name__)


class EventReason(StrEnum):
    """Why there is an Event about something that was done; one about trouble has the reason of the condition."""

    ADOPTED = "Adopted"
    DRIFT_CORRECTED = "DriftCorrected"
    DROPPED = "Dropped"
    LEFT_BEHIND = "LeftBehind"
    PASSWORD_GENERATED = "PasswordGenerated"  # noqa: S105 - no password
    PASSWORD_ROTATED = "PasswordRotated"  # noqa: S105 - no password
    RECOVERED = "Recovered"
    SECRET_DELETED = "SecretDeleted"  # noqa: S105 - no password
    SECRET_RELEASED = "SecretReleased"  # noqa: S105 - no password


@dataclass(frozen=True, slots=True)
class Event:
    """One Event, about a resource that is named beside it."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class EventRecorder:
    """Posts Events in the background."""

    def __init__(self, cluster: Cluster, metrics: Metrics) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._waiting: deque[tuple[Entry, Event]] = deque()
        self._wake = asyncio.Event()

    def record(self, entry: Entry, events: Iterable[Event]) -> None:
        """Have Events about a resource posted. Returns at once."""
        for event in events:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._metrics.dropped_events.inc()
            self._waiting.append((entry, event))
            self._wake.set()

    async def run(self) -> None:
        """Post until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WIDTH):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            entry, event = self._waiting.popleft()
            try:
                await self._cluster.post_event(
                    entry.body, event.type, event.reason, printable(event.message), datetime.now(UTC)
                )
            except ClusterError as error:
                logger.warning("An Event about %s could not be posted: %s", entry, error)


def repairs_of(entry: Entry, plan: ClaimPlan, done: Iterable[Change]) -> list[Change]:
    """Return the changes that put back what other clients had changed: the resource was Ready as it is.

    A rotation is none, nor is what an expiry or a narrowed delegation takes.
    """
    before = entry.ready
    if before is None or not before.matches_milvus or before.observed_generation != entry.generation:
        return []
    if plan.claim.expired or any(one.reason is Reason.NOT_PERMITTED for one in plan.refusals):
        return []
    return [change for change in done if not isinstance(change, UpdatePassword | RecreateUser)]


def events_of_changes(
    plan: ClaimPlan, done: Iterable[Change], repairs: Iterable[Change]
) -> tuple[Event, ...]:
    """Return the Events about rotations, repairs, adoptions and expired users. What is created for the first time gets none."""
    events = []
    name = f"{plan.claim.ref.kind.noun} {plan.claim.object_name}"
    if plan.origin is Origin.ADOPTED and plan.claim.origin is None:
        message = f"Took over the {name}, which was in Milvus already."
        events.append(Event("Normal", EventReason.ADOPTED, message))
    rotations = [change for change in done if isinstance(change, UpdatePassword | RecreateUser)]
    if rotations:
        message = f"Changed the password to the Secret's: {describe(rotations[0])}."
        events.append(Event("Normal", EventReason.PASSWORD_ROTATED, message))
    if plan.claim.expired and any(isinstance(change, DropUser) for change in done):
        message = f"Dropped the {name}, because spec.expiresAt has passed."
        events.append(Event("Normal", EventReason.DROPPED, message))
    if text := "; ".join(describe(change) for change in repairs):
        message = f"Put back what others had changed: {text}."
        events.append(Event("Normal", EventReason.DRIFT_CORRECTED, message))
    return tuple(events)


def events_of_transition(entry: Entry, ready: Condition) -> tuple[Event, ...]:
    """Return the Event for a Ready condition that differs from the one before; the first Ready gets none."""
    before = entry.ready
    if before is None:
        is_told = patience(Reason(ready.reason)) is Patience.STALLED
    else:
        is_told = (before.status, before.reason) != (ready.status, ready.reason)
    if not is_told:
        return ()
    if ready.matches_milvus:
        return (Event("Normal", EventReason.RECOVERED, ready.message),)
    is_wished = patience(ready.reason) is Patience.QUIET
    return (Event("Normal" if is_wished else "Warning", ready.reason, ready.message),)


def seconds_unready(entry: Entry, ready: Condition, now: datetime) -> float | None:
    """Return for how long a resource that becomes Ready was not, to about a second; None for any other condition."""
    before = entry.ready
    if not ready.matches_milvus or (before is not None and before.status == ready.status):
        return None
    since = before.last_transition_time if before is not None else entry.created_at
    return max(0.0, (now - datetime.strptime(since, TIME).replace(tzinfo=UTC)).total_seconds())
