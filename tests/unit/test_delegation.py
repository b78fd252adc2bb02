"""What other namespaces may have: decided by the connection's owner, denied by default, and taken back when narrowed."""

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
    RevokePrivilege,
    UnbindRole,
)
from milvus_rbac.domain.claims import (
    Adoption,
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
from milvus_rbac.domain.delegation import NOTHING, Delegation, Expression, Operator, Permit, permit
from milvus_rbac.domain.desired import ServerFacts, lower
from milvus_rbac.domain.diff import diff
from milvus_rbac.domain.guard import guard
from milvus_rbac.domain.ownership import assemble, owners
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.privileges import Level
from milvus_rbac.domain.scopes import KnownPrivileges
from milvus_rbac.domain.state import ANY, Grant, ObjectType, PasswordVerdict, Role, State, User

ENTRY = Delegation(
    namespaces=frozenset({"team-a"}),
    user_names=("a_*", "shared"),
    role_names=("a_*",),
    databases=frozenset({"a"}),
    privileges=frozenset({"Search", "finders", "Dream"}),
    roles=frozenset({"reader", "admin"}),
)
PERMIT = permit([ENTRY], "team-a", {}, role_name="a_reader")
WORDS = KnownPrivileges(privilege_groups=True, levels={"Search": Level.COLLECTION, "Dream": Level.COLLECTION})
SERVER_FACTS = ServerFacts(known_privileges=WORDS)
SEARCH = Grant(ObjectType.COLLECTION, "Search", "a", ANY)
QUERY = Grant(ObjectType.COLLECTION, "Query", "a", ANY)


def labelled(*expressions: Expression) -> Delegation:
    return replace(ENTRY, namespaces=frozenset(), selector=expressions)


@pytest.mark.parametrize(
    ("entry", "namespace", "labels", "name", "found"),
    [
        (ENTRY, "team-a", {}, "a_app", True),
        (ENTRY, "team-a", None, "a_app", True),
        (ENTRY, "team-a", {}, "a_", True),
        (ENTRY, "team-a", {}, "b_app", False),
        (ENTRY, "team-a", {}, "shared", True),
        (ENTRY, "team-a", {}, "shared_too", False),
        (ENTRY, "team-b", {}, "a_app", False),
        (replace(ENTRY, user_names=()), "team-a", {}, "a_app", False),
        (replace(ENTRY, user_names=("*",)), "team-a", {}, "anything", True),
        (labelled(), "any", {}, "a_app", True),
        (labelled(Expression("team", Operator.IN, frozenset({"a"}))), "any", {"team": "a"}, "a_app", True),
        (labelled(Expression("team", Operator.IN, frozenset({"a"}))), "any", {"team": "b"}, "a_app", False),
        (labelled(Expression("team", Operator.IN, frozenset({"a"}))), "any", {}, "a_app", False),
        (
            labelled(Expression("team", Operator.NOT_IN, frozenset({"a"}))),
            "any",
            {"team": "a"},
            "a_app",
            False,
        ),
        (labelled(Expression("team", Operator.NOT_IN, frozenset({"a"}))), "any", {}, "a_app", True),
        (labelled(Expression("team", Operator.EXISTS)), "any", {"team": ""}, "a_app", True),
        (labelled(Expression("team", Operator.EXISTS)), "any", {}, "a_app", False),
        (labelled(Expression("team", Operator.DOES_NOT_EXIST)), "any", {"team": ""}, "a_app", False),
        (
            labelled(Expression("team", Operator.EXISTS), Expression("off", Operator.DOES_NOT_EXIST)),
            "any",
            {"team": "a", "off": ""},
            "a_app",
            False,
        ),
    ],
)
def test_an_entry_governs_the_namespaces_and_names_that_it_says(
    entry: Delegation, namespace: str, labels: dict[str, str] | None, name: str, found: bool
) -> None:
    given = permit([entry], namespace, labels, user_name=name)
    assert given.claims_name is found


@pytest.mark.parametrize(
    ("entries", "name", "is_known"),
    [
        ([labelled()], "a_app", False),
        ([labelled()], "b_app", True),
        ([ENTRY, labelled()], "a_app", True),
        ([labelled(), ENTRY], "a_app", False),
    ],
)
def test_without_its_labels_a_namespace_is_only_judged_where_they_do_not_matter(
    entries: list[Delegation], name: str, is_known: bool
) -> None:
    assert permit(entries, "team-a", None, user_name=name).is_known is is_known


def test_the_first_entry_that_matches_decides() -> None:
    narrow = replace(ENTRY, user_names=("a_app",), role_names=(), databases=frozenset())
    for names, databases in (
        ({"user_name": "a_app"}, set()),
        ({"user_name": "a_other"}, {"a"}),
        ({"role_name": "a_app"}, {"a"}),
    ):
        given = permit([narrow, ENTRY], "team-a", {}, **names)
        assert given.databases == databases
    assert permit([], "team-a", {}, role_name="a_app") == NOTHING
    assert permit([ENTRY], "team-a", {}) == NOTHING


@pytest.mark.parametrize(
    "name", ["*", "All", "Admin", "ClusterAdmin", "ManageOwnership", "BackupRBAC", "UpdateUser"]
)
def test_what_gives_everything_or_access_to_others_is_never_delegated(name: str) -> None:
    entry = replace(ENTRY, privileges=frozenset({name, "Search"}))
    given = permit([entry], "team-a", {}, role_name="a_reader")
    assert given.privileges == {"Search"}
    assert "admin" not in PERMIT.roles


# --- what becomes of claims


def role(*rows: GrantRow, name: str = "a_reader", **fields: Any) -> Claim:
    ref = Ref(Kind.ROLE, "team-a", name, f"role-{name}")
    return replace(Claim(ref, name, WantedRole(rows), "2026", origin=Origin.CREATED, permit=PERMIT), **fields)


def user(*roles: str, name: str = "a_app", **fields: Any) -> Claim:
    ref = Ref(Kind.USER, "team-a", name, f"user-{name}")
    wanted = WantedUser(frozenset(roles))
    return replace(Claim(ref, name, wanted, "2026", origin=Origin.CREATED, permit=PERMIT), **fields)


def plans(*claims: Claim, observed: State, server: ServerFacts = SERVER_FACTS) -> dict[str, ClaimPlan]:
    assembled = assemble(claims, {one.ref.uid for one in claims})
    roles = owners(claims, Kind.ROLE)
    desired = lower(assembled, server, observed, roles)
    made = guard(diff(observed, desired, server.known_privileges), observed, server, role_owners=roles)
    return {plan.claim.ref.uid: plan for plan in made}


def plan(claim: Claim, observed: State, server: ServerFacts = SERVER_FACTS) -> ClaimPlan:
    return plans(claim, observed=observed, server=server)[claim.ref.uid]


def reasons(one: ClaimPlan) -> list[Reason]:
    return [refusal.reason for refusal in one.refusals]


def holding(*grants: Grant, groups: dict[str, frozenset[str]] | None = None) -> State:
    return State(roles={"a_reader": Role(frozenset(grants))}, groups=groups or {})


WHERE = "spec.grants[0]"


class TestGrants:
    def test_what_is_delegated_is_granted(self) -> None:
        made = plan(role(GrantRow(("Search",), "a", ("*",))), holding())
        assert (made.changes, made.refusals) == ((GrantPrivilege("a_reader", SEARCH),), ())

    @pytest.mark.parametrize(
        ("row", "groups", "why"),
        [
            (GrantRow(("Query",), "a", ("*",)), {}, "the privilege Query"),
            (GrantRow(("Search",), "b", ("*",)), {}, "the database b"),
            (GrantRow(("Search",), None, ("*",)), {}, "the database default"),
            (GrantRow(("Search",), ANY, ("*",)), {}, "beyond single databases"),
            (GrantRow(("ListDatabases",)), {}, "the privilege ListDatabases"),
            (GrantRow(("*",), "a"), {}, "the privilege *"),
            (GrantRow(("finders",), "b", ("*",)), {"finders": frozenset({"Search"})}, "the database b"),
            (GrantRow(("others",), "a"), {"others": frozenset({"Search"})}, "the privilege others"),
            (
                GrantRow(("finders",), None, ("*",)),
                {"finders": frozenset({"ManageOwnership"})},
                "beyond single databases",
            ),
            (GrantRow(("Dream",), "a"), {}, "does not know the privilege Dream"),
        ],
    )
    def test_what_is_not_is_refused_and_taken_back(
        self, row: GrantRow, groups: dict[str, frozenset[str]], why: str
    ) -> None:
        made = plan(role(row), holding(QUERY, groups=groups))
        assert (made.changes, reasons(made)) == (
            (RevokePrivilege("a_reader", QUERY),),
            [Reason.NOT_PERMITTED],
        )
        assert made.refusals[0].message.startswith(f"{WHERE}: ")
        assert why in made.refusals[0].message

    def test_a_group_that_is_delegated_is_granted(self) -> None:
        made = plan(
            role(GrantRow(("finders",), "a", ("*",))), holding(groups={"finders": frozenset({"Search"})})
        )
        assert (len(made.changes), made.refusals) == (1, ())

    def test_all_databases_are_the_cluster_too(self) -> None:
        everywhere = replace(
            PERMIT, databases=frozenset({ANY}), privileges=frozenset({"ListDatabases", "Search"})
        )
        made = plan(
            role(GrantRow(("ListDatabases",)), GrantRow(("Search",), ANY, ("*",)), permit=everywhere),
            holding(),
        )
        assert (len(made.changes), made.refusals) == (2, ())

    def test_where_databases_are_no_boundary_it_must_be_accepted_that_they_are_not(self) -> None:
        old = replace(SERVER_FACTS, databases_are_boundaries=False)
        made = plan(role(GrantRow(("Search",), "a", ("*",))), holding(), old)
        assert (made.changes, reasons(made)) == ((), [Reason.NOT_PERMITTED])
        assert "acceptWeakIsolation" in made.refusals[0].message
        accepted = replace(PERMIT, accepts_weak_isolation=True)
        assert plan(role(GrantRow(("Search",), "a", ("*",)), permit=accepted), holding(), old).refusals == ()


class TestNames:
    @pytest.mark.parametrize("one", [role(permit=NOTHING, origin=None), user(permit=NOTHING, origin=None)])
    def test_what_may_not_be_claimed_is_not_begun(self, one: Claim) -> None:
        there = State(users={"a_app": User()}, roles={"a_reader": Role()})
        for observed in (State(), there):
            made = plan(one, observed)
            assert (made.changes, made.origin, reasons(made)) == ((), None, [Reason.NOT_PERMITTED])

    def test_groups_are_for_the_connection_s_own_namespace(self) -> None:
        ref = Ref(Kind.GROUP, "team-a", "a", "g")
        one = Claim(ref, "a_finders", WantedGroup(frozenset({"Search"})), "", permit=NOTHING)
        made = plan(one, State())
        assert (made.changes, reasons(made)) == ((), [Reason.NOT_PERMITTED])

    def test_what_may_not_be_claimed_any_more_loses_what_it_has_and_stays(self) -> None:
        observed = State(
            users={"a_app": User(frozenset({"a_reader"}), PasswordVerdict.REFUSED)},
            roles={"a_reader": Role(frozenset({SEARCH}))},
        )
        made = plans(
            role(GrantRow(("Search",), "a", ("*",)), permit=NOTHING),
            user("a_reader", permit=NOTHING),
            observed=observed,
        )
        assert made["role-a_reader"].changes == (RevokePrivilege("a_reader", SEARCH),)
        assert made["user-a_app"].changes == (UnbindRole("a_app", "a_reader"),)
        for one in made.values():
            assert (one.origin, reasons(one)) == (Origin.CREATED, [Reason.NOT_PERMITTED])

    def test_what_may_not_be_claimed_any_more_is_not_made_again(self) -> None:
        assert plan(role(permit=NOTHING), State()).changes == ()
        assert plan(user(permit=NOTHING), State()).changes == ()

    def test_deleting_is_always_permitted(self) -> None:
        made = plan(role(permit=NOTHING, deleting=True), holding())
        assert made.changes == (DropRole("a_reader"),)

    def test_who_may_not_claim_a_name_does_not_own_it_though_older(self) -> None:
        intruder = role(permit=NOTHING, origin=None, created_at="2020")
        owner = replace(
            role(origin=None, permit=None), ref=Ref(Kind.ROLE, "milvus", "reader", "own"), created_at="2026"
        )
        made = plans(intruder, owner, observed=State())
        assert made["own"].changes == (CreateRole("a_reader"),)
        assert reasons(made["role-a_reader"]) == [Reason.NOT_PERMITTED]


class TestRolesOfUsers:
    def held(
        self, *roles: str, existing: tuple[str, ...] = ("a_reader", "reader", "admin", "other")
    ) -> State:
        return State(
            users={"a_app": User(frozenset(roles), PasswordVerdict.IN_FORCE)},
            roles={name: Role(frozenset({QUERY})) for name in existing},
        )

    @pytest.mark.parametrize("name", ["other", "admin"])
    def test_a_role_that_is_neither_their_own_nor_listed_is_refused_and_taken_back(self, name: str) -> None:
        made = plan(user(name), self.held(name))
        assert (made.changes, reasons(made)) == ((UnbindRole("a_app", name),), [Reason.NOT_PERMITTED])
        assert made.refusals[0].message.startswith(f"spec.roles: {name} ")

    def test_a_role_that_is_listed_may_be_held(self) -> None:
        assert plan(user("reader"), self.held()).changes == (BindRole("a_app", "reader"),)

    def test_a_role_that_a_resource_of_theirs_owns_may_be_held(self) -> None:
        made = plans(user("a_reader"), role(), observed=self.held())
        assert made["user-a_app"].changes == (BindRole("a_app", "a_reader"),)

    def test_a_role_that_the_same_round_makes_for_them_may_be_held(self) -> None:
        made = plans(user("a_reader"), role(origin=None), observed=self.held(existing=()))
        assert made["user-a_app"].changes == (BindRole("a_app", "a_reader"),)

    def test_a_role_that_they_only_ask_for_may_not(self) -> None:
        made = plans(user("a_reader"), role(origin=None), observed=self.held())
        assert made["user-a_app"].changes == ()
        assert reasons(made["user-a_app"]) == [Reason.WAITING_FOR_ROLE]

    def test_nor_may_it_stay_with_who_got_it_by_hand(self) -> None:
        made = plans(user("a_reader"), role(origin=None), observed=self.held("a_reader"))
        assert made["user-a_app"].changes == (UnbindRole("a_app", "a_reader"),)

    @pytest.mark.parametrize(
        "owner", [replace(role(), ref=Ref(Kind.ROLE, "team-b", "r", "r")), role(permit=NOTHING)]
    )
    def test_a_role_of_another_namespace_or_one_not_permitted_any_more_is_not_their_own(
        self, owner: Claim
    ) -> None:
        made = plans(user("a_reader"), owner, observed=self.held("a_reader"))
        assert UnbindRole("a_app", "a_reader") in made["user-a_app"].changes


class TestTakingOver:
    @pytest.mark.parametrize("adoption", [Adoption.SAFE, Adoption.ALWAYS])
    def test_what_would_lose_something_is_not_taken_over_unless_that_is_delegated(
        self, adoption: Adoption
    ) -> None:
        mine = role(origin=None, adoption=adoption)
        made = plan(mine, holding(SEARCH))
        assert (made.changes, made.origin, reasons(made)) == ((), None, [Reason.CONFLICT])
        assert "mayAdopt" in made.refusals[0].message
        assert "Search" not in made.refusals[0].message
        may = plan(replace(mine, permit=replace(PERMIT, may_adopt=True)), holding(SEARCH))
        assert may.origin is (Origin.ADOPTED if adoption is Adoption.ALWAYS else None)

    def test_what_is_exactly_as_asked_needs_no_leave(self) -> None:
        """A restore has lost the statuses, and the tenant gets back what is its own."""
        mine = role(GrantRow(("Search",), "a", ("*",)), origin=None)
        assert plan(mine, holding(SEARCH)).origin is Origin.ADOPTED
        there = State(users={"a_app": User(frozenset(), PasswordVerdict.IN_FORCE)})
        assert plan(user(origin=None), there).origin is Origin.ADOPTED
        assert plan(user(origin=None, deleting=True), there).changes == (DropUser("a_app", frozenset()),)
        another = State(users={"a_app": User(frozenset(), PasswordVerdict.REFUSED)})
        assert reasons(plan(user(origin=None), another)) == [Reason.CONFLICT]

    @pytest.mark.parametrize("adoption", [Adoption.SAFE, Adoption.ALWAYS])
    def test_what_holds_more_than_is_delegated_is_never_taken_over(self, adoption: Adoption) -> None:
        may = replace(PERMIT, may_adopt=True)
        powerful = State(users={"a_app": User(frozenset({"admin"}), PasswordVerdict.IN_FORCE)})
        wide = role(GrantRow(("Search",), "a", ("*",)), origin=None, adoption=adoption, permit=may)
        for made in (
            plan(user(origin=None, adoption=adoption, permit=may), powerful),
            plan(user(origin=None, deleting=True, permit=may), powerful),
            plan(wide, holding(SEARCH, QUERY)),
        ):
            assert (made.changes, made.origin) == ((), None)
            assert set(reasons(made)) <= {Reason.CONFLICT}


class TestLimits:
    def test_what_stays_needs_leave(self) -> None:
        """What is ours is told and goes on; what is not is not begun."""
        mine = role(GrantRow(("Search",), "a", ("*",)), asks_to_stay=True)
        made = plan(mine, holding())
        assert (made.changes, reasons(made)) == (
            (GrantPrivilege("a_reader", SEARCH),),
            [Reason.NOT_PERMITTED],
        )
        made = plan(replace(mine, origin=None), State())
        assert (made.changes, reasons(made)) == ((), [Reason.NOT_PERMITTED])
        may = replace(mine, permit=replace(PERMIT, may_retain=True))
        assert plan(may, holding()).refusals == ()

    def test_there_are_no_more_than_an_entry_lets_there_be(self) -> None:
        limited = replace(PERMIT, patterns=("a_*",), limit=2)
        claims = [
            make(name=f"a_{number}", origin=None, permit=limited)
            for make in (role, user)
            for number in range(3)
        ]
        there = State(users={"a_old": User(), "b_old": User()}, roles={"a_old": Role(), "b_old": Role()})
        made = plans(*claims, observed=there)
        counts = [len(one.changes) for one in made.values()]
        assert sorted(counts) == [0, 0, 0, 0, 1, 1], "what is there counts, and so does what is made"
        full = [one for one in made.values() if one.refusals]
        assert {reason for one in full for reason in reasons(one)} == {Reason.LIMIT_REACHED}


class TestSuspended:
    """A pause keeps nothing that is not permitted any more."""

    @pytest.mark.parametrize(
        ("given", "taken"),
        [
            (PERMIT, {QUERY}),
            (replace(PERMIT, privileges=frozenset()), {QUERY, SEARCH}),
            (replace(PERMIT, databases=frozenset()), {QUERY, SEARCH}),
            (NOTHING, {QUERY, SEARCH}),
        ],
    )
    def test_grants_outside_the_entry_are_taken(self, given: Permit, taken: set[Grant]) -> None:
        made = plan(role(suspended=True, permit=given), holding(QUERY, SEARCH))
        assert set(made.changes) == {RevokePrivilege("a_reader", grant) for grant in taken}
        assert Reason.SUSPENDED in reasons(made)

    def test_nothing_is_given_and_what_is_permitted_is_left_alone(self) -> None:
        observed = State(
            users={"a_app": User(frozenset({"reader", "a_reader", "other"}))},
            roles={"a_reader": Role(), "reader": Role(), "other": Role(), "fourth": Role()},
        )
        made = plans(user(suspended=True), role(), observed=observed)
        assert made["user-a_app"].changes == (UnbindRole("a_app", "other"),)

    @pytest.mark.parametrize(
        ("of_user", "of_role"), [(NOTHING, PERMIT), (PERMIT, NOTHING), (NOTHING, NOTHING)]
    )
    def test_a_role_of_their_own_is_taken_when_either_name_may_not_be_claimed_any_more(
        self, of_user: Permit, of_role: Permit
    ) -> None:
        observed = State(users={"a_app": User(frozenset({"a_reader"}))}, roles={"a_reader": Role()})
        paused = user("a_reader", suspended=True, permit=of_user)
        made = plans(paused, role(permit=of_role), observed=observed)
        assert made["user-a_app"].changes == (UnbindRole("a_app", "a_reader"),)

    def test_in_the_connection_s_own_namespace_a_pause_is_a_pause(self) -> None:
        assert plan(role(suspended=True, permit=None), holding(QUERY)).changes == ()

    def test_what_is_not_ours_is_not_touched(self) -> None:
        assert plan(role(suspended=True, origin=None), holding(QUERY)).changes == ()

    def test_what_gives_is_not_done(self) -> None:
        made = plan(user("reader", suspended=True), State(roles={"reader": Role()}))
        assert (made.changes, made.withheld) == ((), (CreateUser("a_app"), BindRole("a_app", "reader")))


class TestHeirs:
    OWNER = role(deleting=True)
    HEIR = replace(role(origin=None), ref=Ref(Kind.ROLE, "team-a", "heir", "heir"), created_at="2027")

    def all_changes(self, *claims: Claim, observed: State) -> dict[str, tuple[Change, ...]]:
        return {uid: made.changes for uid, made in plans(*claims, observed=observed).items()}

    def test_an_heir_takes_over_what_there_is_without_a_drop(self) -> None:
        heir = replace(self.HEIR, wanted=WantedRole((GrantRow(("Search",), "a", ("*",)),)))
        made = plans(self.OWNER, heir, observed=holding(QUERY))
        assert made["role-a_reader"].changes == ()
        assert not made["role-a_reader"].left_behind
        assert made["role-a_reader"].claim.heir == "heir"
        assert made["heir"].origin is Origin.CREATED
        assert made["heir"].claim.former == "role-a_reader"
        assert set(made["heir"].changes) == {
            GrantPrivilege("a_reader", SEARCH),
            RevokePrivilege("a_reader", QUERY),
        }

    def test_once_the_heir_has_it_the_former_owner_just_goes(self) -> None:
        owner, heir = replace(self.OWNER, created_at="2020"), replace(self.HEIR, origin=Origin.CREATED)
        made = plans(owner, heir, observed=holding())
        assert (made["role-a_reader"].changes, made["role-a_reader"].claim.heir) == ((), "heir")
        assert (made["heir"].changes, made["heir"].origin) == ((), Origin.CREATED)

    @pytest.mark.parametrize(
        "other",
        [
            replace(HEIR, ref=Ref(Kind.ROLE, "team-b", "heir", "heir")),
            replace(HEIR, deleting=True),
            replace(HEIR, permit=NOTHING),
        ],
    )
    def test_no_other_claim_inherits(self, other: Claim) -> None:
        made = plans(self.OWNER, other, observed=holding())
        assert made["role-a_reader"].changes == (DropRole("a_reader"),)
        assert made["heir"].changes == ()

    def test_who_has_expired_inherits_nothing(self) -> None:
        made = plans(self.OWNER, replace(self.HEIR, expired=True), observed=holding())
        assert made["role-a_reader"].changes == (DropRole("a_reader"),)

    def test_the_intent_of_a_create_is_inherited_as_well(self) -> None:
        owner = replace(self.OWNER, origin=None, intended=True)
        assert plans(owner, self.HEIR, observed=holding())["heir"].origin is Origin.CREATED


class TestLeavingBehind:
    """With Retain a team leaves what it is permitted at that time, and no more."""

    def test_what_is_not_permitted_is_taken_first(self) -> None:
        going = role(deleting=True, retain=True)
        made = plan(going, holding(QUERY, SEARCH))
        assert (made.changes, made.left_behind) == ((RevokePrivilege("a_reader", QUERY),), True)
        observed = State(
            users={"a_app": User(frozenset({"reader", "other"}))}, roles={"reader": Role(), "other": Role()}
        )
        left = plan(user(deleting=True, retain=True), observed)
        assert (left.changes, left.left_behind) == ((UnbindRole("a_app", "other"),), True)

    def test_a_pause_leaves_nothing_whose_name_may_not_be_claimed_any_more(self) -> None:
        made = plan(role(deleting=True, suspended=True, permit=NOTHING), holding(SEARCH))
        assert (made.changes[-1], made.left_behind) == (DropRole("a_reader"), False)

    def test_in_the_connection_s_own_namespace_all_of_it_stays(self) -> None:
        made = plan(role(deleting=True, retain=True, permit=None), holding(QUERY))
        assert (made.changes, made.left_behind) == ((), True)


def test_what_can_not_be_judged_is_kept_only_where_it_is_permitted() -> None:
    """An alias that can't be looked up keeps grants of that privilege, but not in databases that are no longer delegated."""
    elsewhere = replace(SEARCH, database="b")
    named = replace(SEARCH, object_name="orders_7")
    one = role(GrantRow(("Search",), "a", ("orders",)))
    observed = holding(named, elsewhere)
    (desired,) = lower([(one, None)], SERVER_FACTS, observed, aliases={("a", "orders"): None})
    assert diff(observed, [desired])[0].changes == (RevokePrivilege("a_reader", elsewhere),)
