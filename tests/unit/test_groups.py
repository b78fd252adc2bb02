"""Privilege groups: what they may hold, how they grow and shrink, and what is taken from those who hold them."""

from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

import pytest

from milvus_rbac.domain.changes import (
    AddPrivileges,
    Change,
    ClearProxies,
    CreateGroup,
    CreateRole,
    DropGroup,
    DropRole,
    GrantPrivilege,
    Phase,
    RemovePrivileges,
    ReplacePrivileges,
    RevokePrivilege,
    apply,
    describe,
    field_of,
    phase,
    takes,
)
from milvus_rbac.domain.claims import (
    Adoption,
    Claim,
    GrantRow,
    Kind,
    Origin,
    Ref,
    StaleGrant,
    WantedGroup,
    WantedRole,
)
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import ServerFacts, lower
from milvus_rbac.domain.diff import diff
from milvus_rbac.domain.guard import guard
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.privileges import Level
from milvus_rbac.domain.record import record_of
from milvus_rbac.domain.scopes import KnownPrivileges
from milvus_rbac.domain.state import ANY, Grant, ObjectType, Role, State

LEVELS = {
    "Search": Level.COLLECTION,
    "Query": Level.COLLECTION,
    "DescribeCollection": Level.COLLECTION,
    "Dream": Level.COLLECTION,
    "ShowCollections": Level.DATABASE,
    "RenameCollection": Level.DATABASE,
    "ListDatabases": Level.CLUSTER,
}
"""What a server says of its privileges; `Dream` is one that the catalogue has not heard of."""
SERVER_FACTS = ServerFacts(
    known_privileges=KnownPrivileges(privilege_groups=True, levels=LEVELS, claimed=frozenset({"coming"}))
)
BUILTIN = {"CollectionAdmin": frozenset({"Search", "Query"})}


def group(*privileges: str, stale: set[StaleGrant] | None = None, **fields: Any) -> Claim:
    wanted = WantedGroup(frozenset(privileges), frozenset(stale or ()))
    claim = Claim(Ref(Kind.GROUP, "ns", "finders", "group"), "finders", wanted, "", origin=Origin.CREATED)
    return replace(claim, **fields)


def role(*rows: GrantRow, name: str = "reader", **fields: Any) -> Claim:
    claim = Claim(
        Ref(Kind.ROLE, "ns", name, f"role-{name}"), name, WantedRole(rows), "", origin=Origin.CREATED
    )
    return replace(claim, **fields)


def holds(privilege: str, database: str = "sales", collection: str = ANY) -> Grant:
    kept = ObjectType.COLLECTION if privilege in {"Search", "Query"} else ObjectType.GLOBAL
    return Grant(kept, privilege, database, collection)


def server(groups: dict[str, set[str]] | None = None, **roles: set[Grant]) -> State:
    custom = {name: frozenset(members) for name, members in (groups or {}).items()}
    return State(
        roles={name: Role(frozenset(grants)) for name, grants in roles.items()}, groups={**BUILTIN, **custom}
    )


def owned(names: AbstractSet[str]) -> dict[str, Claim]:
    """The claims of roles that resources own."""
    return {name: role(name=name) for name in names}


def plans(
    *claims: Claim,
    observed: State,
    server: ServerFacts = SERVER_FACTS,
    ours: frozenset[str] = frozenset({"reader"}),
) -> dict[str, ClaimPlan]:
    desired = lower([(one, one.refusal) for one in claims], server, observed)
    made = guard(diff(observed, desired, server.known_privileges), observed, server, role_owners=owned(ours))
    return {plan.claim.object_name: plan for plan in made}


def plan(claim: Claim, observed: State, **settings: Any) -> ClaimPlan:
    return plans(claim, observed=observed, **settings)[claim.object_name]


def reasons(one: ClaimPlan) -> list[Reason]:
    return [refusal.reason for refusal in one.refusals]


HOLDS_GROUP = holds("finders")
STALE = StaleGrant("reader", holds("Query"))
SAID = Refusal(Reason.CONFLICT, "another resource has it")


class TestMembers:
    def test_a_group_whose_creation_is_withheld_is_not_filled(self) -> None:
        one = group("Search")
        observed, contested = server(), frozenset({(one.ref.uid, CreateGroup("finders"))})
        proposals = diff(
            observed, lower([(one, None)], SERVER_FACTS, observed), SERVER_FACTS.known_privileges
        )
        (made,) = guard(proposals, observed, SERVER_FACTS, contested)
        assert (made.changes, reasons(made)) == ((), [Reason.CONTESTED])
        assert made.withheld == (CreateGroup("finders"), AddPrivileges("finders", frozenset({"Search"})))

    def test_a_group_that_is_not_there_is_made_and_filled(self) -> None:
        assert plan(group("Search", "Query"), server()).changes == (
            CreateGroup("finders"),
            AddPrivileges("finders", frozenset({"Search", "Query"})),
        )

    def test_a_group_that_is_as_wanted_costs_nothing(self) -> None:
        assert plan(group("Search"), server({"finders": {"Search"}}, reader={HOLDS_GROUP})).changes == ()

    def test_a_privilege_that_only_the_server_knows_passes_through(self) -> None:
        made = plan(group("Dream"), server())
        assert (made.changes[1], made.refusals) == (AddPrivileges("finders", frozenset({"Dream"})), ())

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("search", Reason.UNKNOWN_PRIVILEGE),
            ("CollectionAdmin", Reason.INVALID_SCOPE),
            ("All", Reason.INVALID_SCOPE),
            ("others", Reason.INVALID_SCOPE),
            ("coming", Reason.INVALID_SCOPE),
            ("ListFileResources", Reason.UNSUPPORTED_BY_SERVER),
        ],
    )
    def test_what_no_group_takes_is_refused_and_the_rest_goes_in(self, name: str, reason: Reason) -> None:
        made = plan(group("Search", name), server({"others": {"Query"}}))
        assert (made.changes[1], reasons(made)) == (
            AddPrivileges("finders", frozenset({"Search"})),
            [reason],
        )
        assert name in made.refusals[0].message

    def test_where_the_server_shows_no_levels_the_catalogue_does(self) -> None:
        facts = ServerFacts(known_privileges=KnownPrivileges(privilege_groups=True))
        assert plan(group("ListFileResources"), server(), server=facts).refusals == ()
        assert reasons(plan(group("Search", "ShowCollections"), server(), server=facts)) == [
            Reason.INVALID_SCOPE
        ]

    @pytest.mark.parametrize("privileges", [("Search", "ShowCollections"), ("search",)])
    def test_a_group_that_milvus_would_not_take_is_not_begun(self, privileges: tuple[str, ...]) -> None:
        assert plan(group(*privileges), server()).changes == ()

    def test_a_server_without_groups_says_so(self) -> None:
        made = plan(group("Search"), State(), server=ServerFacts())
        assert (made.changes, reasons(made)) == ((), [Reason.UNSUPPORTED_BY_SERVER])


class TestShrinking:
    OBSERVED = server({"finders": {"Search", "Query"}}, reader={HOLDS_GROUP}, foreign={HOLDS_GROUP})

    def test_what_a_group_loses_is_taken_from_our_roles_where_they_hold_it(self) -> None:
        made = plan(group("Search"), self.OBSERVED)
        assert made.changes == (
            RemovePrivileges("finders", frozenset({"Query"})),
            ClearProxies("reader", holds("Query")),
        )

    def test_what_foreign_roles_keep_is_known(self) -> None:
        made = plan(group("Search"), self.OBSERVED)
        assert made.stale == {STALE, StaleGrant("foreign", holds("Query"))}

    def test_what_a_role_has_by_itself_is_given_again(self) -> None:
        observed = server({"finders": {"Search", "Query"}}, reader={HOLDS_GROUP, holds("Query")})
        made = plan(group("Search"), observed)
        assert made.changes[-1] == ClearProxies("reader", holds("Query"), frozenset({holds("Query")}))

    def test_what_the_role_is_just_losing_by_itself_is_not_given_again(self) -> None:
        observed = server({"finders": {"Search", "Query"}}, reader={HOLDS_GROUP, holds("Query")})
        wanted = role(GrantRow(("finders",), "sales", ("*",)))
        assert plans(group("Search"), wanted, observed=observed)["finders"].changes[-1] == ClearProxies(
            "reader", holds("Query")
        )

    def test_what_an_earlier_round_left_is_made_up_for(self) -> None:
        made = plan(group("Search", stale={STALE}), server({"finders": {"Search"}}, reader=set()))
        assert made.changes == (ClearProxies("reader", holds("Query")),)

    def test_what_the_role_is_just_getting_by_itself_is_given_again(self) -> None:
        wanted = role(GrantRow(("finders", "Query"), "sales", ("*",)))
        made = plans(group("Search"), wanted, observed=self.OBSERVED)
        assert made["reader"].changes == (GrantPrivilege("reader", holds("Query")),)
        assert made["finders"].changes[-1] == ClearProxies(
            "reader", holds("Query"), frozenset({holds("Query")})
        )

    def test_what_the_role_is_not_given_for_now_is_not_given_in_passing(self) -> None:
        wanted = role(GrantRow(("finders", "Query"), "sales", ("*",)), suspended=True)
        made = plans(group("Search"), wanted, observed=self.OBSERVED)
        assert made["finders"].changes[-1] == ClearProxies("reader", holds("Query"))

    @pytest.mark.parametrize(
        ("own", "again"),
        [
            ({"GetLoadState"}, {"GetLoadState"}),
            ({"Load", "GetLoadState"}, {"Load"}),
            ({"Query"}, set()),
        ],
    )
    def test_companions_that_the_revoke_takes_are_given_again(self, own: set[str], again: set[str]) -> None:
        collection = {
            name: Grant(ObjectType.COLLECTION, name, "sales", ANY) for name in own | again | {"Load"}
        }
        observed = server(
            {"finders": {"Search", "Load"}}, reader={HOLDS_GROUP, *(collection[name] for name in own)}
        )
        made = plan(group("Search"), observed)
        assert made.changes[-1] == ClearProxies(
            "reader", collection["Load"], frozenset(collection[name] for name in again)
        )

    def test_a_role_that_gets_the_group_before_it_shrinks_does_not_keep_what_it_lost(self) -> None:
        observed = server({"finders": {"Search", "Query"}})
        wanted = role(GrantRow(("finders",), "sales", ("*",)), origin=None)
        made = plans(group("Search"), wanted, observed=observed, ours=frozenset())
        assert made["finders"].changes == (
            RemovePrivileges("finders", frozenset({"Query"})),
            ClearProxies("reader", holds("Query")),
        )
        assert made["finders"].stale == {STALE}

    def test_a_role_that_is_not_taken_over_is_not_touched(self) -> None:
        wanted = role(GrantRow(("Search",), "sales", ("*",)), origin=None)
        made = plans(group("Search"), wanted, observed=self.OBSERVED, ours=frozenset())
        assert made["finders"].changes == (RemovePrivileges("finders", frozenset({"Query"})),)
        assert STALE in made["finders"].stale

    def test_what_the_group_has_again_is_right_where_the_role_holds_the_group(self) -> None:
        made = plan(
            group("Search", "Query", stale={STALE}),
            server({"finders": {"Search", "Query"}}, reader={HOLDS_GROUP}),
        )
        assert (made.changes, made.stale) == ((), frozenset())

    def test_what_the_group_has_again_is_taken_from_those_who_do_not_hold_it_any_more(self) -> None:
        made = plan(group("Search", "Query", stale={STALE}), server({"finders": {"Search"}}, reader=set()))
        assert made.changes == (
            AddPrivileges("finders", frozenset({"Query"})),
            ClearProxies("reader", holds("Query")),
        )
        assert made.stale == {STALE}

    @pytest.mark.parametrize(
        "changed",
        [
            {"suspended": True},
            {"wanted": WantedGroup(frozenset({"Nonsense"}), frozenset({STALE}))},
            {"refusal": SAID},
            {"origin": None},
        ],
    )
    def test_what_is_left_is_remembered_while_nothing_is_done(self, changed: dict[str, Any]) -> None:
        claim = replace(group("Search", stale={STALE}), **changed)
        assert plan(claim, server({"finders": {"Search", "Query"}}, reader={HOLDS_GROUP})).stale == {STALE}

    def test_what_is_left_is_remembered_while_the_connection_observes(self) -> None:
        observed = server({"finders": {"Search", "Query"}}, reader={HOLDS_GROUP})
        made = plan(group("Search", stale={STALE}), observed, server=replace(SERVER_FACTS, observe_only=True))
        assert made.stale == {STALE}

    def test_a_role_that_is_gone_has_nothing_to_clear(self) -> None:
        assert plan(group("Search", stale={STALE}), server({"finders": {"Search"}})).changes == ()

    def test_proxies_are_not_told_to_forget_what_stays_in_the_group(self) -> None:
        contested = frozenset({("group", RemovePrivileges("finders", frozenset({"Query"})))})
        desired = lower([(group("Search"), None)], SERVER_FACTS, self.OBSERVED)
        proposals = diff(self.OBSERVED, desired, SERVER_FACTS.known_privileges)
        (made,) = guard(proposals, self.OBSERVED, SERVER_FACTS, contested, owned({"reader"}))
        assert (made.changes, reasons(made)) == ((), [Reason.CONTESTED])


class TestUnreadable:
    """The operator's account may not list groups: nothing is concluded from there being none to see."""

    OBSERVED = State(
        roles={"reader": Role(frozenset({HOLDS_GROUP, holds("Query"), holds("Dream")}))},
        groups_unreadable=True,
    )

    def test_a_group_that_a_role_holds_is_not_taken(self) -> None:
        made = plan(role(GrantRow(("finders",), "sales", ("*",))), self.OBSERVED)
        assert made.changes == ()
        assert set(made.withheld) == {
            RevokePrivilege("reader", holds("Dream")),
            RevokePrivilege("reader", holds("Query")),
        }
        assert reasons(made) == [Reason.MISSING_PRIVILEGES] * 2
        assert made.refusals[0].message.startswith("spec.grants[0]: ")

    def test_a_group_that_is_not_asked_for_any_more_is_taken(self) -> None:
        made = plan(role(GrantRow(("Query",), "sales", ("*",))), self.OBSERVED)
        assert RevokePrivilege("reader", HOLDS_GROUP) in made.changes

    def test_a_role_that_goes_goes(self) -> None:
        made = plan(role(deleting=True), self.OBSERVED)
        assert made.changes[-1] == DropRole("reader")

    def test_a_group_is_left_as_it_is_and_stays_ours(self) -> None:
        made = plan(group("Search", stale={STALE}), self.OBSERVED)
        assert (made.changes, made.origin, made.stale) == ((), Origin.CREATED, frozenset({STALE}))
        assert reasons(made) == [Reason.MISSING_PRIVILEGES]

    def test_a_group_that_goes_waits_until_it_can_be_seen(self) -> None:
        made = plan(group("Search", deleting=True), self.OBSERVED)
        assert (made.changes, made.withheld, made.left_behind) == ((), (DropGroup("finders"),), False)
        assert reasons(made) == [Reason.MISSING_PRIVILEGES]

    @pytest.mark.parametrize("how", [{"retain": True}, {"origin": Origin.ADOPTED}, {"refusal": SAID}])
    def test_a_group_that_stays_in_milvus_blocks_no_deletion(self, how: dict[str, Any]) -> None:
        made = plan(replace(group("Search", deleting=True), **how), self.OBSERVED)
        assert (made.withheld, made.refusals, made.left_behind) == ((), (), True)


class TestLevels:
    def test_a_group_that_no_role_holds_may_change_its_level(self) -> None:
        made = plan(group("ShowCollections"), server({"finders": {"Search"}}))
        assert made.changes == (
            ReplacePrivileges("finders", frozenset({"Search"}), frozenset({"ShowCollections"})),
        )

    def test_a_group_that_a_role_holds_keeps_its_level(self) -> None:
        made = plan(group("ShowCollections"), server({"finders": {"Search"}}, foreign={HOLDS_GROUP}))
        assert (made.changes, reasons(made)) == ((), [Reason.IN_USE])
        assert "foreign" in made.refusals[0].message


class TestMistakes:
    def test_a_typo_leaves_the_group_what_it_holds_and_the_proxies_alone(self) -> None:
        typo = group("Search", "Qwery", record=record_of(["Query", "Search"]))
        made = plan(typo, server({"finders": {"Search", "Query"}}, reader={HOLDS_GROUP}))
        assert made.changes == ()
        assert reasons(made) == [Reason.UNKNOWN_PRIVILEGE] * 2
        assert "the privilege group keeps what it had beside: Query." in made.refusals[1].message
        assert made.stale == frozenset()


class TestDeletion:
    def test_a_group_that_no_role_holds_is_dropped_with_what_is_in_it(self) -> None:
        made = plan(group("Search", deleting=True), server({"finders": {"Search"}}))
        assert made.changes == (DropGroup("finders"),)

    def test_what_is_left_in_the_proxies_is_taken_before_the_end(self) -> None:
        made = plan(group("Search", deleting=True, stale={STALE}), server({"finders": set()}, reader=set()))
        assert made.changes == (
            ClearProxies("reader", holds("Query"), before_drop=True),
            DropGroup("finders"),
        )

    def test_a_group_that_a_role_holds_stays_and_names_the_role(self) -> None:
        made = plan(group("Search", deleting=True), server({"finders": {"Search"}}, foreign={HOLDS_GROUP}))
        assert (made.changes, made.withheld) == ((), (DropGroup("finders"),))
        assert "foreign" in made.refusals[0].message

    @pytest.mark.parametrize(
        "leaving", [role(), role(GrantRow(("Search",), None, ("*",))), role(deleting=True)]
    )
    def test_a_group_goes_in_the_round_in_which_its_last_holder_lets_go(self, leaving: Claim) -> None:
        observed = server({"finders": {"Search"}}, reader={HOLDS_GROUP})
        made = plans(group("Search", deleting=True), leaving, observed=observed)
        assert made["finders"].changes == (DropGroup("finders"),)

    def test_a_group_that_a_role_is_just_getting_stays(self) -> None:
        observed = server({"finders": {"Search"}}, reader=set())
        wanted = role(GrantRow(("finders",), "sales", ("*",)))
        made = plans(group("Search", deleting=True), wanted, observed=observed)
        assert made["finders"].changes == ()

    def test_a_group_that_is_gone_already_takes_nothing(self) -> None:
        assert plan(group("Search", deleting=True), server()).changes == ()


class TestAdoption:
    FOREIGN = group("Search", origin=None)

    def test_a_group_that_is_equal_is_taken_over(self) -> None:
        made = plan(self.FOREIGN, server({"finders": {"Search"}}))
        assert (made.changes, made.origin) == ((), Origin.ADOPTED)

    @pytest.mark.parametrize("held", [set(), {"Search", "Query"}, {"Query"}, {"ShowCollections"}])
    def test_a_group_that_differs_is_a_conflict_for_its_holders_would_gain_or_lose(
        self, held: set[str]
    ) -> None:
        made = plan(self.FOREIGN, server({"finders": held}))
        assert (made.changes, made.origin, reasons(made)) == ((), None, [Reason.CONFLICT])
        assert "privilege group finders" in made.refusals[0].message

    def test_a_group_that_differs_is_made_to_match_if_that_is_meant(self) -> None:
        claim = replace(self.FOREIGN, adoption=Adoption.ALWAYS)
        made = plan(claim, server({"finders": {"Query"}}))
        assert made.changes == (
            AddPrivileges("finders", frozenset({"Search"})),
            RemovePrivileges("finders", frozenset({"Query"})),
        )


class TestGrants:
    def test_a_role_is_granted_a_group_that_the_same_round_makes(self) -> None:
        made = plans(group("Search"), role(GrantRow(("finders",), "sales", ("orders",))), observed=server())
        assert made["reader"].changes == (
            CreateRole("reader"),
            GrantPrivilege("reader", holds("finders", "sales", "orders")),
        )

    def test_a_group_that_is_not_made_is_waited_for(self) -> None:
        suspended = group("Search", suspended=True)
        made = plans(suspended, role(GrantRow(("finders",), "sales", ("*",))), observed=server(reader=set()))
        assert (made["reader"].changes, reasons(made["reader"])) == ((), [Reason.WAITING_FOR_PRIVILEGE_GROUP])

    @pytest.mark.parametrize(
        ("name", "groups", "row", "reason"),
        [
            ("coming", {}, {}, Reason.WAITING_FOR_PRIVILEGE_GROUP),
            ("empty", {"empty": set()}, {}, Reason.WAITING_FOR_PRIVILEGE_GROUP),
            ("nobody", {}, {}, Reason.UNKNOWN_PRIVILEGE),
            ("mixed", {"mixed": {"Search", "ListDatabases"}}, {}, Reason.INVALID_SCOPE),
            ("dbs", {"dbs": {"ShowCollections"}}, {"collections": ("orders",)}, Reason.INVALID_SCOPE),
            ("all", {"all": {"ListDatabases"}}, {"database": "sales"}, Reason.INVALID_SCOPE),
            (
                "finders",
                {"finders": {"Search"}},
                {"database": ANY, "collections": ("a",)},
                Reason.INVALID_SCOPE,
            ),
        ],
    )
    def test_a_group_that_can_not_be_granted_that_way_is_refused(
        self, name: str, groups: dict[str, set[str]], row: dict[str, Any], reason: Reason
    ) -> None:
        made = plan(role(GrantRow((name,), **row)), server(groups, reader=set()))
        assert (made.changes, reasons(made)) == ((), [reason])
        assert made.refusals[0].message.startswith("spec.grants[0]: ")

    def test_an_old_server_does_not_wait_for_groups(self) -> None:
        server = ServerFacts(known_privileges=KnownPrivileges(claimed=frozenset({"coming"})))
        made = plan(role(GrantRow(("coming",))), State(roles={"reader": Role()}), server=server)
        assert reasons(made) == [Reason.UNSUPPORTED_BY_SERVER]

    @pytest.mark.parametrize(
        ("row", "grant"),
        [
            (GrantRow(("all",)), Grant("Global", "all", ANY, ANY)),
            (GrantRow(("dbs",)), Grant("Global", "dbs", "default", ANY)),
            (GrantRow(("CollectionAdmin",), ANY, ("*",)), Grant("Global", "CollectionAdmin", ANY, ANY)),
            (
                GrantRow(("CollectionAdmin",), "sales", ("a",)),
                Grant("Global", "CollectionAdmin", "sales", "a"),
            ),
            (GrantRow(("Dream",), "sales", ("a",)), Grant("Global", "Dream", "sales", "a")),
            (GrantRow(("RenameCollection",), "sales"), Grant("Global", "RenameCollection", "sales", ANY)),
            (GrantRow(("RenameCollection",)), Grant("Global", "RenameCollection", ANY, ANY)),
            (GrantRow(("All",), ANY), Grant("Global", "All", ANY, ANY)),
        ],
    )
    def test_a_row_means_what_the_server_stores_for_it(self, row: GrantRow, grant: Grant) -> None:
        observed = server({"all": {"ListDatabases"}, "dbs": {"ShowCollections"}}, reader=set())
        made = plan(role(row), observed)
        assert (made.changes, made.refusals) == ((GrantPrivilege("reader", grant),), ())

    def test_a_wildcard_that_locks_users_out_is_refused_where_it_does(self) -> None:
        facts = ServerFacts(known_privileges=replace(SERVER_FACTS.known_privileges, wildcard_breaks=True))
        made = plan(role(GrantRow((ANY, "All"), "sales")), server(reader=set()), server=facts)
        assert reasons(made) == [Reason.UNSUPPORTED_BY_SERVER]
        assert made.changes == (GrantPrivilege("reader", Grant("Global", "All", "sales", ANY)),)


BEFORE = State(roles={"reader": Role(frozenset({HOLDS_GROUP}))}, groups={"finders": frozenset({"Search"})})


@pytest.mark.parametrize(
    ("change", "turn", "taking", "words", "field", "members"),
    [
        (CreateGroup("new"), Phase.GROUPS, False, "create privilege group new", "spec.groupName", {"Search"}),
        (
            AddPrivileges("finders", frozenset({"Query"})),
            Phase.GROUPS,
            False,
            "add Query to privilege group finders",
            "spec.privileges",
            {"Search", "Query"},
        ),
        (
            ReplacePrivileges("finders", frozenset({"Search"}), frozenset({"ListDatabases"})),
            Phase.GROUPS,
            False,
            "replace Search in privilege group finders with ListDatabases",
            "spec.privileges",
            {"ListDatabases"},
        ),
        (
            RemovePrivileges("finders", frozenset({"Search", "Query"})),
            Phase.SHRINK,
            True,
            "remove Query, Search from privilege group finders",
            "spec.privileges",
            set(),
        ),
        (
            ClearProxies("reader", holds("Query")),
            Phase.CLEAR,
            True,
            "clear Query on sales of role reader from the proxies",
            "spec.privileges",
            {"Search"},
        ),
        (DropGroup("finders"), Phase.DROP_GROUPS, True, "drop privilege group finders", "", None),
    ],
)
def test_every_verb_of_groups_has_its_turn_its_wording_and_its_effect(
    change: Change, turn: Phase, taking: bool, words: str, field: str, members: set[str] | None
) -> None:
    assert (phase(change), takes(change), describe(change), field_of(change)) == (
        turn,
        taking,
        words,
        field,
    )
    after = apply(BEFORE, change)
    assert after.groups.get("finders") == members
    assert after.roles == BEFORE.roles


def test_holders_let_go_before_a_group_shrinks_and_roles_go_before_groups() -> None:
    assert Phase.REVOKE < Phase.SHRINK < Phase.CLEAR < Phase.DROP_ROLES < Phase.DROP_GROUPS
    assert Phase.GROUPS < Phase.ROLES < Phase.GRANTS
    assert phase(RevokePrivilege("r", HOLDS_GROUP)) is Phase.REVOKE
    assert phase(DropRole("r")) is Phase.DROP_ROLES
