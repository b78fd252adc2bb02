"""The catalogue keeps its promises: exact names only, one row each, and a helpful guess for the rest."""

import pytest

from milvus_rbac.domain.privileges import CATALOGUE, Level, find, suggest
from milvus_rbac.domain.state import ObjectType


def test_every_name_has_one_row() -> None:
    assert len({row.name for row in CATALOGUE}) == len(CATALOGUE)


def test_every_row_is_found_by_its_name_and_suggests_itself() -> None:
    assert all(find(row.name) is row and suggest(row.name) == row.name for row in CATALOGUE)


def test_companions_are_known_privileges_of_the_same_scope() -> None:
    """Otherwise giving one again after a revoke would land elsewhere."""
    for row in CATALOGUE:
        for name in row.companions:
            companion = find(name)
            assert companion is not None
            assert (companion.level, companion.object_type) == (row.level, row.object_type)


def test_only_wildcards_have_no_level() -> None:
    assert {row.name for row in CATALOGUE if row.level is None} == {"*", "All"}
    assert all(row.everything == (row.level is None) for row in CATALOGUE)


def test_what_acts_on_the_whole_database_is_of_collection_level_and_stored_as_global() -> None:
    whole = {row.name for row in CATALOGUE if row.whole_database}
    assert whole == {"DescribeCollection", "DescribeAlias", "ListAliases", "CreateAlias", "DropAlias"}
    for row in CATALOGUE:
        reaches_out = row.level is Level.COLLECTION and row.object_type is ObjectType.GLOBAL and not row.group
        assert row.whole_database == reaches_out


def test_built_in_groups_come_with_2_4_18_three_of_each_level() -> None:
    groups = [row for row in CATALOGUE if row.group]
    assert all(row.since == (2, 4, 18) and row.name.startswith(str(row.level)) for row in groups)
    assert len(groups) == 9


@pytest.mark.parametrize(
    ("version", "count"),
    [((2, 2), 37), ((2, 3), 47), ((2, 4, 18), 56), ((2, 6), 64), ((3, 0), 76)],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_each_line_of_versions_knows_as_many_single_privileges_as_its_servers_do(
    version: tuple[int, ...], count: int
) -> None:
    single = [row for row in CATALOGUE if not row.group and not row.everything]
    assert sum(row.since <= version for row in single) == count


@pytest.mark.parametrize("name", ["search", "PrivilegeSearch", "ReadOnly", "GroupAdmin", "", " Search"])
def test_only_the_exact_name_is_known(name: str) -> None:
    assert find(name) is None


@pytest.mark.parametrize(
    ("written", "meant", "reason"),
    [
        ("PrivilegeSearch", "Search", "the documentation's prefix"),
        ("search", "Search", "letters of the other case"),
        ("create_collection", "CreateCollection", "written as a method of pymilvus"),
        (" Search ", "Search", "spaces around it"),
        ("privilegeload", "Load", "prefix and case together"),
        ("CreateColection", "CreateCollection", "a slip of the pen"),
        ("PrivilegeSerach", "Search", "a slip behind the prefix"),
        ("COLL_RO", "CollectionReadOnly", "the documentation's short word"),
        ("COLL_RW", "CollectionReadWrite", "the documentation's short word"),
        ("COLL_ADMIN", "CollectionAdmin", "the documentation's short word"),
        ("DB_RO", "DatabaseReadOnly", "the documentation's short word"),
        ("DB_RW", "DatabaseReadWrite", "the documentation's short word"),
        ("DB_Admin", "DatabaseAdmin", "the documentation's short word"),
        ("Cluster_RO", "ClusterReadOnly", "the documentation's short word"),
        ("Cluster_RW", "ClusterReadWrite", "the documentation's short word"),
        ("Cluster_Admin", "ClusterAdmin", "the documentation's short word"),
        ("PrivilegeGroupClusterReadOnly", "ClusterReadOnly", "the constant of the protocol"),
        ("ReadOnly", "CollectionReadOnly", "a group of 2.4.10"),
        ("ReadWrite", "CollectionReadWrite", "a group of 2.4.10"),
        ("Admin", "ClusterAdmin", "a group of 2.4.10"),
        ("GroupReadOnly", "CollectionReadOnly", "a group of 2.4.10 by its constant"),
        ("GroupReadWrite", "CollectionReadWrite", "a group of 2.4.10 by its constant"),
        ("GroupAdmin", "ClusterAdmin", "a group of 2.4.10 by its constant"),
        ("LoadCollection", None, "the nearest would be DropCollection, which is worse than nothing"),
        ("Foo", None, "nothing comes near"),
        ("", None, "no name"),
        ("***", None, "no letters; the wildcard is one star"),
    ],
)
def test_a_wrong_name_is_answered_with_what_was_meant(written: str, meant: str | None, reason: str) -> None:
    assert suggest(written) == meant, reason
