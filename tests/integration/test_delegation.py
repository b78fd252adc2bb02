"""Teams that share a Milvus: what is delegated works on every version, and nothing else can be got at."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.double.store import Account, Kept
from support.double.thread import DoubleThread
from support.served import held, lets_in, make_databases, roles, roles_of, users
from support.story import PLURALS, Story
from support.tenants import Tenants

from .conftest import REAL, DressUp, SetOut
from .test_dresses import DRESSES, GROUPS, password_of

PASSWORD = "correct-horse-1"  # noqa: S105 - a test's
ENTRY: dict[str, Any] = {
    "userNames": ["a_*"],
    "roleNames": ["a_*"],
    "databases": ["a"],
    "privileges": ["Search", "Insert"],
    "roles": ["shared"],
    "acceptWeakIsolation": True,
}
SEARCH = ("Collection", "Search", "a", "*")
INSERT = ("Collection", "Insert", "a", "*")

Invite = Callable[..., tuple[Tenants, DoubleThread]]


@pytest.fixture
def hosts() -> Iterator[Callable[[Story], Tenants]]:
    """Lets two teams into stories."""
    with ExitStack() as stack:

        def host(story: Story) -> Tenants:
            tenants = Tenants(story)
            stack.callback(tenants.close)
            return tenants

        yield host


@pytest.fixture
def invite(dress_up: DressUp, hosts: Callable[[Story], Tenants]) -> Invite:
    """Lets two teams use the double of a Milvus of some version."""

    def begin(dress: str, *entries: dict[str, Any]) -> tuple[Tenants, DoubleThread]:
        story, double = dress_up(dress)
        make_databases(double, "a", "b")
        tenants = hosts(story)
        tenants.delegate(*(entries or (ENTRY,)))
        return tenants, double

    return begin


@pytest.mark.parametrize("dress", [*DRESSES, REAL])
def test_a_team_has_what_is_delegated_and_loses_what_is_not_any_more(
    set_out: SetOut, hosts: Callable[[Story], Tenants], dress: str
) -> None:
    story, server = set_out(dress)
    make_databases(server, "a", "b")
    tenants = hosts(story)
    tenants.delegate(ENTRY)
    team, platform, ref = tenants.team_a, tenants.platform, tenants.connection
    platform.role("shared", "shared", {"privileges": ["Query"], "database": "a", "collections": ["*"]})
    team.password("app", PASSWORD)
    team.role(
        "reader",
        "a_reader",
        {"privileges": ["Search", "Insert"], "database": "a", "collections": ["*"]},
        **ref,
    )
    team.user("app", "a_app", "a_reader", "shared", **ref)
    team.wait_ready("MilvusRole", "reader")
    team.wait_ready("MilvusUser", "app")
    assert held(server, "a_reader") == {SEARCH, INSERT}
    assert roles_of(server, "a_app") == {"a_reader", "shared"}

    tenants.delegate(ENTRY | {"privileges": ["Search"], "roles": []})
    refused = team.wait_reason("MilvusRole", "reader", "NotPermitted")
    assert "spec.grants[0]: the privilege Insert" in refused["message"]
    team.wait_reason("MilvusUser", "app", "NotPermitted")
    assert held(server, "a_reader") == {SEARCH}
    assert roles_of(server, "a_app") == {"a_reader"}
    told = str(team.events("reader")) + str(team.events("app"))
    assert "Put back" not in told  # nobody changed anything by hand

    # The whole entry goes; a pause keeps nothing, and the password is left alone.
    team.patch("MilvusRole", "reader", {"spec": {"suspend": True}})
    team.patch("MilvusUser", "app", {"spec": {"suspend": True}})
    tenants.delegate()
    team.wait(
        lambda: (held(server, "a_reader"), roles_of(server, "a_app")) == (set(), set()), "all of it taken"
    )
    team.password("app", "correct-horse-2")
    team.wait_reason("MilvusRole", "reader", "NotPermitted")
    assert lets_in(server, "a_app", PASSWORD)

    # It comes back with the entry, and what is there can be deleted without one.
    tenants.delegate(ENTRY)
    for kind, name in (("MilvusRole", "reader"), ("MilvusUser", "app")):
        team.patch(kind, name, {"spec": {"suspend": False}})
        team.wait_ready(kind, name)
    assert held(server, "a_reader") == {SEARCH, INSERT}
    assert lets_in(server, "a_app", "correct-horse-2")
    assert "DeleteCredential" not in team.written
    tenants.delegate()
    team.wait_reason("MilvusUser", "app", "NotPermitted")
    for kind, name in (("MilvusUser", "app"), ("MilvusRole", "reader")):
        team.patch(kind, name, {"spec": {"deletionPolicy": "Retain"}})
        team.delete(kind, name)
        team.wait_gone(kind, name)
    assert users(server) == {"root"}
    assert "a_reader" not in roles(server)


def attempts(dress: str, ref: dict[str, Any]) -> dict[tuple[str, str], tuple[dict[str, Any], str]]:
    """What a team might try: resource to its spec and the reason with which it fails."""
    grants: dict[str, dict[str, Any]] = {
        "other-privilege": {"privileges": ["Query"], "database": "a", "collections": ["*"]},
        "other-database": {"privileges": ["Search"], "database": "b", "collections": ["*"]},
        "default-database": {"privileges": ["Search"], "collections": ["*"]},
        "all-databases": {"privileges": ["Search"], "database": "*", "collections": ["*"]},
        "other-collection": {"privileges": ["Search"], "database": "b", "collections": ["orders"]},
        "cluster": {"privileges": ["ListDatabases"]},
        "everything": {"privileges": ["*"], "database": "a"},
        "all": {"privileges": ["All"], "database": "a"},
        "all-everywhere": {"privileges": ["All"], "database": "*"},
        "ownership": {"privileges": ["ManageOwnership"]},
        "backup": {"privileges": ["BackupRBAC"]},
        "admin-group": {"privileges": ["ClusterAdmin"]},
        "legacy-admin": {"privileges": ["Admin"], "database": "a"},
        "group-of-others": {"privileges": ["finders"], "database": "a", "collections": ["*"]},
        "group-with-power": {"privileges": ["powers"], "database": "*"},
        "made-up": {"privileges": ["Dream"], "database": "a"},
        "lower-case": {"privileges": ["query"], "database": "a", "collections": ["*"]},
    }
    # Delegated by name, and no server has it.
    unknown = {"made-up": "UnknownPrivilege"}
    if dress not in GROUPS:
        unknown["group-with-power"] = "UnknownPrivilege"
    tries: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}
    spec: dict[str, Any]
    for name, row in grants.items():
        spec = {"roleName": f"a_{name.replace('-', '_')}", "grants": [row]}
        tries["MilvusRole", name] = (spec, unknown.get(name, "NotPermitted"))
    for name, role_name, reason in (
        ("foreign-name", "b_reader", "NotPermitted"),
        ("prefix", "a", "NotPermitted"),
        ("platforms", "shared", "NotPermitted"),
        ("taken", "a_taken", "Conflict"),
    ):
        spec = {"roleName": role_name, "adoption": "Always", "grants": []}
        tries["MilvusRole", name] = (spec, reason)
    for name, user_name, wanted, reason in (
        ("foreign-user", "b_app", [], "NotPermitted"),
        ("taken", "a_taken", [], "Conflict"),
        ("as-admin", "a_admin", ["admin"], "NotPermitted"),
        ("as-other", "a_other", ["platform_only"], "NotPermitted"),
        ("as-neighbour", "a_neighbour", ["b_reader"], "NotPermitted"),
        ("as-taken", "a_as_taken", ["a_taken"], "WaitingForRole"),
    ):
        spec = {
            "userName": user_name,
            "roles": wanted,
            "adoption": "Always",
            "passwordSecretRef": {"name": "app"},
        }
        tries["MilvusUser", name] = (spec, reason)
    if dress in GROUPS:
        spec = {"groupName": "a_group", "privileges": ["Search"]}
        tries["MilvusPrivilegeGroup", "group"] = (spec, "NotPermitted")
    return {key: ({**spec, **ref}, reason) for key, (spec, reason) in tries.items()}


def by_hand(one: Any) -> None:
    """What was there before, and is not the team's."""
    store = one.core.store
    store.databases["secret_database"] = {}
    for role in ("a_taken", "platform_only", "b_reader"):
        store.roles[role] = ""
        store.give(role, Kept("Collection", "secret_database", "*", "Query"), "root")
    store.users["a_taken"] = Account(PASSWORD, roles={"platform_only"})
    if one.core.dress.privileges >= (2, 4):
        store.groups["finders"] = ["Query"]
        store.groups["powers"] = ["ManageOwnership"]


def within(one: Any) -> None:
    """What was there before, and holds nothing that is not delegated."""
    one.core.store.roles["a_taken"] = ""
    one.core.store.give("a_taken", Kept("Collection", "a", "*", "Insert"), "root")


@pytest.mark.parametrize("dress", DRESSES)
def test_nothing_that_a_team_can_write_gets_it_more_than_is_delegated(invite: Invite, dress: str) -> None:
    tenants, double = invite(dress, ENTRY | {"privileges": ["Search", "Insert", "powers", "Dream"]})
    team, ref = tenants.team_a, tenants.connection
    double.ask(by_hand)
    neighbour = {"namespaces": {"names": [tenants.team_b.namespace]}, "roleNames": ["b_*"], "mayAdopt": True}
    tenants.delegate(ENTRY | {"privileges": ["Search", "Insert", "powers", "Dream"]}, ENTRY | neighbour)
    before = double.ask(lambda one: set(one.core.store.roles) | set(one.core.store.users))
    team.password("app", PASSWORD)
    tries = attempts(dress, ref)
    for (kind, name), (spec, _) in tries.items():
        team.apply(kind, name, spec)
    told = {key: team.wait_reason(*key, reason) for key, (_, reason) in tries.items()}

    # Roles and users under the team's own names are there, with nothing.
    made = double.ask(lambda one: set(one.core.store.roles) | set(one.core.store.users)) - before
    assert all(name.startswith("a_") for name in made)
    for role in made & double.ask(lambda one: set(one.core.store.roles)):
        assert held(double, role) == set(), role
    for user in made & double.ask(lambda one: set(one.core.store.users)):
        assert roles_of(double, user) == set(), user
    assert held(double, "a_taken") == {("Collection", "Query", "secret_database", "*")}
    assert roles_of(double, "a_taken") == {"platform_only"}
    assert password_of(double, "a_taken") == PASSWORD

    # No word about what is others': not the roles of a user, nor whether its password was right.
    for key, condition in told.items():
        body = team.get(*key) or {}
        everything = json.dumps([condition, body["status"]])
        written = json.dumps(body["spec"])
        for secret in ("platform_only", "secret_database", "b_reader", tenants.team_b.namespace):
            assert secret not in everything or secret in written, (key, secret)
        assert all(
            one["type"] != "PasswordSynced" for one in body["status"]["conditions"] if key[1] == "taken"
        )
    calls = double.ask(lambda one: {method for method, name in one.faults.calls if name == "a_taken"})
    assert calls <= {"GetVersion"}, "where no hash is shown, a login tells whether it is the team's own user"


def test_a_finalizer_of_ones_own_making_drops_nothing(invite: Invite) -> None:
    tenants, double = invite("3.0")
    team = tenants.team_a
    double.ask(by_hand)
    team.password("app", PASSWORD)
    spec = {"userName": "a_taken", "passwordSecretRef": {"name": "app"}, **tenants.connection}
    team.apply("MilvusUser", "taken", spec, finalizers=["rbac.milvus.io/finalizer"])
    team.wait_reason("MilvusUser", "taken", "Conflict")
    team.delete("MilvusUser", "taken")
    team.wait_gone("MilvusUser", "taken")
    assert password_of(double, "a_taken") == PASSWORD


def test_a_team_may_take_over_what_exists_if_that_is_delegated(invite: Invite) -> None:
    tenants, double = invite("3.0", ENTRY | {"mayAdopt": True})
    team, ref = tenants.team_a, tenants.connection
    double.ask(within)
    team.password("app", PASSWORD)
    team.role("taken", "a_taken", {"privileges": ["Search"], "database": "a", "collections": ["*"]}, **ref)
    team.wait_reason("MilvusRole", "taken", "Conflict")
    team.patch("MilvusRole", "taken", {"spec": {"adoption": "Always"}})
    team.wait_ready("MilvusRole", "taken")
    assert held(double, "a_taken") == {SEARCH}
    team.user("app", "a_app", "a_taken", **ref)
    team.wait_ready("MilvusUser", "app")
    assert roles_of(double, "a_app") == {"a_taken"}


def test_a_user_gets_a_role_of_its_team_as_soon_as_the_team_owns_it(invite: Invite) -> None:
    tenants, double = invite("3.0", ENTRY | {"mayAdopt": True})
    team, ref = tenants.team_a, tenants.connection
    double.ask(within)
    team.password("app", PASSWORD)
    team.role("taken", "a_taken", adoption="Never", **ref)
    team.user("app", "a_app", "a_taken", **ref)
    team.wait_reason("MilvusUser", "app", "WaitingForRole")
    team.patch("MilvusRole", "taken", {"spec": {"adoption": "Always"}})
    team.wait_ready("MilvusUser", "app")
    assert roles_of(double, "a_app") == {"a_taken"}


def test_who_is_not_invited_learns_nothing_of_the_connection(invite: Invite) -> None:
    tenants, double = invite("3.0")
    team, ref = tenants.team_b, tenants.connection
    tenants.platform.patch("MilvusConnection", "prod", {"spec": {"suspend": True}})
    tenants.platform.wait_reason("MilvusConnection", "prod", "Suspended")
    elsewhere = {"connectionRef": {"name": "missing", "namespace": tenants.platform.namespace}}
    team.role("here", "a_reader", **ref)
    team.role("missing", "a_other", **elsewhere)
    told = {team.wait_reason("MilvusRole", name, "NotPermitted")["message"] for name in ("here", "missing")}
    assert len(told) == 1
    assert tenants.platform.namespace not in told.pop()
    assert all("finalizers" not in one["metadata"] for one in team.resources(PLURALS["MilvusRole"]))
    # Invited, it is told like everybody else.
    also = {"namespaces": {"names": [team.namespace]}}
    tenants.delegate(ENTRY | also)
    team.wait_reason("MilvusRole", "here", "WaitingForConnection")
    tenants.platform.patch("MilvusConnection", "prod", {"spec": {"suspend": False}})
    team.wait_ready("MilvusRole", "here")
    assert double.ask(lambda one: "a_reader" in one.core.store.roles)


def test_labels_of_a_namespace_let_it_in_and_out(invite: Invite) -> None:
    by_label = {"namespaces": {"selector": {"matchLabels": {"milvus": "yes"}}}}
    tenants, double = invite("3.0", ENTRY | by_label)
    team = tenants.team_b
    path = f"/api/v1/namespaces/{team.namespace}"
    team.cluster.patch(path, {"metadata": {"labels": {"milvus": "yes"}}})
    team.role(
        "reader",
        "a_reader",
        {"privileges": ["Search"], "database": "a", "collections": ["*"]},
        **tenants.connection,
    )
    team.wait_ready("MilvusRole", "reader", timeout=60)
    tenants.platform.operator.kill()
    tenants.start_operator()
    tenants.platform.wait_ready("MilvusConnection", "prod")
    team.reconcile("MilvusRole", "reader")
    assert held(double, "a_reader") == {SEARCH}
    team.cluster.patch(path, {"metadata": {"labels": {"milvus": None}}})
    team.wait_reason("MilvusRole", "reader", "NotPermitted", timeout=60)
    assert held(double, "a_reader") == set()
    assert "RevokePrivilege" not in team.written


def test_an_heir_takes_over_without_a_drop(invite: Invite) -> None:
    tenants, double = invite("3.0")
    team, ref = tenants.team_a, tenants.connection
    team.password("app", PASSWORD)
    team.role("first", "a_reader", {"privileges": ["Search"], "database": "a", "collections": ["*"]}, **ref)
    team.user("app", "a_app", "a_reader", **ref)
    team.wait_ready("MilvusUser", "app")
    team.wait_until_older("MilvusRole", "first")
    team.role("second", "a_reader", {"privileges": ["Insert"], "database": "a", "collections": ["*"]}, **ref)
    team.wait_reason("MilvusRole", "second", "Conflict")
    team.delete("MilvusRole", "first")
    team.wait_gone("MilvusRole", "first")
    second = team.wait_ready("MilvusRole", "second")
    assert second["status"]["claim"]["origin"] == "Created"
    assert held(double, "a_reader") == {INSERT}
    assert roles_of(double, "a_app") == {"a_reader"}
    assert "DropRole" not in team.written
    team.delete("MilvusRole", "second")
    team.wait_gone("MilvusRole", "second")
    assert "a_reader" not in double.ask(lambda one: set(one.core.store.roles))


@pytest.mark.parametrize("dress", ["2.3", "3.0"])
def test_grants_that_waited_for_a_role_of_that_name_are_not_inherited(invite: Invite, dress: str) -> None:
    tenants, double = invite(dress)
    team = tenants.team_a
    double.ask(lambda one: one.core.store.give("a_new", Kept("Collection", "b", "*", "Query"), "root"))
    team.role(
        "new",
        "a_new",
        {"privileges": ["Search"], "database": "a", "collections": ["*"]},
        **tenants.connection,
    )
    team.wait(
        lambda: held(double, "a_new") == {SEARCH}, "only what is delegated", see=lambda: held(double, "a_new")
    )
    team.wait_ready("MilvusRole", "new")
    assert held(double, "a_new") == {SEARCH}


def test_a_resource_that_somebody_else_keeps_from_going_owns_nothing(invite: Invite) -> None:
    tenants, double = invite("3.0")
    team, ref = tenants.team_a, tenants.connection
    spec = {"roleName": "a_taken", "grants": [], **ref}
    team.apply("MilvusRole", "first", spec, finalizers=["team/keeps-it"])
    team.wait_ready("MilvusRole", "first")
    team.delete("MilvusRole", "first")
    team.wait(lambda: "a_taken" not in roles(double), "the role dropped")
    double.ask(by_hand)
    team.apply("MilvusRole", "second", spec | {"adoption": "Always"})
    refused = team.wait_reason("MilvusRole", "second", "Conflict")
    assert "it has what is not delegated to this namespace" in refused["message"]
    assert held(double, "a_taken") == {("Collection", "Query", "secret_database", "*")}
    team.delete("MilvusRole", "second")
    team.wait_gone("MilvusRole", "second")
    tenants.platform.role("ours", "a_taken", adoption="Always")
    tenants.platform.wait_ready("MilvusRole", "ours")


def test_what_is_wrong_with_the_connection_is_not_for_the_ears_of_teams(invite: Invite) -> None:
    tenants, _ = invite("3.0")
    team, platform = tenants.team_a, tenants.platform
    team.role("before", "a_before", **tenants.connection)
    team.wait_ready("MilvusRole", "before")
    platform.secret("milvus-admin", {"username": "root"})
    platform.wait_reason("MilvusConnection", "prod", "SecretKeyMissing")
    team.role("after", "a_after", **tenants.connection)
    team.delete("MilvusRole", "before")
    for name, reason in (("after", "WaitingForConnection"), ("before", "DeletionBlocked")):
        message = team.wait_reason("MilvusRole", name, reason)["message"]
        assert "SecretKeyMissing" in message
        assert "milvus-admin" not in message
        assert platform.namespace not in message.replace(team.namespace, "")
    platform.secret("milvus-admin", {"username": "root", "password": "Milvus"})
    team.wait_ready("MilvusRole", "after")
    team.wait_gone("MilvusRole", "before")
