"""Say what a Milvus holds after a change. Knows no server that refuses or answers late."""

from collections.abc import Iterable
from dataclasses import replace

from milvus_rbac.domain.catalogue import companions
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
    DropUser,
    GrantPrivilege,
    RecreateUser,
    RemovePrivileges,
    ReplacePrivileges,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
)
from milvus_rbac.domain.state import Grant, PasswordVerdict, Role, State, User


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
