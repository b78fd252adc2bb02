"""Descriptions: where a server keeps them they are as wanted, and they never hold anything else back."""

from dataclasses import replace

import pytest

from milvus_rbac.domain.changes import (
    Change,
    CreateRole,
    CreateUser,
    DescribeRole,
    DescribeUser,
    RecreateUser,
)
from milvus_rbac.domain.claims import Claim, Kind, Origin, Ref, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import ServerFacts, lower
from milvus_rbac.domain.diff import diff
from milvus_rbac.domain.guard import guard
from milvus_rbac.domain.state import PasswordVerdict, Role, State, User

SERVER_FACTS = ServerFacts(superuser=False)
EMPTY = State(describes=True)
NO_SECRET = Refusal(Reason.WAITING_FOR_SECRET, "no Secret")


def role(description: str | None) -> Claim:
    ref = Ref(Kind.ROLE, "ns", "reader", "r")
    return Claim(ref, "reader", WantedRole((), description), "", origin=Origin.CREATED)


def user(description: str | None, refusal: Refusal | None = None) -> Claim:
    wanted = WantedUser(frozenset(), password_refusal=refusal, description=description)
    return Claim(Ref(Kind.USER, "ns", "app", "u"), "app", wanted, "", origin=Origin.CREATED)


def plan(claim: Claim, observed: State, server: ServerFacts = SERVER_FACTS) -> tuple[Change, ...]:
    (made,) = guard(diff(observed, lower([(claim, None)], server, observed)), observed, server)
    return made.changes


def held(description: str, verdict: PasswordVerdict = PasswordVerdict.IN_FORCE) -> State:
    return State(
        users={"app": User(password=verdict, description=description)},
        roles={"reader": Role(description=description)},
        describes=True,
    )


@pytest.mark.parametrize(
    ("now", "wanted", "changes"),
    [
        ("old", "new", True),
        ("old", "", True),
        ("new", "new", False),
        ("old", None, False),
        ("", None, False),
    ],
)
def test_a_description_is_changed_if_another_is_wanted(now: str, wanted: str | None, changes: bool) -> None:
    assert plan(role(wanted), held(now)) == ((DescribeRole("reader", wanted or ""),) if changes else ())
    assert plan(user(wanted), held(now)) == ((DescribeUser("app", wanted or ""),) if changes else ())


def test_what_is_new_is_described_once_it_is_there() -> None:
    assert plan(role("new"), EMPTY) == (CreateRole("reader"), DescribeRole("reader", "new"))
    assert plan(user("new"), EMPTY) == (CreateUser("app"), DescribeUser("app", "new"))
    assert plan(role(""), EMPTY) == (CreateRole("reader"),)


def test_who_is_made_again_is_described_again() -> None:
    observed = held("new", PasswordVerdict.REFUSED)
    assert plan(user("new"), observed) == (
        RecreateUser("app", frozenset()),
        DescribeUser("app", "new"),
    )


def test_who_is_not_made_is_not_described() -> None:
    assert plan(user("new", NO_SECRET), EMPTY) == ()
    waiting = replace(role("new"), suspended=True)
    assert plan(waiting, EMPTY) == ()


def test_a_server_without_descriptions_is_not_told_any() -> None:
    assert plan(role("new"), State()) == (CreateRole("reader"),)
    assert plan(user("new"), State()) == (CreateUser("app"),)
