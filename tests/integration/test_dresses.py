"""The same resources on a Milvus of every version: users, roles, passwords and groups, from the same YAML."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.double import ServerSettings
from support.double.faults import Trouble
from support.double.store import Account, Collection, Kept
from support.double.thread import DoubleThread
from support.served import held, lets_in, make_databases, roles, roles_of, users

from .conftest import REAL, DressUp, SetOut

GROUPS = ("2.4", "2.5", "2.6", "3.0")
DRESSES = ("2.3", *GROUPS)
OLD, NEW = "correct-horse-1", "correct-horse-2"


def allows(double: DoubleThread, user: str, privilege: str, database: str, name: str) -> bool:
    """Whether the proxies let a user do something."""
    return double.ask(lambda one: one.core.proxies.allows(user, privilege, database, name))


def gives(double: DoubleThread, role: str, privilege: str) -> bool:
    """Whether the proxies give a role a privilege anywhere."""
    policies = double.ask(lambda one: one.core.proxies.policies_of(role))
    return any(policy[4] == privilege for policy in policies)


def password_of(double: DoubleThread, user: str) -> str | None:
    """The password that the server accepts."""

    def look(one: Any) -> str | None:
        account = one.core.store.users.get(user)
        return account.password if account else None

    return double.ask(look)


@pytest.mark.parametrize("dress", [*DRESSES, REAL])
def test_users_roles_and_passwords_are_the_same_on_every_version(set_out: SetOut, dress: str) -> None:
    story, server = set_out(dress)
    make_databases(server, "sales")
    story.password("app", OLD)
    story.role(
        "reader",
        "reader",
        {"privileges": ["Search", "Load"], "database": "sales", "collections": ["*"]},
        {"privileges": ["ListDatabases"]},
    )
    story.user("app", "app", "reader")
    story.wait_ready("MilvusUser", "app")
    story.wait_ready("MilvusRole", "reader")
    companions = {("Collection", name, "sales", "*") for name in ("GetLoadState", "GetLoadingProgress")}
    wanted = {("Collection", "Search", "sales", "*"), ("Collection", "Load", "sales", "*")}
    wanted |= {("Global", "ListDatabases", "*", "*")}
    assert wanted <= held(server, "reader") <= wanted | companions
    assert roles_of(server, "app") == {"reader"}

    story.password("app", NEW)
    story.wait(lambda: lets_in(server, "app", NEW), "the new password in force")
    story.role("reader", "reader", {"privileges": ["Search"], "database": "sales", "collections": ["*"]})
    story.wait(lambda: held(server, "reader") == {("Collection", "Search", "sales", "*")}, "the rest revoked")

    story.restart_operator()
    story.wait_ready("MilvusConnection", "prod")
    before = story.written
    story.reconcile("MilvusConnection", "prod")
    story.delete("MilvusUser", "app")
    story.wait_gone("MilvusUser", "app")
    story.delete("MilvusRole", "reader")
    story.wait_gone("MilvusRole", "reader")
    assert set(story.written[len(before) :]) <= {
        "AlterRole",  # of no role: asked to find out what a server without a version can do
        "DeleteCredential",
        "DropRole",
        "OperatePrivilege",
        "OperatePrivilegeV2",
    }
    assert users(server) == {"root"}
    assert roles(server) == {"admin", "public"}


@pytest.mark.parametrize("dress", ["2.3", "2.6"])
def test_another_key_of_the_same_secret_is_a_rotation(dress_up: DressUp, dress: str) -> None:
    story, double = dress_up(dress)
    story.secret("app", {"password": OLD, "other": NEW})
    story.user("app", "app")
    story.wait_ready("MilvusUser", "app")
    story.restart_operator()  # and it remembers no text
    story.user("app", "app", passwordSecretRef={"name": "app", "key": "other"})
    story.wait(lambda: lets_in(double, "app", NEW), "the password under the other key is in force")
    story.wait_ready("MilvusUser", "app")
    assert ((story.get("MilvusUser", "app") or {})["status"]["password"])["secretKey"] == "other"


@pytest.mark.parametrize("dress", GROUPS)
def test_what_leaves_a_group_is_taken_from_the_users_of_its_roles(dress_up: DressUp, dress: str) -> None:
    story, double = dress_up(dress)
    double.ask(lambda one: one.core.store.databases.update(sales={}))
    story.password("app", OLD)
    # The role first: it waits for its group.
    story.role(
        "reader",
        "reader",
        {"privileges": ["finders"], "database": "sales", "collections": ["orders"]},
        {"privileges": ["CollectionReadOnly"], "database": "lab", "collections": ["*"]},
        {"privileges": ["ClusterReadOnly"]},
    )
    story.group("finders", "finders", "Search", "Query")
    story.user("app", "app", "reader")
    for kind, name in (("MilvusPrivilegeGroup", "finders"), ("MilvusRole", "reader"), ("MilvusUser", "app")):
        story.wait_ready(kind, name)
    assert held(double, "reader") == {
        ("Global", "finders", "sales", "orders"),
        ("Global", "CollectionReadOnly", "lab", "*"),
        ("Global", "ClusterReadOnly", "*", "*"),
    }
    story.wait(lambda: allows(double, "app", "Query", "sales", "orders"), "the group in force")

    story.group("finders", "finders", "Search", "Insert")
    story.wait(
        lambda: not allows(double, "app", "Query", "sales", "orders"), "what left the group taken away"
    )
    shrunk = story.wait_ready("MilvusPrivilegeGroup", "finders")
    assert "pendingRevokes" not in shrunk["status"]
    assert shrunk["status"]["privileges"] == ["Insert", "Search"]
    assert allows(double, "app", "Insert", "sales", "orders")
    assert allows(double, "app", "Query", "lab", "any"), "by the built-in group, elsewhere"

    # What moves from the group to the role itself stays with its users.
    own = {"privileges": ["finders", "Insert"], "database": "sales", "collections": ["orders"]}
    story.patch("MilvusRole", "reader", {"spec": {"grants": [own]}})
    story.group("finders", "finders", "Search")
    story.wait(
        lambda: double.ask(lambda one: one.core.store.groups["finders"]) == ["Search"], "the group shrunk"
    )
    story.wait_ready("MilvusPrivilegeGroup", "finders")
    story.wait(lambda: not allows(double, "app", "Query", "lab", "any"), "the role as it is wanted")
    assert ("Collection", "Insert", "sales", "orders") in held(double, "reader")
    story.wait(lambda: allows(double, "app", "Insert", "sales", "orders"), "the role's own right in force")


def test_what_is_left_with_users_of_a_group_is_remembered_through_a_pause(dress_up: DressUp) -> None:
    story, double = dress_up("3.0")
    story.role("reader", "reader", {"privileges": ["finders"], "collections": ["*"]})
    story.group("finders", "finders", "Search", "Query")
    story.wait_ready("MilvusRole", "reader")
    # The group shrinks, and the operator ends before the proxies are told.
    double.ask(lambda one: one.faults.add(Trouble.HANGING, "OperatePrivilegeV2", times=100))
    story.group("finders", "finders", "Search")
    story.wait(
        lambda: double.ask(lambda one: one.core.store.groups["finders"]) == ["Search"], "the group shrunk"
    )
    story.operator.kill()
    double.ask(lambda one: one.faults.coming.clear())
    story.patch("MilvusPrivilegeGroup", "finders", {"spec": {"suspend": True}})
    story.start_operator()
    story.wait_reason("MilvusPrivilegeGroup", "finders", "Suspended")
    pending = (story.get("MilvusPrivilegeGroup", "finders") or {})["status"]["pendingRevokes"]
    assert [one["privilege"] for one in pending] == ["Query"]
    assert gives(double, "reader", "Query")
    story.patch("MilvusPrivilegeGroup", "finders", {"spec": {"suspend": False}})
    story.wait_ready("MilvusPrivilegeGroup", "finders")
    assert not gives(double, "reader", "Query")


@pytest.mark.parametrize("dress", ["2.5", "3.0"])
def test_a_group_in_use_is_neither_dropped_nor_moved_to_another_level(dress_up: DressUp, dress: str) -> None:
    story, double = dress_up(dress)
    story.group("finders", "finders", "Search")
    story.role("reader", "reader", {"privileges": ["finders"], "collections": ["*"]})
    story.wait_ready("MilvusRole", "reader")
    story.group("finders", "finders", "CreateDatabase")
    refused = story.wait_reason("MilvusPrivilegeGroup", "finders", "InUse")
    assert "reader" in refused["message"]
    assert double.ask(lambda one: one.core.store.groups["finders"]) == ["Search"]
    story.delete("MilvusPrivilegeGroup", "finders")
    blocked = story.wait_reason("MilvusPrivilegeGroup", "finders", "InUse")
    assert "does not drop a privilege group" in blocked["message"]
    story.role("reader", "reader")
    story.wait_gone("MilvusPrivilegeGroup", "finders")
    assert double.ask(lambda one: one.core.store.groups) == {}


@pytest.mark.parametrize("dress", ["2.6", "3.0"])
def test_grants_that_outlive_their_database_hold_no_role_back_from_its_end(
    dress_up: DressUp, dress: str
) -> None:
    story, double = dress_up(dress)
    on_orders = {"privileges": ["Search"], "database": "sales", "collections": ["orders"]}
    story.role("reader", "reader", on_orders, {"privileges": ["Insert"], "collections": ["*"]})
    refused = story.wait_reason("MilvusRole", "reader", "InvalidScope")
    assert "database sales" in refused["message"]
    double.ask(lambda one: one.core.store.databases.update(sales={}))
    story.reconcile("MilvusRole", "reader")
    story.wait_ready("MilvusRole", "reader")
    double.ask(lambda one: one.core.store.databases.pop("sales"))
    story.role("reader", "reader", {"privileges": ["Insert"], "collections": ["*"]})
    refused = story.wait_reason("MilvusRole", "reader", "InvalidScope")
    assert "create it" in refused["message"]
    story.delete("MilvusRole", "reader")
    story.wait_gone("MilvusRole", "reader")
    assert double.ask(lambda one: set(one.core.store.roles)) == {"admin", "public"}


@pytest.mark.parametrize("dress", ["2.6", "3.0"])
def test_a_group_whose_database_is_gone_shrinks_and_goes(dress_up: DressUp, dress: str) -> None:
    story, double = dress_up(dress)
    double.ask(lambda one: one.core.store.databases.update(sales={}))
    story.group("finders", "finders", "Search", "Query")
    story.role(
        "reader", "reader", {"privileges": ["finders"], "database": "sales", "collections": ["orders"]}
    )
    story.wait_ready("MilvusRole", "reader")
    double.ask(lambda one: one.core.store.databases.pop("sales"))
    story.group("finders", "finders", "Search")
    left = story.wait_ready("MilvusPrivilegeGroup", "finders")["status"]["pendingRevokes"]
    assert left == [{"role": "reader", "privilege": "Query", "database": "sales", "objectName": "orders"}]
    story.delete("MilvusRole", "reader")
    story.delete("MilvusPrivilegeGroup", "finders")
    story.wait_gone("MilvusPrivilegeGroup", "finders")
    assert double.ask(lambda one: one.core.store.groups) == {}


def test_a_role_waits_for_the_group_of_a_resource_that_can_not_be_made(dress_up: DressUp) -> None:
    story, double = dress_up("3.0")
    story.group("finders", "finders", "Search", suspend=True)
    story.role(
        "reader",
        "reader",
        {"privileges": ["finders"], "collections": ["*"]},
        {"privileges": ["Insert"], "collections": ["*"]},
    )
    waiting = story.wait_reason("MilvusRole", "reader", "WaitingForPrivilegeGroup")
    assert "finders" in waiting["message"]
    assert held(double, "reader") == {("Collection", "Insert", "default", "*")}
    story.patch("MilvusPrivilegeGroup", "finders", {"spec": {"suspend": False}})
    story.wait_ready("MilvusRole", "reader")


def test_a_foreign_role_keeps_what_a_group_lost_and_the_group_says_so(dress_up: DressUp) -> None:
    story, double = dress_up("3.0")
    story.group("finders", "finders", "Search", "Query")
    story.wait_ready("MilvusPrivilegeGroup", "finders")

    def by_hand(one: Any) -> None:
        one.core.store.roles["foreign"] = ""
        one.core.store.give("foreign", Kept("Global", "sales", "*", "finders"), "root")

    double.ask(by_hand)
    story.group("finders", "finders", "Search")
    story.wait(
        lambda: "pendingRevokes" in (story.get("MilvusPrivilegeGroup", "finders") or {}).get("status", {}),
        "what is left with a foreign role",
    )
    told = story.wait_ready("MilvusPrivilegeGroup", "finders")
    assert told["status"]["pendingRevokes"] == [
        {"role": "foreign", "privilege": "Query", "database": "sales", "objectName": "*"}
    ]
    ready = story.condition("MilvusPrivilegeGroup", "finders")
    assert ready is not None
    assert "foreign: Query on sales" in ready["message"]


@pytest.mark.parametrize("dress", ["2.3", "3.0"])
def test_a_password_that_nobody_chose_reaches_the_application_and_rotates_when_asked(
    dress_up: DressUp, dress: str
) -> None:
    story, double = dress_up(dress)
    generated = {"passwordSecretRef": None, "generatePassword": {"secretName": "app-password"}}
    spec = {key: value for key, value in generated.items() if value}
    story.apply(
        "MilvusUser",
        "app",
        {
            "connectionRef": {"name": "prod"},
            "userName": "app",
            "connectionSecret": {"name": "app-milvus"},
            **spec,
        },
    )
    ready = story.wait_ready("MilvusUser", "app")
    assert ready["status"]["binding"] == {"name": "app-milvus"}
    first = story.read_secret("app-password")
    assert first is not None
    assert password_of(double, "app") == first["password"]
    binding = story.read_secret("app-milvus")
    assert binding is not None
    assert binding == {
        "type": "milvus",
        "provider": "milvus-rbac-operator",
        "uri": story.milvus.uri,
        "host": "127.0.0.1",
        "port": story.milvus.uri.rpartition(":")[2],
        "username": "app",
        "password": first["password"],
    }
    story.annotate("MilvusUser", "app", rotate="again")
    story.wait(lambda: password_of(double, "app") != first["password"], "another password")
    story.wait(
        lambda: (story.read_secret("app-milvus") or {}).get("password") == password_of(double, "app"),
        "the application's Secret follows",
    )
    second = story.read_secret("app-password")
    assert second is not None
    assert (second["password"], second["previous-password"]) == (
        password_of(double, "app"),
        first["password"],
    )
    assert "DeleteCredential" not in story.written, "changed in place: the old text was known"


def test_a_second_rotation_waits_for_the_first(dress_up: DressUp) -> None:
    story, double = dress_up("3.0")
    spec = {
        "connectionRef": {"name": "prod"},
        "userName": "app",
        "generatePassword": {"secretName": "app-password"},
    }
    story.apply("MilvusUser", "app", spec)
    story.wait_ready("MilvusUser", "app")
    in_force = password_of(double, "app")
    double.ask(lambda one: one.faults.add(Trouble.NOT_READY, "UpdateCredential", times=2))
    story.annotate("MilvusUser", "app", rotate="once")
    story.wait(
        lambda: (story.read_secret("app-password") or {}).get("password") != in_force, "another password"
    )
    story.annotate("MilvusUser", "app", rotate="twice")
    seen: set[str] = set()

    def is_rotated_twice() -> bool:
        secret = story.read_secret("app-password") or {}
        assert password_of(double, "app") in {secret["password"], secret["previous-password"]}
        seen.add(secret["password"])
        return len(seen) == 2 and password_of(double, "app") == secret["password"]

    story.wait(is_rotated_twice, "both rotations", timeout=60)
    assert in_force not in seen
    assert "DeleteCredential" not in story.written


def test_a_secret_of_somebody_else_is_never_written(dress_up: DressUp) -> None:
    story, double = dress_up("3.0")
    story.password("app-password", OLD)
    spec = {
        "connectionRef": {"name": "prod"},
        "userName": "app",
        "generatePassword": {"secretName": "app-password"},
    }
    story.apply("MilvusUser", "app", spec)
    conflict = story.wait_reason("MilvusUser", "app", "Conflict")
    assert "spec.generatePassword" in conflict["message"]
    assert story.read_secret("app-password") == {"password": OLD}
    assert password_of(double, "app") is None


def test_a_user_is_gone_when_it_expires_and_back_when_it_does_not(dress_up: DressUp) -> None:
    story, double = dress_up("3.0")
    story.password("app", OLD)
    soon = datetime.now(UTC) + timedelta(seconds=12)
    story.user("app", "app", expiresAt=f"{soon:%Y-%m-%dT%H:%M:%SZ}", deletionPolicy="Retain")
    story.wait_ready("MilvusUser", "app")
    story.wait_reason("MilvusUser", "app", "Expired")
    assert time.time() >= soon.timestamp() - 1
    assert password_of(double, "app") is None
    assert "Put back" not in str(story.events("app"))  # nobody else took part
    # What somebody makes under the name meanwhile is not ours, though we made one before.
    double.ask(lambda one: one.core.store.users.update(app=Account("by-hand")))
    story.reconcile("MilvusUser", "app")
    story.user("app", "app", expiresAt=f"{soon:%Y-%m-%dT%H:%M:%SZ}")
    story.wait_reason("MilvusUser", "app", "Expired")
    assert password_of(double, "app") == "by-hand"
    story.user("app", "app")
    story.wait_reason("MilvusUser", "app", "Conflict")
    double.ask(lambda one: one.core.store.users.pop("app"))
    story.reconcile("MilvusUser", "app")
    story.wait_ready("MilvusUser", "app")
    assert password_of(double, "app") == OLD


def make_collections(double: DoubleThread, count: int) -> None:
    """Make the collections that roles are granted something on: what is missing is looked for each time."""
    made = {f"c{number}": Collection() for number in range(count)}
    double.ask(lambda one: one.core.store.databases["default"].update(made))


@pytest.mark.parametrize("dress", ["2.4", "3.0"])
def test_looking_again_at_what_is_as_it_should_be_is_one_call(dress_up: DressUp, dress: str) -> None:
    story, double = dress_up(dress, interval="10s")
    make_collections(double, 6)
    for number in range(12):
        story.password(f"u{number}", OLD)
        story.user(f"u{number}", f"u{number}", f"r{number % 6}")
    for number in range(6):
        story.role(f"r{number}", f"r{number}", {"privileges": ["Search"], "collections": [f"c{number}"]})
    for number in range(12):
        story.wait_ready("MilvusUser", f"u{number}")
    story.wait_ready("MilvusConnection", "prod")

    def calls() -> list[str]:
        return double.ask(lambda one: [method for method, _ in one.faults.calls])

    known = len(calls())
    versions = {one["metadata"]["resourceVersion"] for one in story.resources("milvususers")}
    story.wait(lambda: calls()[known:].count("BackupRBAC") >= 2, "two intervals", timeout=60)
    assert set(calls()[known:]) == {"BackupRBAC"}
    assert {one["metadata"]["resourceVersion"] for one in story.resources("milvususers")} == versions


def test_a_thousand_users_and_fifty_roles_cost_one_call_to_look_at_again(dress_up: DressUp) -> None:
    story, double = dress_up(
        "3.0", ServerSettings(max_user_num=2000, max_role_num=500, bcrypt_cost=4), interval="20s"
    )
    story.password("shared", OLD)
    make_collections(double, 50)
    for number in range(50):
        story.role(f"r{number}", f"r{number}", {"privileges": ["Search"], "collections": [f"c{number}"]})
    for number in range(1000):
        story.user(f"u{number}", f"u{number}", f"r{number % 50}", passwordSecretRef={"name": "shared"})

    def ready(plural: str) -> int:
        conditions = (one.get("status", {}).get("conditions", ()) for one in story.resources(plural))
        return sum(
            any((one["type"], one["status"]) == ("Ready", "True") for one in held) for held in conditions
        )

    story.wait(
        lambda: (ready("milvususers"), ready("milvusroles")) == (1000, 50), "all of it Ready", timeout=200
    )
    calls: list[str] = []

    def is_quiet() -> bool:
        before, calls[:] = len(calls), double.ask(lambda one: [method for method, _ in one.faults.calls])
        return before == len(calls)

    story.wait(is_quiet, "the end of what follows from making them")
    versions = {one["metadata"]["resourceVersion"] for one in story.resources("milvususers")}
    known, hashed = len(calls), double.ask(lambda one: one.core.hashed)
    story.wait(lambda: not is_quiet() and len(calls) >= known + 2, "two intervals", timeout=90)
    assert set(calls[known:]) == {"BackupRBAC"}
    assert len(calls) <= known + 3
    assert {one["metadata"]["resourceVersion"] for one in story.resources("milvususers")} == versions
    assert double.ask(lambda one: one.core.hashed) == hashed


@pytest.mark.parametrize(
    ("dress", "known"),
    [
        (REAL, ["CVE-2025-64513", "CVE-2026-26190"]),
        ("2.5", ["CVE-2025-64513", "CVE-2026-26190"]),
        ("2.6", []),
    ],
)
def test_what_is_known_to_be_wrong_with_a_version_is_a_warning(
    set_out: SetOut, dress: str, known: list[str]
) -> None:
    story, _ = set_out(dress)
    status = story.wait_ready("MilvusConnection", "prod")["status"]
    found = [one["message"] for one in status.get("warnings", ()) if one["reason"] == "KnownWeakness"]
    assert len(found) == len(known)
    assert all(name in message for name, message in zip(known, found, strict=True))


def test_a_server_older_than_all_that_is_known_is_refused(dress_up: DressUp) -> None:
    story, double = dress_up("2.2")
    story.role("reader", "reader", {"privileges": ["Search"], "collections": ["*"]})
    refused = story.wait_reason("MilvusConnection", "prod", "UnsupportedByServer")
    assert "v2.2.16" in refused["message"]
    assert "2.3" in refused["message"]
    story.wait_reason("MilvusRole", "reader", "WaitingForConnection")
    assert roles(double) == {"admin", "public"}


def test_a_server_that_is_nearly_full_is_a_warning(dress_up: DressUp) -> None:
    story, _ = dress_up("3.0")
    for number in range(6):
        story.role(f"r{number}", f"r{number}")

    def said() -> list[str]:
        status = (story.get("MilvusConnection", "prod") or {})["status"]
        return [one["message"] for one in status.get("warnings", ()) if one["reason"] == "LimitReached"]

    story.wait_ready("MilvusRole", "r5")
    story.reconcile("MilvusConnection", "prod")
    story.wait_ready("MilvusConnection", "prod")
    assert said() == []
    story.role("r6", "r6")
    story.wait_ready("MilvusRole", "r6")
    story.reconcile("MilvusConnection", "prod")
    story.wait(lambda: len(said()) == 1, "a warning", see=said)
    assert "proxy.maxRoleNum" in said()[0]


@pytest.mark.parametrize("dress", ["2.5", "2.6", "3.0"])
def test_an_alias_in_a_grant_means_the_collection_for_which_it_stands(dress_up: DressUp, dress: str) -> None:
    story, double = dress_up(dress)
    double.ask(
        lambda one: one.core.store.databases.update(
            sales={"orders_7": Collection({"orders"}), "items": Collection()}
        )
    )
    row = {"privileges": ["Search"], "database": "sales", "collections": ["orders", "items"]}
    story.role("reader", "reader", row)
    story.wait_ready("MilvusRole", "reader")
    real = "orders" if dress == "2.5" else "orders_7"
    wanted = {("Collection", "Search", "sales", name) for name in (real, "items")}
    assert held(double, "reader") == wanted
    before = len(story.written)
    story.reconcile("MilvusRole", "reader")
    story.wait(
        lambda: (
            {one["objectName"] for one in (story.get("MilvusRole", "reader") or {})["status"]["grants"]}
            == {real, "items"}
        ),
        "the collection in the status",
    )
    assert story.written[before:] == []
    # Where the alias is moved, the grant follows it.
    double.ask(
        lambda one: one.core.store.databases.update(
            sales={"orders_7": Collection(), "orders_8": Collection({"orders"}), "items": Collection()}
        )
    )
    story.reconcile("MilvusRole", "reader")
    moved = "orders" if dress == "2.5" else "orders_8"
    story.wait(
        lambda: (
            held(double, "reader") == {("Collection", "Search", "sales", name) for name in (moved, "items")}
        ),
        "the grant where the alias leads",
    )


@pytest.mark.parametrize("dress", ["2.5", "2.6", "3.0"])
def test_descriptions_are_kept_where_there_are_any(dress_up: DressUp, dress: str) -> None:
    story, double = dress_up(dress)
    story.password("app", OLD)
    story.role(
        "reader", "reader", {"privileges": ["Search"], "collections": ["*"]}, description="who may look"
    )
    story.user("app", "app", "reader", description="nightly reports")

    def said() -> tuple[str, str]:
        return double.ask(
            lambda one: (one.core.store.users["app"].description, one.core.store.roles["reader"])
        )

    for kind, name in (("MilvusRole", "reader"), ("MilvusUser", "app")):
        story.wait_ready(kind, name)
    if dress == "2.5":
        assert said() == ("", "")
        return
    assert said() == ("nightly reports", "who may look")
    double.ask(lambda one: one.core.store.roles.update(reader="by hand"))
    story.patch("MilvusUser", "app", {"spec": {"description": ""}})
    story.reconcile("MilvusRole", "reader")
    story.wait(lambda: said() == ("", "who may look"), "put back, and cleared", see=said)
    # The password is another matter; without a description whatever is there stays.
    story.password("app", NEW)
    story.wait(lambda: lets_in(double, "app", NEW), "the new password")
    story.patch("MilvusRole", "reader", {"spec": {"description": None}})
    double.ask(lambda one: one.core.store.roles.update(reader="by hand"))
    story.reconcile("MilvusRole", "reader")
    story.wait_ready("MilvusRole", "reader")
    assert said() == ("", "by hand")
