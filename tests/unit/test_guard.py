"""What must not be done is withheld, each time with the reason; and what becomes ours is known beforehand."""

from dataclasses import replace
from typing import Any

import pytest

from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DropRole,
    DropUser,
    GrantPrivilege,
    RecreateUser,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
)
from milvus_rbac.domain.claims import Adoption, Claim, GrantRow, Kind, Origin, Ref, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import PasswordUpdate, ServerFacts, lower
from milvus_rbac.domain.diff import diff
from milvus_rbac.domain.guard import OBSERVED, SUSPENDED, guard
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.record import Record, grant_item, record_of
from milvus_rbac.domain.state import ANY, Grant, ObjectType, PasswordVerdict, Role, State, User

SERVER_FACTS = ServerFacts(superuser=True)
QUERY = Grant(ObjectType.COLLECTION, "Query", "default", ANY)
INSERT = Grant(ObjectType.COLLECTION, "Insert", "default", ANY)
DELETE = Grant(ObjectType.COLLECTION, "Delete", "default", ANY)
NO_SECRET = Refusal(Reason.WAITING_FOR_SECRET, "No Secret yet.")
TAKEN = Refusal(Reason.CONFLICT, "Taken.")
IN_FORCE, REFUSED, UNKNOWN = PasswordVerdict.IN_FORCE, PasswordVerdict.REFUSED, PasswordVerdict.UNKNOWN


def role(*privileges: str, **fields: Any) -> Claim:
    rows = (GrantRow(privileges, None, (ANY,)),) if privileges else ()
    return replace(Claim(Ref(Kind.ROLE, "ns", "reader", "role"), "reader", WantedRole(rows), ""), **fields)


def user(*roles: str, refusal: Refusal | None = None, **fields: Any) -> Claim:
    wanted = WantedUser(frozenset(roles), password_refusal=refusal)
    return replace(Claim(Ref(Kind.USER, "ns", "app", "user"), "app", wanted, ""), **fields)


def state(held: set[str] | None = None, verdict: PasswordVerdict = IN_FORCE, **roles: set[Grant]) -> State:
    """A server with roles and, unless `held` is None, with the user `app` and these roles of it."""
    return State(
        users={} if held is None else {"app": User(frozenset(held), verdict)},
        roles={name: Role(frozenset(grants)) for name, grants in roles.items()},
    )


def plan_all(
    *claims: Claim,
    observed: State,
    server: ServerFacts = SERVER_FACTS,
    contested: frozenset[tuple[str, Change]] = frozenset(),
) -> dict[str, ClaimPlan]:
    proposals = diff(observed, lower([(one, one.refusal) for one in claims], server))
    return {plan.claim.ref.uid: plan for plan in guard(proposals, observed, server, contested)}


def plan(
    one: Claim, observed: State, server: ServerFacts = SERVER_FACTS, fought: tuple[Change, ...] = ()
) -> ClaimPlan:
    contested = frozenset((one.ref.uid, change) for change in fought)
    return plan_all(one, observed=observed, server=server, contested=contested)[one.ref.uid]


def reasons(one: ClaimPlan) -> list[Reason]:
    return [refusal.reason for refusal in one.refusals]


# --- what becomes ours

CREATED, ADOPTED = Origin.CREATED, Origin.ADOPTED


@pytest.mark.parametrize(
    ("claim", "observed", "origin", "creates"),
    [
        pytest.param(role(), state(), CREATED, True, id="what is made is created"),
        pytest.param(user(), state(), CREATED, True, id="what is made is created, users too"),
        pytest.param(role(), state(reader=set()), ADOPTED, False, id="what is there is adopted"),
        pytest.param(
            role(intended=True), state(reader=set()), CREATED, False, id="what was about to be made was made"
        ),
        pytest.param(role(origin=ADOPTED), state(reader=set()), ADOPTED, False, id="adopted once is adopted"),
        pytest.param(
            role(origin=ADOPTED, intended=True),
            state(reader=set()),
            ADOPTED,
            False,
            id="a claim is more than an intent",
        ),
        pytest.param(role(origin=CREATED), state(reader=set()), CREATED, False, id="created once is created"),
        pytest.param(
            role(origin=ADOPTED),
            state(),
            CREATED,
            True,
            id="what was dropped by hand and is made again is created",
        ),
        pytest.param(user(refusal=NO_SECRET), state(), None, False, id="what is not made is not ours"),
        pytest.param(
            role(refusal=TAKEN), state(reader=set()), None, False, id="what another resource owns is not ours"
        ),
    ],
)
def test_how_something_became_ours_is_known_before_it_is_done(
    claim: Claim, observed: State, origin: Origin | None, creates: bool
) -> None:
    one = plan(claim, observed)
    assert (one.origin, one.creates) == (origin, creates)


# --- taking over


@pytest.mark.parametrize(
    ("claim", "observed", "kept"),
    [
        pytest.param(
            role("Query"), state(reader=set()), (GrantPrivilege("reader", QUERY),), id="a role that gains"
        ),
        pytest.param(role("Query"), state(reader={QUERY}), (), id="a role that is as wanted"),
        pytest.param(
            user("reader"), state(set(), reader=set()), (BindRole("app", "reader"),), id="a user that gains"
        ),
        pytest.param(
            role(adoption=Adoption.ALWAYS),
            state(reader={QUERY}),
            (RevokePrivilege("reader", QUERY),),
            id="with Always, whatever it takes",
        ),
        pytest.param(
            user(adoption=Adoption.ALWAYS),
            state({"reader"}, REFUSED, reader=set()),
            None,
            id="with Always, whatever its password is",
        ),
    ],
)
def test_what_loses_nothing_or_may_lose_is_taken_over(
    claim: Claim, observed: State, kept: tuple[Change, ...] | None
) -> None:
    one = plan(claim, observed)
    assert one.origin is ADOPTED
    assert (one.refusals, one.withheld) == ((), ())
    assert kept is None or one.changes == kept


@pytest.mark.parametrize(
    ("claim", "observed", "lost"),
    [
        pytest.param(role(), state(reader={QUERY}), "revoke Query on default from", id="grants would go"),
        pytest.param(role("Insert"), state(reader={QUERY}), "revoke Query", id="some come and some go"),
        pytest.param(
            role(), state(reader={QUERY, INSERT}), "role reader and revoke Query on", id="all are named"
        ),
        pytest.param(
            role(),
            state(reader={Grant(ObjectType.COLLECTION, "Query", "default", name) for name in "abcde"}),
            "make 2 more changes",
            id="many are counted",
        ),
        pytest.param(
            user(),
            state({"reader"}, reader=set()),
            "unbind role reader from user app",
            id="a binding would go",
        ),
        pytest.param(user(), state(set(), REFUSED), "set its password", id="the password is another"),
        pytest.param(
            user(),
            state({"reader"}, REFUSED, reader=set()),
            "set its password to the Secret's and unbind role reader",
            id="the password is what matters most",
        ),
        pytest.param(user(), state(set(), UNKNOWN), "set its password", id="the password is not proven"),
    ],
)
def test_a_refused_adoption_names_what_would_be_lost(claim: Claim, observed: State, lost: str) -> None:
    one = plan(claim, observed)
    assert (one.changes, one.origin, reasons(one)) == ((), None, [Reason.CONFLICT])
    assert "taking it over would " in one.refusals[0].message
    assert "spec.adoption to Always" in one.refusals[0].message
    assert lost in one.refusals[0].message
    observed_only = plan(claim, observed, replace(SERVER_FACTS, observe_only=True))
    assert (observed_only.withheld, reasons(observed_only)) == (one.withheld, [Reason.CONFLICT])


def test_a_wider_grant_of_the_same_privilege_covers_what_pymilvus_made() -> None:
    narrow = Grant(ObjectType.GLOBAL, "CreateDatabase", "default", ANY)
    asked = replace(role(), wanted=WantedRole((GrantRow(("CreateDatabase",)),)))
    one = plan(asked, state(reader={narrow}))
    assert (one.origin, one.refusals) == (ADOPTED, ())
    assert RevokePrivilege("reader", narrow) in one.changes
    assert plan(asked, state(reader={narrow, QUERY})).origin is None


@pytest.mark.parametrize("claim", [role("Query", adoption=Adoption.NEVER), user(adoption=Adoption.NEVER)])
def test_with_never_nothing_is_taken_over_even_if_it_is_as_wanted(claim: Claim) -> None:
    one = plan(claim, state(set(), reader={QUERY}))
    assert (one.changes, one.origin, reasons(one)) == ((), None, [Reason.CONFLICT])
    assert "Never" in one.refusals[0].message


@pytest.mark.parametrize("adoption", Adoption)
def test_with_authorization_off_nothing_is_taken_over(adoption: Adoption) -> None:
    server = replace(SERVER_FACTS, authorization=False)
    one = plan(user(adoption=adoption), state(set(), UNKNOWN), server)
    assert (one.changes, one.origin, reasons(one)) == ((), None, [Reason.CONFLICT])
    assert "common.security.authorizationEnabled" in one.refusals[0].message


@pytest.mark.parametrize("fields", [{"origin": CREATED}, {"origin": ADOPTED}, {"intended": True}])
def test_what_is_ours_is_made_as_wanted_whatever_its_adoption_says(fields: dict[str, Any]) -> None:
    one = plan(role(adoption=Adoption.NEVER, **fields), state(reader={QUERY}))
    assert one.changes == (RevokePrivilege("reader", QUERY),)
    assert one.refusals == ()


# --- going


DROP_USER, DROP_ROLE = (DropUser("app", frozenset()),), (DropRole("reader"),)


@pytest.mark.parametrize(
    ("claim", "changes", "left_behind"),
    [
        pytest.param(user(origin=CREATED), DROP_USER, False, id="what was made is dropped"),
        pytest.param(user(intended=True), DROP_USER, False, id="what was about to be made, too"),
        pytest.param(
            user(origin=ADOPTED, adoption=Adoption.ALWAYS),
            DROP_USER,
            False,
            id="what was taken over with Always, too",
        ),
        pytest.param(user(origin=ADOPTED), (), True, id="what was adopted without loss stays, and is named"),
        pytest.param(user(), DROP_USER, False, id="a lost status is made up for by the password"),
        pytest.param(role(), (), True, id="a role without claim can't be proven, and is named"),
        pytest.param(role(origin=CREATED), DROP_ROLE, False, id="roles go like users"),
        pytest.param(user(origin=CREATED, retain=True), (), True, id="what is to stay stays, and is named"),
        pytest.param(user(retain=True), (), False, id="what is not ours is no leftover"),
        pytest.param(
            user(origin=CREATED, suspended=True, retain=True), (), True, id="a suspended one goes untouched"
        ),
        pytest.param(
            user(origin=CREATED, refusal=None, retain=False),
            DROP_USER,
            False,
            id="deleting is always permitted",
        ),
    ],
)
def test_only_what_is_ours_goes_with_its_resource(
    claim: Claim, changes: tuple[Change, ...], left_behind: bool
) -> None:
    one = plan(replace(claim, deleting=True), state(set(), IN_FORCE, reader=set()))
    assert (one.changes, one.left_behind) == (changes, left_behind)
    assert (one.withheld, one.refusals) == ((), ())


@pytest.mark.parametrize("verdict", [REFUSED, UNKNOWN])
def test_an_account_that_is_not_proven_ours_stays(verdict: PasswordVerdict) -> None:
    one = plan(user(deleting=True), state(set(), verdict))
    assert (one.changes, one.left_behind) == ((), True)


def test_an_adopted_account_is_not_proven_ours_by_its_password() -> None:
    one = plan(user(deleting=True, origin=ADOPTED), state(set(), IN_FORCE))
    assert (one.changes, one.left_behind) == ((), True)


@pytest.mark.parametrize(
    "claim", [user(deleting=True), user(deleting=True, origin=CREATED, retain=True), role(deleting=True)]
)
def test_of_what_is_gone_nothing_is_left(claim: Claim) -> None:
    one = plan(claim, state())
    assert (one.changes, one.left_behind) == ((), False)


def test_a_claim_that_lost_its_name_drops_nothing_when_it_is_deleted() -> None:
    observed = state(set())
    (proposal,) = diff(observed, lower([(user(deleting=True), TAKEN)], SERVER_FACTS))
    (one,) = guard([proposal], observed, SERVER_FACTS)
    assert (one.changes, one.left_behind) == ((), False)


def test_a_role_is_dropped_even_if_another_client_contests_it() -> None:
    one = plan(role(deleting=True, origin=CREATED), state(reader={QUERY}), fought=(DropRole("reader"),))
    assert one.changes == (RevokePrivilege("reader", QUERY, before_drop=True), DropRole("reader"))


# --- what expires


class TestExpiry:
    @pytest.mark.parametrize("origin", [CREATED, ADOPTED])
    def test_a_user_of_ours_goes_however_it_came_to_be(self, origin: Origin) -> None:
        one = plan(user("reader", expired=True, origin=origin, retain=True), state({"reader"}, reader=set()))
        assert (one.changes, reasons(one)) == ((DropUser("app", frozenset({"reader"})),), [Reason.EXPIRED])

    def test_a_foreign_user_stays(self) -> None:
        one = plan(user(expired=True), state(set()))
        assert (one.changes, reasons(one), one.origin) == ((), [Reason.EXPIRED], None)

    def test_a_user_that_is_gone_already_says_why(self) -> None:
        one = plan(user(expired=True, origin=CREATED), state())
        assert (one.changes, reasons(one)) == ((), [Reason.EXPIRED])

    def test_a_suspended_user_stays(self) -> None:
        one = plan(user(expired=True, origin=CREATED, suspended=True), state(set()))
        assert (one.changes, one.withheld, reasons(one)) == (
            (),
            (DropUser("app", frozenset()),),
            [Reason.SUSPENDED],
        )

    @pytest.mark.parametrize(
        ("observed", "withheld", "said"),
        [
            (state(set()), (DropUser("app", frozenset()),), [Reason.OBSERVED]),
            (state(), (), [Reason.EXPIRED]),
        ],
    )
    def test_while_observing_it_is_only_said(
        self, observed: State, withheld: tuple[Change, ...], said: list[Reason]
    ) -> None:
        one = plan(user(expired=True, origin=CREATED), observed, replace(SERVER_FACTS, observe_only=True))
        assert (one.changes, one.withheld, reasons(one)) == ((), withheld, said)

    def test_a_claim_that_does_not_own_the_name_says_that(self) -> None:
        assert reasons(plan(user(expired=True, origin=CREATED, refusal=None), state())) == [Reason.EXPIRED]
        one = plan(replace(user(expired=True), refusal=TAKEN), state(set()))
        assert reasons(one) == [Reason.CONFLICT]

    def test_its_end_is_that_of_any_other(self) -> None:
        one = plan(user(expired=True, deleting=True, origin=CREATED), state(set()))
        assert one.changes == (DropUser("app", frozenset()),)


# --- what is withheld


def test_without_a_password_no_user_is_made_nor_bound() -> None:
    one = plan(user("reader", refusal=NO_SECRET), state(reader=set()))
    assert one.changes == ()
    assert one.withheld == (CreateUser("app"), BindRole("app", "reader"))
    assert set(one.refusals) == {NO_SECRET}


def test_without_a_password_bindings_of_a_user_that_is_there_go_on() -> None:
    observed = state({"writer"}, REFUSED, reader=set(), writer=set())
    one = plan(user("reader", refusal=NO_SECRET, origin=CREATED), observed)
    assert one.changes == (BindRole("app", "reader"), UnbindRole("app", "writer"))
    assert [type(change) for change in one.withheld] == [UpdatePassword]


def test_a_binding_waits_for_its_role_and_holds_nothing_else_back() -> None:
    one = plan(user("reader", "later"), state(reader=set()))
    assert one.changes == (CreateUser("app"), BindRole("app", "reader"))
    assert one.withheld == (BindRole("app", "later"),)
    assert reasons(one) == [Reason.WAITING_FOR_ROLE]
    assert "not in Milvus yet: later" in one.refusals[0].message
    mistaken = user("a-reader")
    assert isinstance(mistaken.wanted, WantedUser)
    wanted = replace(mistaken.wanted, meant_roles={"a-reader": "a_reader"})
    one = plan(replace(mistaken, wanted=wanted), state(set()))
    assert "MilvusRole a-reader has the roleName a_reader: write that" in one.refusals[0].message


def test_a_role_that_this_turn_creates_is_there_for_bindings() -> None:
    plans = plan_all(user("reader"), role(), observed=state())
    assert plans["user"].changes == (CreateUser("app"), BindRole("app", "reader"))
    assert plans["role"].changes == (CreateRole("reader"),)


def test_a_role_whose_creation_is_withheld_is_not_there_for_bindings() -> None:
    contested = frozenset({("role", CreateRole("reader"))})
    plans = plan_all(user("reader"), role("Query"), observed=state(), contested=contested)
    assert plans["role"].changes == ()
    assert plans["role"].withheld == (CreateRole("reader"), GrantPrivilege("reader", QUERY))
    assert reasons(plans["role"]) == [Reason.CONTESTED]
    assert plans["user"].withheld == (BindRole("app", "reader"),)


def test_in_place_a_user_is_never_created_again_and_the_three_ways_out_are_said() -> None:
    server = replace(SERVER_FACTS, superuser=False, password_update=PasswordUpdate.IN_PLACE)
    one = plan(user(origin=CREATED), state({"writer"}, REFUSED, writer=set()), server)
    assert one.changes == (UnbindRole("app", "writer"),)
    assert one.withheld == (RecreateUser("app", frozenset()),)
    assert reasons(one) == [Reason.OLD_PASSWORD_UNKNOWN]
    assert all(
        way in one.refusals[0].message
        for way in ("old one", "common.security.superUsers", "passwordUpdate: Auto")
    )


def test_in_place_a_password_is_changed_where_that_can_be() -> None:
    server = replace(SERVER_FACTS, password_update=PasswordUpdate.IN_PLACE)
    assert [type(one) for one in plan(user(origin=CREATED), state(set(), REFUSED), server).changes] == [
        UpdatePassword
    ]


def test_a_user_that_is_created_again_is_not_unbound_from_what_it_has_lost() -> None:
    observed = state({"reader", "writer"}, REFUSED, reader=set(), writer=set())
    one = plan(user("reader", origin=CREATED), observed, replace(SERVER_FACTS, superuser=False))
    assert one.changes == (RecreateUser("app", frozenset({"reader"})),)
    assert (one.withheld, one.refusals) == ((), ())


def test_a_change_that_another_client_keeps_undoing_is_left_alone_and_no_other() -> None:
    fought = (GrantPrivilege("reader", INSERT), GrantPrivilege("reader", Grant("Global", "Other", ANY, ANY)))
    one = plan(role("Query", "Insert", origin=CREATED), state(reader={DELETE}), fought=fought)
    assert one.changes == (GrantPrivilege("reader", QUERY), RevokePrivilege("reader", DELETE))
    assert one.withheld == (GrantPrivilege("reader", INSERT),)
    assert reasons(one) == [Reason.CONTESTED]
    assert "reconcile-at" in one.refusals[0].message


def test_a_contention_is_one_resources_own() -> None:
    contested = frozenset({("another", GrantPrivilege("reader", QUERY))})
    one = plan_all(role("Query", origin=CREATED), observed=state(reader=set()), contested=contested)["role"]
    assert one.changes == (GrantPrivilege("reader", QUERY),)


def record(*held: Grant | str) -> Record:
    return record_of(grant_item(one) if isinstance(one, Grant) else one for one in held)


def test_a_typo_takes_nothing_that_the_role_had_and_gives_what_is_right() -> None:
    for known in (record(INSERT), None):
        typo = role("Nonsense", "Query", origin=CREATED, record=known)
        one = plan(typo, state(reader={INSERT}))
        assert one.changes == (GrantPrivilege("reader", QUERY),)
        assert one.withheld == (RevokePrivilege("reader", INSERT),)
        assert reasons(one) == [Reason.UNKNOWN_PRIVILEGE] * 2
        assert "keeps what it had beside: Insert on default." in one.refusals[1].message


def test_what_came_by_hand_is_taken_whatever_is_wrong_with_the_spec() -> None:
    one = plan(role("Nonsense", origin=CREATED, record=record(INSERT)), state(reader={INSERT, DELETE}))
    assert one.changes == (RevokePrivilege("reader", DELETE),)
    assert one.firm == set(one.changes)


def test_what_this_server_cannot_do_holds_nothing_back() -> None:
    newer = role("AddCollectionField", origin=CREATED, record=record(INSERT))
    one = plan(newer, state(reader={INSERT}))
    assert one.changes == (RevokePrivilege("reader", INSERT),)
    assert reasons(one) == [Reason.UNSUPPORTED_BY_SERVER]


def test_a_role_that_is_not_there_leaves_the_user_the_roles_that_it_had() -> None:
    moved = user("new", origin=CREATED, record=record("old"))
    one = plan(moved, state({"old", "by_hand"}, old=set(), by_hand=set()))
    assert one.changes == (UnbindRole("app", "by_hand"),)
    assert reasons(one) == [Reason.WAITING_FOR_ROLE] * 2
    assert "keeps what it had beside: old." in one.refusals[1].message


def test_a_user_that_is_created_again_gets_the_roles_that_a_mistake_keeps() -> None:
    moved = user("new", origin=CREATED, record=record("old"))
    one = plan(moved, state({"old"}, REFUSED, old=set()), replace(SERVER_FACTS, superuser=False))
    assert one.changes == (RecreateUser("app", frozenset({"old"})),)


def test_what_a_mistake_keeps_is_given_again_when_its_leader_is_taken() -> None:
    load = Grant(ObjectType.COLLECTION, "Load", "default", ANY)
    state_of_load = Grant(ObjectType.COLLECTION, "GetLoadState", "default", ANY)
    typo = role("Nonsense", origin=CREATED, record=record(state_of_load))
    one = plan(typo, state(reader={load, state_of_load}))
    (taken,) = one.changes
    assert taken == RevokePrivilege("reader", load, give_again=frozenset({state_of_load}))
    assert one.firm == {taken}


def test_a_missing_secret_holds_no_unbinding_back() -> None:
    one = plan(user(origin=CREATED, refusal=NO_SECRET, record=record("old")), state({"old"}, old=set()))
    assert one.changes == (UnbindRole("app", "old"),)


# --- standing still

OBSERVE = replace(SERVER_FACTS, observe_only=True)


def test_a_suspended_resource_is_left_as_it_is_and_says_so() -> None:
    one = plan(role("Query", suspended=True, origin=ADOPTED), state(reader=set()))
    assert (one.changes, one.withheld) == ((), (GrantPrivilege("reader", QUERY),))
    assert (one.refusals, one.origin) == ((SUSPENDED,), ADOPTED)
    assert plan(role(suspended=True), state(reader=set())).refusals == (SUSPENDED,), "even with nothing to do"


@pytest.mark.parametrize(
    ("claim", "observed", "would", "why"),
    [
        pytest.param(
            role("Query"),
            state(),
            (CreateRole("reader"), GrantPrivilege("reader", QUERY)),
            [Reason.OBSERVED],
            id="what is missing would be made",
        ),
        pytest.param(role("Query"), state(reader={QUERY}), (), [], id="what is as wanted is ready"),
        pytest.param(
            role(),
            state(reader={QUERY}),
            (RevokePrivilege("reader", QUERY),),
            [Reason.CONFLICT],
            id="a conflict would stay one, and what Always would do is there to see",
        ),
        pytest.param(
            user(adoption=Adoption.NEVER), state(set()), (), [Reason.CONFLICT], id="Never would stay never"
        ),
        pytest.param(
            role("Query", suspended=True),
            state(),
            (),
            [Reason.SUSPENDED],
            id="a suspended one would stay so",
        ),
        pytest.param(
            user("later", origin=CREATED),
            state(set()),
            (),
            [Reason.WAITING_FOR_ROLE],
            id="a binding would wait for its role",
        ),
        pytest.param(
            user(origin=CREATED),
            state({"reader"}, reader=set()),
            (UnbindRole("app", "reader"),),
            [Reason.OBSERVED],
            id="what was bound by hand would be taken",
        ),
    ],
)
def test_an_observed_plan_holds_what_would_be_done_and_nothing_else(
    claim: Claim, observed: State, would: tuple[Change, ...], why: list[Reason]
) -> None:
    one = plan(claim, observed, OBSERVE)
    assert (one.changes, one.withheld, reasons(one)) == ((), would, why)
    assert one.origin is claim.origin, "nothing becomes ours by being looked at"
    if not why or why == [Reason.OBSERVED]:
        assert plan(claim, observed).changes == would, "what Enforce does"


def test_an_observed_role_counts_as_made_for_an_observed_user() -> None:
    plans = plan_all(user("reader"), role(), observed=state(), server=OBSERVE)
    assert plans["user"].withheld == (CreateUser("app"), BindRole("app", "reader"))
    assert plans["user"].refusals == plans["role"].refusals == (OBSERVED,)


def test_what_goes_while_only_observed_stays_in_milvus() -> None:
    one = plan(user(deleting=True, origin=CREATED), state(set()), OBSERVE)
    assert (one.changes, one.left_behind) == ((), True)
