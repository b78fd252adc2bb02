"""What a group that shrinks leaves in the proxies: from whom it is taken, and what a role is given again with that.

Only when everything else of a round is decided is it known what a role will have by itself; so this comes last.
"""

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
    """Clear the proxies for roles that are ours only, and say what each is given again: the revoke takes that as well."""
    every = (change for plan in plans for change in (*plan.changes, *plan.withheld))
    cleared = {change.role for change in every if isinstance(change, ClearProxies)}
    if not cleared:
        return tuple(plans)
    of_roles = [plan for plan in plans if plan.claim.ref.kind is Kind.ROLE]
    ours = our_roles | {plan.claim.object_name for plan in of_roles if plan.origin is not None}
    kept = {role: _kept(role, of_roles, observed) for role in cleared & ours}
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
            # A leader brings its companions along.
            own = kept[change.role]
            again = {change.grant} & own or companions({change.grant}) & own
            yield replace(change, give_again=frozenset(again))


def _kept(role: str, plans: Iterable[ClaimPlan], observed: State) -> AbstractSet[Grant]:
    """Say what a role has by itself once everything else is done."""
    kept = set((observed.roles[role].grants or ()) if role in observed.roles else ())
    for plan in plans:
        for change in plan.changes if plan.claim.object_name == role else ():
            match change:
                case GrantPrivilege(_, grant):
                    kept.add(grant)
                case RevokePrivilege(_, grant, give_again):
                    kept.discard(grant)
                    kept |= give_again
                case _:
                    pass
    return kept
