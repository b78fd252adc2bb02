"""Withhold what must not be done, each time with the reason. A guard takes changes away; it never adds one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from types import MappingProxyType

from milvus_rbac.domain import privileges
from milvus_rbac.domain.changes import (
    AddPrivileges,
    BindRole,
    Change,
    ClearProxies,
    CreateGroup,
    CreateRole,
    CreateUser,
    DescribeRole,
    DescribeUser,
    DropGroup,
    DropRole,
    GrantPrivilege,
    RecreateUser,
    RemovePrivileges,
    ReplacePrivileges,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
    takes,
)
from milvus_rbac.domain.claims import Adoption, Claim, Kind, Origin, WantedUser, stale_of
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import PasswordUpdate, ServerFacts, may_hold
from milvus_rbac.domain.diff import Proposal
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.scopes import unreadable
from milvus_rbac.domain.stale_grants import settle_clearings
from milvus_rbac.domain.state import PasswordVerdict, State


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules may look at."""

    claim: Claim
    observed: State
    server: ServerFacts
    contested: frozenset[tuple[str, Change]]
    roles: AbstractSet[str]
    """The roles that are there when it comes to bindings."""
    filled: AbstractSet[str]
    """The privilege groups that are there with something in them when it comes to grants."""
    holders: Mapping[str, AbstractSet[str]]
    """Privilege group to the roles that hold it when it comes to drops."""
    owned_roles: AbstractSet[tuple[str, str]]
    """(namespace, role) of the roles that resources own when it comes to bindings."""


Rule = Callable[[Change, Facts], Refusal | None]


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


def _role_is_permitted(change: Change, facts: Facts) -> Refusal | None:
    """A role that its namespace only claims may be one that it does not get: somebody's, which exists already."""
    claim = facts.claim
    if not isinstance(change, BindRole) or claim.permit is None or change.role in claim.permit.roles:
        return None
    if (claim.ref.namespace, change.role) in facts.owned_roles:
        return None
    message = f"spec.roles: no MilvusRole of this namespace owns {change.role} yet; it is bound as soon as one does."
    return Refusal(Reason.WAITING_FOR_ROLE, message)


def _group_is_filled(change: Change, facts: Facts) -> Refusal | None:
    if not isinstance(change, GrantPrivilege) or privileges.find(change.grant.privilege) is not None:
        return None
    name, known_privileges = change.grant.privilege, facts.server.known_privileges
    if name in facts.filled or (name in known_privileges.levels and name not in known_privileges.claimed):
        return None
    message = f"spec.grants: the privilege group {name} is not in Milvus yet; it is granted as soon as it is there and filled."
    return Refusal(Reason.WAITING_FOR_PRIVILEGE_GROUP, message)


def group_is_free(change: Change, facts: Facts) -> Refusal | None:
    """Say who holds a group that would be dropped, or whose level would change: there would be a gap in what they hold."""
    if not isinstance(change, DropGroup | ReplacePrivileges) or not facts.holders.get(change.group):
        return None
    roles = ", ".join(sorted(facts.holders[change.group]))
    advice = (
        "spec.privileges: the new privileges are of another level than those in the group"
        if isinstance(change, ReplacePrivileges)
        else "Milvus drops no privilege group that is held"
    )
    return Refusal(
        Reason.IN_USE,
        f"{advice}, and these roles hold {change.group}: {roles}. Take it out of their grants first.",
    )


def _password_in_place(change: Change, facts: Facts) -> Refusal | None:
    if isinstance(change, RecreateUser) and facts.server.password_update is PasswordUpdate.IN_PLACE:
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
    _role_is_permitted,  # and outside the connection's namespace, for its being theirs
    _group_is_filled,  # a grant waits for its group
    group_is_free,  # no gap in what others hold
    _password_in_place,  # passwordUpdate: InPlace never drops
    _nobody_undoes_it,  # stop quarrelling
)


def guard(
    proposals: Sequence[Proposal],
    observed: State,
    server: ServerFacts,
    contested: frozenset[tuple[str, Change]] = frozenset(),
    role_owners: Mapping[str, Claim] = MappingProxyType({}),
) -> tuple[ClaimPlan, ...]:
    """Keep what the rules allow.

    Args:
        proposals: what would make the server agree with each claim.
        observed: what the server holds.
        server: what is known about the server and agreed with its owner.
        contested: (claim uid, change) pairs that somebody else keeps undoing.
        role_owners: by role, the claim that owns it, of this round or not: what a group loses is taken from roles of ours
            only, and users of other namespaces hold their own.
    """
    roles = set(observed.roles)
    filled = {group for group, held in observed.groups.items() if held}
    holders = _holders(observed)
    owned_roles = {
        (one.ref.namespace, role) for role, one in role_owners.items() if one.is_ours and one.is_permitted
    }
    plans = []
    for proposal in sorted(proposals, key=_turn):
        facts = Facts(
            proposal.desired.claim, observed, server, contested, roles, filled, holders, owned_roles
        )
        plan = _guard_claim(proposal, facts)
        coming = plan.withheld if server.observe_only else plan.changes
        roles.update(change.role for change in coming if isinstance(change, CreateRole))
        filled.update(change.group for change in coming if isinstance(change, AddPrivileges))
        _let_go(holders, coming)
        if plan.claim.ref.kind is Kind.ROLE and plan.origin is not None and plan.claim.is_permitted:
            owned_roles.add((plan.claim.ref.namespace, plan.claim.object_name))
        plans.append(plan)
    our_roles = {role for role, one in role_owners.items() if one.is_ours}
    return settle_clearings(plans, observed, our_roles)


def _turn(proposal: Proposal) -> int:
    """Groups before the roles that hold them, roles before their users, and groups go when their holders have let go."""
    claim = proposal.desired.claim
    match claim.ref.kind:
        case Kind.GROUP:
            return 3 if claim.deleting else 0
        case Kind.ROLE:
            return 1
        case Kind.USER:
            return 2


def _holders(observed: State) -> dict[str, set[str]]:
    holders: dict[str, set[str]] = {group: set() for group in observed.groups}
    for name, role in observed.roles.items():
        for grant in role.grants or ():
            if grant.privilege in holders:
                holders[grant.privilege].add(name)
    return holders


def _let_go(holders: Mapping[str, set[str]], changes: Iterable[Change]) -> None:
    """Forget the holders that a plan takes a group from: at every place, for the plan brings the role to what is wanted."""
    for change in changes:
        match change:
            case RevokePrivilege(role, grant) if grant.privilege in holders:
                holders[grant.privilege].discard(role)
            case DropRole(role):
                for held_by in holders.values():
                    held_by.discard(role)
            case _:
                pass
    for change in changes:
        if isinstance(change, GrantPrivilege) and change.grant.privilege in holders:
            holders[change.grant.privilege].add(change.role)


def _guard_claim(proposal: Proposal, facts: Facts) -> ClaimPlan:
    claim, desired = facts.claim, proposal.desired
    is_there = exists(claim, facts.observed)
    if claim.ref.kind is Kind.GROUP and facts.observed.groups_unreadable:
        return _guard_unreadable(proposal, facts)
    if claim.deleting:
        return _guard_deletion(proposal, facts, is_there)
    if desired.state is None:
        is_over = claim.expired and not desired.refusals
        return (
            _guard_expiry(proposal, facts)
            if is_over
            else ClaimPlan(claim, (), (), desired.refusals, claim.origin, stale=stale_of(claim))
        )
    # Withheld while observing is what would be done: nothing of these.
    halted = () if facts.server.observe_only else proposal.changes
    if claim.suspended:
        return _guard_suspended(proposal, halted, facts)
    conflict = _adoption_refusal(proposal, facts) if is_there and not claim.is_ours else None
    if conflict is not None:
        return ClaimPlan(claim, (), halted, (*desired.refusals, conflict), stale=stale_of(claim))
    return _guard_changes(proposal, facts, is_there)


def _guard_suspended(proposal: Proposal, halted: tuple[Change, ...], facts: Facts) -> ClaimPlan:
    """Leave a claim alone; but nobody keeps by a pause what its namespace may not have any more."""
    claim, said = proposal.desired.claim, (*proposal.desired.refusals, SUSPENDED)
    taken = tuple(change for change in halted if claim.is_ours and not _may_keep(change, facts))
    rest = tuple(change for change in halted if change not in taken)
    return ClaimPlan(claim, taken, rest, said, claim.origin, stale=stale_of(claim))


def _may_keep(change: Change, facts: Facts) -> bool:
    """Tell whether what a change would take is permitted all the same."""
    given, server = facts.claim.permit, facts.server
    match change:
        case _ if given is None:
            return True
        case RevokePrivilege(_, grant):
            known_privileges = replace(server.known_privileges, groups=facts.observed.groups)
            return may_hold(
                given, grant, known_privileges, databases_are_boundaries=server.databases_are_boundaries
            )
        case UnbindRole(_, role):
            is_own = (facts.claim.ref.namespace, role) in facts.owned_roles
            return facts.claim.is_permitted and (role in given.roles or is_own)
        case _:
            return True


def _guard_changes(proposal: Proposal, facts: Facts, is_there: bool) -> ClaimPlan:
    claim = facts.claim
    kept, withheld, refusals = _sift(proposal.changes, facts)
    said = (*proposal.desired.refusals, *refusals)
    if facts.server.observe_only:
        # To observe what is as it should be is to be ready; nothing becomes ours by being looked at.
        said = (*said, OBSERVED) if kept else said
        return ClaimPlan(claim, (), kept, said, claim.origin, stale=stale_of(claim))
    plan = ClaimPlan(claim, kept, withheld, said, stale=proposal.stale)
    return replace(plan, origin=_origin(plan, is_there))


def _guard_deletion(proposal: Proposal, facts: Facts, is_there: bool) -> ClaimPlan:
    claim = facts.claim
    if claim.heir or (proposal.desired.refusals and not claim.retain):
        return ClaimPlan(claim)  # another resource has it
    if claim.retain or (claim.suspended and claim.is_permitted) or facts.server.observe_only:
        halted = () if facts.server.observe_only or not claim.is_ours else proposal.changes
        taken = tuple(change for change in halted if not _may_keep(change, facts))
        return ClaimPlan(claim, taken, left_behind=is_there and claim.is_ours)
    if not is_there or claim.may_drop or _is_proven(facts):
        in_use = next((found for change in proposal.changes if (found := group_is_free(change, facts))), None)
        if in_use is not None:
            return ClaimPlan(claim, (), proposal.changes, (in_use,))
        return ClaimPlan(claim, proposal.changes, stale=proposal.stale)
    return ClaimPlan(claim, left_behind=True)


def _guard_unreadable(proposal: Proposal, facts: Facts) -> ClaimPlan:
    """Leave a group alone of which nobody knows whether it is there; if its resource goes, that waits."""
    claim, refusals = facts.claim, proposal.desired.refusals
    if not claim.deleting:
        return ClaimPlan(claim, (), (), refusals, claim.origin, stale=stale_of(claim))
    keeps = refusals or claim.retain or claim.suspended or facts.server.observe_only
    if keeps or not claim.may_drop:
        return ClaimPlan(claim, left_behind=claim.is_ours)
    return ClaimPlan(claim, (), (DropGroup(claim.object_name),), (unreadable("spec.groupName"),))


def _guard_expiry(proposal: Proposal, facts: Facts) -> ClaimPlan:
    """Drop what is ours, however it came to be: who sets a time wants the user gone at that time."""
    claim = facts.claim
    if not claim.is_ours:
        return ClaimPlan(claim, refusals=(EXPIRED,))
    if claim.suspended:
        return ClaimPlan(claim, (), proposal.changes, (SUSPENDED,), claim.origin)
    if facts.server.observe_only:
        said = (EXPIRED, OBSERVED) if proposal.changes else (EXPIRED,)
        return ClaimPlan(claim, (), proposal.changes, said, claim.origin)
    return ClaimPlan(claim, proposal.changes, (), (EXPIRED,), claim.origin)


def _is_proven(facts: Facts) -> bool:
    """Tell whether an object without claim and intent is ours all the same: its password is the Secret's.

    The status of the resource was lost. Without a finalizer nothing was ever written, and nobody asks.
    """
    user = facts.observed.users.get(facts.claim.object_name) if facts.claim.ref.kind is Kind.USER else None
    proven = user is not None and user.password is PasswordVerdict.IN_FORCE
    return proven and not facts.claim.is_ours and facts.claim.may_adopt


SUSPENDED = Refusal(Reason.SUSPENDED, "The resource is suspended: set spec.suspend to false to go on.")
EXPIRED = Refusal(
    Reason.EXPIRED, "spec.expiresAt is over, so the user is not in Milvus: set a later time to bring it back."
)
OBSERVED = Refusal(
    Reason.OBSERVED,
    "The MilvusConnection only observes (mode: Observe); status.plan says what would be done.",
)


def exists(claim: Claim, observed: State) -> bool:
    """Tell whether what is claimed is in Milvus, whoever made it."""
    match claim.ref.kind:
        case Kind.USER:
            return claim.object_name in observed.users
        case Kind.ROLE:
            return claim.object_name in observed.roles
        case Kind.GROUP:
            return claim.object_name in observed.groups


def _origin(plan: ClaimPlan, is_there: bool) -> Origin | None:
    if plan.creates or (is_there and plan.claim.intended and plan.claim.origin is None):
        return Origin.CREATED
    if is_there and plan.claim.origin is None:
        return Origin.ADOPTED
    return plan.claim.origin


def _adoption_refusal(proposal: Proposal, facts: Facts) -> Refusal | None:
    """Say why an object that was there before may not be taken over."""
    claim = facts.claim
    there = (
        f"The {claim.ref.kind.noun} {claim.object_name} exists in Milvus and was not made by this resource"
    )
    if not facts.server.authorization:
        message = f"{there}; with authorization off nothing can be taken over: turn common.security.authorizationEnabled on."
        return Refusal(Reason.CONFLICT, message)
    if not claim.may_adopt:
        message = f"{there}; the delegation does not let this namespace take over what exists (mayAdopt): choose another name."
        return Refusal(Reason.CONFLICT, message)
    if claim.adoption is Adoption.ALWAYS:
        return None
    if claim.adoption is Adoption.NEVER:
        return Refusal(
            Reason.CONFLICT, f"{there} (adoption: Never): choose another name, or drop it by hand."
        )
    # Whoever holds a group gains and loses with it, so only one that is equal is taken over.
    is_group = claim.ref.kind is Kind.GROUP
    lost = [change for change in proposal.changes if is_group or takes(change)]
    user = facts.observed.users.get(claim.object_name) if claim.ref.kind is Kind.USER else None
    if not lost and (user is None or user.password is PasswordVerdict.IN_FORCE):
        return None
    about_password = any(isinstance(change, UpdatePassword | RecreateUser) for change in lost)
    what = "the password" if about_password or not lost else _HOLDINGS[claim.ref.kind]
    message = (
        f"{there}; taking it over would change {what} it has: set spec.adoption to Always if that is meant."
    )
    return Refusal(Reason.CONFLICT, message)


_HOLDINGS = {Kind.USER: "the roles", Kind.ROLE: "the grants", Kind.GROUP: "the privileges"}


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
        case BindRole(user) | DescribeUser(user):
            return CreateUser(user) in withheld
        case GrantPrivilege(role) | DescribeRole(role):
            return CreateRole(role) in withheld
        case AddPrivileges(group):
            return CreateGroup(group) in withheld
        case ClearProxies():
            # Cleared before the group has lost it, a right is taken that the group still gives.
            return any(isinstance(one, RemovePrivileges) for one in withheld)
        case _:
            return False
