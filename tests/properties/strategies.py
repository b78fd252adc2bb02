"""What the properties are tried with. The alphabets are small so that names, rights and passwords collide."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from hypothesis import strategies as st

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
from milvus_rbac.domain.claims import Adoption, Claim, Kind, Origin, WantedRole, WantedUser
from milvus_rbac.domain.desired import PasswordUpdate, ServerFacts
from milvus_rbac.domain.state import ANY, PUBLIC_ROLE, Grant, ObjectType, PasswordVerdict
from milvus_rbac.milvus.port import Password
from properties.world import SERVER_FACTS, World, by_uid, claim, rows_for
from support.fake_milvus import FakeMilvus

USERS = ("ann", "bob")
ROLES = ("reader", "writer")
FAMILIES = ("Load", "GetLoadState", "GetLoadingProgress", "Flush", "GetFlushState", "Query")
GRANTS = (
    *(Grant(ObjectType.COLLECTION, name, "default", "c") for name in FAMILIES),
    Grant(ObjectType.COLLECTION, "Load", "default", ANY),
    Grant(ObjectType.COLLECTION, "GetLoadState", "default", ANY),
    Grant(ObjectType.COLLECTION, "Query", ANY, ANY),
    Grant(ObjectType.GLOBAL, "DescribeCollection", "sales", ANY),
    Grant(ObjectType.GLOBAL, "ListDatabases", ANY, ANY),
    Grant(ObjectType.USER, "SelectUser", ANY, ANY),
)
PASSWORDS = (Password("first-1"), Password("second-2"))

grant_sets = st.frozensets(st.sampled_from(GRANTS), max_size=6)
passwords = st.sampled_from(PASSWORDS)
rarely = st.sampled_from((False, False, False, False, True))
origins = st.sampled_from((None, *Origin))

Holdings = tuple[dict[str, tuple[Password, frozenset[str]]], dict[str, frozenset[Grant]]]


@st.composite
def holdings(draw: st.DrawFn) -> Holdings:
    """Users with passwords and bindings, and roles with grants, as another client left them."""
    roles = draw(st.dictionaries(st.sampled_from(ROLES), grant_sets))
    bound = st.frozensets(st.sampled_from((PUBLIC_ROLE, *roles)))
    users = draw(st.dictionaries(st.sampled_from(USERS), st.tuples(passwords, bound)))
    return users, roles


@dataclass(frozen=True)
class Situation:
    """Everything that a world is made of, so that several equal ones can be made."""

    users: Mapping[str, tuple[Password, frozenset[str]]]
    roles: Mapping[str, frozenset[Grant]]
    claims: tuple[Claim, ...]
    secrets: Mapping[str, Password]
    old: Mapping[str, Password]
    companions: bool
    superuser: bool
    max_users: int = 100
    max_roles: int = 10

    def world(self) -> World:
        """Make one."""
        milvus = FakeMilvus.holding(
            self.users,
            self.roles,
            companions=self.companions,
            superuser=self.superuser,
            max_users=self.max_users,
            max_roles=self.max_roles,
        )
        server = replace(SERVER_FACTS, superuser=self.superuser, known_old=frozenset(self.old))
        return World(milvus, by_uid(self.claims), self.secrets, self.old, server)

    def wanted(self, kind: Kind) -> dict[str, Claim]:
        """The claims of a kind that stay, by name."""
        return {one.object_name: one for one in self.claims if one.ref.kind is kind and not one.deleting}

    def unwanted(self, kind: Kind) -> set[str]:
        """The names of a kind whose resources are being deleted."""
        return {one.object_name for one in self.claims if one.ref.kind is kind and one.deleting}


@st.composite
def permitted_situations(draw: st.DrawFn) -> Situation:
    """What may be brought about completely: nothing foreign stands in the way, and every role that is wanted will be there."""
    users, roles = draw(holdings())
    claims = [_permitted(draw, Kind.ROLE, name, WantedRole(rows_for(draw(grant_sets)))) for name in ROLES]
    kept = [one for one in claims if one is not None]
    doomed = {one.object_name for one in kept if one.deleting}
    there = sorted(({one.object_name for one in kept} | roles.keys()) - doomed)
    for name in USERS:
        wanted = draw(st.frozensets(st.sampled_from(there))) if there else frozenset()
        one = _permitted(draw, Kind.USER, name, WantedUser(wanted))
        kept += [one] if one else []
    secrets = {name: draw(passwords) for name in USERS}
    known = draw(st.sets(st.sampled_from(USERS)))
    return Situation(
        users,
        roles,
        tuple(kept),
        secrets,
        {name: users[name][0] for name in known & users.keys() if users[name][0] != secrets[name]},
        draw(st.booleans()),
        draw(st.booleans()),
    )


@st.composite
def crowded_situations(draw: st.DrawFn) -> Situation:
    """The same, on a server with no more room than the beginning and the end need."""
    one = draw(permitted_situations())
    users_after = (one.users.keys() | one.wanted(Kind.USER).keys()) - one.unwanted(Kind.USER)
    roles_after = (one.roles.keys() | one.wanted(Kind.ROLE).keys()) - one.unwanted(Kind.ROLE)
    return replace(
        one,
        max_users=1 + max(len(one.users), len(users_after)),
        max_roles=2 + max(len(one.roles), len(roles_after)),
    )


@st.composite
def foreign_situations(draw: st.DrawFn) -> Situation:
    """Resources that come upon what others made: no claim is older than the server's contents."""
    users, roles = draw(holdings())
    claims = [
        *(claim(Kind.ROLE, name, WantedRole(rows_for(draw(grant_sets)))) for name in ROLES),
        *(claim(Kind.USER, name, WantedUser(draw(st.frozensets(st.sampled_from(ROLES))))) for name in USERS),
    ]
    adopting = st.sampled_from(Adoption)
    return Situation(
        users,
        roles,
        tuple(replace(one, adoption=draw(adopting)) for one in claims if draw(st.booleans())),
        {name: draw(passwords) for name in USERS},
        {},
        draw(st.booleans()),
        draw(st.booleans()),
    )


def _permitted(draw: st.DrawFn, kind: Kind, name: str, wanted: WantedRole | WantedUser) -> Claim | None:
    one = claim(kind, name, wanted, adoption=Adoption.ALWAYS)
    fate = draw(st.sampled_from(("none", "stays", "stays", "goes")))
    match fate:
        case "none":
            return None
        case "goes":
            return replace(one, origin=draw(st.sampled_from(Origin)), deleting=True)
        case _:
            return replace(one, origin=draw(origins))


@st.composite
def arbitrary_claims(draw: st.DrawFn, names: Collection[str] = USERS) -> Claim:
    """Anything that a resource may be, sensible or not."""
    kind = draw(st.sampled_from(Kind))
    name = draw(st.sampled_from(ROLES if kind is Kind.ROLE else tuple(names)))
    wanted: WantedRole | WantedUser = (
        WantedRole(rows_for(draw(grant_sets)))
        if kind is Kind.ROLE
        else WantedUser(
            draw(st.frozensets(st.sampled_from((*ROLES, PUBLIC_ROLE)))), rotated=draw(st.booleans())
        )
    )
    return claim(
        kind,
        name,
        wanted,
        uid=draw(st.uuids(version=4)).hex,
        namespace=draw(st.sampled_from(("ns", "other"))),
        created_at=draw(st.sampled_from(("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"))),
        adoption=draw(st.sampled_from(Adoption)),
        origin=draw(origins),
        intended=draw(rarely),
        deleting=draw(st.booleans()),
        retain=draw(rarely),
        suspended=draw(rarely),
    )


@st.composite
def arbitrary_servers(draw: st.DrawFn) -> ServerFacts:
    """Anything that may be agreed, and any server."""
    return ServerFacts(
        observe_only=draw(rarely),
        authorization=not draw(rarely),
        password_update=draw(st.sampled_from(PasswordUpdate)),
        superuser=draw(st.sampled_from((None, True, False))),
        known_old=draw(st.frozensets(st.sampled_from(USERS))),
    )


verdicts = st.sampled_from(PasswordVerdict)

_user_names, _role_names = st.sampled_from(USERS), st.sampled_from(ROLES)
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(CreateRole, _role_names),
    st.builds(GrantPrivilege, _role_names, st.sampled_from(GRANTS)),
    st.builds(CreateUser, _user_names),
    st.builds(UpdatePassword, _user_names, st.sampled_from(PasswordMeans)),
    st.builds(RecreateUser, _user_names, st.frozensets(_role_names)),
    st.builds(BindRole, _user_names, _role_names),
    st.builds(UnbindRole, _user_names, _role_names),
    st.builds(RevokePrivilege, _role_names, st.sampled_from(GRANTS)),
    st.builds(DropUser, _user_names, st.frozensets(_role_names)),
    st.builds(DropRole, _role_names),
)
