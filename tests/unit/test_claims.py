"""One owner per name: the incumbent, else the eldest of the valid; and what is whose to drop."""

from dataclasses import replace
from typing import Any

import pytest

from milvus_rbac.domain.claims import (
    Adoption,
    Claim,
    Kind,
    Origin,
    Ref,
    WantedRole,
    WantedUser,
    assemble,
    elect,
    owners,
)
from milvus_rbac.domain.conditions import Reason, Refusal

NO = Refusal(Reason.INVALID_NAME, "no")
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def claim(
    uid: str, created_at: str = EARLY, *, kind: Kind = Kind.ROLE, namespace: str = "ns", **fields: Any
) -> Claim:
    wanted = WantedRole(()) if kind is Kind.ROLE else WantedUser(frozenset())
    return replace(Claim(Ref(kind, namespace, f"res-{uid}", uid), "reader", wanted, created_at), **fields)


@pytest.mark.parametrize(
    ("contenders", "owner"),
    [
        pytest.param([], None, id="nobody asks"),
        pytest.param([claim("b", LATE), claim("a", EARLY)], "a", id="the elder"),
        pytest.param([claim("b"), claim("a")], "a", id="of one second, the uid decides for everybody alike"),
        pytest.param(
            [claim("a", EARLY), claim("b", LATE, origin=Origin.ADOPTED)],
            "b",
            id="the incumbent before the elder",
        ),
        pytest.param(
            [claim("a", EARLY), claim("b", LATE, intended=True)],
            "b",
            id="who was about to create it before the elder",
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
        pytest.param([claim("a", refusal=NO)], None, id="nobody valid"),
        pytest.param(
            [claim("a", EARLY, deleting=True), claim("b", LATE)],
            "b",
            id="who goes and has nothing stands back",
        ),
        pytest.param(
            [claim("a", EARLY), claim("b", LATE, origin=Origin.CREATED, deleting=True)],
            "b",
            id="who goes and has it, has it until gone",
        ),
        pytest.param([claim("a", deleting=True)], None, id="who goes and has nothing owns nothing"),
    ],
)
def test_a_name_belongs_to_one(contenders: list[Claim], owner: str | None) -> None:
    for order in (contenders, contenders[::-1]):
        elected = elect(order)
        assert (elected.ref.uid if elected else None) == owner


def test_who_does_not_own_the_name_is_told_who_does() -> None:
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


def test_what_is_wrong_with_a_claim_comes_before_who_has_its_name() -> None:
    owner, wrong = claim("a"), claim("b", LATE, refusal=NO)
    assert dict(assemble([owner, wrong], {"b"})) == {wrong: NO}


@pytest.mark.parametrize(
    ("fields", "ours", "drops", "reason"),
    [
        ({}, False, False, "nothing says that it is ours"),
        ({"adoption": Adoption.ALWAYS}, False, False, "it would be taken over, but never was"),
        ({"origin": Origin.CREATED}, True, True, "we made it"),
        ({"intended": True}, True, True, "we were about to, and it is there"),
        ({"origin": Origin.ADOPTED}, True, False, "it was there before"),
        ({"origin": Origin.ADOPTED, "adoption": Adoption.NEVER}, True, False, "it was there before"),
        (
            {"origin": Origin.ADOPTED, "adoption": Adoption.ALWAYS},
            True,
            True,
            "it was taken over, whatever that meant",
        ),
        ({"origin": Origin.CREATED, "retain": True}, True, False, "it is to stay"),
        ({"intended": True, "retain": True}, True, False, "it is to stay"),
        (
            {"origin": Origin.ADOPTED, "adoption": Adoption.ALWAYS, "retain": True},
            True,
            False,
            "it is to stay",
        ),
    ],
)
def test_only_what_we_made_or_took_over_with_always_goes_with_its_resource(
    fields: dict[str, Any], ours: bool, drops: bool, reason: str
) -> None:
    one = claim("a", **fields)
    assert (one.is_ours, one.may_drop) == (ours, drops), reason


def test_a_role_is_owned_by_who_has_it_and_not_by_who_asks_for_it() -> None:
    mine = claim("mine", origin=Origin.CREATED)
    intended = replace(claim("intended", intended=True), object_name="intended")
    asked = replace(claim("asked"), object_name="asked")
    found = owners([mine, intended, asked], mine.ref.kind)
    assert {name for name, one in found.items() if one.is_ours} == {mine.object_name, "intended"}
    assert found["asked"] == asked
    assert owners([mine], Kind.GROUP) == {}
