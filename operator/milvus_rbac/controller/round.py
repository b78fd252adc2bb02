"""The corridor: one round makes one Milvus agree with a bounded number of claims, and says what is true afterwards."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from milvus_rbac.controller.performing import Outcome, apply_plans
from milvus_rbac.domain import privileges
from milvus_rbac.domain.changes import Change, CreateUser, RecreateUser, UpdatePassword
from milvus_rbac.domain.claims import Adoption, Claim, Kind, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Refusal
from milvus_rbac.domain.desired import ServerFacts, lower, suspects
from milvus_rbac.domain.diff import diff
from milvus_rbac.domain.guard import guard
from milvus_rbac.domain.plan import ClaimPlan, Proposal
from milvus_rbac.domain.state import Scope, State, User
from milvus_rbac.milvus.errors import MilvusRbacError
from milvus_rbac.milvus.port import Milvus, PasswordTexts

Assembled = Sequence[tuple[Claim, Refusal | None]]


class Books(Protocol):
    """Where it is written down, before Milvus is touched, what will be ours."""

    async def prepare(self, plans: Sequence[ClaimPlan]) -> frozenset[str]:
        """Write finalizers and intents; give the uids of the claims that may be worked on."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """What goes into a round."""

    assembled: Assembled
    """The dirty claims, each with what `assemble` said of its ownership."""
    password_texts: PasswordTexts
    server: ServerFacts
    databases: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By claim uid: where a role's grants are known to be."""
    role_owners: Mapping[str, Claim] = field(default_factory=dict)
    """By role, the claim that owns it, of this round or not; where that matters."""
    may_be_old: float = 0.0
    """Seconds that the picture of the server may be old, as long as nothing was changed since."""
    contested: Callable[[Sequence[Proposal]], frozenset[tuple[str, Change]]] = lambda _: frozenset()
    """Told what is proposed, says what somebody else keeps undoing."""
    outcome: Outcome = field(default_factory=Outcome)
    """Filled while changes are made, so that it is known even when the round breaks off."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came out of a round."""

    observed: State
    plans: tuple[ClaimPlan, ...]
    outcome: Outcome
    confirmed: Mapping[str, User] = field(default_factory=dict)
    """The users whose password was set, as the server shows them afterwards; none where it does not."""
    reading: float = 0.0
    """Seconds that observing took."""


async def run_round(work: Round, milvus: Milvus, books: Books, may_write: Callable[[], None]) -> Result:
    """Observe, compare, withhold, write down, apply. After any error nothing is assumed: the next round observes anew.

    Raises:
        Unreachable: Milvus could not be observed; nothing was changed.
        LeaseLost: another operator may be at work; what is done is done.
        ClusterError: what has to be written down before could not be; Milvus was not touched.
    """
    started = time.perf_counter()
    observed = await milvus.observe(scope_of(work), work.password_texts)
    reading = time.perf_counter() - started
    owners = (claim for claim, refusal in work.assembled if refusal is None)
    unclear = suspects(owners, observed)
    aliases = await milvus.resolve(unclear) if unclear else {}
    desired = lower(work.assembled, work.server, observed, work.role_owners, aliases)
    proposals = diff(observed, desired, work.server.known_privileges)
    plans = guard(proposals, observed, work.server, work.contested(proposals), work.role_owners)
    allowed = await books.prepare(plans)
    plans = tuple(plan for plan in plans if plan.claim.ref.uid in allowed)
    await apply_plans(plans, milvus, work.password_texts, may_write, work.outcome)
    return Result(observed, plans, work.outcome, await _confirm(milvus, work), reading)


async def _confirm(milvus: Milvus, work: Round) -> Mapping[str, User]:
    """Look at the passwords that were just set, so that the next look knows them without judging them."""
    changes = (change for changes in work.outcome.done.values() for change in changes)
    users = {one.user for one in changes if isinstance(one, CreateUser | UpdatePassword | RecreateUser)}
    if not users or not work.server.authorization or work.outcome.trouble is not None:
        return {}
    try:
        return await milvus.confirm(users, work.password_texts)
    except MilvusRbacError:
        return {}  # what was made is made; the next round looks again


def scope_of(work: Round) -> Scope:
    """Say which details a round needs: the grants of its roles, and logins where a verdict matters."""
    owners = [claim for claim, refusal in work.assembled if refusal is None]
    groups = any(claim.ref.kind is Kind.GROUP for claim in owners)
    return Scope(
        roles={
            claim.object_name: work.databases.get(claim.ref.uid, frozenset())
            for claim in owners
            if claim.ref.kind is Kind.ROLE
        },
        # A foreign account is never probed unless it may be taken over; one that is ours and goes, needs no proof.
        logins={
            claim.object_name: claim.wanted.known_digest
            for claim in owners
            if isinstance(claim.wanted, WantedUser) and _must_know_password(claim)
        },
        descriptions=any(_is_described(claim) for claim in owners),
        groups=groups or any(_may_name_groups(claim) for claim in owners),
        holders=groups,
        may_be_old=work.may_be_old,
    )


def _is_described(claim: Claim) -> bool:
    wanted = claim.wanted
    return isinstance(wanted, WantedUser | WantedRole) and wanted.description is not None


def _must_know_password(claim: Claim) -> bool:
    if claim.expired or not claim.is_permitted:
        return False
    if claim.deleting:
        return not claim.is_ours and claim.may_adopt
    return claim.is_ours or (claim.adoption is not Adoption.NEVER and claim.may_adopt)


def _may_name_groups(claim: Claim) -> bool:
    if not isinstance(claim.wanted, WantedRole):
        return False
    return any(privileges.find(name) is None for row in claim.wanted.rows for name in row.privileges)
