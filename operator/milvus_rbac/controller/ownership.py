"""What is about to be the operator's is written down before Milvus is touched: finalizers and intents.

Intents are written for a whole turn at once, into `status.inFlight` of the MilvusConnection, where tenants can't write.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

from milvus_rbac.controller.apply import Outcome
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.claims import Site
from milvus_rbac.controller.entry import Intents, intents_of
from milvus_rbac.controller.reconcile import Result
from milvus_rbac.controller.status import held_now
from milvus_rbac.domain.changes import CREATES, DropUser, RemovePrivileges
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.desired import ServerFacts
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.milvus.errors import AlreadyExists, Refused

WriteIntents = Callable[[Intents], Awaitable[None]]
Hold = Callable[[Sequence[str]], Awaitable[frozenset[str]]]
"""Puts finalizers on the resources with these uids, and returns those that have it."""
NoteStale = Callable[[Sequence[ClaimPlan]], Awaitable[frozenset[str]]]
"""Writes status.pendingRevokes of the groups that these plans shrink, and returns those (uids) for which that failed."""


class OwnershipRecord:
    """What one turn writes down before it touches Milvus."""

    def __init__(
        self, cache: Cache, site: Site, hold: Hold, note_stale: NoteStale, write: WriteIntents
    ) -> None:
        self._cache = cache
        self._site = site
        self._hold = hold
        self._note_stale = note_stale
        self._write = write

    async def prepare(self, plans: Sequence[ClaimPlan]) -> frozenset[str]:
        """Put finalizers on what will be ours, then write the intents of the turn; return the claims (uids) to work on.

        Raises:
            ClusterError: the intents could not be written; Milvus must not be touched.
            LeaseLost: another operator may be at work.
        """
        alive = [plan for plan in plans if not plan.claim.deleting and plan.origin is not None]
        others = {plan.claim.ref.uid for plan in plans} - {plan.claim.ref.uid for plan in alive}
        held = await self._hold([plan.claim.ref.uid for plan in alive])
        creating = {
            plan.claim.ref.uid: self._intent(plan)
            for plan in alive
            if plan.creates and plan.claim.origin is None and plan.claim.ref.uid in held
        }
        # After a crash nothing in Milvus would show what roles keep of a group that has lost something.
        shrinking = [
            plan
            for plan in alive
            if plan.stale and any(isinstance(one, RemovePrivileges) for one in plan.changes)
        ]
        held -= await self._note_stale(shrinking)
        intents = self.outstanding()
        if creating.keys() - intents.keys():
            await self._write({**intents, **creating})
        # Where the connection itself went meanwhile nothing was written, so nothing may be created.
        return (held - (creating.keys() - self.outstanding().keys())) | others

    def outstanding(self, without: Collection[str] = ()) -> Intents:
        """Return the intents that still mean something: on this server, of resources that have no claim there yet."""
        connection = self._cache.entries.get(self._site.connection_uid)
        written = intents_of(connection.status) if connection else {}
        return dict(self._meaningful(written.items(), without))

    def _meaningful(
        self, intents: Iterable[tuple[str, Any]], without: Collection[str]
    ) -> Iterable[tuple[str, Any]]:
        for uid, intent in intents:
            entry = self._cache.entries.get(uid)
            if uid in without or intent.get("endpoint") not in self._site.endpoints or entry is None:
                continue
            if (entry.status.get("claim") or {}).get("endpoint") not in self._site.endpoints:
                yield uid, intent

    def _intent(self, plan: ClaimPlan) -> dict[str, str]:
        return {
            "endpoint": self._site.endpoint,
            "uid": plan.claim.ref.uid,
            "kind": plan.claim.ref.kind.value,
            "name": plan.claim.object_name,
        }


def lost_claims(result: Result, server: ServerFacts, intended: Collection[str]) -> frozenset[str]:
    """Return the claims (uids) whose object was dropped by another client and not created again.

    The intent of their first create is still written down, and would make ours what another client creates under the name.
    """
    return frozenset(
        plan.claim.ref.uid
        for plan in result.plans
        if not plan.claim.deleting and plan.claim.ref.uid in intended and _is_gone(plan, result, server)
    )


def _is_gone(plan: ClaimPlan, result: Result, server: ServerFacts) -> bool:
    if any(isinstance(change, DropUser) for change in result.outcome.done[plan.claim.ref.uid]):
        return True  # expired
    if plan.claim.ref.uid in result.outcome.unanswered or result.outcome.left(plan) > 0:
        return False  # it may have been created, or will be
    is_unseen = plan.claim.ref.kind is Kind.GROUP and result.observed.groups_unreadable
    # What was about to be made and may not be any more: it is never made, and the name is free.
    is_ours = plan.claim.origin is not None or not plan.claim.is_permitted
    return is_ours and not is_unseen and held_now(plan, result, server) is None


def refused_creates(outcome: Outcome, intended: Collection[str]) -> frozenset[str]:
    """Return the claims (uids) whose create the server refused: nothing of theirs is there.

    "Already exists" proves nothing where an earlier turn intended the same create: its answer was lost, and it may be
    that create which exists.
    """
    return frozenset(
        uid
        for uid, failures in outcome.failed.items()
        for change, error in failures
        if isinstance(change, CREATES) and isinstance(error, Refused)
        if not (isinstance(error, AlreadyExists) and uid in intended)
    )
