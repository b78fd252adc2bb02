"""The messages that are sent: those that every server from 2.3 to 3.0 understands, and V2 and groups for newer ones."""

from collections.abc import Iterable
from typing import Any

from milvus_rbac.domain.state import Grant
from milvus_rbac.milvus.channel import encode
from milvus_rbac.milvus.port import Password
from milvus_rbac.milvus.stubs import milvus_pb2 as pb


def create_user(user: str, password: Password) -> Any:
    """Return the request to create a user."""
    return pb.CreateCredentialRequest(username=user, password=encode(password.reveal()))


def update_password(user: str, old: Password, new: Password) -> Any:
    """Return the request to change a password; superusers may send an empty old one."""
    return pb.UpdateCredentialRequest(
        username=user, oldPassword=encode(old.reveal()), newPassword=encode(new.reveal())
    )


def drop_user(user: str) -> Any:
    """Return the request to drop a user; a missing one is no error."""
    return pb.DeleteCredentialRequest(username=user)


def create_role(role: str) -> Any:
    """Return the request to create a role."""
    return pb.CreateRoleRequest(entity=pb.RoleEntity(name=role))


def drop_role(role: str, *, by_force: bool = False) -> Any:
    """Return the request to drop a role without grants; by force only where nothing is lost by that."""
    return pb.DropRoleRequest(role_name=role, force_drop=by_force)


def bind(user: str, role: str) -> Any:
    """Return the request to add a user to a role."""
    return pb.OperateUserRoleRequest(username=user, role_name=role, type=pb.OperateUserRoleType.AddUserToRole)


def unbind(user: str, role: str) -> Any:
    """Return the request to remove a user from a role."""
    return pb.OperateUserRoleRequest(
        username=user, role_name=role, type=pb.OperateUserRoleType.RemoveUserFromRole
    )


def describe_user(user: str, description: str) -> Any:
    """Return the request to change a user's description, which needs no password."""
    return pb.UpdateCredentialRequest(username=user, description=description)


def describe_role(role: str, description: str) -> Any:
    """Return the request to change a role's description."""
    return pb.AlterRoleRequest(role_name=role, description=description)


def one_alias(database: str, alias: str) -> Any:
    """Return the request for the collection of an alias."""
    return pb.DescribeAliasRequest(db_name=database, alias=alias)


def one_collection(database: str, collection: str) -> Any:
    """Return the request whether there is a collection or an alias of a name."""
    return pb.HasCollectionRequest(db_name=database, collection_name=collection)


def one_database(database: str) -> Any:
    """Return the request for one database."""
    return pb.DescribeDatabaseRequest(db_name=database)


def give(role: str, grant: Grant) -> Any:
    """Return the request to grant, in V1."""
    return pb.OperatePrivilegeRequest(entity=_entity(role, grant), type=pb.OperatePrivilegeType.Grant)


def revoke(role: str, grant: Grant) -> Any:
    """Return the request to revoke, in V1."""
    return pb.OperatePrivilegeRequest(entity=_entity(role, grant), type=pb.OperatePrivilegeType.Revoke)


def give_v2(role: str, grant: Grant) -> Any:
    """Return the request to grant, in V2."""
    return _v2(role, grant, pb.OperatePrivilegeType.Grant)


def revoke_v2(role: str, grant: Grant) -> Any:
    """Return the request to revoke, in V2: also what was granted in V1."""
    return _v2(role, grant, pb.OperatePrivilegeType.Revoke)


def create_group(group: str) -> Any:
    """Return the request to create an empty privilege group."""
    return pb.CreatePrivilegeGroupRequest(group_name=group)


def drop_group(group: str) -> Any:
    """Return the request to drop a privilege group; a missing one is no error."""
    return pb.DropPrivilegeGroupRequest(group_name=group)


def add_to_group(group: str, privileges: Iterable[str]) -> Any:
    """Return the request to add privileges to a group."""
    return _operate_group(group, privileges, pb.OperatePrivilegeGroupType.AddPrivilegesToGroup)


def remove_from_group(group: str, privileges: Iterable[str]) -> Any:
    """Return the request to remove privileges from a group."""
    return _operate_group(group, privileges, pb.OperatePrivilegeGroupType.RemovePrivilegesFromGroup)


def grants_of(role: str, database: str) -> Any:
    """Return the request for the grants of a role in one database, and on all of them."""
    return pb.SelectGrantRequest(entity=pb.GrantEntity(role=pb.RoleEntity(name=role), db_name=database))


def one_user(user: str) -> Any:
    """Return the request for a user and the names of its roles."""
    return pb.SelectUserRequest(user=pb.UserEntity(name=user), include_role_info=True)


def every_user() -> Any:
    """Return the request for all users with their descriptions, without their roles."""
    return pb.SelectUserRequest()


def all_roles() -> Any:
    """Return the request for all roles and their users: two range reads for the server, against one per user the other way."""
    return pb.SelectRoleRequest(include_user_info=True)


def all_users() -> Any:
    """Return the request for the names of all users."""
    return pb.ListCredUsersRequest()


def all_databases() -> Any:
    """Return the request for the names of all databases."""
    return pb.ListDatabasesRequest()


def all_groups() -> Any:
    """Return the request for all privilege groups."""
    return pb.ListPrivilegeGroupsRequest()


def backup() -> Any:
    """Return the request for everything at once: users with their password hashes, roles, grants, groups."""
    return pb.BackupRBACMetaRequest()


def _entity(role: str, grant: Grant) -> Any:
    # The database is always sent: without it, V1 takes the connection's and V2 another one, depending on the version.
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
