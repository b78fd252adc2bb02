"""Stories of drift: what is changed in Milvus by hand is put back at the interval, and an Event names it."""

from support.story import CONNECTION, Story
from testbed.milvus_admin import Grant, MilvusAdmin

SEARCH = {"privileges": ["Search"], "collections": ["orders"]}
STORED_SEARCH: Grant = ("Collection", "orders", "default", "Search")
PASSWORD = "Secret-1"  # noqa: S105 - a test's
INTERVAL = "10s"


def make_user(story: Story) -> tuple[str, str]:
    """A user that is Ready and holds a role that may Search; the names of both."""
    role, user = story.unique("role"), story.unique("user")
    story.password("app", PASSWORD)
    story.role("reader", role, SEARCH)
    story.user("app", user, role)
    story.wait_ready("MilvusRole", "reader")
    story.wait_ready("MilvusUser", "app")
    return user, role


def test_a_grant_made_by_hand_is_taken_back_at_the_interval(story: Story, admin: MilvusAdmin) -> None:
    story.connection(interval=INTERVAL)
    _, role = make_user(story)
    admin.grant(role, "Collection", "orders", "Insert")
    story.wait(lambda: admin.grants(role) == {STORED_SEARCH}, "the grant is taken back")
    type_, _, message = story.wait_event("reader", "Insert")
    assert type_ == "Normal"
    assert role in message
    assert "default.orders" in message


def test_a_grant_taken_by_hand_is_given_again_at_the_interval(story: Story, admin: MilvusAdmin) -> None:
    story.connection(interval=INTERVAL)
    _, role = make_user(story)
    admin.revoke(role, "Collection", "orders", "Search")
    story.wait(lambda: admin.grants(role) == {STORED_SEARCH}, "the grant is given again")
    story.wait_event("reader", "Search", role)


def test_a_grant_made_by_hand_in_a_database_of_its_own_is_found(story: Story, admin: MilvusAdmin) -> None:
    _, role = make_user(story)
    database = story.unique("db")
    admin.create_database(database)
    admin.grant(role, "Collection", "orders", "Insert", database=database)
    story.reconcile("MilvusRole", "reader")
    story.wait(lambda: admin.grants(role) == {STORED_SEARCH}, "the grant is taken back")
    story.wait_event("reader", "Insert", database)
    admin.drop_database(database)


def test_bindings_made_and_taken_by_hand_are_put_back_at_the_interval(
    story: Story, admin: MilvusAdmin
) -> None:
    story.connection(interval=INTERVAL)
    user, role = make_user(story)
    foreign = story.unique("role")
    admin.create_role(foreign)
    admin.bind(user, foreign)
    admin.unbind(user, role)

    def is_put_back() -> bool:
        members = admin.members()
        return members[role] == {user} and members[foreign] == set()

    story.wait(is_put_back, "the bindings are as spec.roles says")
    story.wait_event("app", f"unbind role {foreign}")
    story.wait_event("app", f"bind role {role}")
    admin.drop_role(foreign)


def test_a_role_dropped_by_hand_comes_back_with_its_grants_and_members(
    story: Story, admin: MilvusAdmin
) -> None:
    story.connection(interval=INTERVAL)
    user, role = make_user(story)
    admin.revoke(role, "Collection", "orders", "Search")
    admin.drop_role(role)
    story.wait(
        lambda: (
            role in admin.roles()
            and admin.grants(role) == {STORED_SEARCH}
            and admin.members()[role] == {user}
        ),
        "role, grant and binding are back",
        see=lambda: admin.dump(story.unique.token),
    )
    story.wait_event("reader", f"create role {role}")


def test_a_user_dropped_by_hand_comes_back_with_its_roles(story: Story, admin: MilvusAdmin) -> None:
    story.connection(interval=INTERVAL)
    user, role = make_user(story)
    admin.delete_user(user)
    story.wait(lambda: admin.members()[role] == {user}, "the user is back with its role")
    assert admin.login_works(user, PASSWORD)
    story.wait_event("app", f"create user {user}")


def test_a_password_changed_by_hand_is_put_back_at_the_interval(story: Story, admin: MilvusAdmin) -> None:
    story.connection(interval=INTERVAL)
    user, role = make_user(story)
    admin.update_password(user, PASSWORD, "By-hand-1")
    story.wait(lambda: admin.login_works(user, PASSWORD), "the Secret's password is in force again")
    story.wait(lambda: admin.members()[role] == {user}, "the role is held")
    assert not admin.login_works(user, "By-hand-1")
    story.wait_event("app", "password", user)


def test_a_role_dropped_by_hand_that_comes_back_is_still_ours_to_drop(
    story: Story, admin: MilvusAdmin
) -> None:
    _, role = make_user(story)
    admin.revoke(role, "Collection", "orders", "Search")
    admin.drop_role(role)
    story.reconcile("MilvusRole", "reader")
    story.wait(lambda: role in admin.roles(), "the role is back")
    story.wait_ready("MilvusRole", "reader")
    story.delete("MilvusRole", "reader")
    story.wait_gone("MilvusRole", "reader")
    assert role not in admin.roles()


def test_what_nobody_claims_is_never_touched(story: Story, admin: MilvusAdmin) -> None:
    story.connection(interval=INTERVAL)
    user, role = story.unique("user"), story.unique("role")
    admin.create_role(role)
    admin.grant(role, "Collection", "orders", "Insert")
    admin.create_user(user, "By-hand-1")
    admin.bind(user, role)
    make_user(story)
    own = story.unique("role")
    # Two intervals pass: twice a drop by hand comes back.
    story.role("clock", own)
    story.wait_ready("MilvusRole", "clock")
    for _ in range(2):
        admin.drop_role(own)
        story.wait(lambda: own in admin.roles(), "the interval has passed")
    assert admin.members()[role] == {user}
    assert admin.grants(role) == {("Collection", "orders", "default", "Insert")}
    assert admin.login_works(user, "By-hand-1")
    admin.delete_user(user)
    admin.revoke(role, "Collection", "orders", "Insert")
    admin.drop_role(role)


def test_who_keeps_undoing_a_change_is_given_in_to_until_somebody_asks(
    story: Story, admin: MilvusAdmin
) -> None:
    story.connection(interval=INTERVAL)
    _, role = make_user(story)

    def is_contested() -> bool:
        if STORED_SEARCH in admin.grants(role):
            admin.revoke(role, "Collection", "orders", "Search")
        condition = story.condition("MilvusRole", "reader")
        return condition is not None and condition["reason"] == "Contested"

    story.wait(
        is_contested, "the operator gives in", timeout=90, see=lambda: story.get("MilvusRole", "reader")
    )
    condition = story.wait_reason("MilvusRole", "reader", "Contested")
    assert "rbac.milvus.io/reconcile-at" in condition["message"]
    assert admin.grants(role) == set()
    # Created, and given again at the first two of three snapshots: the third was let be.
    assert story.written.count("OperatePrivilege") == 3
    story.reconcile("MilvusRole", "reader")
    story.wait_ready("MilvusRole", "reader")
    assert admin.grants(role) == {STORED_SEARCH}
    story.wait_ready("MilvusConnection", CONNECTION)
