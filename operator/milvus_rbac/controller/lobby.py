"""Where resources wait that no connection serves: there is none, it is not named, or it is not theirs to use.

No Milvus is ever asked here.
"""

import asyncio
import logging
import time
from collections.abc import Iterable

from milvus_rbac.api.v1alpha1 import MilvusConnection
from milvus_rbac.controller.dirty import Dirty
from milvus_rbac.controller.entry import Entry, Name
from milvus_rbac.controller.reports import pending_report
from milvus_rbac.controller.tools import GATHER, PATIENCE, RETRY_LATER, Tools
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError, LeaseLost

CONNECTION = MilvusConnection.__name__

logger = logging.getLogger(__name__)


class Lobby:
    """One task for all homeless resources."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._dirty = Dirty()
        self._since: dict[str, float] = {}

    def mark(self, uids: Iterable[str]) -> None:
        """Have these looked at: they may have nobody to serve them."""
        self._dirty.mark(uids)

    async def run(self) -> None:
        """Tell the homeless what they wait for, and let the deleted ones go, until cancelled."""
        while True:
            await self._dirty.wake.wait()
            await asyncio.sleep(GATHER)
            self._dirty.wake.clear()
            await self._tools.lease.held.wait()
            for uid in self._dirty.uids():
                self._dirty.discard({uid})
                await self._look_safely(uid)

    async def _look_safely(self, uid: str) -> None:
        """Look at one; whatever goes wrong, the others are looked at too."""
        try:
            await self._look(uid)
        except (ClusterError, LeaseLost) as problem:
            logger.warning("%s could not be told what it waits for yet: %s", uid, problem)
            self._dirty.mark_later(uid, PATIENCE)
        except Exception:
            logger.exception("%s could not be looked at; it is tried again.", uid)
            self._dirty.mark_later(uid, RETRY_LATER)

    async def _look(self, uid: str) -> None:
        entry = self._tools.store.entries.get(uid)
        refusal = self._homeless(entry) if entry else None
        if entry is None or refusal is None:
            self._since.pop(uid, None)
        elif entry.deleting:
            if entry.has_finalizer:
                await self._tools.release(entry, left_behind="claim" in entry.status)
        elif self._has_waited(uid, refusal):
            await self._tell(entry, refusal)

    async def _tell(self, entry: Entry, refusal: Refusal) -> None:
        said = pending_report(entry, refusal)
        if await self._tools.ledger.write_status(entry, said.status, said.conditions):
            for news in said.turns:
                await self._tools.ledger.announce(entry, news.type, news.reason, news.message)

    def _has_waited(self, uid: str, refusal: Refusal) -> bool:
        """A connection that comes in the same `kubectl apply` is not worth a word."""
        if refusal.reason is not Reason.WAITING_FOR_CONNECTION:
            return True
        left = self._since.setdefault(uid, time.monotonic()) + PATIENCE - time.monotonic()
        if left > 0:
            self._dirty.mark_later(uid, left)
        return left <= 0

    def _homeless(self, entry: Entry) -> Refusal | None:
        """Say why nobody serves a resource; None when somebody does by now."""
        name = self._tools.store.connection_name(entry)
        if entry.kind == CONNECTION:
            return None
        if entry.claimant is None:
            message = f"The spec does not fit the schema any more ({entry.problem}); correct it."
            return Refusal(Reason.INTERNAL_ERROR, message)
        if name is None:
            message = "spec.connectionRef is absent and the operator has no default connection: name a MilvusConnection."
            return Refusal(Reason.NO_DEFAULT_CONNECTION, message)
        tenancy = self._tools.store.tenancy(name)
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
        f"spec.connectionRef: there is no MilvusConnection {name[1]} in namespace {name[0]} yet; create it."
    )
    return Refusal(Reason.WAITING_FOR_CONNECTION, message)
