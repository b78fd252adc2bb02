"""In which way versions differ, as data. A rule that asks for a version by its name belongs here instead."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Dress:
    """One version of Milvus."""

    version: str
    """What GetVersion answers."""
    privileges: tuple[int, int] = (3, 0)
    """Which names are known: those of this line of versions."""
    wal: bool = True
    """Writes go through the log (2.6.6 and newer): proxies know before the caller, and refusals of the coordinator have their
    own code and say what was checked."""
    unknown_methods: frozenset[str] = frozenset()
    unimplemented_methods: frozenset[str] = frozenset(
        [
            "AddUserTags",
            "GetUserTags",
            "DeleteUserTags",
            "ListUsersWithTag",
            "CreateRowPolicy",
            "DropRowPolicy",
            "ListRowPolicies",
        ]
    )
    """Known to the server and not there: 2.6 and newer answer otherwise to these than to what they never heard of."""
    user_name_marks: str = "-."
    """Beside letters, digits and `_`."""
    max_password_length: int = 72
    bcrypt_cost: int = 10
    descriptions: bool = True
    judges_by_request: bool = True
    """A request is judged in the database that it names, and a cluster privilege in `*` (milvus#50678)."""
    resolves_aliases: bool = True
    """A named collection in a grant is looked up (2.6.12), so its database must be there."""
    checks_alias_lookups: bool = True
    """DescribeAlias refuses what can't be the name of an alias: so 2.6.20 and 3.0, not 2.3.5; versions in between were not tried."""
    drops_plain_grants: bool = True
    """What is granted on a collection by name goes, or moves, with the collection (2.6.12)."""
    lists_everything: bool = True
    """SelectGrant with database `*` lists all databases (2.4.1)."""
    filters_lists: bool = True
    """ListDatabases and ShowCollections need no privilege and show what the caller may see (2.4.1)."""
    superuser_creates: bool = False
    """UpdateCredential of a superuser creates a user that is not there."""
    root_can_be_bound: bool = True
    """rootShouldBindRole is known."""
    force_drop: bool = True
    ghosts: bool = False
    """Bindings of names that begin with a user's name show as roles without a name (milvus#46676)."""
    counts_before_names: bool = False
    """At the limit, a user that exists is refused because of the limit."""
    public: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType(
            {"Collection": ("IndexDetail",), "Global": ("DescribeCollection", "ListAliases")}
        )
    )
    missing_collection: tuple[str, int, str] = ("CollectionNotExists", 100, "can't find collection")
    """Old code, code and detail of what DescribeCollection says of a collection that is not there."""
    texts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Words that differ from those of 3.0, by their key."""
    cloud: bool = False
    """Zilliz Cloud. Documented, not measured: db_admin in place of root, built-in groups only, passwords of three classes."""

    def say(self, key: str, text: str) -> str:
        """Return the words of this version."""
        return self.texts.get(key, text)


_OLD_TEXTS = MappingProxyType(
    {
        "role characters": "role name can only contain numbers, letters, dollars and underscores, found {mark} at {at}",
        "user characters": "username must contain only numbers, letters and underscores",
        "user length": "the length of username must be less than %!d(string={limit})",
    }
)

V3_0 = Dress("3.0.0-beta")
V2_6 = replace(
    V3_0,
    version="2.6.20",
    privileges=(2, 6),
    bcrypt_cost=4,
    judges_by_request=False,
    missing_collection=("CollectionNotExists", 0, ""),
)
V2_5 = replace(
    V2_6,
    version="2.5.15",
    privileges=(2, 4),
    wal=False,
    unknown_methods=V3_0.unimplemented_methods | {"AlterRole"},
    user_name_marks="",
    descriptions=False,
    resolves_aliases=False,
    checks_alias_lookups=False,
    drops_plain_grants=False,
    superuser_creates=True,
    ghosts=True,
    counts_before_names=True,
    missing_collection=("UnexpectedError", 100, "collection not found"),
    texts=_OLD_TEXTS,
)
V2_4 = replace(V2_5, version="unknown")
_SINCE_2_4 = "DescribeDatabase OperatePrivilegeV2 CreatePrivilegeGroup DropPrivilegeGroup ListPrivilegeGroups OperatePrivilegeGroup BackupRBAC RestoreRBAC"
V2_3 = replace(
    V2_4,
    privileges=(2, 3),
    unknown_methods=V2_5.unknown_methods | frozenset(_SINCE_2_4.split()),
    max_password_length=256,
    lists_everything=False,
    filters_lists=False,
    force_drop=False,
    root_can_be_bound=False,
    texts=MappingProxyType(
        {**_OLD_TEXTS, "object name": "role name", "bad collection": "Invalid collection {what}: {name}."}
    ),
    public=MappingProxyType(
        {"Collection": ("IndexDetail",), "Global": ("DescribeCollection", "ShowCollections")}
    ),
)
V2_2 = replace(V2_3, version="v2.2.16")
"""Only its version is that of 2.2, which the operator refuses."""
ZILLIZ = replace(V2_6, version="Zilliz Cloud", cloud=True)

DRESSES: Mapping[str, Dress] = MappingProxyType(
    {"2.2": V2_2, "2.3": V2_3, "2.4": V2_4, "2.5": V2_5, "2.6": V2_6, "3.0": V3_0, "zilliz": ZILLIZ}
)
