"""What is withheld, and why: a guard takes changes away from a plan and never adds one.

Each claim is decided as a whole here (a deletion, an expiry, a pause, an adoption); single changes are rules.py's.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from types import MappingProxyType

from milvus_rbac.domain.adoption import Candidate, exists, is_proven, origin_after, refuse_adoption
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
)
from milvus_rbac.domain.claims import Claim, Kind, stale_of
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import ServerFacts
from milvus_rbac.domain.headcount import Headcount
from milvus_rbac.domain.mistakes import TAKES, find_mistake, firm_changes, kept_until_mended
from milvus_rbac.domain.plan import ClaimPlan, Proposal
from milvus_rbac.domain.privileges import companions
from milvus_rbac.domain.rules import RULES, Facts, group_is_free, may_keep
from milvus_rbac.domain.scopes import unreadable
from milvus_rbac.domain.stale_grants import settle_clearings
from milvus_rbac.domain.state import PUBLIC_ROLE, Grant, Role, State, User


def guard(
    proposals: Sequence[Proposal],
    observed: State,
    server: ServerFacts,
    contested: frozenset[tuple[str, Change]] = frozenset(),
    role_owners: Mapping[str, Claim] = MappingProxyType({}),
) -> tuple[ClaimPlan, ...]:
    """Return a plan for each claim: the proposed changes that may be made, and those that may not, with the reasons.

    Args:
        proposals: what would make the server agree with each claim.
        observed: what the server holds.
        server: what is known about the server and agreed with its owner.
        contested: (claim uid, change) pairs that another client keeps undoing.
        role_owners: the owner of each role, whether due in this turn or not. What a group loses is cleared only from roles
            that are ours, and users of other namespaces hold only roles of their own namespace.
    """
    roles = set(observed.roles)
    filled = {group for group, held in observed.groups.items() if held}
    holders = _holders(proposals, observed)
    owned_roles = {
        (owner.ref.namespace, role)
        for role, owner in role_owners.items()
        if owner.is_ours and owner.is_permitted
    }
    headcount = Headcount(set(observed.users), roles)
    plans = []
    for proposal in sorted(proposals, key=_order):
        claim = proposal.desired.claim
        facts = Facts(claim, observed, server, contested, roles, filled, holders, owned_roles, headcount)
        plan = _guard_claim(proposal, facts)
        expected = plan.withheld if server.observe_only else plan.changes
        headcount.note(expected)
        filled.update(change.group for change in expected if isinstance(change, AddPrivileges))
        _update_holders(holders, expected)
        if plan.claim.ref.kind is Kind.ROLE and plan.origin is not None and plan.claim.is_permitted:
            owned_roles.add((plan.claim.ref.namespace, plan.claim.object_name))
        plans.append(plan)
    our_roles = {role for role, owner in role_owners.items() if owner.is_ours}
    return settle_clearings(plans, observed, our_roles)


def _order(proposal: Proposal) -> int:
    """Return when a claim is decided: groups before the roles that hold them, roles before their users, dropped groups last."""
    claim = proposal.desired.claim
    match claim.ref.kind:
        case Kind.GROUP:
            return 3 if claim.deleting else 0
        case Kind.ROLE:
            return 1
        case Kind.USER:
            return 2


def _holders(proposals: Iterable[Proposal], observed: State) -> dict[str, set[str]]:
    """Return which roles hold the groups that would be dropped or emptied. Without such a group no grant is looked at."""
    holders: dict[str, set[str]] = {
        change.group: set()
        for proposal in proposals
        if proposal.desired.claim.ref.kind is Kind.GROUP
        for change in proposal.changes
        if isinstance(change, DropGroup | ReplacePrivileges)
    }
    if holders:
        for name, role in observed.roles.items():
            for grant in role.grants or ():
                if grant.privilege in holders:
                    holders[grant.privilege].add(name)
    return holders


def _update_holders(holders: Mapping[str, set[str]], changes: Iterable[Change]) -> None:
    """Remove roles that give a group up: everywhere, since their plans bring them to what is wanted. Add those that get it."""
    if not holders:
        return
    gained = []
    for change in changes:
        match change:
            case RevokePrivilege(role, grant) if grant.privilege in holders:
                holders[grant.privilege].discard(role)
            case GrantPrivilege(role, grant) if grant.privilege in holders:
                gained.append((grant.privilege, role))
            case DropRole(role):
                for held_by in holders.values():
                    held_by.discard(role)
            case _:
                pass
    for group, role in gained:
        holders[group].add(role)


# --- a claim as a whole

SUSPENDED = Refusal(Reason.SUSPENDED, "The resource is suspended: set spec.suspend to false to go on.")
EXPIRED = Refusal(
    Reason.EXPIRED,
    "spec.expiresAt has passed, so this resource has no user in Milvus: set a later time to bring it back.",
)
OBSERVED = Refusal(
    Reason.OBSERVED,
    "The MilvusConnection only observes (mode: Observe); status.plan lists what mode: Enforce would do.",
)


def _guard_claim(proposal: Proposal, facts: Facts) -> ClaimPlan:
    claim, desired = facts.claim, proposal.desired
    is_there = exists(claim, facts.observed)
    if claim.ref.kind is Kind.GROUP and facts.observed.groups_unreadable:
        return _guard_unreadable(proposal, facts)
    if claim.deleting:
        return _guard_deletion(proposal, facts, is_there)
    if claim.expired and not desired.refusals:
        return _guard_expiry(proposal, facts)
    if desired.state is None:
        return ClaimPlan(claim, (), (), desired.refusals, claim.origin, stale=stale_of(claim))
    return _guard_wanted(proposal, facts, is_there)


def _guard_wanted(proposal: Proposal, facts: Facts, is_there: bool) -> ClaimPlan:
    """Decide a claim whose object should exist."""
    claim = facts.claim
    if claim.suspended:
        # In mode Observe `withheld` becomes status.plan: what would be done, and so nothing for a claim that is halted.
        return _guard_suspended(proposal, () if facts.server.observe_only else proposal.changes, facts)
    conflict = None
    if is_there and not claim.is_ours:
        keeps_password = claim.ref.kind is not Kind.USER or is_proven(facts.observed, claim.object_name)
        conflict = refuse_adoption(
            Candidate(
                proposal.desired,
                proposal.changes,
                facts.server.authorization,
                keeps_password=keeps_password,
                holds_more=_holds_more(facts),
            )
        )
    if conflict is not None:
        refusals = (*proposal.desired.refusals, conflict)
        return ClaimPlan(claim, (), proposal.changes, refusals, stale=stale_of(claim))
    return _guard_changes(proposal, facts)


def _guard_changes(proposal: Proposal, facts: Facts) -> ClaimPlan:
    """Decide each change of a claim that is neither going nor halted."""
    claim = facts.claim
    kept, withheld, refusals = _sift(proposal.changes, facts)
    refusals = (*proposal.desired.refusals, *refusals)
    firm = firm_changes(claim, kept, lambda change: may_keep(change, facts))
    mistake = find_mistake(refusals)
    held_back = [one for one in kept if isinstance(one, TAKES) and one not in firm] if mistake else []
    if mistake and held_back:
        refusals = (*refusals, kept_until_mended(claim, mistake, held_back))
        kept, withheld = _without_taking(kept, held_back), (*withheld, *held_back)
        keeps = frozenset(one.grant for one in held_back if isinstance(one, RevokePrivilege))
        kept = tuple(_giving_again(one, keeps) for one in kept)
        firm = frozenset(_giving_again(one, keeps) for one in firm)
    kept = _without_needless(kept)
    if facts.server.observe_only:
        # Without any difference the claim is Ready; and nothing becomes ours by being observed.
        refusals = (*refusals, OBSERVED) if kept else refusals
        return ClaimPlan(claim, (), kept, refusals, claim.origin, stale=stale_of(claim))
    origin = origin_after(claim, kept, facts.observed)
    # What a group keeps is not to be cleared from the proxies.
    shrinks = not any(isinstance(change, RemovePrivileges) for change in withheld)
    stale = proposal.stale if shrinks else stale_of(claim)
    return ClaimPlan(claim, kept, withheld, refusals, origin, firm=firm, stale=stale)


def _without_taking(changes: Iterable[Change], held_back: Collection[Change]) -> tuple[Change, ...]:
    """Return the changes without those that are held back. A user that is created again gets back the roles that it keeps."""
    roles = frozenset(change.role for change in held_back if isinstance(change, UnbindRole))
    keeps_privileges = any(isinstance(change, RemovePrivileges) for change in held_back)
    left = frozenset(changes) - frozenset(held_back)
    return tuple(
        replace(change, roles=change.roles | roles) if isinstance(change, RecreateUser) else change
        for change in changes
        if change in left and not (keeps_privileges and isinstance(change, ClearProxies))
    )


def _giving_again(change: Change, kept: AbstractSet[Grant]) -> Change:
    """Return a change that gives again the kept companions of what it revokes: the server takes them along."""
    if not isinstance(change, RevokePrivilege):
        return change
    return replace(change, give_again=change.give_again | (companions({change.grant}) & kept))


def _without_needless(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return the changes without needless ones: a user that is created again has no former roles left to unbind."""
    recreated = {change.user for change in changes if isinstance(change, RecreateUser)}
    return tuple(one for one in changes if not (isinstance(one, UnbindRole) and one.user in recreated))


def _guard_suspended(proposal: Proposal, halted: tuple[Change, ...], facts: Facts) -> ClaimPlan:
    """Halt a claim, but take what its namespace may no longer have: suspending a resource does not keep it."""
    claim, refusals = proposal.desired.claim, (*proposal.desired.refusals, SUSPENDED)
    taken: list[Change] = []
    rest: list[Change] = []
    for change in halted:
        (taken if claim.is_ours and not may_keep(change, facts) else rest).append(change)
    return ClaimPlan(claim, tuple(taken), tuple(rest), refusals, claim.origin, stale=stale_of(claim))


def _guard_deletion(proposal: Proposal, facts: Facts, is_there: bool) -> ClaimPlan:
    """Drop what is ours; otherwise leave it, and name it where it was ours."""
    claim = facts.claim
    if claim.heir or (proposal.desired.refusals and not claim.retain):
        return ClaimPlan(claim)  # another resource owns the object
    if claim.retain or facts.server.observe_only:
        halted = () if facts.server.observe_only or not claim.is_ours else proposal.changes
        taken = tuple(change for change in halted if not may_keep(change, facts))
        return ClaimPlan(claim, taken, left_behind=is_there and claim.is_ours)
    if not is_there or claim.may_drop or _is_proven(facts):
        in_use = next((found for change in proposal.changes if (found := group_is_free(change, facts))), None)
        if in_use is not None:
            return ClaimPlan(claim, (), proposal.changes, (in_use,))
        return ClaimPlan(claim, proposal.changes, stale=proposal.stale)
    return ClaimPlan(claim, left_behind=True)


def _guard_unreadable(proposal: Proposal, facts: Facts) -> ClaimPlan:
    """Leave a group alone while the operator can't see whether it exists; a deletion waits until it can."""
    claim, refusals = facts.claim, proposal.desired.refusals
    if not claim.deleting:
        return ClaimPlan(claim, (), (), refusals, claim.origin, stale=stale_of(claim))
    keeps = refusals or claim.retain or facts.server.observe_only
    if keeps or not claim.may_drop:
        return ClaimPlan(claim, left_behind=claim.is_ours)
    return ClaimPlan(claim, (), (DropGroup(claim.object_name),), (unreadable("spec.groupName"),))


def _guard_expiry(proposal: Proposal, facts: Facts) -> ClaimPlan:
    """Drop a user that is ours, adopted or created: with an expiry its owner has asked for it to be gone by then."""
    claim = facts.claim
    if not claim.is_ours:
        return ClaimPlan(claim, refusals=(EXPIRED,))
    if claim.suspended:
        return ClaimPlan(claim, (), proposal.changes, (SUSPENDED,), claim.origin)
    if facts.server.observe_only:
        refusal = OBSERVED if proposal.changes else EXPIRED
        return ClaimPlan(claim, (), proposal.changes, (refusal,), claim.origin)
    return ClaimPlan(claim, proposal.changes, (), (EXPIRED,), claim.origin)


def _is_proven(facts: Facts) -> bool:
    """Return whether a user without claim and intent is ours all the same, because the Secret's password opens it.

    That happens when the status of the resource was lost. A resource without our finalizer never created anything.
    """
    claim = facts.claim
    is_lost = claim.ref.kind is Kind.USER and not claim.is_ours
    return is_lost and is_proven(facts.observed, claim.object_name) and not _holds_more(facts)


def _holds_more(facts: Facts) -> bool:
    """Return whether the object in Milvus has what the namespace of the claim may not have."""
    claim, observed = facts.claim, facts.observed
    if claim.permit is None:
        return False
    name = claim.object_name
    if claim.ref.kind is Kind.USER:
        roles = observed.users.get(name, User()).roles - {PUBLIC_ROLE}
        return not all(may_keep(UnbindRole(name, role), facts) for role in roles)
    grants = observed.roles.get(name, Role()).grants or ()
    return not all(may_keep(RevokePrivilege(name, grant), facts) for grant in grants)


def _sift(
    changes: Iterable[Change], facts: Facts
) -> tuple[tuple[Change, ...], tuple[Change, ...], tuple[Refusal, ...]]:
    """Return the changes that all rules allow, the others, and why those are withheld."""
    kept: list[Change] = []
    withheld: dict[Change, None] = {}
    refusals: list[Refusal] = []
    keeps_privileges = False
    for change in changes:
        refusal = next((found for rule in RULES if (found := rule(change, facts))), None)
        if refusal is not None:
            refusals.append(refusal)
        # Clearing the proxies before the group has shrunk would take a privilege that the group still gives.
        elif not (keeps_privileges and isinstance(change, ClearProxies)) and not (
            withheld and _needed(change) in withheld
        ):
            kept.append(change)
            continue
        withheld[change] = None
        keeps_privileges = keeps_privileges or isinstance(change, RemovePrivileges)
    return tuple(kept), tuple(withheld), tuple(dict.fromkeys(refusals))


def _needed(change: Change) -> Change | None:
    """Return the change without which this one is impossible."""
    match change:
        case BindRole(user) | DescribeUser(user):
            return CreateUser(user)
        case GrantPrivilege(role) | DescribeRole(role):
            return CreateRole(role)
        case AddPrivileges(group):
            return CreateGroup(group)
        case _:
            return None
