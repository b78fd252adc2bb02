"""Finalizers and intents of one connection: what is about to be ours is written down before Milvus is touched."""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

from milvus_rbac.controller.batch import Site
from milvus_rbac.controller.complaints import complain
from milvus_rbac.controller.entry import Entry, Intents, intents_of
from milvus_rbac.controller.ledger import Ledger, read_conditions
from milvus_rbac.controller.reports import as_pending
from milvus_rbac.controller.store import Store
from milvus_rbac.domain.changes import RemovePrivileges
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.kube.client import ClusterRefused

logger = logging.getLogger(__name__)


class ConnectionBooks:
    """The round's door to what must be written first."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        site: Site,
        write: Callable[[Intents], Awaitable[None]],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._site = site
        self._write = write

    async def prepare(self, plans: Sequence[ClaimPlan]) -> frozenset[str]:
        """Put finalizers on what will be ours, then write all intents of the round at once."""
        alive = [plan for plan in plans if not plan.claim.deleting and plan.origin is not None]
        entries = [self._store.entries[plan.claim.ref.uid] for plan in alive if self._is_known(plan)]
        held = await self._ledger.hold(entries)
        others = {plan.claim.ref.uid for plan in plans} - {plan.claim.ref.uid for plan in alive}
        creating = {
            plan.claim.ref.uid: {
                "endpoint": self._site.endpoint,
                "uid": plan.claim.ref.uid,
                "kind": plan.claim.ref.kind.value,
                "name": plan.claim.object_name,
            }
            for plan in alive
            if plan.creates and plan.claim.origin is None and plan.claim.ref.uid in held
        }
        held -= await self._note_stale(alive)
        intents = self.outstanding()
        if creating.keys() - intents.keys():
            await self._write({**intents, **creating})
        # Where the connection itself went meanwhile nothing was written, so nothing may be created.
        return (held - (creating.keys() - self.outstanding().keys())) | others

    async def _note_stale(self, plans: Sequence[ClaimPlan]) -> frozenset[str]:
        """Write down what a group is about to lose, where roles hold it: after a crash nothing in Milvus would show it.

        Gives the uids of those for which that failed.
        """
        shrinking = [plan for plan in plans if any(isinstance(one, RemovePrivileges) for one in plan.changes)]
        failed = set()
        for plan in shrinking:
            entry = self._store.entries.get(plan.claim.ref.uid)
            if entry is None or not plan.stale:
                continue
            kept = {key: value for key, value in entry.status.items() if key != "conditions"}
            status = {**kept, "pendingRevokes": as_pending(plan.stale)}
            try:
                await self._ledger.write_status(entry, status, read_conditions(entry))
            except ClusterRefused as refusal:
                complain(logger, entry, "written", refusal)
                failed.add(entry.uid)
        return frozenset(failed)

    def outstanding(self, without: Collection[str] = ()) -> Intents:
        """Give the intents that still mean something: on this server, of resources that have no claim there yet."""
        connection = self._store.entries.get(self._site.connection_uid)
        return {
            uid: intent
            for uid, intent in (intents_of(connection.status) if connection else {}).items()
            if uid not in without and intent.get("endpoint") in self._site.endpoints
            if (entry := self._store.entries.get(uid)) is not None and not self._has_claim(entry)
        }

    def _has_claim(self, entry: Entry) -> bool:
        return bool((entry.status.get("claim") or {}).get("endpoint") in self._site.endpoints)

    def _is_known(self, plan: ClaimPlan) -> bool:
        return plan.claim.ref.uid in self._store.entries
