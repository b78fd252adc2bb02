"""Say a change in words: in a plan, in an Event, beside the field that asks for it. Knows no reasons."""

from collections.abc import Iterable

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
