"""The double's own list of privileges, group by group as ListPrivilegeGroups of real servers has them.

It shares nothing with the operator's catalogue: a mistake in one of them would not be found if they did.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

CLUSTER, DATABASE, COLLECTION = "Cluster", "Database", "Collection"

_GROUPS = (
    (
        CLUSTER,
        "ReadOnly",
        (2, 4),
        "ListDatabases SelectOwnership SelectUser DescribeResourceGroup ListResourceGroups",
    ),
    (CLUSTER, "ReadOnly", (2, 4), "ListPrivilegeGroups"),
    (CLUSTER, "ReadOnly", (2, 6), "GetReplicateConfiguration"),
    (CLUSTER, "ReadOnly", (3, 0), "ListFileResources"),
    (CLUSTER, "ReadWrite", (2, 4), "FlushAll TransferNode TransferReplica UpdateResourceGroups"),
    (CLUSTER, "ReadWrite", (3, 0), "AddFileResource RemoveFileResource PinSnapshotData UnpinSnapshotData"),
    (
        CLUSTER,
        "Admin",
        (2, 4),
        "BackupRBAC RestoreRBAC CreateDatabase DropDatabase CreateOwnership DropOwnership",
    ),
    (
        CLUSTER,
        "Admin",
        (2, 4),
        "ManageOwnership CreateResourceGroup DropResourceGroup UpdateUser RenameCollection",
    ),
    (CLUSTER, "Admin", (2, 4), "CreatePrivilegeGroup DropPrivilegeGroup OperatePrivilegeGroup"),
    (CLUSTER, "Admin", (2, 6), "UpdateReplicateConfiguration"),
    (CLUSTER, "Admin", (3, 0), "Expr RestoreExternalSnapshot ExportSnapshot"),
    (DATABASE, "ReadOnly", (2, 4), "ShowCollections DescribeDatabase"),
    (DATABASE, "ReadWrite", (2, 4), "AlterDatabase"),
    (DATABASE, "Admin", (2, 4), "CreateCollection DropCollection"),
    (
        COLLECTION,
        "ReadOnly",
        (2, 4),
        "Query Search IndexDetail GetFlushState GetLoadState GetLoadingProgress",
    ),
    (
        COLLECTION,
        "ReadOnly",
        (2, 4),
        "HasPartition ShowPartitions DescribeCollection DescribeAlias GetStatistics",
    ),
    (COLLECTION, "ReadOnly", (2, 4), "ListAliases"),
    (COLLECTION, "ReadOnly", (2, 6), "GetImportProgress ListImport"),
    (COLLECTION, "ReadOnly", (3, 0), "DescribeSnapshot ListSnapshots"),
    (
        COLLECTION,
        "ReadWrite",
        (2, 4),
        "Load Release Insert Delete Upsert Import Flush Compaction LoadBalance",
    ),
    (COLLECTION, "ReadWrite", (2, 4), "CreateIndex DropIndex CreatePartition DropPartition"),
    (COLLECTION, "ReadWrite", (2, 6), "AddCollectionField"),
    (
        COLLECTION,
        "ReadWrite",
        (3, 0),
        "AlterCollectionSchema RefreshExternalCollection CreateSnapshot DropSnapshot",
    ),
    (COLLECTION, "Admin", (2, 4), "CreateAlias DropAlias"),
    (COLLECTION, "Admin", (3, 0), "RestoreSnapshot"),
)
_STEPS = ("ReadOnly", "ReadWrite", "Admin")
_WITHOUT_LEVEL = MappingProxyType({(2, 6): "ListFileResources AddFileResource RemoveFileResource"})
_NOT_IN_2_3 = frozenset(
    [
        "ListPrivilegeGroups",
        "UpdateResourceGroups",
        "BackupRBAC",
        "RestoreRBAC",
        "CreatePrivilegeGroup",
        "DropPrivilegeGroup",
        "OperatePrivilegeGroup",
        "DescribeDatabase",
        "AlterDatabase",
    ]
)
_USER_TYPE = frozenset({"SelectUser", "UpdateUser"})
_GLOBAL_ON_COLLECTIONS = frozenset(
    ["DescribeCollection", "DescribeAlias", "ListAliases", "CreateAlias", "DropAlias"]
)

COMPANIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"Load": ("GetLoadState", "GetLoadingProgress"), "Flush": ("GetFlushState",)}
)
ANY = "*"
ALL = "All"


@cache
def builtin_groups(line: tuple[int, int]) -> Mapping[str, tuple[str, ...]]:
    """Return the nine groups with their privileges, in the server's order; none before 2.4."""
    if line < (2, 4):
        return {}
    groups: dict[str, tuple[str, ...]] = {}
    for level in (CLUSTER, DATABASE, COLLECTION):
        held: tuple[str, ...] = ()
        for step in _STEPS:
            held += tuple(name for name, at in _members(line) if at == (level, step))
            groups[level + step] = held
    return groups


@cache
def levels(line: tuple[int, int]) -> Mapping[str, str]:
    """Return the level of each privilege: that of the group of administrators that holds it."""
    return {name: level for name, (level, _) in _members(line)}


@cache
def names(line: tuple[int, int]) -> frozenset[str]:
    """Return every single privilege that a line of versions knows."""
    extra = frozenset(_WITHOUT_LEVEL.get(line, "").split())
    known = frozenset(levels(line)) | extra
    return known - _NOT_IN_2_3 if line < (2, 4) else known


def object_type(name: str) -> str:
    """Return the type under which a single privilege is kept."""
    if name in _USER_TYPE:
        return "User"
    is_on_collections = levels((3, 0)).get(name) == COLLECTION and name not in _GLOBAL_ON_COLLECTIONS
    return "Collection" if is_on_collections else "Global"


def _members(line: tuple[int, int]) -> tuple[tuple[str, tuple[str, str]], ...]:
    wanted = max(line, (2, 4))
    members = [
        (name, (level, step))
        for level, step, since, text in _GROUPS
        if since <= wanted
        for name in text.split()
    ]
    if line >= (3, 0):
        members = [(name, (DATABASE, "Admin") if name == "RenameCollection" else at) for name, at in members]
    return tuple(members)


LEGACY_GROUPS: Mapping[str, tuple[str, str]] = MappingProxyType(
    # The name that is granted: the type and the name under which it is listed.
    {
        "ReadOnly": ("Collection", "ReadOnly"),
        "ReadWrite": ("Collection", "ReadWrite"),
        "Admin": ("Global", "Admin"),
        **{
            f"Group{name}": ("Global", name)
            for name in ("ReadOnly", "ReadWrite", "Admin", *builtin_groups((2, 4)))
        },
    }
)

LEGACY_MEMBERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    # As far as it was seen what they allow: 2.4.10 had neither groups nor partitions in them.
    {
        "ReadOnly": ("Query", "Search"),
        "ReadWrite": ("Query", "Search", "Insert", "Delete", "Upsert"),
        "Admin": tuple(
            name for name in builtin_groups((2, 4))["ClusterAdmin"] if "PrivilegeGroup" not in name
        ),
    }
)
