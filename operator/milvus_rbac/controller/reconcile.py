"""One turn: make one Milvus agree with a bounded number of claims. The same way for creation, deletion, rotation and drift."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from milvus_rbac.api.v1alpha1.milvusrole import MAX_NOT_FOUND
from milvus_rbac.controller.apply import Budget, Outcome, apply_plans
from milvus_rbac.controller.batch import Batch
from milvus_rbac.domain import privileges
from milvus_rbac.domain.changes import Change, CreateUser, RecreateUser, UpdatePassword
from milvus_rbac.domain.claims import Adoption, Claim, Kind, WantedRole, WantedUser, stale_of
from milvus_rbac.domain.conditions import Refusal
from milvus_rbac.domain.desired import (
    Desired,
    DesiredRole,
    ServerFacts,
    lower,
    may_see_places,
    named_places,
    suspects,
)
from milvus_rbac.domain.diff import diff
from milvus_rbac.domain.guard import guard
from milvus_rbac.domain.plan import ClaimPlan, Proposal
from milvus_rbac.domain.state import Place, Scope, State, User
from milvus_rbac.milvus.errors import MilvusRbacError
from milvus_rbac.milvus.port import Aliases, Milvus


class Ownership(Protocol):
    """Where it is written down, before Milvus is touched, what will be the operator's."""

    async def prepare(self, plans: Sequence[ClaimPlan]) -> frozenset[str]:
        """Write finalizers and intents; return the uids of the claims that may be worked on."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """What goes into a turn."""

    batch: Batch
    server: ServerFacts
    may_be_old: float = 0.0
    """Seconds that the snapshot of the server may be old, as long as nothing was changed since."""
    contested: Callable[[Sequence[Proposal]], frozenset[tuple[str, Change]]] = lambda _: frozenset()
    """Takes what is proposed and returns what another client keeps undoing."""
    outcome: Outcome = field(default_factory=Outcome)
    """Filled while changes are made, so that it is known even when the turn breaks off."""
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True)
class Result:
    """What came out of a turn."""

    observed: State
    plans: tuple[ClaimPlan, ...]
    outcome: Outcome
    troubled: Mapping[str, Refusal] = field(default_factory=dict)
    """Claims (uids) whose object in Milvus could not be read, and why."""
    missing: Mapping[str, frozenset[Place]] = field(default_factory=dict)
    """By claim uid, which of the first hundred places that a role's grants name Milvus does not have; of the roles that were asked about."""
    confirmed: Mapping[str, User] = field(default_factory=dict)
    """The users whose password was set, as the server shows them afterwards; none where it does not."""
    reading: float = 0.0
    """Seconds that observing took."""
    applying: float = 0.0
    """Seconds that applying took."""


async def reconcile_once(
    turn: Turn, milvus: Milvus, ownership: Ownership, may_write: Callable[[], None]
) -> Result:
    """Observe, compare, withhold, write down, apply. After any error nothing is assumed: the next turn observes anew.

    Raises:
        Unreachable: Milvus could not be observed; nothing was changed.
        LeaseLost: another operator may be at work; what is done is done.
        ClusterError: what has to be written down before could not be; Milvus was not touched.
    """
    batch, server = turn.batch, turn.server
    started = time.perf_counter()
    observed = await milvus.observe(scope_of(turn), batch.texts)
    reading = time.perf_counter() - started
    troubled = _troubled(batch, observed)
    assembled = [one for one in batch.assembled if one[0].ref.uid not in troubled]
    unclear = suspects((claim for claim, refusal in assembled if refusal is None), observed, server)
    found = await milvus.resolve(unclear) if unclear else Aliases()
    # What is not known of a name takes nothing.
    aliases = {**dict.fromkeys((*found.troubled, *found.unasked)), **found.known}
    # For a few hundred claims each of these steps takes as long as other tasks may have to wait.
    await asyncio.sleep(0)
    desired = lower(assembled, server, observed, batch.role_owners, aliases)
    await asyncio.sleep(0)
    proposals = diff(observed, desired, server.known_privileges)
    await asyncio.sleep(0)
    plans = guard(proposals, observed, server, turn.contested(proposals), batch.role_owners)
    allowed = await ownership.prepare(plans)
    plans = tuple(plan for plan in plans if plan.claim.ref.uid in allowed)
    started = time.perf_counter()
    await apply_plans(plans, milvus, batch.texts, may_write, turn.outcome, turn.budget)
    applying = time.perf_counter() - started
    confirmed = await _confirm(milvus, turn)
    missing = await _missing(milvus, turn, desired, plans)
    return Result(observed, plans, turn.outcome, troubled, missing, confirmed, reading, applying)


def _troubled(batch: Batch, observed: State) -> Mapping[str, Refusal]:
    """Return the claims (uids) whose object could not be read: nothing is decided about them, dropping included."""
    return {
        claim.ref.uid: observed.troubles[claim.ref.kind.noun, claim.object_name]
        for claim, refusal in batch.assembled
        if refusal is None and (claim.ref.kind.noun, claim.object_name) in observed.troubles
    }


async def _missing(
    milvus: Milvus, turn: Turn, desired: Sequence[Desired], plans: Sequence[ClaimPlan]
) -> Mapping[str, frozenset[Place]]:
    """Look for what the grants of some roles name: Milvus takes grants on a collection that nobody has made, or mistyped.

    A role that is not as it should be yet is asked about when it is.
    """
    if turn.outcome.trouble is not None:
        return {}
    chosen, done = turn.batch.to_look_up, turn.outcome.done
    asked = {
        uid for plan in plans if (uid := plan.claim.ref.uid) in chosen and len(done[uid]) == len(plan.changes)
    }
    named = {
        one.claim.ref.uid: _names_to_look_up(one.claim, one.state)
        for one in desired
        if one.claim.ref.uid in asked and isinstance(one.state, DesiredRole)
    }
    places = frozenset[Place]().union(*named.values())
    try:
        missing = await milvus.missing(places) if places else frozenset[Place]()
    except MilvusRbacError:
        return {}  # what was granted is granted; the next look asks again
    return {uid: names & missing for uid, names in named.items()}


def _names_to_look_up(claim: Claim, state: DesiredRole) -> frozenset[Place]:
    if not may_see_places(claim.permit):
        return frozenset()
    return frozenset(sorted(named_places(state.grants))[:MAX_NOT_FOUND])


async def _confirm(milvus: Milvus, turn: Turn) -> Mapping[str, User]:
    """Look at the passwords that were just set, so that the next look knows them without judging them."""
    changes = (change for changes in turn.outcome.done.values() for change in changes)
    users = {one.user for one in changes if isinstance(one, CreateUser | UpdatePassword | RecreateUser)}
    if not users or not turn.server.authorization or turn.outcome.trouble is not None:
        return {}
    try:
        return await milvus.confirm(users, turn.batch.texts)
    except MilvusRbacError:
        return {}  # what was made is made; the next turn looks again


def scope_of(turn: Turn) -> Scope:
    """Return which details a turn needs: the grants of its roles, and verdicts on passwords where they matter."""
    owners = [claim for claim, refusal in turn.batch.assembled if refusal is None]
    groups = any(claim.ref.kind is Kind.GROUP for claim in owners)
    return Scope(
        roles={
            # What a group left in the proxies is taken from roles that may not hold it any more.
            **{one.role: frozenset() for claim in owners for one in stale_of(claim)},
            # What is delegated by its name must hold only what can be delegated.
            **dict.fromkeys((role for claim in owners for role in _delegated_roles(claim)), frozenset()),
            **{
                claim.object_name: turn.batch.databases.get(claim.ref.uid, frozenset())
                for claim in owners
                if claim.ref.kind is Kind.ROLE
            },
        },
        # A foreign account is never tried unless it may be taken over; one that is ours and goes, needs no proof.
        logins={
            claim.object_name: claim.wanted.known_digest
            for claim in owners
            if isinstance(claim.wanted, WantedUser) and _must_know_password(claim)
        },
        descriptions=any(_is_described(claim) for claim in owners),
        # What a group holds decides whether another namespace may keep it, whatever its spec says now.
        groups=groups or any(_may_name_groups(claim) or claim.permit is not None for claim in owners),
        holders=groups,
        may_be_old=turn.may_be_old,
    )


def _delegated_roles(claim: Claim) -> frozenset[str]:
    """Return the roles that a user of another namespace may hold by their names, or may have held back."""
    return claim.permit.roles if isinstance(claim.wanted, WantedUser) and claim.permit else frozenset()


def _is_described(claim: Claim) -> bool:
    wanted = claim.wanted
    return isinstance(wanted, WantedUser | WantedRole) and wanted.description is not None


def _must_know_password(claim: Claim) -> bool:
    if claim.expired or not claim.is_permitted:
        return False
    return not claim.is_ours if claim.deleting else claim.is_ours or claim.adoption is not Adoption.NEVER


def _may_name_groups(claim: Claim) -> bool:
    if not isinstance(claim.wanted, WantedRole):
        return False
    return any(privileges.find(name) is None for row in claim.wanted.rows for name in row.privileges)
