"""The verbs: what can be changed in a Milvus, in which order, with which effect, and how a plan words it.

A new verb is a class here; mypy then names every place that must handle it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from itertools import groupby

from milvus_rbac.domain.privileges import companions
from milvus_rbac.domain.state import Grant, PasswordVerdict, Role, State, User


class PasswordMeans(StrEnum):
    """How a password is changed in place."""

    KNOWN_TEXT = "KnownText"
    """With the old password, which was in force before or is the Secret's previous-password."""
    SUPERUSER = "Superuser"
    """Without the old password: the server lists the operator's account in common.security.superUsers, or may do so."""


@dataclass(frozen=True, slots=True)
class CreateGroup:
    """Create a privilege group without privileges."""

    group: str


@dataclass(frozen=True, slots=True)
class AddPrivileges:
    """Add privileges to a group; every role that holds it has them from then on."""

    group: str
    privileges: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReplacePrivileges:
    """Empty a group that no role holds and fill it again at once: a group holds privileges of one level only."""

    group: str
    removed: frozenset[str]
    added: frozenset[str]


@dataclass(frozen=True, slots=True)
class CreateRole:
    """Create a role without grants."""

    role: str


@dataclass(frozen=True, slots=True)
class GrantPrivilege:
    """Grant one privilege to a role."""

    role: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class CreateUser:
    """Create a user with the password of its Secret and no roles."""

    user: str


@dataclass(frozen=True, slots=True)
class UpdatePassword:
    """Change a password in place."""

    user: str
    means: PasswordMeans


@dataclass(frozen=True, slots=True)
class RecreateUser:
    """Drop a user, create it with the Secret's password and bind its roles again, without other changes in between.

    This is the only way to a new password if the old one is not known and the operator's account is no superuser.
    """

    user: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class BindRole:
    """Bind a role to a user."""

    user: str
    role: str


@dataclass(frozen=True, slots=True)
class DescribeUser:
    """Set the description of a user (2.6.19 and later); it changes no access."""

    user: str
    description: str


@dataclass(frozen=True, slots=True)
class DescribeRole:
    """Set the description of a role (2.6.19 and later); it changes no access."""

    role: str
    description: str


@dataclass(frozen=True, slots=True)
class UnbindRole:
    """Unbind a role from a user."""

    user: str
    role: str


@dataclass(frozen=True, slots=True)
class RevokePrivilege:
    """Revoke one privilege from a role, then grant again what the server revokes with it."""

    role: str
    grant: Grant
    give_again: frozenset[Grant] = frozenset()
    """Wanted companions that the server may revoke in the same call: Load takes GetLoadState and GetLoadingProgress along,
    Flush takes GetFlushState (Milvus 2.3.6 and later)."""
    before_drop: bool = False
    """Whether the role is dropped next, together with grants that can't be revoked because their database is gone (2.6.12
    and later)."""


@dataclass(frozen=True, slots=True)
class RemovePrivileges:
    """Remove privileges from a group. The roles that hold it keep them until the proxies are cleared; see ClearProxies."""

    group: str
    privileges: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClearProxies:
    """Revoke a privilege that a group has lost and that the proxies still give, although no grant does.

    In Milvus 2.4 to 3.0 no other safe call makes the proxies notice.
    """

    role: str
    grant: Grant
    give_again: frozenset[Grant] = frozenset()
    """The same privilege and its companions, if the role also has grants of its own for them: the revoke takes those, too."""
    before_drop: bool = False
    """Whether the group is dropped next: it does not wait for what can't be cleared because its database is gone (2.6.12 and
    later)."""


@dataclass(frozen=True, slots=True)
class DropUser:
    """Drop a user; the server drops its bindings with it."""

    user: str
    roles: frozenset[str]
    """The roles that the user was observed with. If it has others now, another client is using it, and it is not dropped."""


@dataclass(frozen=True, slots=True)
class DropRole:
    """Drop a role that has no grants left; users simply lose it."""

    role: str


@dataclass(frozen=True, slots=True)
class DropGroup:
    """Drop a privilege group and what it holds; the server refuses while a role holds the group."""

    group: str


Change = (
    CreateGroup
    | AddPrivileges
    | ReplacePrivileges
    | CreateRole
    | GrantPrivilege
    | CreateUser
    | UpdatePassword
    | RecreateUser
    | BindRole
    | DescribeUser
    | DescribeRole
    | UnbindRole
    | RevokePrivilege
    | RemovePrivileges
    | ClearProxies
    | DropUser
    | DropRole
    | DropGroup
)


CREATES = (CreateUser, CreateRole, CreateGroup)
"""The changes that make an object."""


class Phase(IntEnum):
    """The order of the changes of a turn: everything is given before anything is taken, and dropped in reverse order.

    New passwords come first: they depend on nothing, and a rotation must not wait for what others are given.
    """

    PASSWORDS = 0
    GROUPS = 1
    ROLES = 2
    GRANTS = 3
    USERS = 4
    RECREATE = 5
    BINDINGS = 6
    DESCRIPTIONS = 7
    UNBIND = 8
    REVOKE = 9
    SHRINK = 10
    CLEAR = 11
    DROP_USERS = 12
    DROP_ROLES = 13
    DROP_GROUPS = 14


def phase(change: Change) -> Phase:
    """Return the phase of a turn in which a change is made."""
    match change:
        case CreateGroup() | AddPrivileges() | ReplacePrivileges():
            return Phase.GROUPS
        case CreateRole():
            return Phase.ROLES
        case GrantPrivilege():
            return Phase.GRANTS
        case CreateUser():
            return Phase.USERS
        case UpdatePassword():
            return Phase.PASSWORDS
        case RecreateUser():
            return Phase.RECREATE
        case BindRole():
            return Phase.BINDINGS
        case DescribeUser() | DescribeRole():
            return Phase.DESCRIPTIONS
        case UnbindRole():
            return Phase.UNBIND
        case RevokePrivilege():
            return Phase.REVOKE
        case RemovePrivileges():
            return Phase.SHRINK
        case ClearProxies():
            return Phase.CLEAR
        case DropUser():
            return Phase.DROP_USERS
        case DropRole():
            return Phase.DROP_ROLES
        case DropGroup():
            return Phase.DROP_GROUPS


def takes(change: Change) -> bool:
    """Return whether a user may have less access after the change. A new password locks out those who have only the old one."""
    match change:
        case CreateGroup() | AddPrivileges() | ReplacePrivileges() | CreateRole() | GrantPrivilege():
            return False
        case CreateUser() | BindRole() | DescribeUser() | DescribeRole():
            return False
        case UpdatePassword() | RecreateUser() | UnbindRole() | RevokePrivilege() | RemovePrivileges():
            return True
        case ClearProxies() | DropUser() | DropRole() | DropGroup():
            return True


def apply(state: State, change: Change, *, with_companions: bool = False) -> State:
    """Return the state of a Milvus after the change.

    With `with_companions`, Load and Flush are granted and revoked together with their companions, as in Milvus 2.3.6 and
    later.
    """
    match change:
        case CreateGroup(group):
            return _with_group(state, group, frozenset())
        case AddPrivileges(group, privileges):
            return _with_group(state, group, state.groups[group] | privileges)
        case RemovePrivileges(group, privileges):
            return _with_group(state, group, state.groups[group] - privileges)
        case ReplacePrivileges(group, removed, added):
            return _with_group(state, group, (state.groups[group] - removed) | added)
        case DropGroup(group):
            kept = {name: held for name, held in state.groups.items() if name != group}
            return replace(state, groups=kept)
        case CreateRole(role):
            return _with_role(state, role, frozenset())
        case GrantPrivilege(role) | RevokePrivilege(role):
            return _with_grants(state, role, [change], with_companions=with_companions)
        case ClearProxies():
            return state  # the proxies are no part of the state
        case CreateUser(user):
            return _with_user(state, user, User(password=PasswordVerdict.IN_FORCE))
        case UpdatePassword(user):
            return _with_user(
                state, user, replace(state.users[user], password=PasswordVerdict.IN_FORCE, hash_digest="")
            )
        case RecreateUser(user, roles):
            return _with_user(state, user, User(roles, PasswordVerdict.IN_FORCE))
        case BindRole(user, role):
            return _with_user(state, user, replace(state.users[user], roles=state.users[user].roles | {role}))
        case DescribeUser(user, description):
            return _with_user(state, user, replace(state.users[user], description=description))
        case DescribeRole(role, description):
            described = replace(state.roles[role], description=description)
            return replace(state, roles={**state.roles, role: described})
        case UnbindRole(user, role):
            return _with_user(state, user, replace(state.users[user], roles=state.users[user].roles - {role}))
        case DropUser(user):
            return replace(state, users={name: held for name, held in state.users.items() if name != user})
        case DropRole(role):
            return replace(
                state,
                users={name: replace(held, roles=held.roles - {role}) for name, held in state.users.items()},
                roles={name: held for name, held in state.roles.items() if name != role},
            )


def apply_all(state: State, changes: Iterable[Change], *, with_companions: bool = False) -> State:
    """Return the state of a Milvus after all changes, one after the other."""
    for role, run in groupby(changes, key=_role_of_grant):
        if role is not None:
            grants = [change for change in run if isinstance(change, GrantPrivilege | RevokePrivilege)]
            state = _with_grants(state, role, grants, with_companions=with_companions)
            continue
        for change in run:
            state = apply(state, change, with_companions=with_companions)
    return state


def _role_of_grant(change: Change) -> str | None:
    return change.role if isinstance(change, GrantPrivilege | RevokePrivilege) else None


def _with_grants(
    state: State, role: str, changes: Iterable[GrantPrivilege | RevokePrivilege], *, with_companions: bool
) -> State:
    """Return the state after grants and revokes of one role; its grants, up to 10,000, are copied once."""
    grants = set(state.roles[role].grants or ())
    for change in changes:
        match change:
            case GrantPrivilege(_, grant):
                grants.add(grant)
                grants |= companions({grant}) if with_companions else frozenset()
            case RevokePrivilege(_, grant, give_again):
                grants.discard(grant)
                grants -= companions({grant}) if with_companions else frozenset()
                grants |= give_again
    return _with_role(state, role, frozenset(grants))


def _with_role(state: State, role: str, grants: frozenset[Grant]) -> State:
    description = state.roles[role].description if role in state.roles else ""
    return replace(state, roles={**state.roles, role: Role(grants, description)})


def _with_user(state: State, name: str, user: User) -> State:
    return replace(state, users={**state.users, name: user})


def _with_group(state: State, group: str, privileges: frozenset[str]) -> State:
    return replace(state, groups={**state.groups, group: privileges})


def describe(change: Change) -> str:
    """Return the line of a plan that stands for a change."""
    match change:
        case CreateGroup(group):
            return f"create privilege group {group}"
        case AddPrivileges(group, privileges):
            return f"add {_listed(privileges)} to privilege group {group}"
        case ReplacePrivileges(group, removed, added):
            return f"replace {_listed(removed)} in privilege group {group} with {_listed(added)}"
        case CreateRole(role):
            return f"create role {role}"
        case GrantPrivilege(role, grant):
            return f"grant {grant} to role {role}"
        case CreateUser(user):
            return f"create user {user}"
        case UpdatePassword(user):
            return f"update the password of user {user}"
        case RecreateUser(user):
            return f"drop and re-create user {user} to change its password"
        case BindRole(user, role):
            return f"bind role {role} to user {user}"
        case DescribeUser(user):
            return f"describe user {user}"
        case DescribeRole(role):
            return f"describe role {role}"
        case UnbindRole(user, role):
            return f"unbind role {role} from user {user}"
        case RevokePrivilege(role, grant):
            return f"revoke {grant} from role {role}"
        case RemovePrivileges(group, privileges):
            return f"remove {_listed(privileges)} from privilege group {group}"
        case ClearProxies(role, grant):
            return f"clear {grant} of role {role} from the proxies"
        case DropUser(user):
            return f"drop user {user}"
        case DropRole(role):
            return f"drop role {role}"
        case DropGroup(group):
            return f"drop privilege group {group}"


def field_of(change: Change) -> str:
    """Return the field of a resource that asks for the change; an empty string if its deletion does."""
    match change:
        case CreateGroup():
            return "spec.groupName"
        case AddPrivileges() | ReplacePrivileges() | RemovePrivileges() | ClearProxies():
            return "spec.privileges"
        case CreateRole():
            return "spec.roleName"
        case GrantPrivilege() | RevokePrivilege():
            return "spec.grants"
        case CreateUser():
            return "spec.userName"
        case UpdatePassword() | RecreateUser():
            return "spec.passwordSecretRef"
        case BindRole() | UnbindRole():
            return "spec.roles"
        case DescribeUser() | DescribeRole():
            return "spec.description"
        case DropUser() | DropRole() | DropGroup():
            return ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
