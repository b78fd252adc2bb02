"""What must be written down in Kubernetes, and when: finalizers and intents before Milvus is touched, status after.

It decides nothing about Milvus. Every method leaves the store as Kubernetes answered.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from milvus_rbac.controller.complaints import complain
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.store import Store
from milvus_rbac.controller.together import together
from milvus_rbac.domain.conditions import (
    DRIFTED_TYPE,
    PASSWORD_TYPE,
    READY_TYPE,
    RECONCILING_TYPE,
    STALLED_TYPE,
    Condition,
    settle,
)
from milvus_rbac.kube.client import ClusterRefused
from milvus_rbac.kube.resources import Cluster

OWN_CONDITIONS = (READY_TYPE, PASSWORD_TYPE, DRIFTED_TYPE, STALLED_TYPE, RECONCILING_TYPE)
logger = logging.getLogger(__name__)

TIME = "%Y-%m-%dT%H:%M:%SZ"
"""How Kubernetes writes a time."""
WIDTH = 16
"""How many requests at a time: more gain nothing from one API server (bench/apply.py)."""


class Ledger:
    """The operator's writes to Kubernetes."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        may_write: Callable[[], None],
        gone: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._may_write = may_write
        self._gone = gone
        self._width = asyncio.Semaphore(WIDTH)

    async def hold(self, entries: Iterable[Entry]) -> frozenset[str]:
        """Put our finalizer on the resources; give the uids of those that have it now and are not being deleted."""
        held = await together(self._hold(entry) for entry in entries)
        return frozenset(uid for uid in held if uid is not None)

    async def let_go(self, entry: Entry) -> None:
        """Take our finalizer away, so that Kubernetes may finish the deletion."""
        async with self._width:
            self._may_write()
            body = await self._cluster.remove_finalizer(entry.body)
        # With the last finalizer it is gone, and a watch that begins only now will never tell.
        if body is None or _is_gone(body["metadata"]):
            self._gone(entry.uid)
        else:
            self._store.put(body, answered=True)

    async def write_status(
        self, entry: Entry, status: Mapping[str, Any], conditions: Sequence[Condition]
    ) -> bool:
        """Make the status say this, if it does not already; tell whether something was written."""
        current = self._store.entries.get(entry.uid)
        if current is None:
            return False
        wanted = {**status, "conditions": _settled(current, conditions)}
        if _without(current.status, "conditions") == status and wanted["conditions"] == _own(current):
            return False
        async with self._width:
            self._may_write()
            body = await self._cluster.replace_status(current.body, wanted, OWN_CONDITIONS)
        if body is None:
            self._gone(entry.uid)
        else:
            self._store.put(body, answered=True)
        return True

    async def announce(
        self, entry: Entry, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Post an Event about a resource."""
        await self._cluster.post_event(entry.body, type_, reason, message, datetime.now(UTC))

    async def _hold(self, entry: Entry) -> str | None:
        current = self._store.entries.get(entry.uid)
        if current is None or (current.deleting and not current.has_finalizer):
            return None
        if current.has_finalizer:
            return entry.uid
        async with self._width:
            self._may_write()
            try:
                body = await self._cluster.add_finalizer(current.body)
            except ClusterRefused as refusal:
                # One resource that can't be written must not keep the others of its round from being served.
                complain(logger, entry, "held", refusal)
                return None
        if body is None:
            return None
        self._store.put(body, answered=True)
        return entry.uid


def read_conditions(entry: Entry) -> tuple[Condition, ...]:
    """Read the conditions of a status that are ours."""
    return tuple(
        Condition(
            one["type"],
            one["status"],
            one["reason"],
            one["message"],
            one.get("observedGeneration", 0),
            one["lastTransitionTime"],
        )
        for one in _own(entry)
    )


def ready_condition(entry: Entry) -> Condition | None:
    """Give the Ready condition as it was last written."""
    return next((one for one in read_conditions(entry) if one.type == READY_TYPE), None)


def _is_gone(metadata: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in metadata and not metadata.get("finalizers")


def _settled(entry: Entry, conditions: Sequence[Condition]) -> list[dict[str, Any]]:
    now = datetime.now(UTC).strftime(TIME)
    return [
        {
            "type": one.type,
            "status": one.status,
            "reason": one.reason,
            "message": one.message,
            "observedGeneration": one.observed_generation,
            "lastTransitionTime": one.last_transition_time,
        }
        for one in settle(read_conditions(entry), conditions, now)
    ]


def _own(entry: Entry) -> list[dict[str, Any]]:
    conditions = entry.status.get("conditions") or ()
    return sorted(
        (one for one in conditions if one["type"] in OWN_CONDITIONS), key=lambda one: str(one["type"])
    )


def _without(status: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in status.items() if name != key}
