"""The verbs: what can be changed in a Milvus, and in which order it is safe.

A new verb is a class here; mypy then names every place that must learn it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from milvus_rbac.domain.privileges import companions
from milvus_rbac.domain.state import Grant, PasswordVerdict, Role, State, User


class PasswordMeans(StrEnum):
    """How a password is changed in place."""

    KNOWN_TEXT = "KnownText"
    """With the old password: one that was in force before, or that the Secret names as previous."""
    SUPERUSER = "Superuser"
    """Without it: the server lists the operator's account in common.security.superUsers, or may do so."""


@dataclass(frozen=True, slots=True)
class CreateGroup:
    """Create a privilege group without privileges."""

    group: str


@dataclass(frozen=True, slots=True)
class AddPrivileges:
    """Put privileges into a group; every role that holds it has them from then on."""

    group: str
    privileges: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReplacePrivileges:
    """Empty a group that nobody holds and fill it again, adjacently: a group holds privileges of one level only."""

    group: str
    removed: frozenset[str]
    added: frozenset[str]


@dataclass(frozen=True, slots=True)
class CreateRole:
    """Create a role without grants."""

    role: str


@dataclass(frozen=True, slots=True)
class GrantPrivilege:
    """Give one privilege to a role."""

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
    """Drop a user, create it with the Secret's password and bind its roles again, adjacently.

    The only way to a new password where the old one is not known and the operator's account is no superuser.
    """

    user: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class BindRole:
    """Add a user to a role."""

    user: str
    role: str


@dataclass(frozen=True, slots=True)
class DescribeUser:
    """Set what is said of a user (2.6.19 and later); nobody can do more or less after it."""

    user: str
    description: str


@dataclass(frozen=True, slots=True)
class DescribeRole:
    """Set what is said of a role (2.6.19 and later)."""

    role: str
    description: str


@dataclass(frozen=True, slots=True)
class UnbindRole:
    """Remove a user from a role."""

    user: str
    role: str


@dataclass(frozen=True, slots=True)
class RevokePrivilege:
    """Take one privilege from a role, then give again what the server takes with it."""

    role: str
    grant: Grant
    give_again: frozenset[Grant] = frozenset()
    """Wanted companions that the server may take in the same call: Load takes GetLoadState and GetLoadingProgress, Flush
    takes GetFlushState (Milvus 2.3.6 and later)."""
    before_drop: bool = False
    """The role is dropped next, and with it what can't be revoked because its database is gone (2.6.12 and later)."""


@dataclass(frozen=True, slots=True)
class RemovePrivileges:
    """Take privileges out of a group. Who holds the group keeps them until the proxies are told; see ClearProxies."""

    group: str
    privileges: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClearProxies:
    """Revoke a privilege that no grant gives any more and that the proxies still do, since a group lost it.

    Milvus 2.4 to 3.0: the proxies learn of it by no other call that is safe.
    """

    role: str
    grant: Grant
    give_again: frozenset[Grant] = frozenset()
    """The same right and its companions where the role has them by themselves too: the revoke takes those as well."""
    before_drop: bool = False
    """The group goes: what can't be cleared, because its database is gone (2.6.12 and later), holds nothing up."""


@dataclass(frozen=True, slots=True)
class DropUser:
    """Drop a user; the server drops its bindings with it."""

    user: str
    roles: frozenset[str]
    """The roles that it was seen with. With others, somebody else has been at work on it meanwhile, and it is not dropped."""


@dataclass(frozen=True, slots=True)
class DropRole:
    """Drop a role that has no grants left; users simply lose it."""

    role: str


@dataclass(frozen=True, slots=True)
class DropGroup:
    """Drop a privilege group, with what is in it; the server refuses while a role holds it."""

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


class Phase(IntEnum):
    """The global order of a round: everything is given before anything is taken, and dropped in reverse."""

    GROUPS = 1
    ROLES = 2
    GRANTS = 3
    USERS = 4
    PASSWORDS = 5
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
    """Say when in a round a change has its turn."""
    match change:
        case CreateGroup() | AddPrivileges() | ReplacePrivileges():
            return Phase.GROUPS
        case CreateRole():
            return Phase.ROLES
        case GrantPrivilege():
            return Phase.GRANTS
        case CreateUser():
            return Phase.USERS
        case UpdatePassword() | RecreateUser():
            return Phase.PASSWORDS
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
    """Say whether somebody can do less after the change than before it. A changed password locks its holders out."""
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
    """Say what a Milvus holds after it carried out the change.

    `with_companions` says that Load and Flush are given and taken with theirs, as by Milvus 2.3.6 and later.
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
        case GrantPrivilege(role, grant):
            along = companions({grant}) if with_companions else frozenset()
            return _with_role(state, role, _grants(state, role) | {grant} | along)
        case RevokePrivilege(role, grant, give_again):
            along = companions({grant}) if with_companions else frozenset()
            return _with_role(state, role, (_grants(state, role) - {grant} - along) | give_again)
        case ClearProxies():
            return state  # what it takes is not in the store
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
    """Apply changes one after the other."""
    for change in changes:
        state = apply(state, change, with_companions=with_companions)
    return state


def _grants(state: State, role: str) -> frozenset[Grant]:
    return state.roles[role].grants or frozenset()


def _with_role(state: State, role: str, grants: frozenset[Grant]) -> State:
    description = state.roles[role].description if role in state.roles else ""
    return replace(state, roles={**state.roles, role: Role(grants, description)})


def _with_user(state: State, name: str, user: User) -> State:
    return replace(state, users={**state.users, name: user})


def _with_group(state: State, group: str, privileges: frozenset[str]) -> State:
    return replace(state, groups={**state.groups, group: privileges})


def describe(change: Change) -> str:
    """Say a change in the words of a plan; the subject is the resource's own user or role."""
    match change:
        case CreateGroup(group):
            return f"create privilege group {group}"
        case AddPrivileges(group, privileges):
            return f"add {_listed(privileges)} to privilege group {group}"
        case ReplacePrivileges(group, removed, added):
            return f"replace {_listed(removed)} in privilege group {group} by {_listed(added)}"
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
            return f"take {grant} from role {role} in the proxies"
        case DropUser(user):
            return f"drop user {user}"
        case DropRole(role):
            return f"drop role {role}"
        case DropGroup(group):
            return f"drop privilege group {group}"


def field_of(change: Change) -> str:
    """Say which field of a resource asks for the change; nothing for those that its deletion asks for."""
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
