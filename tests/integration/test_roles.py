"""Stories of roles: what a MilvusRole lists is what Milvus grants, no more and no less."""

import pytest

from support.story import Story
from testbed.forwarder import Action, Call
from testbed.milvus_admin import Grant, MilvusAdmin

ORDERS = ["orders"]
SEARCH = {"privileges": ["Search"], "collections": ORDERS}
QUERY = {"privileges": ["Query"], "collections": ORDERS}
STORED_SEARCH: Grant = ("Collection", "orders", "default", "Search")
STORED_QUERY: Grant = ("Collection", "orders", "default", "Query")


def test_every_scope_is_granted_where_milvus_keeps_it(story: Story, admin: MilvusAdmin) -> None:
    role, database = story.unique("role"), story.unique("db")
    admin.create_database(database)
    story.role(
        "reader",
        role,
        {"privileges": ["Search", "Query"], "database": database, "collections": ["orders", "customers"]},
        {"privileges": ["Insert"], "collections": ["*"]},
        {"privileges": ["CreateCollection"], "database": database},
        {"privileges": ["CreateDatabase"]},
        {"privileges": ["SelectUser"]},
    )
    body = story.wait_ready("MilvusRole", "reader")
    stored = admin.grants(role)
    admin.drop_database(database)
    assert stored == {
        ("Collection", "orders", database, "Search"),
        ("Collection", "orders", database, "Query"),
        ("Collection", "customers", database, "Search"),
        ("Collection", "customers", database, "Query"),
        ("Collection", "*", "default", "Insert"),
        ("Global", "*", database, "CreateCollection"),
        ("Global", "*", "*", "CreateDatabase"),
        ("User", "*", "*", "SelectUser"),
    }
    shown = {
        (one["objectType"], one["objectName"], one["database"], one["privilege"])
        for one in body["status"]["grants"]
    }
    assert shown == stored
    assert body["status"]["grantCount"] == 8
    assert body["status"]["claim"] == {"endpoint": story.milvus.address, "name": role, "origin": "Created"}


def test_a_row_taken_out_is_revoked(story: Story, admin: MilvusAdmin) -> None:
    role = story.unique("role")
    story.role("reader", role, SEARCH, QUERY)
    story.wait_ready("MilvusRole", "reader")
    assert admin.grants(role) == {STORED_SEARCH, STORED_QUERY}
    story.milvus.clear()
    story.role("reader", role, QUERY)
    body = story.wait_ready("MilvusRole", "reader")
    assert admin.grants(role) == {STORED_QUERY}
    assert body["status"]["grantCount"] == 1
    assert story.written == ["OperatePrivilege"]


def test_the_same_grants_said_differently_change_nothing_in_milvus(story: Story, admin: MilvusAdmin) -> None:
    role = story.unique("role")
    story.role("reader", role, SEARCH, QUERY)
    story.wait_ready("MilvusRole", "reader")
    story.milvus.clear()
    story.role(
        "reader", role, {"privileges": ["Query", "Search"], "database": "default", "collections": ORDERS}
    )
    story.wait_ready("MilvusRole", "reader")
    assert story.written == []
    assert admin.grants(role) == {STORED_SEARCH, STORED_QUERY}


def test_give_comes_before_take_when_a_grant_is_swapped(story: Story, admin: MilvusAdmin) -> None:
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    seen: list[set[Grant]] = []

    def after_each(call: Call) -> Action | None:
        if call.method == "OperatePrivilege":
            seen.append(admin.grants(role))
        return None

    story.milvus.on_reply = after_each
    story.role("reader", role, QUERY)
    story.wait_ready("MilvusRole", "reader")
    assert seen == [{STORED_SEARCH, STORED_QUERY}, {STORED_QUERY}]


def test_give_comes_before_take_when_a_users_role_is_swapped(story: Story, admin: MilvusAdmin) -> None:
    first, second, user = story.unique("role"), story.unique("role"), story.unique("user")
    story.password("app", "Secret-1")
    story.role("first", first)
    story.role("second", second)
    story.user("app", user, first)
    story.wait_ready("MilvusUser", "app")
    story.wait_ready("MilvusRole", "second")
    seen: list[set[str]] = []

    def after_each(call: Call) -> Action | None:
        if call.method == "OperateUserRole":
            seen.append({role for role, held in admin.members().items() if user in held})
        return None

    story.milvus.on_reply = after_each
    story.user("app", user, second)
    story.wait_ready("MilvusUser", "app")
    assert seen == [{first, second}, {second}]


def test_an_invalid_row_holds_back_revocations_and_no_valid_row(story: Story, admin: MilvusAdmin) -> None:
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    story.role("reader", role, {"privileges": ["Serch"], "collections": ["*"]}, QUERY)
    condition = story.wait_reason("MilvusRole", "reader", "UnknownPrivilege")
    assert "spec.grants[0]" in condition["message"]
    assert "write Search" in condition["message"]
    assert admin.grants(role) == {STORED_QUERY, STORED_SEARCH}


@pytest.mark.parametrize("name", ["PrivilegeSearch", "search"])
def test_another_spelling_of_a_privilege_is_answered_with_the_right_one(
    story: Story, admin: MilvusAdmin, name: str
) -> None:
    role = story.unique("role")
    story.role("reader", role, {"privileges": [name], "collections": ["*"]})
    condition = story.wait_reason("MilvusRole", "reader", "UnknownPrivilege")
    assert "write Search" in condition["message"]
    assert admin.grants(role) == set()


@pytest.mark.parametrize("name", ["ClusterReadOnly", "DatabaseReadOnly", "CollectionReadOnly", "BackupRBAC"])
def test_what_this_server_does_not_have_is_said_and_not_expanded(
    story: Story, admin: MilvusAdmin, name: str
) -> None:
    role = story.unique("role")
    story.role("reader", role, {"privileges": [name]}, SEARCH)
    condition = story.wait_reason("MilvusRole", "reader", "UnsupportedByServer")
    assert name in condition["message"]
    assert "2.4" in condition["message"]
    assert admin.grants(role) == {STORED_SEARCH}


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        pytest.param(
            {"privileges": ["CreateDatabase"], "collections": ORDERS}, "whole cluster", id="cluster"
        ),
        pytest.param(
            {"privileges": ["CreateDatabase"], "database": "sales"}, "whole cluster", id="in-database"
        ),
        pytest.param(
            {"privileges": ["CreateCollection"], "collections": ORDERS}, "whole database", id="database"
        ),
        pytest.param(
            {"privileges": ["DescribeCollection"], "collections": ORDERS}, "whole database", id="stored"
        ),
        pytest.param({"privileges": ["Search"], "database": "*", "collections": ORDERS}, "by name", id="any"),
        pytest.param({"privileges": ["All"]}, "everything", id="all"),
    ],
)
def test_a_privilege_in_a_place_where_it_means_something_else_is_refused(
    story: Story, admin: MilvusAdmin, row: dict[str, object], hint: str
) -> None:
    role = story.unique("role")
    story.role("reader", role, row)
    condition = story.wait_reason("MilvusRole", "reader", "InvalidScope")
    assert hint in condition["message"]
    assert admin.grants(role) == set()


def test_a_name_that_the_server_does_not_take_is_said(story: Story, admin: MilvusAdmin) -> None:
    role = f"{story.unique('role')}-x"
    story.role("reader", role)
    story.wait_reason("MilvusRole", "reader", "InvalidName")
    assert role not in admin.roles()


def test_deleting_a_role_that_has_grants_and_members_drops_it(story: Story, admin: MilvusAdmin) -> None:
    role, user = story.unique("role"), story.unique("user")
    admin.create_user(user, "Secret-1")
    story.role("reader", role, SEARCH, QUERY)
    story.wait_ready("MilvusRole", "reader")
    admin.bind(user, role)
    story.delete("MilvusRole", "reader")
    story.wait_gone("MilvusRole", "reader")
    assert role not in admin.roles()
    assert user in admin.users()
    admin.delete_user(user)


def test_a_privilege_and_its_companions_are_given_and_taken(story: Story, admin: MilvusAdmin) -> None:
    role = story.unique("role")
    load = {"privileges": ["Load", "GetLoadState"], "collections": ORDERS}
    story.role("loader", role, load)
    story.wait_ready("MilvusRole", "loader")
    held = {privilege for _, _, _, privilege in admin.grants(role)}
    assert held >= {"Load", "GetLoadState"}
    story.role("loader", role, {"privileges": ["GetLoadState"], "collections": ORDERS})
    story.wait_ready("MilvusRole", "loader")
    assert {privilege for _, _, _, privilege in admin.grants(role)} == {"GetLoadState"}
    story.role("loader", role)
    story.wait_ready("MilvusRole", "loader")
    assert admin.grants(role) == set()


def test_a_grant_survives_in_a_database_that_was_dropped_and_is_still_taken(
    story: Story, admin: MilvusAdmin
) -> None:
    role, database = story.unique("role"), story.unique("db")
    admin.create_database(database)
    story.role("reader", role, {"privileges": ["Search"], "database": database, "collections": ["*"]}, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    admin.drop_database(database)
    story.delete("MilvusRole", "reader")
    story.wait_gone("MilvusRole", "reader")
    assert role not in admin.roles()
