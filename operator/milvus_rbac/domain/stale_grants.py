"""How the proxies are cleared of what a group has lost: for which roles, and what those are granted again.

The revoke that clears a privilege also takes the role's own grant of it. What a role will have of its own is known only when
everything else of a turn is decided, so this comes last.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from milvus_rbac.domain.changes import Change, ClearProxies, GrantPrivilege, RevokePrivilege
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.privileges import companions
from milvus_rbac.domain.state import Grant, State


def settle_clearings(
    plans: Sequence[ClaimPlan], observed: State, our_roles: AbstractSet[str]
) -> tuple[ClaimPlan, ...]:
    """Return the plans with the proxies cleared only for roles that are ours, and with what each of those is granted again."""
    every = (change for plan in plans for change in (*plan.changes, *plan.withheld))
    cleared = {change.role for change in every if isinstance(change, ClearProxies)}
    if not cleared:
        return tuple(plans)
    of_roles = [plan for plan in plans if plan.claim.ref.kind is Kind.ROLE]
    ours = our_roles | {plan.claim.object_name for plan in of_roles if plan.origin is not None}
    changes: defaultdict[str, list[Change]] = defaultdict(list)
    for plan in of_roles:
        changes[plan.claim.object_name] += plan.changes
    kept = {role: _kept(role, changes[role], observed) for role in cleared & ours}
    return tuple(
        replace(
            plan,
            changes=tuple(_settled(plan.changes, kept)),
            withheld=tuple(_settled(plan.withheld, kept)),
        )
        for plan in plans
    )


def _settled(changes: Iterable[Change], kept: Mapping[str, AbstractSet[Grant]]) -> Iterable[Change]:
    for change in changes:
        if not isinstance(change, ClearProxies):
            yield change
        elif change.role in kept:
            # Granting a leader grants its companions, too.
            own = kept[change.role]
            again = {change.grant} & own or companions({change.grant}) & own
            yield replace(change, give_again=frozenset(again))


def _kept(role: str, changes: Iterable[Change], observed: State) -> AbstractSet[Grant]:
    """Return the grants that a role has of its own once everything else is done."""
    kept = set((observed.roles[role].grants or ()) if role in observed.roles else ())
    for change in changes:
        match change:
            case GrantPrivilege(_, grant):
                kept.add(grant)
            case RevokePrivilege(_, grant, give_again):
                kept.discard(grant)
                kept |= give_again
            case _:
                pass
    return kept
