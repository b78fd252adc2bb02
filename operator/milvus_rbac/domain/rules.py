"""The rules for single changes: each looks at one change and says why it must not be made, or nothing."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from milvus_rbac.domain import catalogue
from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateUser,
    DropGroup,
    GrantPrivilege,
    RecreateUser,
    ReplacePrivileges,
    UpdatePassword,
)
from milvus_rbac.domain.claims import Claim, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.lower import PasswordUpdate, Terms
from milvus_rbac.domain.state import State


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules may look at."""

    claim: Claim
    observed: State
    terms: Terms
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
    if not isinstance(change, GrantPrivilege) or catalogue.find(change.grant.privilege) is not None:
        return None
    name, words = change.grant.privilege, facts.terms.words
    if name in facts.filled or (name in words.levels and name not in words.claimed):
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
    _role_is_permitted,  # and outside the connection's namespace, for its being theirs
    _group_is_filled,  # a grant waits for its group
    group_is_free,  # no gap in what others hold
    _password_in_place,  # passwordUpdate: InPlace never drops
    _nobody_undoes_it,  # stop quarrelling
)
