"""Stories of ownership: it is written down first, nothing of others is lost, and a name has one owner."""

from typing import Any

import pytest

from support.story import CONNECTION, Story
from testbed.forwarder import Action, Call
from testbed.milvus_admin import Grant, MilvusAdmin

SEARCH = {"privileges": ["Search"], "collections": ["orders"]}
QUERY = {"privileges": ["Query"], "collections": ["orders"]}
STORED_SEARCH: Grant = ("Collection", "orders", "default", "Search")
STORED_QUERY: Grant = ("Collection", "orders", "default", "Query")
STORED_INSERT: Grant = ("Collection", "orders", "default", "Insert")
PASSWORD, FOREIGN = "Secret-1", "By-hand-1"


def claim(story: Story, kind: str, name: str) -> dict[str, Any] | None:
    body = story.get(kind, name)
    assert body is not None
    found: dict[str, Any] | None = body["status"].get("claim")
    return found


def make_role_by_hand(admin: MilvusAdmin, name: str, *grants: Grant) -> None:
    admin.create_role(name)
    for object_type, object_name, database, privilege in grants:
        admin.grant(name, object_type, object_name, privilege, database)


def delete_and_wait(story: Story, kind: str, name: str) -> None:
    story.delete(kind, name)
    story.wait_gone(kind, name)


# --- written ahead


def test_what_will_be_ours_is_written_down_before_milvus_is_asked(story: Story) -> None:
    role, user = story.unique("role"), story.unique("user")
    written: dict[str, list[dict[str, str]]] = {}
    finalizers: dict[str, list[str]] = {}

    def before_each(call: Call) -> Action | None:
        if call.method in {"CreateRole", "CreateCredential"}:
            connection = story.get("MilvusConnection", CONNECTION) or {}
            kind, name = ("MilvusRole", "reader") if call.method == "CreateRole" else ("MilvusUser", "app")
            body = story.get(kind, name) or {}
            written[call.method] = connection["status"].get("inFlight", [])
            finalizers[call.method] = body["metadata"].get("finalizers", [])
        return None

    story.milvus.hook = before_each
    story.password("app", PASSWORD)
    story.role("reader", role)
    story.user("app", user, role)
    role_uid = story.wait_ready("MilvusRole", "reader")["metadata"]["uid"]
    user_uid = story.wait_ready("MilvusUser", "app")["metadata"]["uid"]
    intents = {(one["uid"], one["kind"], one["name"]) for one in written["CreateRole"]}
    assert (role_uid, "MilvusRole", role) in intents
    intents = {(one["uid"], one["kind"], one["name"]) for one in written["CreateCredential"]}
    assert (user_uid, "MilvusUser", user) in intents
    assert finalizers == {
        "CreateRole": ["rbac.milvus.io/finalizer"],
        "CreateCredential": ["rbac.milvus.io/finalizer"],
    }


def test_what_somebody_creates_in_place_of_a_lost_object_is_not_taken_for_ours(
    story: Story, admin: MilvusAdmin
) -> None:
    name = story.unique("u")
    story.password("app", PASSWORD)
    story.user("app", name)
    story.wait_ready("MilvusUser", "app")
    # It is dropped by hand, and can't be made again: its Secret is gone.
    story.delete_secret("app")
    admin.delete_user(name)
    story.reconcile("MilvusUser", "app")
    story.wait(lambda: "claim" not in (story.get("MilvusUser", "app") or {})["status"], "nothing is claimed")
    admin.create_user(name, "somebody-else")
    story.password("app", PASSWORD)
    story.wait_reason("MilvusUser", "app", "Conflict")
    assert admin.login_works(name, "somebody-else")
    story.delete("MilvusUser", "app")
    story.wait_gone("MilvusUser", "app")
    assert admin.login_works(name, "somebody-else")
    admin.delete_user(name)


def test_an_object_whose_create_was_answered_to_nobody_is_ours_after_a_crash(
    story: Story, admin: MilvusAdmin
) -> None:
    user = story.unique("user")
    killed: list[str] = []

    def on_reply(call: Call) -> Action | None:
        if call.method != "CreateCredential" or killed:
            return None
        killed.append(call.method)
        story.operator.process.stop()
        return Action.DROP

    story.milvus.on_reply = on_reply
    story.password("app", PASSWORD)
    story.user("app", user, adoption="Never")
    story.wait(lambda: bool(killed) and not story.operator.process.alive, "the operator is killed")
    assert user in admin.users()
    assert claim(story, "MilvusUser", "app") is None
    story.start_operator()
    story.wait_ready("MilvusUser", "app")
    assert (claim(story, "MilvusUser", "app") or {})["origin"] == "Created"
    assert story.written == ["CreateCredential"]
    delete_and_wait(story, "MilvusUser", "app")
    assert user not in admin.users()


def test_a_role_that_appears_right_before_ours_is_created_is_no_success(
    story: Story, admin: MilvusAdmin
) -> None:
    role = story.unique("role")
    made: list[str] = []

    def before_each(call: Call) -> Action | None:
        if call.method == "CreateRole" and not made:
            made.append(role)
            make_role_by_hand(admin, role, STORED_INSERT)
        return None

    story.milvus.hook = before_each
    story.role("reader", role, SEARCH)
    story.wait_reason("MilvusRole", "reader", "Conflict")
    assert made
    assert claim(story, "MilvusRole", "reader") is None
    assert admin.grants(role) == {STORED_INSERT}
    delete_and_wait(story, "MilvusRole", "reader")
    assert admin.grants(role) == {STORED_INSERT}
    admin.revoke(role, "Collection", "orders", "Insert")
    admin.drop_role(role)


def test_a_user_that_appears_right_before_ours_is_created_is_no_success(
    story: Story, admin: MilvusAdmin
) -> None:
    user = story.unique("user")
    made: list[str] = []

    def before_each(call: Call) -> Action | None:
        if call.method == "CreateCredential" and not made:
            made.append(user)
            admin.create_user(user, FOREIGN)
        return None

    story.milvus.hook = before_each
    story.password("app", PASSWORD)
    story.user("app", user)
    story.wait_reason("MilvusUser", "app", "Conflict")
    assert made
    assert claim(story, "MilvusUser", "app") is None
    assert admin.login_works(user, FOREIGN)
    delete_and_wait(story, "MilvusUser", "app")
    assert admin.login_works(user, FOREIGN)
    admin.delete_user(user)


# --- take over only if nothing is lost


def test_a_role_with_fewer_grants_than_wanted_is_adopted_and_stays_on_deletion(
    story: Story, admin: MilvusAdmin
) -> None:
    role = story.unique("role")
    make_role_by_hand(admin, role, STORED_SEARCH)
    story.role("reader", role, SEARCH, QUERY)
    body = story.wait_ready("MilvusRole", "reader")
    assert body["status"]["claim"]["origin"] == "Adopted"
    assert admin.grants(role) == {STORED_SEARCH, STORED_QUERY}
    assert story.written == ["OperatePrivilege"]
    delete_and_wait(story, "MilvusRole", "reader")
    assert admin.grants(role) == {STORED_SEARCH, STORED_QUERY}
    type_, reason, message = story.wait_event(CONNECTION, role, "left")
    assert reason == "LeftBehind"
    assert type_ == "Warning"
    assert "reader" in message
    for _, _, _, privilege in admin.grants(role):
        admin.revoke(role, "Collection", "orders", privilege)
    admin.drop_role(role)


def test_a_role_with_more_grants_than_wanted_is_a_conflict_until_adoption_is_always(
    story: Story, admin: MilvusAdmin
) -> None:
    role = story.unique("role")
    make_role_by_hand(admin, role, STORED_SEARCH, STORED_INSERT)
    story.role("reader", role, SEARCH)
    condition = story.wait_reason("MilvusRole", "reader", "Conflict")
    assert role in condition["message"]
    assert "spec.adoption to Always" in condition["message"]
    assert claim(story, "MilvusRole", "reader") is None
    assert story.written == []
    story.role("reader", role, SEARCH, adoption="Always")
    story.wait_ready("MilvusRole", "reader")
    assert admin.grants(role) == {STORED_SEARCH}
    delete_and_wait(story, "MilvusRole", "reader")
    assert role not in admin.roles()


def test_a_conflict_leaves_the_role_alone_when_its_resource_is_deleted(
    story: Story, admin: MilvusAdmin
) -> None:
    role = story.unique("role")
    make_role_by_hand(admin, role, STORED_INSERT)
    story.role("reader", role, SEARCH)
    story.wait_reason("MilvusRole", "reader", "Conflict")
    delete_and_wait(story, "MilvusRole", "reader")
    assert admin.grants(role) == {STORED_INSERT}
    assert story.written == []
    admin.revoke(role, "Collection", "orders", "Insert")
    admin.drop_role(role)


def test_a_user_with_the_same_password_and_fewer_roles_is_adopted_and_stays_on_deletion(
    story: Story, admin: MilvusAdmin
) -> None:
    first, second, user = story.unique("role"), story.unique("role"), story.unique("user")
    make_role_by_hand(admin, first)
    make_role_by_hand(admin, second)
    admin.create_user(user, PASSWORD)
    admin.bind(user, first)
    story.password("app", PASSWORD)
    story.user("app", user, first, second)
    body = story.wait_ready("MilvusUser", "app")
    assert body["status"]["claim"]["origin"] == "Adopted"
    assert body["status"]["roles"] == sorted([first, second])
    assert story.written == ["OperateUserRole"]
    delete_and_wait(story, "MilvusUser", "app")
    assert admin.login_works(user, PASSWORD)
    assert admin.members()[second] == {user}
    story.wait_event(CONNECTION, f"User {user}", "left")
    admin.delete_user(user)
    admin.drop_role(first)
    admin.drop_role(second)


def test_a_user_with_another_password_is_a_conflict_until_adoption_is_always(
    story: Story, admin: MilvusAdmin
) -> None:
    user = story.unique("user")
    admin.create_user(user, FOREIGN)
    story.password("app", PASSWORD)
    story.user("app", user)
    condition = story.wait_reason("MilvusUser", "app", "Conflict")
    assert "would set its password to the Secret's" in condition["message"]
    assert story.written == []
    story.user("app", user, adoption="Always")
    story.wait_ready("MilvusUser", "app")
    assert admin.login_works(user, PASSWORD)
    assert not admin.login_works(user, FOREIGN)
    delete_and_wait(story, "MilvusUser", "app")
    assert user not in admin.users()


def test_a_user_with_more_roles_than_wanted_is_a_conflict(story: Story, admin: MilvusAdmin) -> None:
    role, user = story.unique("role"), story.unique("user")
    make_role_by_hand(admin, role)
    admin.create_user(user, PASSWORD)
    admin.bind(user, role)
    story.password("app", PASSWORD)
    story.user("app", user)
    story.wait_reason("MilvusUser", "app", "Conflict")
    assert story.written == []
    assert admin.members()[role] == {user}
    admin.delete_user(user)
    admin.drop_role(role)


@pytest.mark.parametrize("kind", ["MilvusRole", "MilvusUser"])
def test_with_adoption_never_even_an_equal_object_is_a_conflict(
    story: Story, admin: MilvusAdmin, kind: str
) -> None:
    name = story.unique("taken")
    if kind == "MilvusRole":
        make_role_by_hand(admin, name)
        story.role("taken", name, adoption="Never")
    else:
        admin.create_user(name, PASSWORD)
        story.password("taken", PASSWORD)
        story.user("taken", name, adoption="Never")
    condition = story.wait_reason(kind, "taken", "Conflict")
    assert "adoption: Never" in condition["message"]
    assert claim(story, kind, "taken") is None
    assert story.written == []
    delete_and_wait(story, kind, "taken")
    assert name in admin.roles() | admin.users()
    if kind == "MilvusRole":
        admin.drop_role(name)
    else:
        admin.delete_user(name)


def test_a_conflict_heals_when_what_was_in_the_way_is_dropped_by_hand(
    story: Story, admin: MilvusAdmin
) -> None:
    story.connection(interval="10s")
    user = story.unique("user")
    admin.create_user(user, FOREIGN)
    story.password("app", PASSWORD)
    story.user("app", user)
    story.wait_reason("MilvusUser", "app", "Conflict")
    admin.delete_user(user)
    body = story.wait_ready("MilvusUser", "app")
    assert body["status"]["claim"]["origin"] == "Created"


# --- one owner per name


def test_the_older_of_two_resources_owns_the_name_and_the_other_takes_over_when_it_is_deleted(
    story: Story, admin: MilvusAdmin
) -> None:
    role = story.unique("role")
    story.role("first", role, SEARCH)
    story.wait_ready("MilvusRole", "first")
    story.role("second", role, QUERY)
    condition = story.wait_reason("MilvusRole", "second", "Conflict")
    assert "MilvusRole first" in condition["message"]
    assert claim(story, "MilvusRole", "second") is None
    assert admin.grants(role) == {STORED_SEARCH}
    story.delete("MilvusRole", "first")
    story.wait_gone("MilvusRole", "first")
    story.wait_ready("MilvusRole", "second")
    assert (claim(story, "MilvusRole", "second") or {})["origin"] == "Created"
    assert admin.grants(role) == {STORED_QUERY}


def test_of_two_resources_that_were_there_before_the_operator_the_older_one_wins(
    stage: Story, admin: MilvusAdmin
) -> None:
    user = stage.unique("user")
    stage.connection()
    ranks = {}
    for name in ("b", "a"):
        stage.password(name, f"Secret-{name}")
        stage.user(name, user)
        metadata = (stage.get("MilvusUser", name) or {})["metadata"]
        ranks[name] = (metadata["creationTimestamp"], metadata["uid"])
    winner, loser = sorted(ranks, key=lambda name: ranks[name])
    stage.start_operator()
    stage.wait_ready("MilvusUser", winner)
    condition = stage.wait_reason("MilvusUser", loser, "Conflict")
    assert f"MilvusUser {winner}" in condition["message"]
    assert admin.login_works(user, f"Secret-{winner}")
    assert stage.written == ["CreateCredential"]


def test_a_loser_that_is_deleted_takes_nothing_with_it(story: Story, admin: MilvusAdmin) -> None:
    user = story.unique("user")
    for name in ("first", "second"):
        story.password(name, f"Secret-{name}")
    story.user("first", user)
    story.wait_ready("MilvusUser", "first")
    story.user("second", user)
    story.wait_reason("MilvusUser", "second", "Conflict")
    delete_and_wait(story, "MilvusUser", "second")
    assert admin.login_works(user, "Secret-first")
    assert story.written == ["CreateCredential"]


def test_a_user_and_a_role_may_have_the_same_name(story: Story, admin: MilvusAdmin) -> None:
    name = story.unique("same")
    story.password("app", PASSWORD)
    story.role("app", name)
    story.user("app", name, name)
    story.wait_ready("MilvusRole", "app")
    story.wait_ready("MilvusUser", "app")
    assert admin.members()[name] == {name}


# --- a status that is lost


def test_a_role_whose_status_was_lost_is_adopted_again_and_not_dropped(
    story: Story, admin: MilvusAdmin
) -> None:
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    void_intents(story)
    lose_status(story, "MilvusRole", "reader")
    story.reconcile("MilvusRole", "reader")
    story.wait(
        lambda: (claim(story, "MilvusRole", "reader") or {}).get("origin") == "Adopted", "adopted again"
    )
    delete_and_wait(story, "MilvusRole", "reader")
    assert admin.grants(role) == {STORED_SEARCH}
    admin.revoke(role, "Collection", "orders", "Search")
    admin.drop_role(role)


def test_a_user_whose_status_was_lost_is_dropped_because_its_password_proves_it(
    story: Story, admin: MilvusAdmin
) -> None:
    user = story.unique("user")
    story.password("app", PASSWORD)
    story.user("app", user)
    story.wait_ready("MilvusUser", "app")
    void_intents(story)
    story.operator.kill()
    lose_status(story, "MilvusUser", "app")
    story.delete("MilvusUser", "app")
    story.start_operator()
    story.wait_gone("MilvusUser", "app")
    assert user not in admin.users()


def test_a_role_whose_status_was_lost_is_left_on_deletion_and_named(story: Story, admin: MilvusAdmin) -> None:
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    void_intents(story)
    story.operator.kill()
    lose_status(story, "MilvusRole", "reader")
    story.delete("MilvusRole", "reader")
    story.start_operator()
    story.wait_gone("MilvusRole", "reader")
    assert admin.grants(role) == {STORED_SEARCH}
    story.wait_event(CONNECTION, f"Role {role}", "left")
    admin.revoke(role, "Collection", "orders", "Search")
    admin.drop_role(role)


def void_intents(story: Story) -> None:
    """Have the next list of intents written, without those that were fulfilled."""
    story.role("later", story.unique("later"))
    later = story.wait_ready("MilvusRole", "later")["metadata"]["uid"]
    connection = story.get("MilvusConnection", CONNECTION)
    assert connection is not None
    assert {one["uid"] for one in connection["status"].get("inFlight", [])} <= {later}


def lose_status(story: Story, kind: str, name: str) -> None:
    """Take the whole status away, as a restore from a backup does."""
    path = f"{story._path(kind, name)}/status"
    body = [{"op": "replace", "path": "/status", "value": {}}]
    story.cluster.patch(path, body, "application/json-patch+json")
