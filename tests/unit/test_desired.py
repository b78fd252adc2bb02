"""What resources want as a server stores it: rows become grants, and each name that can't is refused by itself."""

from dataclasses import replace

import pytest

from milvus_rbac.domain.changes import PasswordMeans
from milvus_rbac.domain.claims import Claim, GrantRow, Kind, Ref, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.delegation import Permit
from milvus_rbac.domain.desired import (
    Desired,
    DesiredRole,
    DesiredUser,
    ServerFacts,
    lower,
    may_see_places,
    named_places,
)
from milvus_rbac.domain.scopes import KnownPrivileges
from milvus_rbac.domain.state import Grant

SERVER_FACTS = ServerFacts()
NEW_SERVER = ServerFacts(known_privileges=KnownPrivileges(privilege_groups=True))


def role(*rows: GrantRow) -> Claim:
    return Claim(Ref(Kind.ROLE, "ns", "reader", "u"), "reader", WantedRole(rows), "")


def user(*roles: str, rotated: bool = False, refusal: Refusal | None = None) -> Claim:
    wanted = WantedUser(frozenset(roles), rotated=rotated, password_refusal=refusal)
    return Claim(Ref(Kind.USER, "ns", "app", "u"), "app", wanted, "")


def lowered(claim: Claim, server: ServerFacts = SERVER_FACTS) -> Desired:
    (desired,) = lower([(claim, None)], server)
    return desired


@pytest.mark.parametrize(
    ("row", "grants"),
    [
        pytest.param(
            GrantRow(("Search",), None, ("*",)),
            {("Collection", "Search", "default", "*")},
            id="without a place: all of database default",
        ),
        pytest.param(
            GrantRow(("Search", "Query"), "sales", ("orders", "items")),
            {
                ("Collection", privilege, "sales", collection)
                for privilege in ("Search", "Query")
                for collection in ("orders", "items")
            },
            id="every privilege on every collection",
        ),
        pytest.param(
            GrantRow(("Search",), "*", ("*",)), {("Collection", "Search", "*", "*")}, id="everywhere"
        ),
        pytest.param(
            GrantRow(("CreateCollection",), "sales"),
            {("Global", "CreateCollection", "sales", "*")},
            id="of a database",
        ),
        pytest.param(
            GrantRow(("DescribeCollection",), "sales", ("*",)),
            {("Global", "DescribeCollection", "sales", "*")},
            id="of collection level, kept as Global",
        ),
        pytest.param(
            GrantRow(("ListDatabases",)),
            {("Global", "ListDatabases", "*", "*")},
            id="of the cluster: only *.* works on 3.0",
        ),
        pytest.param(
            GrantRow(("ListDatabases",), "*"),
            {("Global", "ListDatabases", "*", "*")},
            id="of the cluster, with its only database",
        ),
        pytest.param(
            GrantRow(("SelectUser",)),
            {("User", "SelectUser", "*", "*")},
            id="of users: V1 takes no other type",
        ),
        pytest.param(
            GrantRow(("RenameCollection",), "sales"),
            {("Global", "RenameCollection", "sales", "*")},
            id="of the cluster, and honoured in a database",
        ),
        pytest.param(
            GrantRow(("All",), "sales"), {("Global", "All", "sales", "*")}, id="everything of one database"
        ),
    ],
)
def test_a_row_becomes_the_grants_that_a_server_stores(
    row: GrantRow, grants: set[tuple[str, str, str, str]]
) -> None:
    desired = lowered(role(row))
    assert desired.state == DesiredRole(frozenset(Grant(*grant) for grant in grants))
    assert desired.refusals == ()


@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        pytest.param(
            GrantRow(("search",), None, ("*",)),
            Reason.UNKNOWN_PRIVILEGE,
            "write Search",
            id="another case is answered with the name",
        ),
        pytest.param(
            GrantRow(("Search",)),
            Reason.INVALID_SCOPE,
            'write ["*"] for all of them',
            id="the widest right is written",
        ),
        pytest.param(
            GrantRow(("ReadOnly",), None, ("*",)),
            Reason.UNKNOWN_PRIVILEGE,
            "this server does not have it: name single privileges",
            id="advice that this server can follow",
        ),
        pytest.param(
            GrantRow(("Nonsense",)),
            Reason.UNKNOWN_PRIVILEGE,
            "documentation of MilvusRole",
            id="an unknown name is sent to the list",
        ),
        pytest.param(
            GrantRow(("CollectionReadOnly",), None, ("*",)),
            Reason.UNSUPPORTED_BY_SERVER,
            "2.4.18",
            id="a group on a server without groups",
        ),
        pytest.param(
            GrantRow(("AddCollectionField",), None, ("*",)),
            Reason.UNSUPPORTED_BY_SERVER,
            "2.6",
            id="a name that is too new",
        ),
        pytest.param(
            GrantRow(("ListDatabases",), "sales"),
            Reason.INVALID_SCOPE,
            "whole cluster",
            id="a cluster has no databases",
        ),
        pytest.param(
            GrantRow(("ListDatabases",), None, ("orders",)),
            Reason.INVALID_SCOPE,
            "whole cluster",
            id="nor collections",
        ),
        pytest.param(
            GrantRow(("CreateCollection",), "sales", ("orders",)),
            Reason.INVALID_SCOPE,
            "whole database",
            id="a database has no collections",
        ),
        pytest.param(
            GrantRow(("DescribeCollection",), "sales", ("orders",)),
            Reason.INVALID_SCOPE,
            "whatever the collection",
            id="Milvus would not keep that limit",
        ),
        pytest.param(
            GrantRow(("All",)),
            Reason.INVALID_SCOPE,
            "write which",
            id="everything is not asked for in passing",
        ),
        pytest.param(
            GrantRow(("All",), "*"),
            Reason.INVALID_SCOPE,
            "one database",
            id="2.3.5 takes it and does nothing",
        ),
        pytest.param(
            GrantRow(("*",), "sales", ("orders",)),
            Reason.INVALID_SCOPE,
            "no collections",
            id="everything knows no collections",
        ),
        pytest.param(
            GrantRow(("Search",), "*", ("orders",)),
            Reason.INVALID_SCOPE,
            "a database by name",
            id="a collection is in one database",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_row(row: GrantRow, reason: Reason, says: str) -> None:
    (refusal,) = lowered(role(GrantRow(("Query",), None, ("*",)), row)).refusals
    assert refusal.reason is reason
    assert refusal.message.startswith("spec.grants[1]: ")
    assert says in refusal.message


def test_an_invalid_name_leaves_the_rest_of_its_row_valid() -> None:
    desired = lowered(role(GrantRow(("search", "Query"), "sales", ("*",))))
    assert desired.state == DesiredRole(frozenset({Grant("Collection", "Query", "sales", "*")}))
    assert [one.reason for one in desired.refusals] == [Reason.UNKNOWN_PRIVILEGE]


def test_newer_names_are_for_newer_servers() -> None:
    desired = lowered(role(GrantRow(("AddCollectionField",), None, ("*",))), NEW_SERVER)
    assert desired.state == DesiredRole(
        frozenset({Grant("Collection", "AddCollectionField", "default", "*")})
    )


class TestClaims:
    @pytest.mark.parametrize("claim", [role(GrantRow(("Search",), None, ("*",))), user("reader")])
    def test_what_is_not_owned_wants_nothing_and_says_why(self, claim: Claim) -> None:
        refusal = Refusal(Reason.CONFLICT, "taken")
        assert lower([(claim, refusal)], SERVER_FACTS) == (Desired(claim, None, (refusal,)),)

    @pytest.mark.parametrize("claim", [role(GrantRow(("Nonsense",))), user("reader", "public")])
    def test_what_goes_wants_nothing_and_is_not_checked(self, claim: Claim) -> None:
        going = replace(claim, deleting=True)
        assert lower([(going, None)], SERVER_FACTS) == (Desired(going, None),)


class TestUsers:
    def test_a_user_wants_its_roles(self) -> None:
        assert lowered(user("reader", "writer")).state == DesiredUser(
            frozenset({"reader", "writer"}), PasswordMeans.SUPERUSER
        )

    def test_every_user_has_public_and_it_is_refused_by_name(self) -> None:
        desired = lowered(user("reader", "public"))
        assert isinstance(desired.state, DesiredUser)
        assert desired.state.roles == {"reader"}
        assert [one.reason for one in desired.refusals] == [Reason.RESERVED_NAME]

    def test_what_is_wrong_with_the_secret_is_said_and_the_roles_stay_wanted(self) -> None:
        refusal = Refusal(Reason.SECRET_EMPTY, "empty")
        desired = lowered(user("reader", refusal=refusal))
        assert desired.refusals == (refusal,)
        assert isinstance(desired.state, DesiredUser)
        assert desired.state.roles == {"reader"}

    @pytest.mark.parametrize(
        ("superuser", "known", "means", "reason"),
        [
            (None, False, PasswordMeans.SUPERUSER, "not tried yet: trying costs nothing"),
            (True, False, PasswordMeans.SUPERUSER, "it works without the old one"),
            (False, False, None, "only by creating the user again"),
            (False, True, PasswordMeans.KNOWN_TEXT, "the old one is at hand"),
            (True, True, PasswordMeans.KNOWN_TEXT, "the old one is at hand, and needs no privilege"),
        ],
    )
    def test_the_way_to_a_new_password_is_the_gentlest_there_is(
        self, superuser: bool | None, known: bool, means: PasswordMeans | None, reason: str
    ) -> None:
        known_old = frozenset({"app"}) if known else frozenset({"another"})
        desired = lowered(user(), replace(SERVER_FACTS, superuser=superuser, known_old=known_old))
        assert isinstance(desired.state, DesiredUser)
        assert desired.state.means is means, reason

    @pytest.mark.parametrize(
        ("authorization", "rotated", "outdated", "reason"),
        [
            (True, True, False, "a login tells"),
            (False, True, True, "every login works, so the Secret's version counts"),
            (False, False, False, "nothing is new"),
            (True, False, False, "nothing is new"),
        ],
    )
    def test_with_authorization_off_a_new_version_of_the_secret_is_a_new_password(
        self, authorization: bool, rotated: bool, outdated: bool, reason: str
    ) -> None:
        desired = lowered(user(rotated=rotated), replace(SERVER_FACTS, authorization=authorization))
        assert isinstance(desired.state, DesiredUser)
        assert desired.state.assume_refused is outdated, reason


@pytest.mark.parametrize(("cloud", "is_refused"), [(True, True), (False, False)])
def test_the_built_in_roles_of_the_cloud_are_reserved_there(cloud: bool, is_refused: bool) -> None:
    one = Claim(Ref(Kind.ROLE, "ns", "rw", "u"), "db_rw", WantedRole(()), "")
    (desired,) = lower([(one, None)], ServerFacts(cloud=cloud))
    assert (desired.state is None) is is_refused
    assert [refusal.reason for refusal in desired.refusals] == [Reason.RESERVED_NAME] * is_refused


def test_the_name_of_a_resource_is_answered_with_the_name_of_its_group() -> None:
    facts = ServerFacts(
        known_privileges=KnownPrivileges(privilege_groups=True, meant_groups={"find": "finders"})
    )
    (refusal,) = lowered(role(GrantRow(("find",), None, ("*",))), facts).refusals
    assert refusal.reason is Reason.UNKNOWN_PRIVILEGE
    assert "MilvusPrivilegeGroup find has the groupName finders: write that" in refusal.message


def test_what_grants_name_is_looked_for_except_what_every_milvus_has() -> None:
    grants = [
        Grant("Collection", "Search", "default", "orders"),
        Grant("Collection", "Search", "default", "*"),
        Grant("Collection", "Search", "*", "*"),
        Grant("Global", "CreateCollection", "sales", "*"),
        Grant("Global", "CreateOwnership", "*", "*"),
    ]
    assert named_places(grants) == {("default", "orders"), ("sales", "*")}


def test_another_namespace_is_told_which_collections_there_are_if_it_may_find_out() -> None:
    assert may_see_places(None)
    assert may_see_places(Permit(privileges=frozenset({"Search", "ShowCollections"})))
    assert not may_see_places(Permit(privileges=frozenset({"Search"})))
