"""What is worth an Event: that Ready became another one, and what was done to Milvus that no change of a resource asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.ledger import TIME, ready_condition
from milvus_rbac.domain.changes import Change, RecreateUser, UpdatePassword, describe
from milvus_rbac.domain.conditions import Condition, Patience, Reason, patience
from milvus_rbac.domain.plan import ClaimPlan


@dataclass(frozen=True, slots=True)
class News:
    """One Event."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def repairs_of(entry: Entry, plan: ClaimPlan, done: Iterable[Change]) -> list[Change]:
    """Give those changes that put back what others had changed: the resource was Ready as it is.

    A rotation is none, nor is what an expiry or a narrowed delegation takes.
    """
    before = ready_condition(entry)
    if before is None or before.status != "True" or before.observed_generation != entry.generation:
        return []
    if plan.claim.expired or any(one.reason is Reason.NOT_PERMITTED for one in plan.refusals):
        return []
    return [change for change in done if not isinstance(change, UpdatePassword | RecreateUser)]


def deeds_of(done: Iterable[Change], repairs: Iterable[Change]) -> tuple[News, ...]:
    """Tell of rotations and repairs."""
    deeds = []
    rotations = [change for change in done if isinstance(change, UpdatePassword | RecreateUser)]
    if rotations:
        message = f"Changed the password to the Secret's: {describe(rotations[0])}."
        deeds.append(News("Normal", Reason.READY, message))
    if words := "; ".join(describe(change) for change in repairs):
        deeds.append(News("Normal", Reason.READY, f"Put back what others had changed: {words}."))
    return tuple(deeds)


def turn_of(entry: Entry, ready: Condition) -> tuple[News, ...]:
    """Give the Event for a Ready condition that is another one than before; the first Ready is no news."""
    before = ready_condition(entry)
    if before is None:
        told = patience(Reason(ready.reason)) is Patience.STALLED
    else:
        told = (before.status, before.reason) != (ready.status, ready.reason)
    kind: Literal["Normal", "Warning"] = "Normal" if ready.status == "True" else "Warning"
    return (News(kind, ready.reason, ready.message),) if told else ()


def seconds_unready(entry: Entry, ready: Condition, now: datetime) -> float | None:
    """Say how long a resource that becomes Ready was not, to about a second; None for any other condition."""
    before = ready_condition(entry)
    if ready.status != "True" or (before is not None and before.status == "True"):
        return None
    since = before.last_transition_time if before is not None else entry.metadata["creationTimestamp"]
    return max(0.0, (now - datetime.strptime(since, TIME).replace(tzinfo=UTC)).total_seconds())
