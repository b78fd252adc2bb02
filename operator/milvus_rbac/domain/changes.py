"""The verbs: what can be changed in a Milvus, and in which order it is safe.

A new verb is a class here; mypy then names every place that must learn it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from milvus_rbac.domain.state import Grant, PasswordVerdict, Role, State, User


class PasswordMeans(StrEnum):
    """How a password is changed in place."""

    KNOWN_TEXT = "KnownText"
    """With the old password: one that was in force before, or that the Secret names as previous."""
    SUPERUSER = "Superuser"
    """Without it: the server lists the operator's account in common.security.superUsers, or may do so."""


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


Change = (
    CreateRole
    | GrantPrivilege
    | CreateUser
    | UpdatePassword
    | RecreateUser
    | BindRole
    | UnbindRole
    | RevokePrivilege
    | DropUser
    | DropRole
)


class Phase(IntEnum):
    """The global order of a round: everything is given before anything is taken, and dropped in reverse."""

    ROLES = 1
    GRANTS = 2
    USERS = 3
    PASSWORDS = 4
    BINDINGS = 5
    UNBIND = 6
    REVOKE = 7
    DROP_USERS = 8
    DROP_ROLES = 9


def phase(change: Change) -> Phase:
    """Say when in a round a change has its turn."""
    match change:
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
        case UnbindRole():
            return Phase.UNBIND
        case RevokePrivilege():
            return Phase.REVOKE
        case DropUser():
            return Phase.DROP_USERS
        case DropRole():
            return Phase.DROP_ROLES


def takes(change: Change) -> bool:
    """Say whether somebody can do less after the change than before it. A changed password locks its holders out."""
    match change:
        case CreateRole() | GrantPrivilege() | CreateUser() | BindRole():
            return False
        case UpdatePassword() | RecreateUser() | UnbindRole() | RevokePrivilege() | DropUser() | DropRole():
            return True


def describe(change: Change) -> str:
    """Say a change in the words of a plan; the subject is the resource's own user or role."""
    match change:
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
        case UnbindRole(user, role):
            return f"unbind role {role} from user {user}"
        case RevokePrivilege(role, grant):
            return f"revoke {grant} from role {role}"
        case DropUser(user):
            return f"drop user {user}"
        case DropRole(role):
            return f"drop role {role}"


def field_of(change: Change) -> str:
    """Say which field of a resource asks for the change; nothing for those that its deletion asks for."""
    match change:
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
        case DropUser() | DropRole():
            return ""


def apply(state: State, change: Change) -> State:
    """Say what a Milvus holds after it carried out the change."""
    match change:
        case CreateRole(role):
            return _with_role(state, role, frozenset())
        case GrantPrivilege(role, grant):
            return _with_role(state, role, _grants(state, role) | {grant})
        case RevokePrivilege(role, grant, give_again):
            return _with_role(state, role, (_grants(state, role) - {grant}) | give_again)
        case CreateUser(user):
            return _with_user(state, user, User(password=PasswordVerdict.IN_FORCE))
        case UpdatePassword(user):
            return _with_user(state, user, replace(state.users[user], password=PasswordVerdict.IN_FORCE))
        case RecreateUser(user, roles):
            return _with_user(state, user, User(roles, PasswordVerdict.IN_FORCE))
        case BindRole(user, role):
            return _with_user(state, user, replace(state.users[user], roles=state.users[user].roles | {role}))
        case UnbindRole(user, role):
            return _with_user(state, user, replace(state.users[user], roles=state.users[user].roles - {role}))
        case DropUser(user):
            return replace(state, users={name: held for name, held in state.users.items() if name != user})
        case DropRole(role):
            return State(
                users={name: replace(held, roles=held.roles - {role}) for name, held in state.users.items()},
                roles={name: held for name, held in state.roles.items() if name != role},
            )


def apply_all(state: State, changes: Iterable[Change]) -> State:
    """Apply changes one after the other."""
    for change in changes:
        state = apply(state, change)
    return state


def _grants(state: State, role: str) -> frozenset[Grant]:
    return state.roles[role].grants or frozenset()


def _with_role(state: State, role: str, grants: frozenset[Grant]) -> State:
    return replace(state, roles={**state.roles, role: Role(grants)})


def _with_user(state: State, name: str, user: User) -> State:
    return replace(state, users={**state.users, name: user})
