"""What every privilege is: its level, how Milvus stores it and since which version, one row each.

The catalogue is independent of servers and resources. A new privilege is one row; a name without a row is unknown here,
but a newer server may still take it.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from milvus_rbac.domain.state import Grant, ObjectType


class Level(StrEnum):
    """How far a privilege reaches, and so where it can be granted."""

    CLUSTER = "Cluster"
    """The whole server: a grant names neither a database nor collections."""
    DATABASE = "Database"
    """One database, or all: a grant names no collections."""
    COLLECTION = "Collection"
    """Named collections of a database, or all of them."""


@dataclass(frozen=True, slots=True)
class Privilege:
    """One privilege, or one of the built-in groups of Milvus."""

    name: str
    level: Level | None
    """None only for what stands for all privileges at once."""
    object_type: ObjectType
    """The object type under which Milvus stores a grant of it; V1 refuses any other."""
    since: tuple[int, ...]
    """The first version that has the name; a short tuple means the first release of that line."""
    companions: tuple[str, ...] = ()
    """The privileges that the server grants and revokes together with it (2.3.6 and later)."""
    whole_database: bool = False
    """Whether it is of collection level but stored as Global, so that it acts on every collection of the database. A named
    collection would promise a limit that the server does not enforce."""
    everything: bool = False
    """Whether it is a wildcard for other privileges."""
    takes_database: bool = False
    """Whether it is of cluster level, and servers honour it in a single database all the same."""
    delegable: bool = False
    """Whether it reaches beyond databases and can be granted by other namespaces all the same."""
    group: bool = False
    """Whether it is a built-in privilege group: only OperatePrivilegeV2 takes it, and the server decides what it holds."""


_V2_2: Final = (2, 2)
_V2_3: Final = (2, 3)
_V2_6: Final = (2, 6)
_V3_0: Final = (3, 0)
_GROUPS: Final = (2, 4, 18)


def _collection(name: str, since: tuple[int, ...], companions: tuple[str, ...] = ()) -> Privilege:
    return Privilege(name, Level.COLLECTION, ObjectType.COLLECTION, since, companions)


def _whole_database(name: str, since: tuple[int, ...]) -> Privilege:
    return Privilege(name, Level.COLLECTION, ObjectType.GLOBAL, since, whole_database=True)


def _database(name: str, since: tuple[int, ...]) -> Privilege:
    return Privilege(name, Level.DATABASE, ObjectType.GLOBAL, since)


def _cluster(name: str, since: tuple[int, ...], stored: ObjectType = ObjectType.GLOBAL) -> Privilege:
    return Privilege(name, Level.CLUSTER, stored, since)


def _group(name: str, level: Level) -> Privilege:
    return Privilege(name, level, ObjectType.GLOBAL, _GROUPS, group=True)


def _wildcard(name: str) -> Privilege:
    return Privilege(name, None, ObjectType.GLOBAL, _V2_2, everything=True)


CATALOGUE: Final[tuple[Privilege, ...]] = (
    # Collection level.
    _collection("Query", _V2_2),
    _collection("Search", _V2_2),
    _collection("IndexDetail", _V2_2),
    _collection("GetLoadState", _V2_2),
    _collection("GetLoadingProgress", _V2_2),
    _collection("GetStatistics", _V2_2),
    _collection("Release", _V2_2),
    _collection("Insert", _V2_2),
    _collection("Delete", _V2_2),
    _collection("Import", _V2_2),
    _collection("Compaction", _V2_2),
    _collection("LoadBalance", _V2_2),
    _collection("CreateIndex", _V2_2),
    _collection("DropIndex", _V2_2),
    _collection("Load", _V2_2, companions=("GetLoadState", "GetLoadingProgress")),
    _collection("Flush", _V2_2, companions=("GetFlushState",)),
    _collection("GetFlushState", _V2_3),
    _collection("HasPartition", _V2_3),
    _collection("ShowPartitions", _V2_3),
    _collection("Upsert", _V2_3),
    _collection("CreatePartition", _V2_3),
    _collection("DropPartition", _V2_3),
    _collection("GetImportProgress", _V2_6),
    _collection("ListImport", _V2_6),
    _collection("AddCollectionField", _V2_6),
    _collection("AlterCollectionSchema", _V3_0),
    _collection("RefreshExternalCollection", _V3_0),
    _collection("CreateSnapshot", _V3_0),
    _collection("DropSnapshot", _V3_0),
    _collection("DescribeSnapshot", _V3_0),
    _collection("ListSnapshots", _V3_0),
    _collection("RestoreSnapshot", _V3_0),
    # Collection level by name, but stored as Global.
    _whole_database("DescribeCollection", _V2_2),
    _whole_database("DescribeAlias", _V2_3),
    _whole_database("ListAliases", _V2_3),
    _whole_database("CreateAlias", _V2_3),
    _whole_database("DropAlias", _V2_3),
    # Database level.
    _database("ShowCollections", _V2_2),
    _database("CreateCollection", _V2_2),
    _database("DropCollection", _V2_2),
    _database("DescribeDatabase", (2, 4, 3)),
    _database("AlterDatabase", (2, 4, 1)),
    # Cluster level.
    _cluster("SelectUser", _V2_2, ObjectType.USER),
    _cluster("UpdateUser", _V2_2, ObjectType.USER),
    _cluster("CreateOwnership", _V2_2),
    _cluster("DropOwnership", _V2_2),
    _cluster("SelectOwnership", _V2_2),
    _cluster("ManageOwnership", _V2_2),
    _cluster("CreateResourceGroup", _V2_2),
    _cluster("DropResourceGroup", _V2_2),
    _cluster("DescribeResourceGroup", _V2_2),
    _cluster("ListResourceGroups", _V2_2),
    _cluster("TransferNode", _V2_2),
    _cluster("TransferReplica", _V2_2),
    _cluster("FlushAll", _V2_2),
    _cluster("CreateDatabase", _V2_2),
    _cluster("DropDatabase", _V2_2),
    replace(_cluster("ListDatabases", _V2_2), delegable=True),
    # 3.0 moved it to the database level, as its own list of groups shows; `*.*` is right for it on every server, and
    # before 3.0 a grant in one database works, too (pymilvus#1906).
    replace(_cluster("RenameCollection", _V2_2), takes_database=True),
    _cluster("UpdateResourceGroups", (2, 4)),
    _cluster("BackupRBAC", (2, 4, 9)),
    _cluster("RestoreRBAC", (2, 4, 9)),
    _cluster("CreatePrivilegeGroup", (2, 4, 16)),
    _cluster("DropPrivilegeGroup", (2, 4, 16)),
    _cluster("ListPrivilegeGroups", (2, 4, 16)),
    _cluster("OperatePrivilegeGroup", (2, 4, 16)),
    _cluster("GetReplicateConfiguration", _V2_6),
    _cluster("UpdateReplicateConfiguration", _V2_6),
    _cluster("ListFileResources", _V2_6),
    _cluster("AddFileResource", _V2_6),
    _cluster("RemoveFileResource", _V2_6),
    _cluster("PinSnapshotData", _V3_0),
    _cluster("UnpinSnapshotData", _V3_0),
    _cluster("RestoreExternalSnapshot", _V3_0),
    _cluster("ExportSnapshot", _V3_0),
    _cluster("Expr", _V3_0),
    # Built-in groups.
    _group("ClusterReadOnly", Level.CLUSTER),
    _group("ClusterReadWrite", Level.CLUSTER),
    _group("ClusterAdmin", Level.CLUSTER),
    _group("DatabaseReadOnly", Level.DATABASE),
    _group("DatabaseReadWrite", Level.DATABASE),
    _group("DatabaseAdmin", Level.DATABASE),
    _group("CollectionReadOnly", Level.COLLECTION),
    _group("CollectionReadWrite", Level.COLLECTION),
    _group("CollectionAdmin", Level.COLLECTION),
    # Wildcards: `*` is every privilege of one object type, `All` most of what is Global.
    _wildcard("*"),
    _wildcard("All"),
)
"""All privileges. First versions within 2.4 are those of the protocol; servers before 2.2 do not matter. No version up to
3.0 has dropped a name."""

_BY_NAME: Final = {row.name: row for row in CATALOGUE}
_BY_FOLDED_NAME: Final = {row.name.lower(): row.name for row in CATALOGUE}

NOT_DELEGABLE: Final = frozenset(
    row.name for row in CATALOGUE if not row.delegable and row.level not in {Level.DATABASE, Level.COLLECTION}
) | {"Admin"}
"""What reaches beyond single databases, or gives everything. Admin is a group of 2.4.10 that mixes levels."""

_OTHER_NAMES: Final = {
    # The names that the public documentation and other clients use for the built-in groups.
    "clusterro": "ClusterReadOnly",
    "clusterrw": "ClusterReadWrite",
    "dbro": "DatabaseReadOnly",
    "dbrw": "DatabaseReadWrite",
    "dbadmin": "DatabaseAdmin",
    "collro": "CollectionReadOnly",
    "collrw": "CollectionReadWrite",
    "colladmin": "CollectionAdmin",
    # The groups of 2.4.10, which mix levels. Servers list one of them under another's name, so they have no rows here.
    "readonly": "CollectionReadOnly",
    "readwrite": "CollectionReadWrite",
    "admin": "ClusterAdmin",
}

_LIKENESS: Final = 0.8
"""Names that are less alike than this mislead: `LoadCollection` would become `DropCollection`."""


def find(name: str) -> Privilege | None:
    """Return the privilege of exactly this name; None if there is none."""
    return _BY_NAME.get(name)


def is_delegable(name: str) -> bool:
    """Return whether other namespaces may be let grant a privilege or a built-in group: only what stays within databases.

    A privilege that is not in the catalogue is not delegable until someone has looked at what it gives.
    """
    return name in _BY_NAME and name not in NOT_DELEGABLE


def suggest(name: str) -> str | None:
    """Return the known name that was probably meant; None if none is close."""
    if name in _BY_NAME:
        return name
    folded = "".join(letter for letter in name if letter.isalnum()).lower()
    for candidate in _without_prefixes(folded):
        exact = _BY_FOLDED_NAME.get(candidate) or _OTHER_NAMES.get(candidate)
        if exact is not None:
            return exact
    near = difflib.get_close_matches(folded.removeprefix("privilege"), _BY_FOLDED_NAME, n=1, cutoff=_LIKENESS)
    return _BY_FOLDED_NAME[near[0]] if near else None


def _without_prefixes(folded: str) -> tuple[str, str, str]:
    """Return the name as it is and without Milvus' prefixes: its constants are PrivilegeSearch and PrivilegeGroupReadOnly."""
    bare = folded.removeprefix("privilege")
    return folded, bare, bare.removeprefix("group")


def companions(grants: Iterable[Grant]) -> frozenset[Grant]:
    """Return the grants that servers since 2.3.6 give and take together with these."""
    return frozenset(
        Grant(grant.object_type, name, grant.database, grant.object_name)
        for grant in grants
        for privilege in (find(grant.privilege),)
        if privilege is not None
        for name in privilege.companions
    )


def stored_type(name: str) -> str:
    """Return the object type under which a server with privilege groups stores a grant of the name.

    Groups are stored as Global. Unknown privileges are compared as Global, too, since V2 takes no object type.
    """
    row = find(name)
    return row.object_type if row else ObjectType.GLOBAL
