"""The only place where the operator's finalizer is put on resources and taken off, and where it is decided what stays in Milvus.

No Milvus is asked here: what is decided holds whatever a server says.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from milvus_rbac.api.v1alpha1.milvusconnection import Mode
from milvus_rbac.controller.background import Slots
from milvus_rbac.controller.claims import keeps_on_deletion
from milvus_rbac.controller.entry import CLASSES, CONNECTION, Entry
from milvus_rbac.controller.events import Event, EventReason
from milvus_rbac.controller.made_secrets import MadeSecrets
from milvus_rbac.controller.metrics import Metrics
from milvus_rbac.controller.tenancy import Tenancy
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Resources that are being deleted, by what has to happen in Milvus."""

    untouched: tuple[Entry, ...]
    """They go, and Milvus stays as it is."""
    unsure: tuple[Entry, ...]
    """What becomes of them depends on something that could not be read yet."""


class Finalizers:
    """Of one connection, or of the resources that no connection serves."""

    def __init__(self, secrets: MadeSecrets, slots: Slots, metrics: Metrics) -> None:
        self._secrets = secrets
        self._cluster = secrets.cluster
        self._cache = secrets.cache
        self._slots = slots
        self._may_write = secrets.may_write
        self._recorder = secrets.recorder
        self._metrics = metrics

    async def add(self, entry: Entry) -> bool:
        """Put the finalizer on a resource; return whether it has it, and so may be worked on.

        Raises:
            ClusterError: the API server did not take it.
        """
        current = self._cache.entries.get(entry.uid)
        if current is None or (current.deleting and not current.has_finalizer):
            return False
        if current.has_finalizer:
            return True
        async with self._slots.of(entry.name[0]):
            self._may_write()
            body = await self._cluster.add_finalizer(current.body)
        if body is None:
            return False
        self._cache.put(body)
        return True

    async def remove(self, entry: Entry, *, stays: bool = False, left_behind: bool = False) -> None:
        """Take the finalizer off, so that Kubernetes finishes the deletion.

        Args:
            entry: a resource that is being deleted.
            stays: its object may stay in Milvus, so the Secrets of a user do, too.
            left_behind: its object stays in Milvus without an owner, which a log line, a metric and an Event name.

        Raises:
            ClusterError: the API server did not take it.
        """
        current = self._cache.entries.get(entry.uid, entry)
        async with self._slots.of(entry.name[0]):
            if entry.kind == Kind.USER and (stays or left_behind):
                await self._secrets.release(entry)
            self._may_write()
            body = await self._cluster.remove_finalizer(current.body)
        if left_behind:
            self._tell_left_behind(entry)
        # With its last finalizer it is gone, and a watch that begins only now never shows it.
        if body is None or (
            "deletionTimestamp" in body["metadata"] and not body["metadata"].get("finalizers")
        ):
            self._cache.remove(entry.uid)
        else:
            self._cache.put(body)

    async def doomed_kinds(self, entries: Iterable[Entry]) -> frozenset[str]:
        """Return the kinds of these resources whose CRD is itself being deleted, and every resource with it.

        A resource that goes with its CRD goes after it, so asking about the CRD of what is known to be deleted is sure;
        nothing may be dropped that was not asked about.

        Raises:
            ClusterError: that could not be read.
        """
        kinds = {entry.kind for entry in entries}
        return frozenset(
            [kind for kind in kinds if await self._cluster.is_crd_deleting(CLASSES[kind].plural)]
        )

    def _tell_left_behind(self, entry: Entry) -> None:
        noun, name = Kind(entry.kind).noun.capitalize(), entry.claimed_name
        connection_name = self._cache.connection_name(entry)
        label = "/".join(connection_name or ())
        logger.warning(
            "%s %s was left in Milvus: %s is gone.",
            noun,
            name,
            entry,
            extra={**entry.log_fields, "connection": label},
        )
        self._metrics.left_behind.labels(label).inc()
        connection = self._cache.find(CONNECTION, connection_name) if connection_name else None
        if connection is not None:
            message = f"{noun} {name} was left in Milvus when {entry.kind} {entry.name[1]} was deleted."
            self._recorder.record(connection, [Event("Warning", EventReason.LEFT_BEHIND, message)])


def not_let_go(error: ClusterError) -> Refusal:
    """Return why a resource that is being deleted is still there although Milvus does not hold it up."""
    message = (
        f"Kubernetes refuses what has to be written before it may go: {error.message} It is tried again."
    )
    return Refusal(Reason.DELETION_BLOCKED, message)


def sort_leaving(
    connection: Entry, tenancy: Tenancy | None, leaving: Sequence[Entry], doomed: frozenset[str]
) -> Leaving:
    """Return which of the resources that are being deleted leave Milvus as it is.

    Args:
        connection: the MilvusConnection that serves them.
        tenancy: what it lets each of them have.
        leaving: resources that are being deleted and have the operator's finalizer.
        doomed: kinds whose CRD is itself being deleted: that means Retain.
    """
    spec = connection.connection
    is_hands_off = spec is not None and (spec.suspend or spec.mode is Mode.OBSERVE)
    permits = {entry.uid: tenancy.permit(entry) if tenancy else None for entry in leaving}
    unsure = {uid for uid, permit in permits.items() if permit is not None and not permit.is_known}
    untouched = {
        entry.uid
        for entry in leaving
        if is_hands_off
        or entry.kind in doomed
        # What is delegated may have been narrowed: that is taken first, in a turn.
        or ((entry.uid in unsure or permits[entry.uid] is None) and keeps_on_deletion(entry))
    }
    return Leaving(
        tuple(entry for entry in leaving if entry.uid in untouched),
        tuple(entry for entry in leaving if entry.uid in unsure - untouched),
    )
