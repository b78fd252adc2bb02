"""The fake is as strict as the server it stands for: reference/milvus-live.md, sections 1 to 3."""

import pytest

from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DropRole,
    DropUser,
    GrantPrivilege,
    PasswordMeans,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
)
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import ANY, Grant, ObjectType
from milvus_rbac.milvus.errors import (
    AlreadyExists,
    Changed,
    NotFound,
    OldPasswordRefused,
    Refused,
    Unreachable,
)
from milvus_rbac.milvus.port import Password, PasswordTexts
from support.fake_milvus import FakeMilvus, Outage

NEW, OLD = Password("new-1"), Password("old-1")
TEXTS = PasswordTexts({"app": NEW, "eve": NEW}, {"app": OLD})
LOAD = Grant(ObjectType.COLLECTION, "Load", "default", "c")
COMPANIONS = {
    Grant(ObjectType.COLLECTION, name, "default", "c") for name in ("GetLoadState", "GetLoadingProgress")
}
ELSEWHERE = Grant(ObjectType.COLLECTION, "Query", "another", ANY)


def server(**settings: bool | int) -> FakeMilvus:
    return FakeMilvus.holding({"app": (OLD, ["reader"])}, {"reader": [ELSEWHERE], "empty": []}, **settings)


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        (CreateRole("reader"), AlreadyExists, "it is there"),
        (CreateRole("admin"), AlreadyExists, "it is built in"),
        (CreateUser("app"), AlreadyExists, "it is there"),
        (GrantPrivilege("nobody", LOAD), NotFound, "no such role"),
        (RevokePrivilege("nobody", LOAD), NotFound, "no such role"),
        (BindRole("app", "nobody"), NotFound, "no such role"),
        (BindRole("nobody", "reader"), NotFound, "no such user"),
        (UnbindRole("app", "nobody"), NotFound, "no such role"),
        (DropRole("nobody"), NotFound, "no such role"),
        (DropRole("reader"), Refused, "it has a grant, in another database"),
        (DropRole("public"), Refused, "it is built in"),
        (DropUser("root", frozenset()), Refused, "root stays"),
        (UpdatePassword("app", PasswordMeans.SUPERUSER), OldPasswordRefused, "the caller is none"),
        (UpdatePassword("nobody", PasswordMeans.SUPERUSER), NotFound, "it would be created"),
        (UpdatePassword("nobody", PasswordMeans.KNOWN_TEXT), OldPasswordRefused, "as for a wrong password"),
        (GrantPrivilege("reader", Grant("Global", "Nonsense", ANY, ANY)), Refused, "no such privilege"),
        (
            GrantPrivilege("reader", Grant("Global", "CollectionReadOnly", ANY, ANY)),
            Refused,
            "V1 knows no groups",
        ),
        (GrantPrivilege("reader", Grant("Global", "Load", ANY, ANY)), Refused, "it is of another type"),
        (
            GrantPrivilege("reader", Grant("Global", "ListDatabases", ANY, "c")),
            Refused,
            "Global has no objects",
        ),
    ],
)
def test_what_milvus_refuses_is_refused(change: Change, error: type[Exception], why: str) -> None:
    milvus = server()
    before = repr((milvus.users, milvus.roles))
    with pytest.raises(error):
        milvus.make(change, TEXTS)
    assert repr((milvus.users, milvus.roles)) == before, why
    assert milvus.writes == 0


@pytest.mark.parametrize(
    "change",
    [
        UnbindRole("nobody", "reader"),
        UnbindRole("app", "empty"),
        BindRole("app", "reader"),
    ],
)
def test_what_changes_nothing_is_taken_all_the_same(change: Change) -> None:
    milvus = server()
    before = repr((milvus.users, milvus.roles))
    milvus.make(change, TEXTS)
    assert repr((milvus.users, milvus.roles)) == before
    assert milvus.writes == 1


def test_a_user_that_is_gone_needs_no_drop_and_one_that_changed_gets_none() -> None:
    milvus = server()
    milvus.make(DropUser("nobody", frozenset()), TEXTS)
    with pytest.raises(Changed):
        milvus.make(DropUser("app", frozenset({"empty"})), TEXTS)
    assert "app" in milvus.users
    assert milvus.writes == 0


def test_limits_count_what_is_built_in() -> None:
    milvus = server(max_users=2, max_roles=4)
    for change in (CreateUser("eve"), CreateRole("more")):
        with pytest.raises(Refused) as refused:
            milvus.make(change, TEXTS)
        assert refused.value.refusal.reason is Reason.LIMIT_REACHED


@pytest.mark.parametrize("companions", [True, False])
def test_load_comes_and_goes_with_its_companions_where_they_are(companions: bool) -> None:
    milvus = server(companions=companions)
    milvus.make(GrantPrivilege("empty", LOAD), TEXTS)
    assert milvus.roles["empty"] == {LOAD} | (COMPANIONS if companions else set())
    milvus.roles["empty"] |= COMPANIONS
    milvus.make(RevokePrivilege("empty", LOAD), TEXTS)
    assert milvus.roles["empty"] == (set() if companions else COMPANIONS)


def test_drops_take_bindings_along() -> None:
    milvus = server()
    milvus.make(RevokePrivilege("reader", ELSEWHERE), TEXTS)
    milvus.make(DropRole("reader"), TEXTS)
    assert milvus.users["app"].roles == set()
    milvus.make(BindRole("app", "empty"), TEXTS)
    milvus.make(DropUser("app", frozenset({"empty"})), TEXTS)
    milvus.make(CreateUser("app"), TEXTS)
    assert milvus.users["app"].roles == set()


def test_a_password_is_changed_by_who_knows_it_or_is_a_superuser() -> None:
    for milvus, means in (
        (server(), PasswordMeans.KNOWN_TEXT),
        (server(superuser=True), PasswordMeans.SUPERUSER),
    ):
        milvus.make(UpdatePassword("app", means), TEXTS)
        assert milvus.users["app"].password == NEW


@pytest.mark.parametrize("answer_lost", [True, False])
def test_after_an_outage_nothing_is_made(answer_lost: bool) -> None:
    milvus = server()
    milvus.outage = Outage(1, answer_lost)
    milvus.make(BindRole("app", "empty"), TEXTS)
    for change in (CreateRole("new"), CreateRole("newer")):
        with pytest.raises(Unreachable):
            milvus.make(change, TEXTS)
    assert ("new" in milvus.roles) is answer_lost
    assert "newer" not in milvus.roles
