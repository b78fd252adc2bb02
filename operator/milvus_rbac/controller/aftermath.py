"""What follows from a round: what was learned, who is let go, what each resource is told, who has to be looked at again."""

import logging
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from milvus_rbac.api.v1alpha1 import MilvusUser
from milvus_rbac.controller.batch import Batch, Site
from milvus_rbac.controller.claiming import expiry
from milvus_rbac.controller.complaints import complain
from milvus_rbac.controller.connection_report import Crowd
from milvus_rbac.controller.dirty import Dirty
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.metrics import ConnectionMetrics
from milvus_rbac.controller.own_secrets import OwnSecrets
from milvus_rbac.controller.performing import Outcome
from milvus_rbac.controller.reports import UNVERIFIED, held_now, pending_report, report, should_retry
from milvus_rbac.controller.round import Result
from milvus_rbac.controller.telling import Teller
from milvus_rbac.controller.together import together
from milvus_rbac.controller.tools import RETRY_LATER, Tools
from milvus_rbac.controller.vault import Vault
from milvus_rbac.controller.waiting import Waiting
from milvus_rbac.domain.changes import (
    CREATES,
    CreateRole,
    CreateUser,
    DropUser,
    PasswordMeans,
    RecreateUser,
    UpdatePassword,
)
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import ServerFacts
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.state import PasswordVerdict, User
from milvus_rbac.kube.client import ClusterError, ClusterRefused, LeaseLost
from milvus_rbac.milvus.errors import (
    AlreadyExists,
    InternalError,
    MilvusRbacError,
    OldPasswordRefused,
    Refused,
)

logger = logging.getLogger(__name__)

LONGEST_TIMER = timedelta(days=2)
"""Further away, an expiry is found by one of the looks in between: an interval is a day at most."""
MOST_RETRIES = 3
"""How often running a claim is decided anew at once because the world was not as observed."""


@dataclass(frozen=True, slots=True)
class Played:
    """A round that is over, with all that it knew."""

    result: Result
    batch: Batch
    server: ServerFacts
    site: Site


class Aftermath:
    """The memory that one connection's rounds leave behind, and how it is used."""

    def __init__(
        self,
        tools: Tools,
        vault: Vault,
        dirty: Dirty,
        teller: Teller,
        own_secrets: OwnSecrets,
        metrics: ConnectionMetrics,
    ) -> None:
        self.superuser: bool | None = None
        """Whether the operator's account changes passwords without the old one; None: not tried yet."""
        self._tools = tools
        self._vault = vault
        self._dirty = dirty
        self._teller = teller
        self._own_secrets = own_secrets
        self._metrics = metrics
        self._timers: dict[str, datetime] = {}
        """When somebody is looked at again because its user expires."""
        self._waiting = Waiting(tools, dirty)
        self._retries: defaultdict[str, int] = defaultdict(int)

    async def settle(self, played: Played) -> None:
        """Do everything that follows from what a round did."""
        result, batch, site = played.result, played.batch, played.site
        self._metrics.saw(result.observed, result.reading)
        self._teller.crowd = Crowd(len(result.observed.users), len(result.observed.roles))
        for plan in result.plans:
            self._learn(plan, result, batch)
        self._look_again_soon(result)
        self._waiting.arrange(result, site)
        for uid in batch.entries.keys() - {plan.claim.ref.uid for plan in result.plans}:
            self._dirty.mark_later(uid, RETRY_LATER)  # it could not be held, or its intent not be written
        await together(self._conclude(plan, played) for plan in result.plans)

    # --- one claim

    async def _conclude(self, plan: ClaimPlan, played: Played) -> None:
        entry = self._tools.store.entries.get(plan.claim.ref.uid)
        if entry is None:
            return
        if entry.trigger != played.batch.entries[entry.uid].trigger:
            # It was changed while the round ran: the next one tells. What was created is in the intents.
            self._dirty.mark({entry.uid})
            return
        try:
            await self._say(entry, plan, played)
        except ClusterRefused as refusal:
            # What can't be written of one resource must not keep the others of its round from being served.
            complain(logger, entry, "written", refusal)
            self._dirty.mark_later(entry.uid, RETRY_LATER)
        except (ClusterError, LeaseLost):
            raise
        except Exception:
            # Nor must a mistake of ours about one of them.
            message = "%s %s/%s could not be concluded; it is tried again."
            logger.exception(message, entry.kind, *entry.name, extra=entry.log_fields)
            self._dirty.mark_later(entry.uid, RETRY_LATER)

    async def _say(self, entry: Entry, plan: ClaimPlan, played: Played) -> None:
        uid, result, outcome = entry.uid, played.result, played.result.outcome
        if outcome.trouble is not None and not outcome.is_complete(plan):
            self._dirty.mark({uid})
        elif should_retry(outcome, uid) and self._retries[uid] < MOST_RETRIES:
            self._retries[uid] += 1
            self._dirty.mark({uid})
        elif plan.claim.deleting:
            await self._conclude_deletion(entry, plan, played)
        else:
            self._retries.pop(uid, None)
            self._wake_at_expiry(entry)
            unbound = await self._bind(entry, plan, played)
            told = report(entry, plan, result, played.server, played.site.endpoint, unbound)
            if UNVERIFIED in told.refusals or self._own_secrets.has_put_off(uid):
                self._dirty.mark_later(uid, RETRY_LATER)
            self._metrics.repaired(told.repairs)
            await self._teller.tell(entry, told)
            if plan.claim.former:
                self._dirty.mark({plan.claim.former})

    def _has_claim(self, uid: str) -> bool:
        entry = self._tools.store.entries.get(uid)
        return entry is None or "claim" in entry.status

    async def _bind(self, entry: Entry, plan: ClaimPlan, played: Played) -> Refusal | None:
        """Hand the application what is in force; say why not."""
        spec = entry.model.spec if isinstance(entry.model, MilvusUser) else None
        if spec is None or spec.connection_secret is None or played.server.observe_only:
            return None
        held = held_now(plan, played.result, played.server)
        readings = played.batch.readings
        text = readings[entry.uid].password if entry.uid in readings else None
        is_in_force = isinstance(held, User) and held.password is PasswordVerdict.IN_FORCE
        if text is None or not is_in_force or plan.origin is None or plan.claim.suspended:
            return None
        name = (entry.name[0], spec.connection_secret.name)
        newest = self._tools.store.secret(name)
        try:
            refusal = await self._own_secrets.bind(entry, played.site.address, text, newest)
        except ClusterRefused as refused:
            message = f"spec.connectionSecret: the Secret can't be written by the operator: {refused.message}"
            refusal = Refusal(Reason.WAITING_FOR_SECRET, message)
        if refusal is not None and refusal.reason is Reason.WAITING_FOR_SECRET:
            self._dirty.mark_later(entry.uid, RETRY_LATER)
        return refusal

    def _wake_at_expiry(self, entry: Entry) -> None:
        at, now = expiry(entry), datetime.now(UTC)
        if at is not None and now < at != self._timers.get(entry.uid) and at - now < LONGEST_TIMER:
            self._timers[entry.uid] = at
            self._dirty.mark_later(entry.uid, (at - now).total_seconds())

    async def _conclude_deletion(self, entry: Entry, plan: ClaimPlan, played: Played) -> None:
        result = played.result
        if plan.withheld:
            await self._teller.tell(entry, pending_report(entry, plan.refusals[0]))
            return
        is_there = held_now(plan, result, played.server) is not None
        if plan.claim.heir and is_there and not self._has_claim(plan.claim.heir):
            return  # it wakes this one as soon as it is written down that the object is its own
        if result.outcome.is_complete(plan):
            await self._tools.release(entry, left_behind=plan.left_behind)
            return
        _, error = result.outcome.failed[entry.uid][0]
        message = f"Milvus refused to drop it: {error.refusal.message}"
        await self._teller.tell(entry, pending_report(entry, Refusal(Reason.DELETION_BLOCKED, message)))
        self._dirty.mark_later(entry.uid, RETRY_LATER)

    def _look_again_soon(self, result: Result) -> None:
        """Have those looked at again of whom nobody knows what became of them, or what was there before."""
        for plan in result.plans:
            uid = plan.claim.ref.uid
            errors = [error for _, error in result.outcome.failed[uid]]
            dropped_perhaps = any(isinstance(one, RecreateUser) for one, _ in result.outcome.failed[uid])
            if plan.claim.permit is not None and any(
                isinstance(change, CreateRole) for change in result.outcome.done[uid]
            ):
                # Grants can be there before their role: of one that was dropped by hand (2.3), or by RestoreRBAC.
                self._dirty.mark({uid})
            if dropped_perhaps or any(isinstance(error, InternalError) for error in errors):
                self._dirty.mark_later(uid, RETRY_LATER)

    # --- what was learned

    def _learn(self, plan: ClaimPlan, result: Result, batch: Batch) -> None:
        uid, name = plan.claim.ref.uid, plan.claim.object_name
        if plan.claim.ref.kind is not Kind.USER or uid not in batch.readings:
            return
        text = batch.readings[uid].password
        for change in result.outcome.done[uid]:
            if isinstance(change, UpdatePassword) and change.means is PasswordMeans.SUPERUSER:
                self.superuser = True
            if text is not None and isinstance(change, CreateUser | UpdatePassword | RecreateUser):
                self._vault.remember(uid, text)
        for change, error in result.outcome.failed[uid]:
            self._learn_from(uid, name, change, error, batch)
        user = result.observed.users.get(name)
        if text is not None and user is not None and user.password is PasswordVerdict.IN_FORCE:
            self._vault.remember(uid, text)

    def _learn_from(self, uid: str, name: str, change: object, error: MilvusRbacError, batch: Batch) -> None:
        if not isinstance(change, UpdatePassword) or not isinstance(error, OldPasswordRefused):
            return
        if change.means is PasswordMeans.SUPERUSER:
            self.superuser = False
        elif name in batch.password_texts.old:
            self._vault.distrust(uid, batch.password_texts.old[name])


def lost_claims(result: Result, server: ServerFacts, intended: Collection[str]) -> frozenset[str]:
    """Name the claims (by uid) whose object somebody dropped and that were not created again.

    The intent of their first create is still written down, and would make ours what somebody creates under the name.
    """
    return frozenset(
        plan.claim.ref.uid
        for plan in result.plans
        if not plan.claim.deleting and plan.claim.ref.uid in intended and _is_gone(plan, result, server)
    )


def _is_gone(plan: ClaimPlan, result: Result, server: ServerFacts) -> bool:
    if any(isinstance(change, DropUser) for change in result.outcome.done[plan.claim.ref.uid]):
        return True  # expired
    is_unseen = plan.claim.ref.kind is Kind.GROUP and result.observed.groups_unreadable
    # What was about to be made and may not be any more: nobody makes it, and the name is free.
    is_ours = plan.claim.origin is not None or not plan.claim.is_permitted
    return is_ours and not is_unseen and held_now(plan, result, server) is None


def refused_creates(outcome: Outcome, intended: Collection[str]) -> frozenset[str]:
    """Name the claims (by uid) whose create the server refused: nothing of theirs is there.

    "Already exists" proves nothing where an earlier round intended the same create: its answer was lost, and it may be
    that create which exists.
    """
    return frozenset(
        uid
        for uid, failures in outcome.failed.items()
        for change, error in failures
        if isinstance(change, CREATES) and isinstance(error, Refused)
        if not (isinstance(error, AlreadyExists) and uid in intended)
    )
