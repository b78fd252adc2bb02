"""Resources as claims: what Kubernetes says about ownership, and what of it still counts."""

from typing import Any

import pytest

from milvus_rbac.controller.batch import is_rotated
from milvus_rbac.controller.claims import claim_of, granted_databases, keeps_on_deletion
from milvus_rbac.controller.entry import intents_of
from milvus_rbac.controller.memory import Reading
from milvus_rbac.controller.tenancy import Tenancy
from milvus_rbac.domain.claims import (
    Adoption,
    GrantRow,
    Kind,
    Origin,
    Ref,
    SecretVersion,
    WantedRole,
    WantedUser,
)
from milvus_rbac.domain.conditions import Reason
from unit.resources import HERE, Json, claimed, connection, entry, role, user

GOING = {"deletionTimestamp": "2026-01-02T00:00:00Z"}
BROKEN = user(spec={"userName": 7})


def test_everything_of_a_user_arrives() -> None:
    one = claim_of(entry(user(spec={"roles": ["a", "b"], "adoption": "Always"})), {HERE}, "root")
    assert one.ref == Ref(Kind.USER, "ns", "app", "uid-app")
    assert (one.object_name, one.wanted) == ("app", WantedUser(frozenset({"a", "b"})))
    assert (one.created_at, one.adoption) == ("2026-01-01T00:00:00Z", Adoption.ALWAYS)
    assert (one.origin, one.intended, one.deleting, one.retain, one.suspended) == (
        None,
        False,
        False,
        False,
        False,
    )
    assert one.refusal is None


def test_everything_of_a_role_arrives() -> None:
    grants = [
        {"privileges": ["Query"], "collections": ["*"]},
        {"privileges": ["Search"], "database": "sales", "collections": ["orders"]},
    ]
    one = claim_of(entry(role(spec={"grants": grants})), {HERE}, "root")
    assert one.key == (Kind.ROLE, "reader")
    assert one.wanted == WantedRole(
        (GrantRow(("Query",), None, ("*",)), GrantRow(("Search",), "sales", ("orders",)))
    )


@pytest.mark.parametrize(
    ("status", "origin", "reason"),
    [
        (None, None, "nothing was ever written"),
        (claimed("Created"), Origin.CREATED, "we made it"),
        (claimed("Adopted"), Origin.ADOPTED, "it was there before"),
        (
            claimed("Created", endpoint="former.ns:19530"),
            Origin.CREATED,
            "the same server by another address",
        ),
        (claimed("Created", endpoint="elsewhere.ns:19530"), None, "on another server that is something else"),
        (claimed("Created", name="other"), None, "another name is another thing"),
        (
            {"claim": {"endpoint": HERE, "name": "app", "origin": "Stolen"}},
            None,
            "what can't be read is lost",
        ),
    ],
)
def test_ownership_is_what_the_status_says_of_this_server(
    status: Json | None, origin: Origin | None, reason: str
) -> None:
    assert claim_of(entry(user(status=status)), {HERE, "former.ns:19530"}, "root").origin is origin, reason


def test_an_intent_is_one_resources_own() -> None:
    assert claim_of(entry(user()), {HERE}, "root", {"uid-app"}).intended
    assert not claim_of(entry(user()), {HERE}, "root", {"uid-other"}).intended


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (user("root"), Reason.RESERVED_NAME),
        (user("operator"), Reason.RESERVED_NAME),
        (role("admin"), Reason.RESERVED_NAME),
        (user(), None),
    ],
)
def test_a_reserved_name_is_refused_but_may_be_deleted(one: Json, reason: Reason | None) -> None:
    refusal = claim_of(entry(one), {HERE}, "operator").refusal
    assert (refusal.reason if refusal else None) is reason
    one["metadata"] |= GOING
    going = claim_of(entry(one), {HERE}, "operator")
    assert going.deleting
    assert going.refusal is None


def test_a_spec_that_cannot_be_read_touches_nothing() -> None:
    one = claim_of(entry(BROKEN), {HERE}, "root")
    assert one.refusal is not None
    assert one.refusal.reason is Reason.INVALID_SPEC
    assert "userName" in one.refusal.message
    assert one.retain
    assert not one.is_ours


@pytest.mark.parametrize(
    ("one", "keeps", "reason"),
    [
        (user(), False, "Delete is the default"),
        (user(spec={"deletionPolicy": "Delete"}), False, "as written"),
        (user(spec={"deletionPolicy": "Retain"}), True, "as written"),
        (role(spec={"deletionPolicy": "Retain"}), True, "roles as well"),
        (user(spec={"suspend": True}), True, "who is suspended goes untouched"),
        (user(annotations={"rbac.milvus.io/force-retain": "true"}), True, "let go by hand"),
        (user(annotations={"rbac.milvus.io/force-retain": "yes"}), False, "only true is true"),
        (BROKEN, True, "what can't be read is not touched"),
    ],
)
def test_milvus_stays_as_it_is_where_the_resource_says_so(one: Json, keeps: bool, reason: str) -> None:
    assert keeps_on_deletion(entry(one)) is keeps, reason
    assert claim_of(entry(one), {HERE}, "root").retain is keeps, reason


def test_the_databases_of_a_role_are_where_it_wants_and_has_grants() -> None:
    held = {"objectType": "Global", "privilege": "All", "database": "old", "objectName": "*"}
    status = {"observedGeneration": 1, "grants": [held]}
    wanted = [
        {"privileges": ["Query"], "collections": ["*"]},
        {"privileges": ["Query"], "database": "new", "collections": ["*"]},
    ]
    assert granted_databases(entry(role(status=status, spec={"grants": wanted}))) == {"old", "new"}
    assert granted_databases(entry(user())) == frozenset()
    assert granted_databases(entry(BROKEN)) == frozenset()


IN_FORCE = {"observedGeneration": 1, "password": {"secretUid": "s", "secretResourceVersion": "7"}}


@pytest.mark.parametrize(
    ("one", "version", "expected", "reason"),
    [
        (user(status=IN_FORCE), SecretVersion("s", "7"), False, "the same"),
        (user(status=IN_FORCE), SecretVersion("s", "8"), True, "changed since"),
        (user(status=IN_FORCE), SecretVersion("t", "7"), True, "another Secret of the same name"),
        (user(status=IN_FORCE), None, False, "there is none to compare with"),
        (user(), SecretVersion("s", "7"), False, "nothing was ever in force"),
        (role(), SecretVersion("s", "7"), False, "roles have none"),
    ],
)
def test_a_rotation_is_another_version_than_the_one_in_force(
    one: Json, version: SecretVersion | None, expected: bool, reason: str
) -> None:
    assert is_rotated(entry(one), Reading(version)) is expected, reason
    assert entry(one).password == (SecretVersion("s", "7") if one.get("status") else None)


@pytest.mark.parametrize("status", [{}, {"inFlight": None}, {"inFlight": []}])
def test_without_intents_there_are_none(status: dict[str, Any]) -> None:
    assert intents_of(status) == {}


def test_intents_are_found_by_the_resource() -> None:
    intent = {"endpoint": HERE, "uid": "uid-app", "kind": "MilvusUser", "name": "app"}
    assert intents_of(entry(connection(status={"inFlight": [intent]})).status) == {"uid-app": intent}


def test_what_was_let_go_owns_nothing_however_long_somebody_else_keeps_it() -> None:
    deleted: dict[str, Any] = GOING
    theirs = user(status=claimed(), finalizers=["somebody/else"], **deleted)
    one = claim_of(entry(theirs), {HERE}, "root", {"uid-app"})
    assert (one.origin, one.intended, one.is_ours) == (None, False, False)
    ours = user(status=claimed(), finalizers=["somebody/else", "rbac.milvus.io/finalizer"], **deleted)
    assert claim_of(entry(ours), {HERE}, "root").is_ours


def test_nobody_is_dropped_while_it_is_not_known_what_is_delegated() -> None:
    selecting = {
        "delegations": [
            {"namespaces": {"selector": {"matchLabels": {"milvus": "yes"}}}, "userNames": ["app"]}
        ]
    }
    milvus = entry(connection(spec=selecting, namespace="milvus"))
    keeping = user(
        spec={"deletionPolicy": "Retain"}, status=claimed(), deletionTimestamp="2026-01-01T00:00:00Z"
    )
    unknown, not_theirs = Tenancy(milvus, {}), Tenancy(milvus, {"ns": {}})
    assert claim_of(entry(keeping), {HERE}, "root", tenancy=unknown).retain
    assert not claim_of(entry(keeping), {HERE}, "root", tenancy=not_theirs).retain
    there = claim_of(entry(user(status=claimed())), {HERE}, "root", tenancy=unknown)
    assert there.refusal is not None
    assert there.refusal.reason is Reason.WAITING_FOR_CONNECTION
    assert claim_of(entry(user(status=claimed())), {HERE}, "root", tenancy=not_theirs).refusal is None


def rows(*sizes: tuple[int, int]) -> Json:
    """Return the spec of a role with rows of so many privileges on so many collections."""
    return {
        "grants": [
            {"privileges": ["Search", "Query"][:privileges], "database": "db"}
            | ({"collections": [f"c{number}" for number in range(collections)]} if collections else {})
            for privileges, collections in sizes
        ]
    }


@pytest.mark.parametrize(
    ("one", "expected", "reason"),
    [
        (role(spec=rows()), 1, "there is a role to look at, even without grants"),
        (role(spec=rows((2, 3))), 6, "every privilege on every collection"),
        (role(spec=rows((2, 0))), 2, "without collections a privilege is one grant"),
        (role(spec=rows((2, 3), (1, 4))), 10, "rows add up"),
        (user(), 1, "a user has no grants"),
    ],
)
def test_the_weight_of_a_resource_is_the_number_of_its_grants(one: Json, expected: int, reason: str) -> None:
    assert entry(one).weight == expected, reason
