"""An alias in a grant is looked up where the server does so, and nothing is taken where it can't be."""

from dataclasses import replace

import pytest

from milvus_rbac.domain.changes import GrantPrivilege, RevokePrivilege
from milvus_rbac.domain.claims import Claim, GrantRow, Kind, Origin, Ref, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.delegation import NOTHING, Permit
from milvus_rbac.domain.desired import ServerFacts, lower, suspects
from milvus_rbac.domain.diff import diff
from milvus_rbac.domain.scopes import KnownPrivileges
from milvus_rbac.domain.state import ANY, Grant, ObjectType, Place, Role, State

RESOLVING = ServerFacts(
    known_privileges=KnownPrivileges(privilege_groups=True),
    resolves_aliases=True,
    databases_are_boundaries=True,
)
PERMIT = Permit(
    claims_name=True, databases=frozenset({"sales"}), privileges=frozenset({"Search"}), roles=frozenset()
)


def search(collection: str, database: str = "sales") -> Grant:
    return Grant(ObjectType.COLLECTION, "Search", database, collection)


def role(*collections: str, database: str | None = "sales", deleting: bool = False) -> Claim:
    wanted = WantedRole((GrantRow(("Search",), database, collections),))
    return Claim(
        Ref(Kind.ROLE, "ns", "reader", "r"), "reader", wanted, "", origin=Origin.CREATED, deleting=deleting
    )


def holding(*grants: Grant) -> State:
    return State(roles={"reader": Role(frozenset(grants))})


@pytest.mark.parametrize(
    ("claim", "observed", "found"),
    [
        (role("orders"), holding(search("orders_7")), {("sales", "orders")}),
        (role("orders", database=None), holding(search("orders_7", "default")), {("default", "orders")}),
        (role("orders", "items"), holding(search("items")), {("sales", "orders")}),
        (role("orders"), holding(search("orders")), set()),
        (role("orders"), holding(search("orders_7", "lab")), set()),
        (role("orders"), holding(search(ANY)), set()),
        (role("orders"), holding(), set()),
        (role("orders"), State(), set()),
        (role("orders", deleting=True), holding(search("orders_7")), set()),
        (
            Claim(Ref(Kind.USER, "ns", "reader", "u"), "reader", WantedUser(frozenset()), ""),
            holding(search("orders_7")),
            set(),
        ),
    ],
)
def test_only_what_is_asked_for_and_not_there_is_suspected(
    claim: Claim, observed: State, found: set[Place]
) -> None:
    assert suspects([claim], observed, RESOLVING) == found


def test_a_server_that_keeps_aliases_is_asked_for_none() -> None:
    claim, observed = role("orders"), holding(search("orders_7"))
    assert suspects([claim], observed, replace(RESOLVING, resolves_aliases=False)) == set()


@pytest.mark.parametrize(
    ("row", "permit", "is_asked", "reason"),
    [
        (GrantRow(("Search",), "sales", ("orders",)), PERMIT, True, "as it is delegated"),
        (GrantRow(("Search",), "lab", ("orders",)), PERMIT, False, "another database"),
        (GrantRow(("Insert",), "sales", ("orders",)), PERMIT, False, "another privilege"),
        (
            GrantRow(("Insert", "Search"), "sales", ("orders",)),
            PERMIT,
            True,
            "one privilege of the row is delegated",
        ),
        (
            GrantRow(("Search",), "sales", ("orders",)),
            NOTHING,
            False,
            "the name of the role is not delegated",
        ),
        (GrantRow(("Serch",), "sales", ("orders",)), None, False, "no privilege of Milvus"),
        (GrantRow(("CreateCollection",), "sales", ("orders",)), None, False, "not about collections"),
    ],
)
def test_nothing_is_asked_about_what_is_refused_anyway(
    row: GrantRow, permit: Permit | None, is_asked: bool, reason: str
) -> None:
    claim = Claim(Ref(Kind.ROLE, "ns", "reader", "r"), "reader", WantedRole((row,)), "", permit=permit)
    observed = holding(search("orders_7"), search("orders_7", "lab"))
    assert bool(suspects([claim], observed, RESOLVING)) is is_asked, reason


def test_a_grant_is_compared_with_what_its_alias_stands_for() -> None:
    observed = holding(search("orders_7"))
    (desired,) = lower(
        [(role("orders"), None)], ServerFacts(), observed, aliases={("sales", "orders"): "orders_7"}
    )
    assert diff(observed, [desired])[0].changes == ()


def test_a_name_that_is_no_alias_is_a_collection() -> None:
    observed = holding(search("orders_7"))
    (desired,) = lower([(role("orders"), None)], ServerFacts(), observed)
    assert diff(observed, [desired])[0].changes == (
        GrantPrivilege("reader", search("orders")),
        RevokePrivilege("reader", search("orders_7")),
    )


def test_where_aliases_can_not_be_read_nothing_is_taken() -> None:
    observed = holding(search("orders_7"))
    (desired,) = lower([(role("orders"), None)], ServerFacts(), observed, aliases={("sales", "orders"): None})
    assert diff(observed, [desired])[0].changes == ()
    assert [refusal.reason for refusal in desired.refusals] == [Reason.MISSING_PRIVILEGES]
    assert "DescribeAlias" in desired.refusals[0].message
