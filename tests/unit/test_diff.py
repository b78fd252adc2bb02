"""The difference between what is and what is wanted, object by object, and no change more."""

import pytest

from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DropRole,
    DropUser,
    GrantPrivilege,
    PasswordMeans,
    RecreateUser,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
)
from milvus_rbac.domain.claims import Claim, Kind, Ref, WantedRole, WantedUser
from milvus_rbac.domain.desired import Desired, DesiredRole, DesiredUser
from milvus_rbac.domain.diff import diff
from milvus_rbac.domain.privileges import companions
from milvus_rbac.domain.state import ANY, Grant, ObjectType, PasswordVerdict, Role, State, User


def on_orders(privilege: str, collection: str = "orders") -> Grant:
    return Grant(ObjectType.COLLECTION, privilege, "sales", collection)


LOAD, STATE, PROGRESS = on_orders("Load"), on_orders("GetLoadState"), on_orders("GetLoadingProgress")
FLUSH, FLUSH_STATE, QUERY = on_orders("Flush"), on_orders("GetFlushState"), on_orders("Query")
UNKNOWN = Grant("Global", "InventedLater", ANY, ANY)
SUPERUSER = PasswordMeans.SUPERUSER


def role_changes(
    held: set[Grant] | None, wanted: set[Grant] | None, *, unread: bool = False
) -> tuple[Change, ...]:
    there = {} if held is None else {"reader": Role(None if unread else frozenset(held))}
    claim = Claim(Ref(Kind.ROLE, "ns", "reader", "u"), "reader", WantedRole(()), "", deleting=wanted is None)
    state = None if wanted is None else DesiredRole(frozenset(wanted))
    (proposal,) = diff(State(roles=there), [Desired(claim, state)])
    return proposal.changes


def user_changes(held: User | None, wanted: DesiredUser | None) -> tuple[Change, ...]:
    claim = Claim(
        Ref(Kind.USER, "ns", "app", "u"), "app", WantedUser(frozenset()), "", deleting=wanted is None
    )
    (proposal,) = diff(State(users={"app": held} if held else {}), [Desired(claim, wanted)])
    return proposal.changes


@pytest.mark.parametrize(
    ("held", "wanted", "changes"),
    [
        pytest.param(None, set(), (CreateRole("reader"),), id="a role that is not there is made"),
        pytest.param(
            None,
            {QUERY, LOAD},
            (CreateRole("reader"), GrantPrivilege("reader", LOAD), GrantPrivilege("reader", QUERY)),
            id="and given its grants, in the order of their names",
        ),
        pytest.param({QUERY}, {QUERY}, (), id="what is as wanted is left alone"),
        pytest.param(
            {QUERY}, {QUERY, LOAD}, (GrantPrivilege("reader", LOAD),), id="only what is missing is given"
        ),
        pytest.param(
            {QUERY, LOAD}, {LOAD}, (RevokePrivilege("reader", QUERY),), id="what was given by hand is taken"
        ),
        pytest.param({UNKNOWN}, set(), (RevokePrivilege("reader", UNKNOWN),), id="an unknown privilege too"),
        pytest.param({LOAD, STATE, PROGRESS}, {LOAD}, (), id="companions of a wanted leader are no drift"),
        pytest.param(
            {LOAD}, {LOAD}, (), id="a leader without companions, on servers before 2.3.6, is no drift"
        ),
        pytest.param(
            {STATE}, set(), (RevokePrivilege("reader", STATE),), id="a companion without its leader is drift"
        ),
        pytest.param(
            {LOAD, on_orders("GetLoadState", "items")},
            {LOAD},
            (RevokePrivilege("reader", on_orders("GetLoadState", "items")),),
            id="a companion elsewhere is no companion",
        ),
        pytest.param(
            {LOAD, STATE, PROGRESS},
            {QUERY},
            (
                GrantPrivilege("reader", QUERY),
                RevokePrivilege("reader", STATE),
                RevokePrivilege("reader", PROGRESS),
                RevokePrivilege("reader", LOAD),
            ),
            id="without the leader every companion is taken by a call of its own: old servers leave them",
        ),
        pytest.param(
            {QUERY},
            None,
            (RevokePrivilege("reader", QUERY, before_drop=True), DropRole("reader")),
            id="a role goes empty",
        ),
        pytest.param({}, None, (DropRole("reader"),), id="an empty role just goes"),
        pytest.param(None, None, (), id="what is gone is gone"),
    ],
)
def test_a_role_is_made_what_is_wanted(
    held: set[Grant] | None, wanted: set[Grant] | None, changes: tuple[Change, ...]
) -> None:
    found = role_changes(held, wanted)
    assert len(found) == len(changes)
    assert set(found) == set(changes)
    assert [type(one) for one in found] == [type(one) for one in changes]


@pytest.mark.parametrize(
    ("held", "wanted", "taken", "again", "reason"),
    [
        ({LOAD, STATE, PROGRESS}, {STATE}, LOAD, {STATE}, "the server takes both; one is wanted by itself"),
        (
            {LOAD, STATE, PROGRESS},
            {STATE, PROGRESS},
            LOAD,
            {STATE, PROGRESS},
            "both are wanted by themselves",
        ),
        (
            {LOAD},
            {STATE},
            LOAD,
            {STATE},
            "it is only granted in this turn, before the revoke takes it again",
        ),
        ({FLUSH, FLUSH_STATE}, {FLUSH_STATE}, FLUSH, {FLUSH_STATE}, "Flush has a companion too"),
        ({LOAD, STATE, QUERY}, {QUERY}, LOAD, set(), "what is not wanted is not given again"),
    ],
)
def test_a_wanted_companion_is_given_again_after_its_leader_is_taken(
    held: set[Grant], wanted: set[Grant], taken: Grant, again: set[Grant], reason: str
) -> None:
    assert RevokePrivilege("reader", taken, frozenset(again)) in role_changes(held, wanted), reason


def test_a_role_that_was_not_read_is_taken_for_empty() -> None:
    assert role_changes(set(), {QUERY}, unread=True) == (GrantPrivilege("reader", QUERY),)
    assert role_changes(set(), None, unread=True) == (DropRole("reader"),)


def held_user(*roles: str, password: PasswordVerdict = PasswordVerdict.IN_FORCE) -> User:
    return User(frozenset(roles), password)


def wanted_user(*roles: str, means: PasswordMeans | None = SUPERUSER, outdated: bool = False) -> DesiredUser:
    return DesiredUser(frozenset(roles), means, outdated)


REFUSED = PasswordVerdict.REFUSED


@pytest.mark.parametrize(
    ("held", "wanted", "changes"),
    [
        pytest.param(None, wanted_user(), (CreateUser("app"),), id="a user that is not there is made"),
        pytest.param(
            None,
            wanted_user("b", "a"),
            (CreateUser("app"), BindRole("app", "a"), BindRole("app", "b")),
            id="and bound, in the order of the names",
        ),
        pytest.param(held_user("a"), wanted_user("a"), (), id="what is as wanted is left alone"),
        pytest.param(
            held_user("a", "b"),
            wanted_user("b", "c"),
            (BindRole("app", "c"), UnbindRole("app", "a")),
            id="missing roles are bound, others unbound",
        ),
        pytest.param(held_user("public"), wanted_user(), (), id="every user has public, bound or not"),
        pytest.param(
            held_user("a", password=REFUSED),
            wanted_user("a"),
            (UpdatePassword("app", SUPERUSER),),
            id="a password that is refused is changed in place",
        ),
        pytest.param(
            held_user("a", password=REFUSED),
            wanted_user("a", means=PasswordMeans.KNOWN_TEXT),
            (UpdatePassword("app", PasswordMeans.KNOWN_TEXT),),
            id="with the old text where it is known",
        ),
        pytest.param(
            held_user("a", "b", password=REFUSED),
            wanted_user("b", "c", means=None),
            (RecreateUser("app", frozenset({"b"})), BindRole("app", "c"), UnbindRole("app", "a")),
            id="else by creating it again, with those of its roles that are wanted",
        ),
        pytest.param(
            held_user(password=PasswordVerdict.UNKNOWN),
            wanted_user(),
            (),
            id="without a verdict nothing is assumed",
        ),
        pytest.param(
            held_user(password=PasswordVerdict.UNKNOWN),
            wanted_user(outdated=True),
            (UpdatePassword("app", SUPERUSER),),
            id="where it can't be tried, a new version of the Secret counts",
        ),
        pytest.param(
            held_user("a"),
            None,
            (DropUser("app", frozenset({"a"})),),
            id="a user is dropped, bindings and all",
        ),
        pytest.param(None, None, (), id="what is gone is gone"),
    ],
)
def test_a_user_is_made_what_is_wanted(
    held: User | None, wanted: DesiredUser | None, changes: tuple[Change, ...]
) -> None:
    assert user_changes(held, wanted) == changes


def test_companions_are_on_the_same_object() -> None:
    assert companions({LOAD, FLUSH, QUERY, UNKNOWN}) == {STATE, PROGRESS, FLUSH_STATE}
    assert companions({on_orders("Load", ANY)}) == {
        on_orders("GetLoadState", ANY),
        on_orders("GetLoadingProgress", ANY),
    }
