"""The messages: those that every server from 2.2 to 3.0 understands, and V2 and groups for those that have them."""

from collections.abc import Iterable
from typing import Any

from milvus_rbac.domain.state import Grant
from milvus_rbac.milvus.channel import encode
from milvus_rbac.milvus.port import Password
from milvus_rbac.milvus.stubs import milvus_pb2 as pb


def create_user(user: str, password: Password) -> Any:
    """Ask for a new user."""
    return pb.CreateCredentialRequest(username=user, password=encode(password.reveal()))


def update_password(user: str, old: Password, new: Password) -> Any:
    """Ask for a new password in place of the old one; superusers may send an empty old one."""
    return pb.UpdateCredentialRequest(
        username=user, oldPassword=encode(old.reveal()), newPassword=encode(new.reveal())
    )


def drop_user(user: str) -> Any:
    """Ask to drop a user; one that is not there is no error."""
    return pb.DeleteCredentialRequest(username=user)


def create_role(role: str) -> Any:
    """Ask for a new role."""
    return pb.CreateRoleRequest(entity=pb.RoleEntity(name=role))


def drop_role(role: str, *, by_force: bool = False) -> Any:
    """Ask to drop a role without grants; by force only where it was seen that nothing is lost by that."""
    return pb.DropRoleRequest(role_name=role, force_drop=by_force)


def bind(user: str, role: str) -> Any:
    """Ask to add a user to a role."""
    return pb.OperateUserRoleRequest(username=user, role_name=role, type=pb.OperateUserRoleType.AddUserToRole)


def unbind(user: str, role: str) -> Any:
    """Ask to remove a user from a role."""
    return pb.OperateUserRoleRequest(
        username=user, role_name=role, type=pb.OperateUserRoleType.RemoveUserFromRole
    )


def describe_user(user: str, description: str) -> Any:
    """Ask to say something else of a user; needs no password."""
    return pb.UpdateCredentialRequest(username=user, description=description)


def describe_role(role: str, description: str) -> Any:
    """Ask to say something else of a role."""
    return pb.AlterRoleRequest(role_name=role, description=description)


def one_alias(database: str, alias: str) -> Any:
    """Ask which collection an alias stands for."""
    return pb.DescribeAliasRequest(db_name=database, alias=alias)


def give(role: str, grant: Grant) -> Any:
    """Ask to grant, in V1."""
    return pb.OperatePrivilegeRequest(entity=_entity(role, grant), type=pb.OperatePrivilegeType.Grant)


def revoke(role: str, grant: Grant) -> Any:
    """Ask to revoke, in V1."""
    return pb.OperatePrivilegeRequest(entity=_entity(role, grant), type=pb.OperatePrivilegeType.Revoke)


def give_v2(role: str, grant: Grant) -> Any:
    """Ask to grant, in V2."""
    return _v2(role, grant, pb.OperatePrivilegeType.Grant)


def revoke_v2(role: str, grant: Grant) -> Any:
    """Ask to revoke, in V2: what was granted in V1 too."""
    return _v2(role, grant, pb.OperatePrivilegeType.Revoke)


def create_group(group: str) -> Any:
    """Ask for a new privilege group with nothing in it."""
    return pb.CreatePrivilegeGroupRequest(group_name=group)


def drop_group(group: str) -> Any:
    """Ask to drop a privilege group; one that is not there is no error."""
    return pb.DropPrivilegeGroupRequest(group_name=group)


def add_to_group(group: str, privileges: Iterable[str]) -> Any:
    """Ask to put privileges into a group."""
    return _operate_group(group, privileges, pb.OperatePrivilegeGroupType.AddPrivilegesToGroup)


def remove_from_group(group: str, privileges: Iterable[str]) -> Any:
    """Ask to take privileges out of a group."""
    return _operate_group(group, privileges, pb.OperatePrivilegeGroupType.RemovePrivilegesFromGroup)


def grants_of(role: str, database: str) -> Any:
    """Ask for the grants of a role in one database, and those on all of them."""
    return pb.SelectGrantRequest(entity=pb.GrantEntity(role=pb.RoleEntity(name=role), db_name=database))


def one_user(user: str) -> Any:
    """Ask for a user and the names of its roles."""
    return pb.SelectUserRequest(user=pb.UserEntity(name=user), include_role_info=True)


def every_user() -> Any:
    """Ask for all users with what is said of them, without their roles."""
    return pb.SelectUserRequest()


def all_roles() -> Any:
    """Ask for every role and who holds it: two range reads for the server, where asking users is one per user."""
    return pb.SelectRoleRequest(include_user_info=True)


def all_users() -> Any:
    """Ask for the names of all users."""
    return pb.ListCredUsersRequest()


def all_databases() -> Any:
    """Ask for the names of all databases."""
    return pb.ListDatabasesRequest()


def all_groups() -> Any:
    """Ask for the privilege groups."""
    return pb.ListPrivilegeGroupsRequest()


def backup() -> Any:
    """Ask for everything at once: users with the hashes of their passwords, roles, grants, groups."""
    return pb.BackupRBACMetaRequest()


def alter_nothing() -> Any:
    """Ask for a change that no server makes, for it names no role: only whether the call is known shows."""
    return pb.AlterRoleRequest()


def _entity(role: str, grant: Grant) -> Any:
    # The database is always said: left out, V1 takes the connection's and V2 another one, depending on the version.
    return pb.GrantEntity(
        role=pb.RoleEntity(name=role),
        object=pb.ObjectEntity(name=grant.object_type),
        object_name=grant.object_name,
        db_name=grant.database,
        grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name=grant.privilege)),
    )


def _v2(role: str, grant: Grant, type_: Any) -> Any:
    # The grantor is never left out: without it the proxy process dies (2.4 to 3.0).
    return pb.OperatePrivilegeV2Request(
        role=pb.RoleEntity(name=role),
        grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name=grant.privilege)),
        type=type_,
        db_name=grant.database,
        collection_name=grant.object_name,
    )


def _operate_group(group: str, privileges: Iterable[str], type_: Any) -> Any:
    return pb.OperatePrivilegeGroupRequest(
        group_name=group,
        privileges=[pb.PrivilegeEntity(name=name) for name in sorted(privileges)],
        type=type_,
    )
