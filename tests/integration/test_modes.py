"""Stories of looking without touching: mode Observe, suspend, and two operators of which one may write."""

from typing import Any

import pytest

from support.story import CONNECTION, Story
from testbed.milvus_admin import Grant, MilvusAdmin

SEARCH = {"privileges": ["Search"], "collections": ["orders"]}
QUERY = {"privileges": ["Query"], "collections": ["orders"]}
STORED_SEARCH: Grant = ("Collection", "orders", "default", "Search")
STORED_QUERY: Grant = ("Collection", "orders", "default", "Query")
PASSWORD = "Secret-1"  # noqa: S105 - a test's


def plan_of(body: dict[str, Any] | None) -> list[str]:
    assert body is not None
    return list(body["status"].get("plan", []))


def make_role(story: Story) -> str:
    """A role that is Ready and may Search; its name."""
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    story.milvus.clear()
    return role


def drop_role(admin: MilvusAdmin, role: str) -> None:
    """Clean up what a story left in the shared Milvus."""
    for object_type, object_name, database, privilege in admin.grants(role):
        admin.revoke(role, object_type, object_name, privilege, database)
    admin.drop_role(role)


# --- mode: Observe


def test_observe_plans_and_writes_nothing_until_it_is_switched_to_enforce(
    stage: Story, admin: MilvusAdmin
) -> None:
    role, user = stage.unique("role"), stage.unique("user")
    stage.connection(mode="Observe")
    stage.password("app", PASSWORD)
    stage.role("reader", role, SEARCH)
    stage.user("app", user, role)
    stage.start_operator()
    for kind, name, line in (
        ("MilvusRole", "reader", f"create role {role}"),
        ("MilvusUser", "app", f"create user {user}"),
    ):
        stage.wait_reason(kind, name, "Observed")
        drifted = stage.condition(kind, name, "Drifted")
        assert drifted is not None
        assert drifted["status"] == "True"
        body = stage.get(kind, name)
        assert line in plan_of(body)
        assert body is not None
        assert "finalizers" not in body["metadata"]
        assert stage.condition(kind, name, "Stalled") is None
    assert f"grant Search on default.orders to role {role}" in plan_of(stage.get("MilvusRole", "reader"))
    assert f"bind role {role} to user {user}" in plan_of(stage.get("MilvusUser", "app"))
    assert stage.written == []
    stage.connection(mode="Enforce")
    stage.wait_ready("MilvusRole", "reader")
    stage.wait_ready("MilvusUser", "app")
    for kind, name in (("MilvusRole", "reader"), ("MilvusUser", "app")):
        assert plan_of(stage.get(kind, name)) == []
        assert stage.condition(kind, name, "Drifted") is None
    assert admin.members()[role] == {user}
    assert admin.grants(role) == {STORED_SEARCH}


def test_observe_says_what_was_changed_by_hand_and_leaves_it(story: Story, admin: MilvusAdmin) -> None:
    role = make_role(story)
    story.connection(mode="Observe")
    story.wait_reason("MilvusRole", "reader", "Observed", type_="Drifted")
    assert story.wait_ready("MilvusRole", "reader")["status"]["claim"]["origin"] == "Created"
    assert (story.condition("MilvusRole", "reader", "Drifted") or {})["status"] == "False"
    admin.grant(role, "Collection", "orders", "Insert")
    story.reconcile("MilvusRole", "reader")
    story.wait_reason("MilvusRole", "reader", "Observed")
    assert plan_of(story.get("MilvusRole", "reader")) == [f"revoke Insert on default.orders from role {role}"]
    assert (story.condition("MilvusRole", "reader", "Drifted") or {})["status"] == "True"
    assert len(admin.grants(role)) == 2
    assert story.written == []


def test_observe_says_that_a_password_would_be_changed(story: Story, admin: MilvusAdmin) -> None:
    user = story.unique("user")
    story.password("app", PASSWORD)
    story.user("app", user)
    story.wait_ready("MilvusUser", "app")
    story.connection(mode="Observe")
    story.wait_reason("MilvusUser", "app", "Observed", type_="Drifted")
    story.milvus.clear()
    story.password("app", "Secret-2")
    story.wait(
        lambda: plan_of(story.get("MilvusUser", "app")) == [f"update the password of user {user}"],
        "the plan says it",
        see=lambda: story.get("MilvusUser", "app"),
    )
    assert admin.login_works(user, PASSWORD)
    assert story.written == []


def test_deleting_under_observe_leaves_milvus_untouched(story: Story, admin: MilvusAdmin) -> None:
    role = make_role(story)
    story.connection(mode="Observe")
    story.wait_reason("MilvusRole", "reader", "Observed", type_="Drifted")
    story.delete("MilvusRole", "reader")
    story.wait_gone("MilvusRole", "reader")
    assert admin.grants(role) == {STORED_SEARCH}
    assert story.written == []
    story.wait_event(CONNECTION, f"Role {role}", "left")
    drop_role(admin, role)


# --- suspend


def test_a_suspended_resource_is_left_alone_until_it_is_resumed(story: Story, admin: MilvusAdmin) -> None:
    role = make_role(story)
    story.role("reader", role, QUERY, suspend=True)
    condition = story.wait_reason("MilvusRole", "reader", "Suspended")
    assert "spec.suspend" in condition["message"]
    assert story.condition("MilvusRole", "reader", "Stalled") is None
    assert admin.grants(role) == {STORED_SEARCH}
    assert story.written == []
    story.role("reader", role, QUERY)
    story.wait_ready("MilvusRole", "reader")
    assert admin.grants(role) == {STORED_QUERY}


def test_a_new_resource_that_is_suspended_creates_nothing(story: Story, admin: MilvusAdmin) -> None:
    user = story.unique("user")
    story.password("app", PASSWORD)
    story.user("app", user, suspend=True)
    story.wait_reason("MilvusUser", "app", "Suspended")
    assert story.written == []
    assert user not in admin.users()
    story.delete("MilvusUser", "app")
    story.wait_gone("MilvusUser", "app")


def test_a_suspended_users_rotation_waits(story: Story, admin: MilvusAdmin) -> None:
    user = story.unique("user")
    story.password("app", PASSWORD)
    story.user("app", user)
    story.wait_ready("MilvusUser", "app")
    story.user("app", user, suspend=True)
    story.wait_reason("MilvusUser", "app", "Suspended")
    story.password("app", "Secret-2")
    # The Secret's change was seen when somebody else's, made later, has taken effect.
    other = story.unique("user")
    story.password("other", PASSWORD)
    story.user("other", other)
    story.wait_ready("MilvusUser", "other")
    assert admin.login_works(user, PASSWORD)
    story.user("app", user)
    story.wait(lambda: admin.login_works(user, "Secret-2"), "the new password is in force")


def test_deleting_a_suspended_resource_leaves_milvus_untouched(story: Story, admin: MilvusAdmin) -> None:
    role = make_role(story)
    story.role("reader", role, SEARCH, suspend=True)
    story.wait_reason("MilvusRole", "reader", "Suspended")
    story.delete("MilvusRole", "reader")
    story.wait_gone("MilvusRole", "reader")
    assert admin.grants(role) == {STORED_SEARCH}
    assert story.written == []
    story.wait_event(CONNECTION, f"Role {role}", "left")
    drop_role(admin, role)


def test_a_suspended_connection_stops_everything_on_it(story: Story, admin: MilvusAdmin) -> None:
    role = make_role(story)
    late = story.unique("late")
    story.connection(suspend=True)
    condition = story.wait_reason("MilvusConnection", CONNECTION, "Suspended")
    assert "spec.suspend" in condition["message"]
    story.milvus.clear()
    story.role("reader", role, QUERY)
    story.role("late", late)
    story.wait_reason("MilvusRole", "late", "WaitingForConnection")
    story.wait_reason("MilvusRole", "reader", "Suspended")
    assert story.milvus.calls == []
    assert admin.grants(role) == {STORED_SEARCH}
    story.connection(suspend=False)
    story.wait_ready("MilvusRole", "reader")
    story.wait_ready("MilvusRole", "late")
    assert admin.grants(role) == {STORED_QUERY}


def test_deleting_on_a_suspended_connection_leaves_milvus_untouched(story: Story, admin: MilvusAdmin) -> None:
    role = make_role(story)
    story.connection(suspend=True)
    story.wait_reason("MilvusConnection", CONNECTION, "Suspended")
    story.delete("MilvusRole", "reader")
    story.wait_gone("MilvusRole", "reader")
    assert admin.grants(role) == {STORED_SEARCH}
    assert story.written == []
    story.wait_event(CONNECTION, f"Role {role}", "left")
    story.delete("MilvusConnection", CONNECTION)
    story.wait_gone("MilvusConnection", CONNECTION)
    drop_role(admin, role)


def test_what_was_deleted_while_the_operator_was_down_is_released_by_a_suspended_connection(
    story: Story, admin: MilvusAdmin
) -> None:
    role = make_role(story)
    story.connection(suspend=True)
    story.wait_reason("MilvusConnection", CONNECTION, "Suspended")
    story.operator.kill()
    story.delete("MilvusRole", "reader")
    story.start_operator()
    story.wait_gone("MilvusRole", "reader")
    assert admin.grants(role) == {STORED_SEARCH}
    assert story.written == []
    drop_role(admin, role)


# --- two operators


def leads(story: Story, number: int) -> bool:
    return "milvus_rbac_leader 1.0" in story.operators[number].get("/metrics")


def changes(story: Story, number: int) -> list[str]:
    """What one of the operators counts as changed in Milvus."""
    lines = story.operators[number].get("/metrics").splitlines()
    return [line for line in lines if line.startswith("milvus_rbac_changes_total{")]


def test_of_two_operators_only_the_holder_of_the_lease_writes_and_the_other_takes_over(
    story: Story, admin: MilvusAdmin
) -> None:
    first, second = story.unique("role"), story.unique("role")
    story.wait(lambda: leads(story, 0), "the first has the Lease")
    story.start_operator("two")
    story.role("first", first, SEARCH)
    story.wait_ready("MilvusRole", "first")
    assert not leads(story, 1)
    assert changes(story, 0)
    assert changes(story, 1) == []
    assert story.written == ["CreateRole", "OperatePrivilege"]
    story.operators[0].stop()
    story.role("second", second)
    story.wait_ready("MilvusRole", "second")
    assert leads(story, 1)
    assert admin.grants(first) == {STORED_SEARCH}
    assert story.written == ["CreateRole", "OperatePrivilege", "CreateRole"]


@pytest.mark.timeout(200)
def test_an_operator_that_died_is_replaced_when_its_lease_runs_out(story: Story, admin: MilvusAdmin) -> None:
    role = make_role(story)
    story.start_operator("two")
    story.operators[0].kill()
    story.role("reader", role, QUERY)
    # 60 s of the Lease, and 5 between two looks at it.
    story.wait_reason("MilvusRole", "reader", "Ready", timeout=120)
    assert admin.grants(role) == {STORED_QUERY}
    assert leads(story, 1)
