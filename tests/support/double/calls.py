"""The calls: who carries each out, and which privilege it wants."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from support.double import backup, grants, groups, places, roles, users
from support.double.core import Caller, Core

Handler = Callable[[Core, Caller, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """One method of the service."""

    handler: Handler
    privilege: str | None = None
    """None: a good login is enough."""
    takes: str = ""
    """The field with the name of what is acted on, where that is judged."""


CALLS: Mapping[str, Call] = MappingProxyType(
    {
        "Connect": Call(places.connect),
        "GetVersion": Call(places.get_version),
        "CheckHealth": Call(places.check_health),
        "CreateCredential": Call(users.create, "CreateOwnership"),
        "UpdateCredential": Call(users.update, "UpdateUser", "username"),
        "DeleteCredential": Call(users.delete, "DropOwnership"),
        "ListCredUsers": Call(users.list_names, "SelectOwnership"),
        "SelectUser": Call(users.select, "SelectUser", "user.name"),
        "CreateRole": Call(roles.create, "CreateOwnership"),
        "AlterRole": Call(roles.alter, "CreateOwnership"),
        "DropRole": Call(roles.drop, "DropOwnership"),
        "OperateUserRole": Call(roles.operate_binding, "ManageOwnership"),
        "SelectRole": Call(roles.select, "SelectOwnership"),
        "OperatePrivilege": Call(grants.operate_v1, "ManageOwnership"),
        "OperatePrivilegeV2": Call(grants.operate_v2, "ManageOwnership"),
        "SelectGrant": Call(grants.select, "SelectOwnership"),
        "CreatePrivilegeGroup": Call(groups.create, "CreatePrivilegeGroup"),
        "DropPrivilegeGroup": Call(groups.drop, "DropPrivilegeGroup"),
        "ListPrivilegeGroups": Call(groups.list_all, "ListPrivilegeGroups"),
        "OperatePrivilegeGroup": Call(groups.operate, "OperatePrivilegeGroup"),
        "BackupRBAC": Call(backup.back_up, "BackupRBAC"),
        "RestoreRBAC": Call(backup.restore, "RestoreRBAC"),
        "CreateDatabase": Call(places.create_database, "CreateDatabase"),
        "DropDatabase": Call(places.drop_database, "DropDatabase"),
        "DescribeDatabase": Call(places.describe_database, "DescribeDatabase"),
        "ListDatabases": Call(places.list_databases, "ListDatabases"),
        "CreateCollection": Call(places.create_collection, "CreateCollection"),
        "DropCollection": Call(places.drop_collection, "DropCollection"),
        "RenameCollection": Call(places.rename_collection, "RenameCollection"),
        "HasCollection": Call(places.has_collection),
        "ShowCollections": Call(places.show_collections, "ShowCollections"),
        "DescribeCollection": Call(places.describe_collection, "DescribeCollection"),
        "CreatePartition": Call(places.create_partition, "CreatePartition", "collection_name"),
        "CreateAlias": Call(places.create_alias, "CreateAlias"),
        "DropAlias": Call(places.drop_alias, "DropAlias"),
        "DescribeAlias": Call(places.describe_alias, "DescribeAlias"),
    }
)

FILTERED = frozenset({"ListDatabases", "ShowCollections"})
"""From 2.4.1 on these need no privilege and show what the caller may see."""
