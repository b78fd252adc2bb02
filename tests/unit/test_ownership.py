"""Some names are not to be had, and the refusal says why."""

import pytest

from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.ownership import check


@pytest.mark.parametrize(
    ("kind", "name", "expected", "reason"),
    [
        (Kind.USER, "app", None, "a name like any other"),
        (Kind.ROLE, "reader", None, "a name like any other"),
        (Kind.USER, "root", Reason.RESERVED_NAME, "the server's first user"),
        (Kind.USER, "db_admin", Reason.RESERVED_NAME, "what Zilliz Cloud has instead of root"),
        (Kind.USER, "operator", Reason.RESERVED_NAME, "the operator would lock itself out"),
        (Kind.USER, "admin", None, "a role's name, free for users"),
        (Kind.USER, "Root", None, "case counts in Milvus"),
        (Kind.ROLE, "admin", Reason.RESERVED_NAME, "built in"),
        (Kind.ROLE, "public", Reason.RESERVED_NAME, "built in"),
        (Kind.ROLE, "root", None, "a user's name, free for roles"),
        (Kind.ROLE, "operator", None, "a user's name, free for roles"),
        (Kind.GROUP, "finders", None, "a name like any other"),
        (Kind.GROUP, "Search", Reason.RESERVED_NAME, "a privilege's name"),
        (Kind.GROUP, "CollectionAdmin", Reason.RESERVED_NAME, "built in"),
        (Kind.USER, " app", Reason.INVALID_NAME, "Milvus stores it trimmed, and nobody can log in"),
        (Kind.ROLE, "reader ", Reason.INVALID_NAME, "Milvus stores it with the space"),
        (Kind.ROLE, " admin", Reason.INVALID_NAME, "the spaces are what is to be mended"),
    ],
)
def test_reserved_and_untidy_names_are_refused(
    kind: Kind, name: str, expected: Reason | None, reason: str
) -> None:
    refusal = check(kind, name, "operator")
    assert (refusal.reason if refusal else None) is expected, reason
    if refusal:
        assert name in refusal.message
