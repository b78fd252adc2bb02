"""Stories of passwords: what the Secret says is what Milvus lets in, and nobody loses a role over it."""

import base64
from collections.abc import Callable

from support.story import CONNECTION, Story
from testbed.forwarder import Action, Call
from testbed.milvus import SUPERUSERS, MilvusFacts, Profile
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder

OLD, NEW, OTHER = "Secret-1", "Secret-2", "By-hand-3"


def make_user(story: Story, *, password: str = OLD) -> tuple[str, str]:
    """A user that is Ready and holds a role; the names of both."""
    role, user = story.unique("role"), story.unique("user")
    story.password("app", password)
    story.role("reader", role)
    story.user("app", user, role)
    story.wait_ready("MilvusRole", "reader")
    story.wait_ready("MilvusUser", "app")
    story.milvus.clear()
    return user, role


def secret_version(story: Story, name: str = "app") -> dict[str, str]:
    """The version of a Secret, as a status has it."""
    metadata = story.cluster.get(f"/api/v1/namespaces/{story.namespace}/secrets/{name}")["metadata"]
    version = {"secretUid": metadata["uid"], "secretResourceVersion": metadata["resourceVersion"]}
    return version | {"secretKey": "password"}


def version_in_force(story: Story) -> dict[str, str] | None:
    body = story.get("MilvusUser", "app")
    assert body is not None
    version: dict[str, str] | None = body["status"].get("password")
    return version


def wait_in_force(story: Story) -> None:
    """Wait until the status says that the Secret as it is now is in force."""
    story.wait(
        lambda: version_in_force(story) == secret_version(story),
        "the newest version of the Secret is in force",
        see=lambda: story.get("MilvusUser", "app"),
    )


def wait_for_login(story: Story, admin: MilvusAdmin, user: str, password: str) -> None:
    """Wait until Milvus lets the user in with that password."""
    story.wait(lambda: admin.login_works(user, password), f"{user} logs in with {password}")


def test_a_rotation_takes_effect_in_seconds_in_place_and_with_the_roles_kept(
    story: Story, admin: MilvusAdmin
) -> None:
    user, role = make_user(story)
    story.password("app", NEW)
    story.wait(lambda: admin.login_works(user, NEW), "the new password is in force", timeout=15)
    assert not admin.login_works(user, OLD)
    assert admin.members()[role] == {user}
    assert story.written == ["UpdateCredential"]
    wait_in_force(story)
    type_, _, message = story.wait_event("app", "update the password")
    assert type_ == "Normal"
    assert NEW not in message


def test_a_rotation_that_could_not_be_tried_is_not_called_ready_and_is_tried_again(
    story: Story, admin: MilvusAdmin
) -> None:
    user, _ = make_user(story)

    def is_login(call: Call) -> Action | None:
        return Action.DROP if call.method == "GetVersion" else None

    story.milvus.hook = is_login
    story.password("app", NEW)
    condition = story.wait_reason("MilvusUser", "app", "Unreachable")
    assert "tried again" in condition["message"]
    assert admin.login_works(user, OLD)
    story.milvus.hook = None
    story.wait_ready("MilvusUser", "app", timeout=60)
    assert admin.login_works(user, NEW)


def test_one_rotation_after_the_other_stays_in_place(story: Story, admin: MilvusAdmin) -> None:
    user, _ = make_user(story)
    for password in (NEW, OTHER, OLD):
        story.password("app", password)
        wait_for_login(story, admin, user, password)
    assert story.written == ["UpdateCredential"] * 3


def test_a_secret_changed_while_the_operator_was_down_recreates_the_user_with_its_roles(
    story: Story, admin: MilvusAdmin
) -> None:
    user, role = make_user(story)
    story.operator.kill()
    story.password("app", NEW)
    story.start_operator()
    story.wait(lambda: admin.login_works(user, NEW), "the new password is in force")
    wait_in_force(story)
    assert not admin.login_works(user, OLD)
    assert admin.members()[role] == {user}
    # In place is tried first, and once more right before the drop: the server checks the new password by that.
    tried = ["UpdateCredential", "UpdateCredential"]
    assert story.written == [*tried, "DeleteCredential", "CreateCredential", "OperateUserRole"]
    story.wait_event("app", "drop and re-create")


def test_after_a_restart_a_rotation_is_in_place_again(story: Story, admin: MilvusAdmin) -> None:
    user, _ = make_user(story)
    connection = CONNECTION
    story.restart_operator()
    # The memory is refilled by the first look after the restart: it is over when something newer is Ready.
    story.role("second", story.unique("role"))
    story.wait_ready("MilvusRole", "second")
    story.milvus.clear()
    story.password("app", NEW)
    story.wait(lambda: admin.login_works(user, NEW), "the new password is in force")
    assert story.written == ["UpdateCredential"]
    story.wait_ready("MilvusConnection", connection)


def test_the_previous_password_in_the_secret_saves_the_user_from_being_recreated(
    story: Story, admin: MilvusAdmin
) -> None:
    user, role = make_user(story)
    story.operator.kill()
    story.secret("app", {"password": NEW, "previous-password": OLD})
    story.start_operator()
    story.wait(lambda: admin.login_works(user, NEW), "the new password is in force")
    wait_in_force(story)
    assert story.written == ["UpdateCredential"]
    assert admin.members()[role] == {user}


def test_with_in_place_a_user_whose_old_password_is_unknown_is_left_alone(
    story: Story, admin: MilvusAdmin
) -> None:
    story.connection(passwordUpdate="InPlace")
    user, role = make_user(story)
    story.operator.kill()
    story.password("app", NEW)
    story.start_operator()
    condition = story.wait_reason("MilvusUser", "app", "OldPasswordUnknown")
    for way_out in ("old one", "common.security.superUsers", "passwordUpdate: Auto"):
        assert way_out in condition["message"]
    assert (
        story.wait_reason("MilvusUser", "app", "OldPasswordUnknown", type_="PasswordSynced")["status"]
        == "False"
    )
    assert admin.login_works(user, OLD)
    assert not admin.login_works(user, NEW)
    assert admin.members()[role] == {user}
    assert "DeleteCredential" not in story.written
    # One of the ways out: what was in force is named.
    story.secret("app", {"password": NEW, "previous-password": OLD})
    story.wait(lambda: admin.login_works(user, NEW), "the new password is in force")
    story.wait_ready("MilvusUser", "app")
    assert "DeleteCredential" not in story.written


def test_with_in_place_nothing_else_of_the_user_is_held_back(story: Story, admin: MilvusAdmin) -> None:
    story.connection(passwordUpdate="InPlace")
    user, role = make_user(story)
    second = story.unique("role")
    story.role("second", second)
    story.wait_ready("MilvusRole", "second")
    story.operator.kill()
    story.password("app", NEW)
    story.user("app", user, second)
    story.start_operator()
    story.wait_reason("MilvusUser", "app", "OldPasswordUnknown")
    members = admin.members()
    assert members[second] == {user}
    assert members[role] == set()


def test_a_superuser_changes_passwords_in_place_without_the_old_one(
    stage: Story, milvus_profile: Callable[[Profile], MilvusFacts]
) -> None:
    facts = milvus_profile(SUPERUSERS)
    with MilvusForwarder(facts.port) as forwarder, facts.admin() as admin:
        stage.milvus = forwarder
        stage.connection(passwordUpdate="InPlace")
        stage.start_operator()
        user, role = make_user(stage)
        stage.operator.kill()
        stage.password("app", NEW)
        stage.start_operator()
        stage.wait(lambda: admin.login_works(user, NEW), "the new password is in force")
        wait_in_force(stage)
        assert stage.written == ["UpdateCredential"]
        assert admin.members()[role] == {user}
        # A superuser's update would create a user that is not there, on this server: it never gets that far.
        admin.delete_user(user)
        stage.reconcile("MilvusUser", "app")
        stage.wait(lambda: user in admin.users(), "the user is back")
        assert stage.written[-2:] == ["CreateCredential", "OperateUserRole"]
        stage.operator.stop()


def test_a_password_changed_by_hand_is_put_back(story: Story, admin: MilvusAdmin) -> None:
    user, role = make_user(story)
    admin.update_password(user, OLD, OTHER)
    assert admin.login_works(user, OTHER)
    story.reconcile("MilvusUser", "app")
    story.wait(lambda: admin.login_works(user, OLD), "the Secret's password is in force again")
    story.wait(lambda: not admin.login_works(user, OTHER), "the other one is not")
    story.wait(lambda: admin.members()[role] == {user}, "the role is held again")


def test_a_new_version_of_the_secret_with_the_same_text_is_no_rotation(
    story: Story, admin: MilvusAdmin
) -> None:
    user, _ = make_user(story)
    before = version_in_force(story)
    story.secret("app", {"password": OLD, "note": "the same password"})
    wait_in_force(story)
    assert version_in_force(story) != before
    assert story.written == []
    assert admin.login_works(user, OLD)
    assert not [event for event in story.events("app") if "password" in event[2]]


def test_an_immutable_secret_that_is_created_anew_is_a_rotation(story: Story, admin: MilvusAdmin) -> None:
    user, _ = make_user(story)
    for password in (NEW, OTHER):
        story.delete_secret("app")
        body = {
            "metadata": {"name": "app"},
            "immutable": True,
            "data": {"password": base64.b64encode(password.encode()).decode()},
        }
        story.cluster.call("POST", f"/api/v1/namespaces/{story.namespace}/secrets", body)
        wait_for_login(story, admin, user, password)
        wait_in_force(story)
    assert story.written == ["UpdateCredential"] * 2


def test_a_secret_that_goes_locks_nobody_out(story: Story, admin: MilvusAdmin) -> None:
    user, role = make_user(story)
    story.delete_secret("app")
    condition = story.wait_reason("MilvusUser", "app", "WaitingForSecret")
    assert f"{story.namespace}/app" in condition["message"]
    assert admin.login_works(user, OLD)
    assert admin.members()[role] == {user}
    story.password("app", NEW)
    story.wait(lambda: admin.login_works(user, NEW), "the new password is in force")
    story.wait_ready("MilvusUser", "app")
    assert story.written == ["UpdateCredential"]


def test_two_users_can_share_a_secret(story: Story, admin: MilvusAdmin) -> None:
    first, second = story.unique("user"), story.unique("user")
    story.password("shared", OLD)
    story.user("first", first, passwordSecretRef={"name": "shared"})
    story.user("second", second, passwordSecretRef={"name": "shared"})
    story.wait_ready("MilvusUser", "first")
    story.wait_ready("MilvusUser", "second")
    story.password("shared", NEW)
    for user in (first, second):
        wait_for_login(story, admin, user, NEW)


def test_another_secret_named_in_the_spec_is_a_rotation(story: Story, admin: MilvusAdmin) -> None:
    user, role = make_user(story)
    story.password("other", NEW)
    story.user("app", user, role, passwordSecretRef={"name": "other"})
    story.wait(lambda: admin.login_works(user, NEW), "the other Secret's password is in force")
    story.wait_ready("MilvusUser", "app")
    assert version_in_force(story) == secret_version(story, "other")
    assert story.written == ["UpdateCredential"]
