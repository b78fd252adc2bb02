"""Stories of deletion: in any order, nothing hangs, nothing of ours stays, and what stays is named."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from support.quiet import watch_for
from support.story import ADMIN_SECRET, CONNECTION, Story
from testbed.forwarder import Action, Call
from testbed.milvus_admin import Grant, MilvusAdmin

SEARCH = {"privileges": ["Search"], "collections": ["orders"]}
STORED_SEARCH: Grant = ("Collection", "orders", "default", "Search")
PASSWORD = "Secret-1"  # noqa: S105 - a test's
EMPTY: dict[str, Any] = {"users": [], "roles": [], "members": {}, "grants": {}}

THINGS = {
    "connection": ("MilvusConnection", CONNECTION),
    "role": ("MilvusRole", "reader"),
    "user": ("MilvusUser", "app"),
}


def make_user(story: Story) -> tuple[str, str]:
    """A user that is Ready and holds a role that may Search; the names of both."""
    role, user = story.unique("role"), story.unique("user")
    story.password("app", PASSWORD)
    story.role("reader", role, SEARCH)
    story.user("app", user, role)
    story.wait_ready("MilvusRole", "reader")
    story.wait_ready("MilvusUser", "app")
    return user, role


def delete(story: Story, what: str) -> None:
    if what == "secret":
        story.delete_secret(ADMIN_SECRET)
        story.delete_secret("app")
    else:
        story.delete(*THINGS[what])


def wait_for_log(story: Story, line: str) -> None:
    """Wait until the operator has said it; a resource is gone a moment before that is told."""
    story.wait(lambda: line in story.operator.output, f"the log says: {line}")


def drop_by_hand(admin: MilvusAdmin, user: str | None, role: str | None) -> None:
    """Clean up what a story left in the shared Milvus."""
    if user is not None:
        admin.delete_user(user)
    if role is not None:
        for object_type, object_name, database, privilege in admin.grants(role):
            admin.revoke(role, object_type, object_name, privilege, database)
        admin.drop_role(role)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(("connection", "role", "user", "secret"), id="connection-first"),
        pytest.param(("secret", "connection", "role", "user"), id="secrets-first"),
        pytest.param(("role", "user", "connection", "secret"), id="role-first"),
        pytest.param(("user", "secret", "role", "connection"), id="user-first"),
    ],
)
def test_deleted_all_at_once_in_any_order_nothing_stays_and_nothing_hangs(
    story: Story, admin: MilvusAdmin, order: Sequence[str]
) -> None:
    make_user(story)
    for what in order:
        delete(story, what)
    for kind, name in THINGS.values():
        story.wait_gone(kind, name)
    assert admin.dump(story.unique.token) == EMPTY


@pytest.mark.parametrize("first", ["connection", "secret"])
def test_a_connection_waits_for_those_that_still_use_it(story: Story, admin: MilvusAdmin, first: str) -> None:
    make_user(story)
    delete(story, first)
    if first == "secret":
        delete(story, "connection")
    delete(story, "user")
    story.wait_gone(*THINGS["user"])
    assert story.get(*THINGS["connection"]) is not None
    delete(story, "role")
    story.wait_gone(*THINGS["role"])
    story.wait_gone(*THINGS["connection"])
    assert admin.dump(story.unique.token) == EMPTY


def test_a_connection_that_is_being_deleted_begins_nothing_new(story: Story, admin: MilvusAdmin) -> None:
    make_user(story)
    late = story.unique("late")
    story.delete("MilvusConnection", CONNECTION)
    story.role("late", late)
    delete(story, "user")
    story.wait_gone(*THINGS["user"])
    assert late not in admin.roles()
    assert (story.get("MilvusRole", "late") or {})["metadata"].get("finalizers") is None
    delete(story, "role")
    story.wait_gone(*THINGS["connection"])


def test_with_the_connection_gone_a_resource_can_still_be_deleted_and_is_named_in_the_log(
    story: Story, admin: MilvusAdmin
) -> None:
    user, role = make_user(story)
    story.operator.kill()
    path = story._path(*THINGS["connection"])
    story.cluster.patch(path, {"metadata": {"finalizers": None}})
    story.delete(*THINGS["connection"])
    story.start_operator()
    for what in ("user", "role"):
        delete(story, what)
        story.wait_gone(*THINGS[what])
    wait_for_log(story, f"User {user} was left in Milvus")
    wait_for_log(story, f"Role {role} was left in Milvus")
    drop_by_hand(admin, user, role)


def test_what_waits_for_its_connection_can_be_deleted(stage: Story) -> None:
    stage.start_operator()
    stage.role("reader", stage.unique("role"))
    stage.wait_reason("MilvusRole", "reader", "WaitingForConnection")
    stage.delete("MilvusRole", "reader")
    stage.wait_gone("MilvusRole", "reader")


def test_while_milvus_is_down_a_deletion_is_blocked_and_then_goes_on(
    story: Story, admin: MilvusAdmin
) -> None:
    make_user(story)
    story.milvus.drop_all()
    delete(story, "user")
    delete(story, "role")
    condition = story.wait_reason("MilvusUser", "app", "DeletionBlocked")
    assert "rbac.milvus.io/force-retain=true" in condition["message"]
    story.wait_reason("MilvusRole", "reader", "DeletionBlocked")
    story.milvus.restore()
    story.wait_gone(*THINGS["user"])
    story.wait_gone(*THINGS["role"])
    assert admin.dump(story.unique.token) == EMPTY


def test_what_was_let_go_before_the_watches_stood_leaves_its_name_free(
    story: Story, admin: MilvusAdmin
) -> None:
    _, role = make_user(story)
    story.operator.kill()
    delete(story, "user")
    delete(story, "role")

    def is_discovery(call: Call) -> Action | None:
        """Before the watches, Kopf asks which kinds there are; the operator's own LIST needs no answer to that."""
        return Action.DROP if call.path in {"/api", "/apis"} else None

    story.api.hook = is_discovery
    story.start_operator()
    story.wait_gone(*THINGS["role"])
    story.wait_gone(*THINGS["user"])
    story.api.hook = None
    story.role("again", role, SEARCH)
    story.wait_ready("MilvusRole", "again", timeout=20)  # before the operator lists everything once more
    assert admin.grants(role) == {STORED_SEARCH}


def test_a_connection_that_somebody_else_holds_keeps_no_resource(story: Story, admin: MilvusAdmin) -> None:
    user, role = make_user(story)
    held = {"metadata": {"finalizers": ["rbac.milvus.io/finalizer", "example.com/hold"]}}
    story.patch("MilvusConnection", CONNECTION, held)
    story.operator.kill()
    path = story._path(*THINGS["connection"])
    story.delete("MilvusConnection", CONNECTION)
    story.cluster.patch(path, {"metadata": {"finalizers": ["example.com/hold"]}})
    story.start_operator()
    for what in ("user", "role"):
        delete(story, what)
        story.wait_gone(*THINGS[what])
    story.api.clear()
    watch_for(3, lambda: len(story.api.calls) < 5, lambda: story.api.calls)
    story.cluster.patch(path, {"metadata": {"finalizers": None}})
    story.wait_gone(*THINGS["connection"])
    assert admin.members()[role] == {user}
    drop_by_hand(admin, user, role)


@pytest.mark.timeout(400)
def test_a_connection_that_nothing_gets_on_with_for_two_minutes_goes_and_so_do_its_users(
    story: Story, admin: MilvusAdmin
) -> None:
    user, role = make_user(story)
    staying = story.unique("staying")
    story.role("staying", staying)
    story.wait_ready("MilvusRole", "staying")
    story.milvus.drop_all()
    for what in ("user", "role", "connection"):
        delete(story, what)
    story.wait_reason("MilvusUser", "app", "DeletionBlocked")
    began = time.monotonic()
    story.wait_gone(*THINGS["connection"], timeout=200)
    assert time.monotonic() - began > 100, "it waited for them first"
    story.wait_gone(*THINGS["user"])
    story.wait_gone(*THINGS["role"])
    wait_for_log(story, f"User {user} was left in Milvus")
    wait_for_log(story, f"Role {role} was left in Milvus")
    assert admin.members()[role] == {user}
    drop_by_hand(admin, user, role)
    # Applied again, the connection goes on with who stayed: its role is still known to be ours.
    story.milvus.restore()
    story.connection()
    story.wait_ready("MilvusConnection", CONNECTION)
    story.wait_ready("MilvusRole", "staying")
    story.delete("MilvusRole", "staying")
    story.wait_gone("MilvusRole", "staying")
    assert staying not in admin.roles()


@pytest.mark.parametrize("way", ["annotation", "policy"])
def test_a_blocked_deletion_can_be_let_go(story: Story, admin: MilvusAdmin, way: str) -> None:
    user, role = make_user(story)
    story.milvus.drop_all()
    delete(story, "user")
    story.wait_reason("MilvusUser", "app", "DeletionBlocked")
    if way == "annotation":
        story.annotate("MilvusUser", "app", force_retain="true")
    else:
        story.patch("MilvusUser", "app", {"spec": {"deletionPolicy": "Retain"}})
    story.wait_gone(*THINGS["user"])
    story.wait_event(CONNECTION, f"User {user}", "left")
    assert admin.login_works(user, PASSWORD)
    assert admin.members()[role] == {user}
    drop_by_hand(admin, user, None)


def test_force_retain_leaves_a_role_that_could_be_dropped(story: Story, admin: MilvusAdmin) -> None:
    _, role = make_user(story)
    story.milvus.clear()
    story.annotate("MilvusRole", "reader", force_retain="true")
    delete(story, "role")
    story.wait_gone(*THINGS["role"])
    story.wait_event(CONNECTION, f"Role {role}", "left")
    assert admin.grants(role) == {STORED_SEARCH}
    assert story.written == []
    drop_by_hand(admin, None, role)


def test_with_deletion_policy_retain_everything_stays_and_is_named(story: Story, admin: MilvusAdmin) -> None:
    role, user = story.unique("role"), story.unique("user")
    story.password("app", PASSWORD)
    story.role("reader", role, SEARCH, deletionPolicy="Retain")
    story.user("app", user, role, deletionPolicy="Retain")
    story.wait_ready("MilvusRole", "reader")
    story.wait_ready("MilvusUser", "app")
    story.milvus.clear()
    for what in ("user", "role"):
        delete(story, what)
        story.wait_gone(*THINGS[what])
    assert story.written == []
    assert admin.login_works(user, PASSWORD)
    assert admin.members()[role] == {user}
    assert admin.grants(role) == {STORED_SEARCH}
    story.wait_event(CONNECTION, f"User {user}", "MilvusUser app", "left")
    story.wait_event(CONNECTION, f"Role {role}", "MilvusRole reader", "left")
    drop_by_hand(admin, user, role)


def test_deleting_and_applying_again_gives_the_same_again(story: Story, admin: MilvusAdmin) -> None:
    user, role = make_user(story)
    delete(story, "user")
    delete(story, "role")
    story.wait_gone(*THINGS["user"])
    story.wait_gone(*THINGS["role"])
    story.password("app", "Secret-2")
    story.role("reader", role, SEARCH)
    story.user("app", user, role)
    story.wait_ready("MilvusRole", "reader")
    story.wait_ready("MilvusUser", "app")
    assert admin.login_works(user, "Secret-2")
    assert admin.members()[role] == {user}
    assert admin.grants(role) == {STORED_SEARCH}


def test_what_was_already_dropped_by_hand_is_deleted_without_a_word(story: Story, admin: MilvusAdmin) -> None:
    user, role = make_user(story)
    drop_by_hand(admin, user, role)
    for what in ("user", "role"):
        delete(story, what)
        story.wait_gone(*THINGS[what])
    story.wait_ready("MilvusConnection", CONNECTION)
    assert story.events(CONNECTION) == []


def test_an_invalid_resource_that_was_ready_once_still_drops_what_it_created(
    story: Story, admin: MilvusAdmin
) -> None:
    _, role = make_user(story)
    story.role("reader", role, {"privileges": ["Serch"], "collections": ["*"]})
    story.wait_reason("MilvusRole", "reader", "UnknownPrivilege")
    delete(story, "role")
    story.wait_gone(*THINGS["role"])
    assert role not in admin.roles()


def test_a_user_whose_secret_is_gone_is_still_dropped(story: Story, admin: MilvusAdmin) -> None:
    user, _ = make_user(story)
    story.delete_secret("app")
    story.wait_reason("MilvusUser", "app", "WaitingForSecret")
    delete(story, "user")
    story.wait_gone(*THINGS["user"])
    assert user not in admin.users()
