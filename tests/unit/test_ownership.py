"""Reserved names are refused, every name has one owner, and one connection is served at an endpoint."""

from dataclasses import replace
from typing import Any

import pytest

from milvus_rbac.domain.claims import Claim, Kind, Origin, Ref, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.ownership import EndpointCandidate, address_holder, assemble, check, elect, owners

NO = Refusal(Reason.INVALID_NAME, "no")
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def claim(
    uid: str, created_at: str = EARLY, *, kind: Kind = Kind.ROLE, namespace: str = "ns", **fields: Any
) -> Claim:
    wanted = WantedRole(()) if kind is Kind.ROLE else WantedUser(frozenset())
    return replace(Claim(Ref(kind, namespace, f"res-{uid}", uid), "reader", wanted, created_at), **fields)


@pytest.mark.parametrize(
    ("kind", "name", "expected", "reason"),
    [
        (Kind.USER, "app", None, "a name like any other"),
        (Kind.ROLE, "reader", None, "a name like any other"),
        (Kind.USER, "root", Reason.RESERVED_NAME, "the server's first user"),
        (Kind.USER, "db_admin", Reason.RESERVED_NAME, "what Zilliz Cloud has instead of root"),
        (Kind.USER, "operator", Reason.RESERVED_NAME, "the operator would lock itself out"),
        (Kind.USER, "admin", None, "a role's name, free for users"),
        (Kind.USER, "Root", None, "case counts in Milvus"),
        (Kind.ROLE, "admin", Reason.RESERVED_NAME, "built in"),
        (Kind.ROLE, "public", Reason.RESERVED_NAME, "built in"),
        (Kind.ROLE, "root", None, "a user's name, free for roles"),
        (Kind.ROLE, "operator", None, "a user's name, free for roles"),
        (Kind.GROUP, "finders", None, "a name like any other"),
        (Kind.GROUP, "Search", Reason.RESERVED_NAME, "a privilege's name"),
        (Kind.GROUP, "CollectionAdmin", Reason.RESERVED_NAME, "built in"),
        (Kind.USER, " app", Reason.INVALID_NAME, "Milvus stores it trimmed, and no login works"),
        (Kind.ROLE, "reader ", Reason.INVALID_NAME, "Milvus stores it with the space"),
        (Kind.ROLE, " admin", Reason.INVALID_NAME, "the spaces are what is to be mended"),
    ],
)
def test_reserved_and_untidy_names_are_refused(
    kind: Kind, name: str, expected: Reason | None, reason: str
) -> None:
    refusal = check(kind, name, "operator")
    assert (refusal.reason if refusal else None) is expected, reason
    if refusal:
        assert name in refusal.message


# --- one owner for each name


@pytest.mark.parametrize(
    ("contenders", "owner"),
    [
        pytest.param([], None, id="without a claim there is no owner"),
        pytest.param([claim("b", LATE), claim("a", EARLY)], "a", id="the elder"),
        pytest.param([claim("b"), claim("a")], "a", id="of one second, the uid decides"),
        pytest.param(
            [claim("a", EARLY), claim("b", LATE, origin=Origin.ADOPTED)],
            "b",
            id="the incumbent before the elder",
        ),
        pytest.param(
            [claim("a", EARLY), claim("b", LATE, intended=True)],
            "b",
            id="a claim with an intent before the elder",
        ),
        pytest.param(
            [claim("a", EARLY, intended=True), claim("b", LATE, origin=Origin.CREATED)],
            "b",
            id="a claim before an intent",
        ),
        pytest.param(
            [claim("a", EARLY, refusal=NO), claim("b", LATE)], "b", id="an invalid elder stands back"
        ),
        pytest.param(
            [claim("a", EARLY, origin=Origin.CREATED, refusal=NO), claim("b", LATE)],
            "b",
            id="even if it owned the name",
        ),
        pytest.param([claim("a", refusal=NO)], None, id="an invalid claim owns nothing"),
        pytest.param(
            [claim("a", EARLY, deleting=True), claim("b", LATE)],
            "b",
            id="a deleted claim that has nothing stands back",
        ),
        pytest.param(
            [claim("a", EARLY), claim("b", LATE, origin=Origin.CREATED, deleting=True)],
            "b",
            id="a deleted claim that has the object keeps it until it is gone",
        ),
        pytest.param([claim("a", deleting=True)], None, id="a deleted claim that has nothing owns nothing"),
    ],
)
def test_a_name_belongs_to_one(contenders: list[Claim], owner: str | None) -> None:
    for order in (contenders, contenders[::-1]):
        elected = elect(order)
        assert (elected.ref.uid if elected else None) == owner


def test_a_claim_that_does_not_own_its_name_learns_which_one_does() -> None:
    owner, rival = claim("a", EARLY), claim("b", LATE)
    answers = dict(assemble([owner, rival], {"a", "b"}))
    assert answers[owner] is None
    refusal = answers[rival]
    assert refusal is not None
    assert refusal.reason is Reason.CONFLICT
    assert "MilvusRole res-a" in refusal.message
    assert "role reader" in refusal.message


def test_a_rival_in_another_namespace_is_not_named() -> None:
    answers = dict(
        assemble(
            [claim("a", kind=Kind.USER), rival := claim("b", LATE, kind=Kind.USER, namespace="other")], {"b"}
        )
    )
    refusal = answers[rival]
    assert refusal is not None
    assert "another namespace" in refusal.message
    assert "res-a" not in refusal.message
    assert "user reader" in refusal.message


def test_only_the_dirty_are_answered_but_all_are_heard() -> None:
    owner, rival, stranger = claim("a", EARLY), claim("b", LATE), claim("c", object_name="other")
    ((answered, refusal),) = assemble([owner, rival, stranger], {"b"})
    assert answered == rival
    assert refusal is not None
    assert assemble([owner, rival, stranger], ()) == ()


def test_a_user_and_a_role_of_one_name_are_no_rivals() -> None:
    claims = [claim("a"), claim("b", LATE, kind=Kind.USER)]
    assert assemble(claims, {"a", "b"}) == tuple((one, None) for one in claims)


def test_what_is_wrong_with_a_claim_comes_before_its_rivals() -> None:
    owner, wrong = claim("a"), claim("b", LATE, refusal=NO)
    assert dict(assemble([owner, wrong], {"b"})) == {wrong: NO}


def test_a_role_is_owned_by_the_claim_that_has_it_and_not_by_one_that_asks_for_it() -> None:
    mine = claim("mine", origin=Origin.CREATED)
    intended = replace(claim("intended", intended=True), object_name="intended")
    asked = replace(claim("asked"), object_name="asked")
    found = owners([mine, intended, asked], mine.ref.kind)
    assert {name for name, one in found.items() if one.is_ours} == {mine.object_name, "intended"}
    assert found["asked"] == asked
    assert owners([mine], Kind.GROUP) == {}


# --- one connection for each endpoint


OLD = EndpointCandidate("old", EARLY)
YOUNG = EndpointCandidate("young", LATE)


@pytest.mark.parametrize(
    ("own", "other", "holder", "reason"),
    [
        (OLD, YOUNG, None, "the oldest is tried first"),
        (YOUNG, OLD, "old", "the older one has its chance first"),
        (YOUNG, replace(OLD, was_tried=True), None, "it was tried and never worked, so it holds nothing"),
        (replace(OLD, was_tried=True), YOUNG, None, "a younger one that was not tried holds nothing yet"),
        (YOUNG, replace(OLD, was_tried=True, has_worked=True), "old", "the oldest that works"),
        (replace(YOUNG, has_worked=True), replace(OLD, has_worked=True), "old", "both work"),
        (replace(OLD, has_worked=True), replace(YOUNG, has_worked=True), None, "both work"),
        (
            OLD,
            replace(YOUNG, has_worked=True),
            "young",
            "one that works is not displaced by one that never did",
        ),
        (YOUNG, replace(OLD, has_worked=True, is_out=True), None, "suspended, or being deleted"),
        (replace(YOUNG, created_at=EARLY), OLD, "old", "of equal age: the uid decides"),
    ],
)
def test_the_oldest_connection_that_works_holds_the_address(
    own: EndpointCandidate, other: EndpointCandidate, holder: str | None, reason: str
) -> None:
    found = address_holder(own, [other])
    assert (found.uid if found else None) == holder, reason
