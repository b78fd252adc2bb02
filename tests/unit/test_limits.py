"""A turn costs what is due: a role that asks for too much is refused unexpanded, and other roles' grants are not looked at."""

from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest
from typing_extensions import override

from milvus_rbac.domain.changes import CreateRole, DropGroup, GrantPrivilege, RevokePrivilege
from milvus_rbac.domain.claims import (
    MAX_GRANTS,
    Claim,
    GrantRow,
    Kind,
    Origin,
    Ref,
    WantedGroup,
    WantedRole,
    WantedUser,
)
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.delegation import Permit
from milvus_rbac.domain.desired import Desired, ServerFacts, lower
from milvus_rbac.domain.diff import diff
from milvus_rbac.domain.guard import guard
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.scopes import KnownPrivileges
from milvus_rbac.domain.state import ANY, Grant, ObjectType, Role, State, User

SERVER_FACTS = ServerFacts(
    superuser=True, known_privileges=KnownPrivileges(privilege_groups=True), databases_are_boundaries=True
)
SEARCH = Grant(ObjectType.COLLECTION, "Search", "sales", "c1")
ELSEWHERE = Grant(ObjectType.COLLECTION, "Search", "hr", "c1")
NOT_DELEGATED = Grant(ObjectType.COLLECTION, "Insert", "sales", "c1")


def rows(count: int, *, collections: int, privileges: tuple[str, ...] = ("Search",)) -> tuple[GrantRow, ...]:
    return tuple(
        GrantRow(privileges, "sales", tuple(f"c{row}_{number}" for number in range(collections)))
        for row in range(count)
    )


def role(*asked: GrantRow, **fields: Any) -> Claim:
    return replace(Claim(Ref(Kind.ROLE, "ns", "reader", "role"), "reader", WantedRole(asked), ""), **fields)


def lowered(claim: Claim, observed: State) -> Desired:
    (desired,) = lower([(claim, None)], SERVER_FACTS, observed)
    return desired


def plan(*claims: Claim, observed: State) -> ClaimPlan:
    """The plan for the first of the claims."""
    proposals = diff(
        observed,
        lower([(one, None) for one in claims], SERVER_FACTS, observed),
        SERVER_FACTS.known_privileges,
    )
    plans = {one.claim.ref.uid: one for one in guard(proposals, observed, SERVER_FACTS)}
    return plans[claims[0].ref.uid]


TOO_MANY = rows(41, collections=250)  # 10,250
HELD = State(roles={"reader": Role(frozenset({SEARCH}))})


class TestRolesThatAskForTooMuch:
    def test_a_role_may_expand_to_the_limit_and_not_to_one_more(self) -> None:
        at_limit = rows(40, collections=250)
        assert not lowered(role(*at_limit), State()).refusals
        (refusal,) = lowered(role(*at_limit, GrantRow(("Query",), "sales", ("orders",))), State()).refusals
        assert refusal.reason is Reason.LIMIT_REACHED
        assert all(part in refusal.message for part in ("10,001", f"{MAX_GRANTS:,}", "spec.grants"))
        assert all(way in refusal.message for way in ("Split", "privilege group", "*"))

    def test_privileges_count_as_well_as_collections(self) -> None:
        two = rows(21, collections=250, privileges=("Search", "Query"))
        assert [one.reason for one in lowered(role(*two), State()).refusals] == [Reason.LIMIT_REACHED]

    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({"origin": Origin.CREATED}, id="of ours"),
            pytest.param({}, id="that is not ours"),
        ],
    )
    def test_nothing_is_given_and_nothing_taken(self, fields: dict[str, Any]) -> None:
        one = plan(role(*TOO_MANY, **fields), observed=HELD)
        assert (one.changes, one.withheld) == ((), ())
        assert [refusal.reason for refusal in one.refusals] == [Reason.LIMIT_REACHED]
        assert one.origin is fields.get("origin")

    def test_no_role_is_created(self) -> None:
        one = plan(role(*TOO_MANY), observed=State())
        assert not any(isinstance(change, CreateRole) for change in one.changes)

    def test_a_tenant_keeps_only_what_it_may_have(self) -> None:
        permit = Permit(claims_name=True, databases=frozenset({"sales"}), privileges=frozenset({"Search"}))
        observed = State(roles={"reader": Role(frozenset({SEARCH, ELSEWHERE, NOT_DELEGATED}))})
        one = plan(role(*TOO_MANY, permit=permit, origin=Origin.CREATED), observed=observed)
        assert set(one.changes) == {
            RevokePrivilege("reader", ELSEWHERE),
            RevokePrivilege("reader", NOT_DELEGATED),
        }
        assert [refusal.reason for refusal in one.refusals] == [Reason.LIMIT_REACHED]

    def test_a_tenant_gets_no_role_that_another_owner_has(self) -> None:
        permit = Permit(claims_name=True, databases=frozenset({"sales"}), privileges=frozenset({"Search"}))
        one = plan(role(*TOO_MANY, permit=permit), observed=HELD)
        assert (one.changes, one.origin) == ((), None)

    def test_it_can_still_be_deleted(self) -> None:
        one = plan(role(*TOO_MANY, deleting=True, origin=Origin.CREATED), observed=HELD)
        assert RevokePrivilege("reader", SEARCH, before_drop=True) in one.changes

    def test_nine_hundred_thousand_grants_are_refused_in_milliseconds(self) -> None:
        one = role(*rows(36, collections=250, privileges=tuple(f"P{number}" for number in range(100))))
        took = []
        for _ in range(3):
            started = perf_counter()
            refusals = lowered(one, State()).refusals
            took.append(perf_counter() - started)
            assert "900,000" in refusals[0].message
        assert min(took) < 0.005


class Unread(frozenset[Grant]):
    """The grants of a role that nothing should look at."""

    @override
    def __iter__(self) -> Iterator[Grant]:
        raise AssertionError("the grants of another role were walked through")


def others(*names: str) -> dict[str, Role]:
    return {name: Role(Unread({SEARCH})) for name in names}


class TestOtherRoles:
    def test_roles_and_users_are_planned_without_the_grants_of_others(self) -> None:
        observed = State(
            users={"app": User()},
            roles={"reader": Role(), **others("writer", "admin_of_sales")},
            groups={"finders": frozenset({"Search"})},
        )
        app = Claim(Ref(Kind.USER, "ns", "app", "user"), "app", WantedUser(frozenset({"reader"})), "")
        one = plan(role(GrantRow(("Search",), "sales", ("c1",))), app, observed=observed)
        assert one.changes == (GrantPrivilege("reader", SEARCH),)

    def test_a_group_that_only_grows_is_planned_without_the_grants_of_roles(self) -> None:
        observed = State(roles=others("writer"), groups={"finders": frozenset({"Search"})})
        wanted = WantedGroup(frozenset({"Search", "Query"}))
        group = Claim(Ref(Kind.GROUP, "ns", "finders", "group"), "finders", wanted, "", origin=Origin.CREATED)
        assert len(plan(group, observed=observed).changes) == 1

    @pytest.mark.parametrize(
        ("held", "in_use"),
        [(Grant(ObjectType.GLOBAL, "finders", "sales", ANY), True), (SEARCH, False)],
    )
    def test_a_group_that_goes_asks_who_holds_it(self, held: Grant, in_use: bool) -> None:
        observed = State(roles={"writer": Role(frozenset({held}))}, groups={"finders": frozenset({"Search"})})
        group = Claim(
            Ref(Kind.GROUP, "ns", "finders", "group"),
            "finders",
            WantedGroup(frozenset({"Search"})),
            "",
            origin=Origin.CREATED,
            deleting=True,
        )
        one = plan(group, observed=observed)
        assert (DropGroup("finders") in one.withheld) is in_use
        assert (DropGroup("finders") in one.changes) is not in_use
