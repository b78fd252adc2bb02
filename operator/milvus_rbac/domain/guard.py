"""Withhold what must not be done, each time with the reason. A guard takes changes away; it never adds one."""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    GrantPrivilege,
    RecreateUser,
    UnbindRole,
    UpdatePassword,
    takes,
)
from milvus_rbac.domain.claims import Adoption, Claim, Kind, Origin, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.diff import Proposal
from milvus_rbac.domain.lower import PasswordUpdate, Terms
from milvus_rbac.domain.state import PasswordVerdict, State


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """What will be done for one claim, and what will not."""

    claim: Claim
    changes: tuple[Change, ...] = ()
    withheld: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    origin: Origin | None = None
    """How the object is ours once the changes are done; None: it is not."""
    left_behind: bool = False
    """The resource goes and its object stays in Milvus."""

    @property
    def creates(self) -> bool:
        """Whether an intent must be written before the first change."""
        return any(isinstance(change, CreateRole | CreateUser) for change in self.changes)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules may look at."""

    claim: Claim
    observed: State
    terms: Terms
    contested: frozenset[tuple[str, Change]]
    roles: AbstractSet[str]
    """The roles that are there when it comes to bindings."""


def guard(
    proposals: Sequence[Proposal],
    observed: State,
    terms: Terms,
    contested: frozenset[tuple[str, Change]] = frozenset(),
) -> tuple[ClaimPlan, ...]:
    """Keep what the rules allow. `contested` holds (claim uid, change) pairs that somebody else keeps undoing."""
    # Roles first: whether a user's binding can be made depends on which roles this round creates.
    in_order = sorted(proposals, key=lambda proposal: proposal.desired.claim.ref.kind is Kind.USER)
    roles = set(observed.roles)
    plans = []
    for proposal in in_order:
        plan = _guard_claim(proposal, Facts(proposal.desired.claim, observed, terms, contested, roles))
        coming = plan.withheld if terms.observe_only else plan.changes
        roles.update(change.role for change in coming if isinstance(change, CreateRole))
        plans.append(plan)
    return tuple(plans)


def _guard_claim(proposal: Proposal, facts: Facts) -> ClaimPlan:
    claim, desired = facts.claim, proposal.desired
    exists = _exists(claim, facts.observed)
    if claim.deleting:
        return _guard_deletion(proposal, facts, exists)
    if desired.state is None:
        return ClaimPlan(claim, (), (), desired.refusals, claim.origin)
    # Withheld while observing is what would be done: nothing of these.
    halted = () if facts.terms.observe_only else proposal.changes
    if claim.suspended:
        return ClaimPlan(claim, (), halted, (*desired.refusals, SUSPENDED), claim.origin)
    conflict = _adoption_refusal(proposal, facts) if exists and not claim.is_ours else None
    if conflict is not None:
        return ClaimPlan(claim, (), halted, (*desired.refusals, conflict))
    kept, withheld, refusals = _sift(proposal.changes, facts)
    said = (*desired.refusals, *refusals)
    if facts.terms.observe_only:
        # To observe what is as it should be is to be ready; nothing becomes ours by being looked at.
        return ClaimPlan(claim, (), kept, (*said, OBSERVED) if kept else said, claim.origin)
    plan = ClaimPlan(claim, kept, withheld, said)
    return replace(plan, origin=_origin(plan, exists))


def _guard_deletion(proposal: Proposal, facts: Facts, exists: bool) -> ClaimPlan:
    claim = facts.claim
    if proposal.desired.refusals or claim.retain or claim.suspended or facts.terms.observe_only:
        return ClaimPlan(claim, left_behind=exists and claim.is_ours)
    if not exists or claim.may_drop or _is_proven(facts):
        return ClaimPlan(claim, proposal.changes)
    return ClaimPlan(claim, left_behind=True)


def _is_proven(facts: Facts) -> bool:
    """Tell whether an object without claim and intent is ours all the same: its password is the Secret's.

    The status of the resource was lost. Without a finalizer nothing was ever written, and nobody asks.
    """
    user = facts.observed.users.get(facts.claim.object_name) if facts.claim.ref.kind is Kind.USER else None
    proven = user is not None and user.password is PasswordVerdict.IN_FORCE
    return proven and not facts.claim.is_ours


SUSPENDED = Refusal(Reason.SUSPENDED, "The resource is suspended: set spec.suspend to false to go on.")
OBSERVED = Refusal(
    Reason.OBSERVED,
    "The MilvusConnection only observes (mode: Observe); status.plan says what would be done.",
)


def _exists(claim: Claim, observed: State) -> bool:
    held = observed.users if claim.ref.kind is Kind.USER else observed.roles
    return claim.object_name in held


def _origin(plan: ClaimPlan, exists: bool) -> Origin | None:
    if plan.creates or (exists and plan.claim.intended and plan.claim.origin is None):
        return Origin.CREATED
    if exists and plan.claim.origin is None:
        return Origin.ADOPTED
    return plan.claim.origin


def _adoption_refusal(proposal: Proposal, facts: Facts) -> Refusal | None:
    """Say why an object that was there before may not be taken over."""
    claim = facts.claim
    noun = "user" if claim.ref.kind is Kind.USER else "role"
    there = f"The {noun} {claim.object_name} exists in Milvus and was not made by this resource"
    if not facts.terms.authorization:
        message = f"{there}; with authorization off nothing can be taken over: turn common.security.authorizationEnabled on."
        return Refusal(Reason.CONFLICT, message)
    if claim.adoption is Adoption.ALWAYS:
        return None
    if claim.adoption is Adoption.NEVER:
        return Refusal(
            Reason.CONFLICT, f"{there} (adoption: Never): choose another name, or drop it by hand."
        )
    lost = [change for change in proposal.changes if takes(change)]
    user = facts.observed.users.get(claim.object_name) if claim.ref.kind is Kind.USER else None
    if not lost and (user is None or user.password is PasswordVerdict.IN_FORCE):
        return None
    about_password = any(isinstance(change, UpdatePassword | RecreateUser) for change in lost)
    what = "the password" if about_password or not lost else "the grants or roles"
    message = (
        f"{there}; taking it over would change {what} it has: set spec.adoption to Always if that is meant."
    )
    return Refusal(Reason.CONFLICT, message)


Rule = Callable[[Change, Facts], Refusal | None]


def _sift(
    changes: Iterable[Change], facts: Facts
) -> tuple[tuple[Change, ...], tuple[Change, ...], tuple[Refusal, ...]]:
    kept: list[Change] = []
    withheld: list[Change] = []
    refusals: list[Refusal] = []
    for change in changes:
        refusal = next((found for rule in RULES if (found := rule(change, facts))), None)
        if refusal is not None:
            withheld.append(change)
            refusals.append(refusal)
        elif _needs(change, withheld):
            withheld.append(change)
        else:
            kept.append(change)
    # Who is created again has none of its former roles: nothing is left to unbind.
    created_again = {change.user for change in kept if isinstance(change, RecreateUser)}
    kept = [one for one in kept if not (isinstance(one, UnbindRole) and one.user in created_again)]
    return tuple(kept), tuple(withheld), tuple(dict.fromkeys(refusals))


def _needs(change: Change, withheld: Iterable[Change]) -> bool:
    """Tell whether a change makes no sense without one that was withheld, or is part of one that was not."""
    match change:
        case BindRole(user):
            return CreateUser(user) in withheld
        case GrantPrivilege(role):
            return CreateRole(role) in withheld
        case _:
            return False


def _password_at_hand(change: Change, facts: Facts) -> Refusal | None:
    if isinstance(change, CreateUser | UpdatePassword | RecreateUser) and isinstance(
        facts.claim.wanted, WantedUser
    ):
        # Said already, by the claim itself: it is a fact about the Secret.
        return facts.claim.wanted.password_refusal
    return None


def _role_is_there(change: Change, facts: Facts) -> Refusal | None:
    if isinstance(change, BindRole) and change.role not in facts.roles:
        message = f"spec.roles: Milvus has no role {change.role} yet; it is bound as soon as there is one."
        return Refusal(Reason.WAITING_FOR_ROLE, message)
    return None


def _password_in_place(change: Change, facts: Facts) -> Refusal | None:
    if isinstance(change, RecreateUser) and facts.terms.password_update is PasswordUpdate.IN_PLACE:
        return Refusal(
            Reason.OLD_PASSWORD_UNKNOWN,
            f"The password of {change.user} is neither the Secret's nor one known to be in force before. Add the old one "
            "to the Secret as previous-password, or list the operator's account in common.security.superUsers, or set "
            "passwordUpdate: Auto on the MilvusConnection to let the user be dropped and created again.",
        )
    return None


def _nobody_undoes_it(change: Change, facts: Facts) -> Refusal | None:
    if (facts.claim.ref.uid, change) in facts.contested:
        return Refusal(
            Reason.CONTESTED,
            "Somebody keeps undoing what this resource asks for (another operator, cluster or script); it is left alone "
            "for now. Find who writes to this Milvus, then set the annotation rbac.milvus.io/reconcile-at.",
        )
    return None


RULES: tuple[Rule, ...] = (
    _password_at_hand,  # no password, no user
    _role_is_there,  # a binding waits for its role
    _password_in_place,  # passwordUpdate: InPlace never drops
    _nobody_undoes_it,  # stop quarrelling
)
