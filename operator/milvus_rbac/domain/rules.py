"""Which single changes are withheld, and why. Each rule takes one change and what it may look at."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from milvus_rbac.domain import privileges
from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DropGroup,
    GrantPrivilege,
    RecreateUser,
    ReplacePrivileges,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
)
from milvus_rbac.domain.claims import Claim, Kind, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import PasswordUpdate, ServerFacts, is_delegated, may_hold
from milvus_rbac.domain.headcount import Headcount
from milvus_rbac.domain.state import State


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules for one claim may look at."""

    claim: Claim
    observed: State
    server: ServerFacts
    contested: frozenset[tuple[str, Change]]
    roles: AbstractSet[str]
    """The roles that exist by the time roles are bound."""
    filled: AbstractSet[str]
    """The privilege groups that exist and hold something by the time grants are made."""
    holders: Mapping[str, AbstractSet[str]]
    """The roles that still hold a privilege group by the time groups are dropped; of groups that a plan drops or empties."""
    owned_roles: AbstractSet[tuple[str, str]]
    """(namespace, role) of the roles that resources own by the time roles are bound."""
    headcount: Headcount


def may_keep(change: Change, facts: Facts) -> bool:
    """Return whether the namespace may keep what a change would take from it."""
    permit, server = facts.claim.permit, facts.server
    match change:
        case _ if permit is None:
            return True
        case RevokePrivilege(_, grant):
            known_privileges = replace(server.known_privileges, groups=facts.observed.groups)
            return may_hold(
                permit, grant, known_privileges, databases_are_boundaries=server.databases_are_boundaries
            )
        case UnbindRole(_, role):
            is_own = (facts.claim.ref.namespace, role) in facts.owned_roles
            return facts.claim.is_permitted and (is_delegated(permit, role, facts.observed) or is_own)
        case _:
            return True


def _password_is_available(change: Change, facts: Facts) -> Refusal | None:
    if isinstance(change, CreateUser | UpdatePassword | RecreateUser) and isinstance(
        facts.claim.wanted, WantedUser
    ):
        return facts.claim.wanted.password_refusal
    return None


def _there_is_room(change: Change, facts: Facts) -> Refusal | None:
    """Refuse to create more under the names of an entry than it lets there be."""
    permit = facts.claim.permit
    if not isinstance(change, CreateUser | CreateRole) or permit is None or permit.limit is None:
        return None
    kind = facts.claim.ref.kind
    if facts.headcount.under(kind, permit.patterns) < permit.limit:
        return None
    field = "maxUsers" if kind is Kind.USER else "maxRoles"
    message = (
        f"The delegation has {field}: {permit.limit}, and Milvus has as many {kind.noun}s under its names: delete one, or ask the "
        "owner of the MilvusConnection."
    )
    return Refusal(Reason.LIMIT_REACHED, message)


def _role_is_there(change: Change, facts: Facts) -> Refusal | None:
    if isinstance(change, BindRole) and change.role not in facts.roles:
        wanted = facts.claim.wanted
        meant = wanted.meant_roles.get(change.role) if isinstance(wanted, WantedUser) else None
        if meant:
            message = f"spec.roles: the MilvusRole {change.role} has the roleName {meant}: write that."
            return Refusal(Reason.WAITING_FOR_ROLE, message)
        before, after = (
            "spec.roles: not in Milvus yet: ",
            ". Create the role, or correct its name; it is bound as soon as it is there.",
        )
        return Refusal.naming(Reason.WAITING_FOR_ROLE, before, change.role, after)
    return None


def _role_is_permitted(change: Change, facts: Facts) -> Refusal | None:
    """Refuse a role that the namespace claims and does not own: it may exist already and belong to another owner."""
    claim = facts.claim
    if not isinstance(change, BindRole) or claim.permit is None or change.role in claim.permit.roles:
        return None
    if (claim.ref.namespace, change.role) in facts.owned_roles:
        return None
    before = "spec.roles: no MilvusRole of this namespace owns "
    after = " yet. It is bound as soon as one does."
    return Refusal.naming(Reason.WAITING_FOR_ROLE, before, change.role, after)


def _group_is_filled(change: Change, facts: Facts) -> Refusal | None:
    if not isinstance(change, GrantPrivilege) or privileges.find(change.grant.privilege) is not None:
        return None
    name, known_privileges = change.grant.privilege, facts.server.known_privileges
    if name in facts.filled or (name in known_privileges.levels and name not in known_privileges.claimed):
        return None
    after = " is not in Milvus yet; it is granted as soon as it exists and holds privileges."
    return Refusal.naming(
        Reason.WAITING_FOR_PRIVILEGE_GROUP, "spec.grants: the privilege group ", name, after
    )


def group_is_free(change: Change, facts: Facts) -> Refusal | None:
    """Refuse to drop a group that roles hold, or to change its level: their users would lose access in between."""
    if not isinstance(change, DropGroup | ReplacePrivileges) or not facts.holders.get(change.group):
        return None
    roles = ", ".join(sorted(facts.holders[change.group]))
    problem = (
        "spec.privileges: the new privileges are of another level than those in the group"
        if isinstance(change, ReplacePrivileges)
        else "Milvus does not drop a privilege group that a role holds"
    )
    return Refusal(
        Reason.IN_USE,
        f"{problem}, and these roles hold {change.group}: {roles}. Take it out of their grants first.",
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


def _is_not_contested(change: Change, facts: Facts) -> Refusal | None:
    if facts.contested and (facts.claim.ref.uid, change) in facts.contested:
        return Refusal(
            Reason.CONTESTED,
            "Another client (an operator, a cluster or a script) keeps undoing what this resource asks for, so the operator "
            "has stopped for now. Find what else writes to this Milvus, then set the annotation rbac.milvus.io/reconcile-at.",
        )
    return None


Rule = Callable[[Change, Facts], Refusal | None]

RULES: tuple[Rule, ...] = (
    _there_is_room,  # an entry may limit how many there are
    _password_is_available,  # a user needs a password
    _role_is_there,  # a binding waits for its role
    _role_is_permitted,  # and in other namespaces until the role is theirs
    _group_is_filled,  # a grant waits for its group
    group_is_free,  # no gap in what users have
    _password_in_place,  # passwordUpdate: InPlace never drops a user
    _is_not_contested,  # not again and again against another client
)
