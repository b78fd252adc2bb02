"""What every part of the engine works with, handed around as one value."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.ledger import Ledger
from milvus_rbac.controller.metrics import Metrics
from milvus_rbac.controller.store import Store
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.leader_election import Lease
from milvus_rbac.kube.resources import Cluster

GATHER = 0.3
"""Seconds for which events are gathered before anything is done about them."""
RETRY_LATER = 30.0
"""Seconds until something unexpected is tried again."""
PATIENCE = 3.0
"""Seconds that a wait must last before a status tells of it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """The doors, the store, and what the operator's settings say."""

    store: Store
    cluster: Cluster
    ledger: Ledger
    lease: Lease
    metrics: Metrics
    gate: Callable[[Entry], Refusal | None]
    """Says why a connection may not be served, whatever its server says."""

    async def release(self, entry: Entry, *, left_behind: bool) -> None:
        """Let Kubernetes finish the deletion of a resource; say what stays in Milvus."""
        await self.ledger.let_go(entry)
        if not left_behind:
            return
        noun, name = Kind(entry.kind).noun.capitalize(), entry.claimed_name
        text = "%s %s was left in Milvus: %s %s/%s is gone."
        connection_name = self.store.connection_name(entry)
        label = "/".join(connection_name or ())
        logger.warning(
            text, noun, name, entry.kind, *entry.name, extra={**entry.log_fields, "connection": label}
        )
        self.metrics.left_behind.labels(label).inc()
        connection = self.store.find("MilvusConnection", connection_name) if connection_name else None
        if connection is not None:
            message = f"{noun} {name} was left in Milvus when {entry.kind} {entry.name[1]} was deleted."
            await self.ledger.announce(connection, "Normal", Reason.READY, message)
