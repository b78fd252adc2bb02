"""Every verb has its turn, its words and its effect."""

from dataclasses import replace

import pytest

from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DescribeRole,
    DescribeUser,
    DropRole,
    DropUser,
    GrantPrivilege,
    PasswordMeans,
    Phase,
    RecreateUser,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
    apply,
    apply_all,
    describe,
    field_of,
    phase,
    takes,
)
from milvus_rbac.domain.privileges import companions
from milvus_rbac.domain.state import ANY, Grant, ObjectType, PasswordVerdict, Role, State, User

LOAD = Grant(ObjectType.COLLECTION, "Load", "sales", "orders")
STATE = Grant(ObjectType.COLLECTION, "GetLoadState", "sales", "orders")
QUERY = Grant(ObjectType.COLLECTION, "Query", "sales", ANY)
LIST = Grant(ObjectType.GLOBAL, "ListDatabases", ANY, ANY)

IN_FORCE = PasswordVerdict.IN_FORCE
BEFORE = State(
    users={"ann": User(frozenset({"reader", "writer"}), PasswordVerdict.REFUSED), "bob": User()},
    roles={"reader": Role(frozenset({LOAD, STATE})), "writer": Role(), "unread": Role(None)},
)


def with_user(name: str, *roles: str, password: PasswordVerdict = PasswordVerdict.UNKNOWN) -> State:
    return State({**BEFORE.users, name: User(frozenset(roles), password)}, BEFORE.roles)


def with_role(name: str, *grants: Grant) -> State:
    return State(BEFORE.users, {**BEFORE.roles, name: Role(frozenset(grants))})


@pytest.mark.parametrize(
    ("change", "turn", "taking", "words", "after"),
    [
        pytest.param(
            CreateRole("auditor"),
            Phase.ROLES,
            False,
            "create role auditor",
            with_role("auditor"),
            id="a role is made without grants",
        ),
        pytest.param(
            GrantPrivilege("writer", QUERY),
            Phase.GRANTS,
            False,
            "grant Query on sales to role writer",
            with_role("writer", QUERY),
            id="a grant adds to what is there",
        ),
        pytest.param(
            GrantPrivilege("unread", LOAD),
            Phase.GRANTS,
            False,
            "grant Load on sales.orders to role unread",
            with_role("unread", LOAD),
            id="of a role that was not read, the grant is known at least",
        ),
        pytest.param(
            CreateUser("eve"),
            Phase.USERS,
            False,
            "create user eve",
            with_user("eve", password=IN_FORCE),
            id="a user is made with the Secret's password and without roles",
        ),
        pytest.param(
            UpdatePassword("ann", PasswordMeans.KNOWN_TEXT),
            Phase.PASSWORDS,
            True,
            "update the password of user ann",
            with_user("ann", "reader", "writer", password=IN_FORCE),
            id="a new password leaves the bindings, and locks out who has the old one",
        ),
        pytest.param(
            RecreateUser("ann", frozenset({"writer"})),
            Phase.RECREATE,
            True,
            "drop and re-create user ann to change its password",
            with_user("ann", "writer", password=IN_FORCE),
            id="who is created again has the roles that were named",
        ),
        pytest.param(
            BindRole("bob", "reader"),
            Phase.BINDINGS,
            False,
            "bind role reader to user bob",
            with_user("bob", "reader"),
            id="a binding adds a role",
        ),
        pytest.param(
            DescribeUser("ann", "who"),
            Phase.DESCRIPTIONS,
            False,
            "describe user ann",
            replace(BEFORE, users={**BEFORE.users, "ann": replace(BEFORE.users["ann"], description="who")}),
            id="what is said of a user changes nothing else of it",
        ),
        pytest.param(
            DescribeRole("writer", "what"),
            Phase.DESCRIPTIONS,
            False,
            "describe role writer",
            replace(
                BEFORE, roles={**BEFORE.roles, "writer": replace(BEFORE.roles["writer"], description="what")}
            ),
            id="what is said of a role changes nothing else of it",
        ),
        pytest.param(
            UnbindRole("ann", "reader"),
            Phase.UNBIND,
            True,
            "unbind role reader from user ann",
            with_user("ann", "writer", password=PasswordVerdict.REFUSED),
            id="an unbinding takes one role and nothing else",
        ),
        pytest.param(
            RevokePrivilege("reader", LOAD, frozenset({STATE})),
            Phase.REVOKE,
            True,
            "revoke Load on sales.orders from role reader",
            with_role("reader", STATE),
            id="a revoke takes one grant and keeps the companions that are given again",
        ),
        pytest.param(
            RevokePrivilege("writer", LOAD, frozenset({STATE})),
            Phase.REVOKE,
            True,
            "revoke Load on sales.orders from role writer",
            with_role("writer", STATE),
            id="what is given again is there, whatever took it",
        ),
        pytest.param(
            RevokePrivilege("writer", LIST),
            Phase.REVOKE,
            True,
            "revoke ListDatabases on * from role writer",
            with_role("writer"),
            id="what is not there is not taken",
        ),
        pytest.param(
            DropUser("bob", frozenset()),
            Phase.DROP_USERS,
            True,
            "drop user bob",
            State({"ann": BEFORE.users["ann"]}, BEFORE.roles),
            id="a user goes with its bindings",
        ),
        pytest.param(
            DropRole("reader"),
            Phase.DROP_ROLES,
            True,
            "drop role reader",
            State(
                {"ann": User(frozenset({"writer"}), PasswordVerdict.REFUSED), "bob": User()},
                {"writer": Role(), "unread": Role(None)},
            ),
            id="a role goes from its users too",
        ),
    ],
)
def test_every_verb_has_its_turn_its_words_and_its_effect(
    change: Change, turn: Phase, taking: bool, words: str, after: State
) -> None:
    assert phase(change) is turn
    assert takes(change) is taking
    assert describe(change) == words
    assert apply(BEFORE, change) == after


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (CreateRole("reader"), "spec.roleName"),
        (GrantPrivilege("reader", QUERY), "spec.grants"),
        (RevokePrivilege("reader", QUERY), "spec.grants"),
        (CreateUser("ann"), "spec.userName"),
        (UpdatePassword("ann", PasswordMeans.KNOWN_TEXT), "spec.passwordSecretRef"),
        (RecreateUser("ann", frozenset()), "spec.passwordSecretRef"),
        (BindRole("ann", "reader"), "spec.roles"),
        (UnbindRole("ann", "reader"), "spec.roles"),
        (DescribeUser("ann", "who"), "spec.description"),
        (DescribeRole("reader", "what"), "spec.description"),
        (DropUser("ann", frozenset()), ""),
        (DropRole("reader"), ""),
    ],
)
def test_every_change_is_asked_for_by_a_field_or_by_the_end_of_the_resource(
    change: Change, field: str
) -> None:
    assert field_of(change) == field


def test_changes_follow_one_another() -> None:
    changes: tuple[Change, ...] = (
        CreateRole("auditor"),
        GrantPrivilege("auditor", QUERY),
        CreateUser("eve"),
        BindRole("eve", "auditor"),
    )
    after = apply_all(State(), changes)
    assert after == State(
        {"eve": User(frozenset({"auditor"}), IN_FORCE)}, {"auditor": Role(frozenset({QUERY}))}
    )


def test_the_state_before_is_left_as_it_was() -> None:
    apply_all(BEFORE, [DropRole("reader"), DropUser("ann", frozenset())])
    assert set(BEFORE.users) == {"ann", "bob"}
    assert "reader" in BEFORE.roles


def test_companions_come_and_go_with_their_leader_where_the_server_does_so() -> None:
    before = State(roles={"writer": Role()})
    given = apply(before, GrantPrivilege("writer", LOAD), with_companions=True)
    assert given.roles["writer"].grants == frozenset({LOAD}) | companions({LOAD})
    taken = apply(given, RevokePrivilege("writer", LOAD, frozenset({STATE})), with_companions=True)
    assert taken.roles["writer"].grants == frozenset({STATE})
