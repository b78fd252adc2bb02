"""Say what resources want in the words that a server stores. This is where servers differ; nothing else knows dialects."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from milvus_rbac.domain import privileges, scopes
from milvus_rbac.domain.changes import PasswordMeans
from milvus_rbac.domain.claims import Claim, GrantRow, WantedGroup, WantedRole, WantedUser, not_permitted
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.delegation import GIVES_ACCESS, Permit
from milvus_rbac.domain.scopes import KnownPrivileges
from milvus_rbac.domain.state import (
    ANY,
    CLOUD_ROLES,
    DEFAULT_DATABASE,
    PUBLIC_ROLE,
    Grant,
    Place,
    State,
    User,
)


class PasswordUpdate(StrEnum):
    """spec.passwordUpdate of a connection."""

    AUTO = "Auto"
    IN_PLACE = "InPlace"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known about the server and agreed with its owner, as far as decisions need it."""

    observe_only: bool = False
    """mode: Observe."""
    authorization: bool = True
    password_update: PasswordUpdate = PasswordUpdate.AUTO
    superuser: bool | None = None
    """Whether the operator's account changes passwords without the old one; None: not tried yet."""
    known_old: frozenset[str] = frozenset()
    """Users whose password in force is remembered and is not the wanted one."""
    known_privileges: KnownPrivileges = field(default_factory=KnownPrivileges)
    """Which names the server takes in a grant."""
    cloud: bool = False
    """The server is Zilliz Cloud."""
    companions: bool = False
    """Load and Flush are given and taken with their companions."""
    databases_are_boundaries: bool = True
    """Whether a right in one database gives nothing in others (3.0)."""
    resolves_aliases: bool = False
    """Whether a grant on an alias is stored under its collection (2.6.12 and later)."""


@dataclass(frozen=True, slots=True)
class DesiredRole:
    """The grants a role is to have."""

    grants: frozenset[Grant]
    description: str | None = None
    """None: whatever is there. So it is for users."""


@dataclass(frozen=True, slots=True)
class DesiredUser:
    """The roles a user is to have, and the way to a new password if it needs one."""

    roles: frozenset[str]
    means: PasswordMeans | None
    """None: only by dropping and re-creating the user."""
    assume_refused: bool = False
    """Take the password for outdated where nobody can try it: with authorization off every login works."""
    description: str | None = None
    keeps_password: bool = False
    """Whatever is in force stays: the user is not permitted any more, and only loses what it has."""


@dataclass(frozen=True, slots=True)
class DesiredGroup:
    """The privileges a group is to hold, of one level."""

    privileges: frozenset[str]


@dataclass(frozen=True, slots=True)
class Desired:
    """One claim, said so that it can be compared with what the server holds."""

    claim: Claim
    state: DesiredRole | DesiredUser | DesiredGroup | None
    """None: the object is not to be there."""
    refusals: tuple[Refusal, ...] = ()
    """What of the claim was refused by itself."""


def lower(
    assembled: Iterable[tuple[Claim, Refusal | None]],
    server: ServerFacts,
    observed: State | None = None,
    role_owners: Mapping[str, Claim] = MappingProxyType({}),
    aliases: Mapping[Place, str | None] = MappingProxyType({}),
) -> tuple[Desired, ...]:
    """Say every claim in what this server can express; a claim that owns nothing wants nothing.

    Args:
        assembled: claims, each with what was said of its ownership.
        server: what is known about the server.
        observed: what the server holds.
        role_owners: by role, the claim that owns it; needed for users of other namespaces than the connection's.
        aliases: what those of the named collections that are aliases stand for; None where that can't be read.
    """
    observed = observed or State()
    groups = observed.groups
    known_privileges = replace(
        server.known_privileges, groups=groups, groups_unreadable=observed.groups_unreadable, aliases=aliases
    )
    at = _Place(server, known_privileges, observed, role_owners)
    everything = tuple(assembled)
    lowered = [at.lower(*one) for one in everything if isinstance(one[0].wanted, WantedGroup)]
    # A role may hold what this round puts into a group.
    filled = {
        one.claim.object_name: one.state.privileges for one in lowered if isinstance(one.state, DesiredGroup)
    }
    at = replace(at, known_privileges=replace(known_privileges, groups={**groups, **filled}))
    others = (one for one in everything if not isinstance(one[0].wanted, WantedGroup))
    return (*lowered, *(at.lower(*one) for one in others))


@dataclass(frozen=True, slots=True)
class _Place:
    """What is known where claims are lowered."""

    server: ServerFacts
    known_privileges: KnownPrivileges
    observed: State
    role_owners: Mapping[str, Claim]

    def lower(self, claim: Claim, refusal: Refusal | None) -> Desired:
        # What other namespaces leave in Milvus is first made what they are permitted.
        stays = claim.retain and claim.permit is not None
        if refusal is not None or (claim.deleting and not stays) or claim.expired:
            return Desired(claim, None, (refusal,) if refusal else ())
        if not claim.is_permitted:
            return self._take_back(claim)
        match claim.wanted:
            case WantedRole() if self.server.cloud and claim.object_name in CLOUD_ROLES:
                message = (
                    f"spec.roleName: {claim.object_name} is built into Zilliz Cloud; choose another name."
                )
                return Desired(claim, None, (Refusal(Reason.RESERVED_NAME, message),))
            case WantedRole():
                return _lower_role(claim, claim.wanted, self._held(claim), self.known_privileges, self.server)
            case WantedUser():
                return _lower_user(
                    claim, claim.wanted, self.server, self._forbidden(claim, claim.wanted.roles)
                )
            case WantedGroup():
                return _lower_group(claim, claim.wanted, self.known_privileges)

    def _held(self, claim: Claim) -> frozenset[Grant]:
        role = self.observed.roles.get(claim.object_name)
        return (role.grants if role else None) or frozenset()

    def _take_back(self, claim: Claim) -> Desired:
        """Want nothing for what its namespace may not claim any more; that it is there is not taken back."""
        said, name = (not_permitted(claim),), claim.object_name
        if isinstance(claim.wanted, WantedRole) and name in self.observed.roles:
            return Desired(claim, DesiredRole(frozenset()), said)
        if isinstance(claim.wanted, WantedUser) and name in self.observed.users:
            return Desired(claim, DesiredUser(frozenset(), None, keeps_password=True), said)
        return Desired(claim, None, said)

    def _forbidden(self, claim: Claim, roles: frozenset[str]) -> frozenset[str]:
        """Name the roles that a user of another namespace may not hold: neither listed for it nor its namespace's own."""
        given = claim.permit
        if given is None:
            return frozenset()
        return frozenset(role for role in roles - given.roles if not self._is_own(role, claim))

    def _is_own(self, role: str, user: Claim) -> bool:
        owner = self.role_owners.get(role)
        if owner is None or owner.ref.namespace != user.ref.namespace or not owner.is_permitted:
            return False
        # One that is not ours may become so in this round, before it is bound; but who has it already, has somebody else's.
        held = self.observed.users.get(user.object_name, User()).roles
        return owner.is_ours or role not in held


def _lower_user(claim: Claim, wanted: WantedUser, server: ServerFacts, forbidden: frozenset[str]) -> Desired:
    refusals = [_forbidden_role(role) for role in sorted(forbidden - {PUBLIC_ROLE})]
    if wanted.password_refusal is not None:
        refusals.append(wanted.password_refusal)
    if PUBLIC_ROLE in wanted.roles:
        message = f"spec.roles: every user has {PUBLIC_ROLE} anyway; take it out of the list."
        refusals.append(Refusal(Reason.RESERVED_NAME, message))
    means: PasswordMeans | None = None
    if claim.object_name in server.known_old:
        means = PasswordMeans.KNOWN_TEXT
    elif server.superuser is not False:
        means = PasswordMeans.SUPERUSER
    outdated = wanted.rotated and not server.authorization
    roles = wanted.roles - forbidden - {PUBLIC_ROLE}
    return Desired(claim, DesiredUser(roles, means, outdated, wanted.description), tuple(refusals))


def _forbidden_role(role: str) -> Refusal:
    message = (
        f"spec.roles: {role} is neither a role that a MilvusRole of this namespace owns nor one that is delegated to it: take "
        "it out, or ask those who run the MilvusConnection."
    )
    return Refusal(Reason.NOT_PERMITTED, message)


def _lower_role(
    claim: Claim,
    wanted: WantedRole,
    held: frozenset[Grant],
    known_privileges: KnownPrivileges,
    server: ServerFacts,
) -> Desired:
    grants: set[Grant] = set()
    undecided: set[str] = set()
    refusals: list[Refusal] = []
    for index, row in enumerate(wanted.rows):
        for name in row.privileges:
            asked, refusal = _expand(claim, name, row, f"spec.grants[{index}]", known_privileges, server)
            if refusal is None:
                grants.update(asked)
                continue
            refusals.append(refusal)
            if refusal.reason is Reason.MISSING_PRIVILEGES:
                undecided.add(name)
    # What is asked for and can't be judged now stays as it is, as far as it is permitted.
    kept = {one for one in held if one.privilege in undecided and _is_within(claim, one, server)}
    state = DesiredRole(frozenset(grants | kept), wanted.description)
    return Desired(claim, state, tuple(refusals))


def _is_within(claim: Claim, grant: Grant, server: ServerFacts) -> bool:
    given, bound = claim.permit, server.databases_are_boundaries
    return given is None or refuse_grants(given, (grant,), "", databases_are_boundaries=bound) is None


def _expand(
    claim: Claim, name: str, row: GrantRow, where: str, known_privileges: KnownPrivileges, server: ServerFacts
) -> tuple[tuple[Grant, ...], Refusal | None]:
    """Give the grants that a name means in its row, or why there are none."""
    given = claim.permit
    refusal = refuse_privilege(given, name, where, known_privileges) if given is not None else None
    refusal = refusal or scopes.check(name, row, where, known_privileges)
    if refusal is not None:
        return (), refusal
    grants = tuple(scopes.expand(name, row, known_privileges))
    if given is not None:
        refusal = refuse_grants(
            given, grants, where, databases_are_boundaries=server.databases_are_boundaries
        )
    return grants, refusal


def _lower_group(claim: Claim, wanted: WantedGroup, known_privileges: KnownPrivileges) -> Desired:
    if not known_privileges.privilege_groups:
        message = "This Milvus has no privilege groups (2.4.18 and newer do): name the privileges in the roles instead."
        return Desired(claim, None, (Refusal(Reason.UNSUPPORTED_BY_SERVER, message),))
    if known_privileges.groups_unreadable:
        return Desired(claim, None, (scopes.unreadable("spec.groupName"),))
    checked = {name: scopes.check_member(name, known_privileges) for name in sorted(wanted.privileges)}
    refusals = [refusal for refusal in checked.values() if refusal is not None]
    good = frozenset(name for name, refusal in checked.items() if refusal is None)
    if (mixed := scopes.one_level(good, known_privileges)) is not None:
        refusals.append(mixed)
    # Nothing to put into it that Milvus would take: better no group, or the one that is there, than half a one.
    if mixed is not None or not good:
        return Desired(claim, None, tuple(refusals))
    return Desired(claim, DesiredGroup(good), tuple(refusals))


def refuse_privilege(
    given: Permit, name: str, where: str, known_privileges: KnownPrivileges
) -> Refusal | None:
    """Say why a privilege or group may not be granted at all. Comes first: nothing else is said of what is not permitted."""
    if name not in given.privileges:
        return _no(where, f"the privilege {name} is not delegated to this namespace")
    if not GIVES_ACCESS.isdisjoint(known_privileges.groups.get(name, ())):
        return _no(where, f"{name} holds privileges that give access to others, which can't be delegated")
    if (
        name in known_privileges.levels
        and name not in known_privileges.groups
        and privileges.find(name) is None
    ):
        return _no(
            where, f"the operator does not know the privilege {name}, and delegates only what it knows"
        )
    return None


def may_hold(
    given: Permit, grant: Grant, known_privileges: KnownPrivileges, *, databases_are_boundaries: bool
) -> bool:
    """Tell whether a role may have a grant, whether its resource asks for it or not."""
    refused = refuse_privilege(given, grant.privilege, "", known_privileges) or refuse_grants(
        given, (grant,), "", databases_are_boundaries=databases_are_boundaries
    )
    return refused is None


def refuse_grants(
    given: Permit, grants: Collection[Grant], where: str, *, databases_are_boundaries: bool
) -> Refusal | None:
    """Say why grants may not be given where they are asked for."""
    if ANY in given.databases:
        return None
    outside = sorted({grant.database for grant in grants} - given.databases)
    if ANY in outside:
        return _no(where, "it reaches beyond single databases, and only such are delegated to this namespace")
    if outside:
        return _no(where, f"the database {outside[0]} is not delegated to this namespace")
    if not databases_are_boundaries and not given.accepts_weak_isolation:
        return _no(
            where,
            "before Milvus 3.0 a database is no boundary (milvus#50678), and the delegation does not accept that "
            "(acceptWeakIsolation)",
        )
    return None


def _no(where: str, why: str) -> Refusal:
    message = f"{where}: {why}: take it out, or ask those who run the MilvusConnection."
    return Refusal(Reason.NOT_PERMITTED, message)


def suspects(claims: Iterable[Claim], observed: State, server: ServerFacts) -> frozenset[Place]:
    """Return the collection names that may be aliases.

    These are the ones that a role asks for and is not granted, while it is granted others in the same database: the server
    stores a grant on an alias under its collection. Names in rows that are refused anyway are left out, and nothing is
    suspected on servers that keep the alias.
    """
    if not server.resolves_aliases:
        return frozenset()
    known_privileges = replace(
        server.known_privileges, groups=observed.groups, groups_unreadable=observed.groups_unreadable
    )
    found: set[Place] = set()
    for claim in claims:
        role = observed.roles.get(claim.object_name)
        is_wanted = claim.is_permitted and not claim.deleting
        if not isinstance(claim.wanted, WantedRole) or not is_wanted or role is None:
            continue
        held = {(one.database, one.object_name) for one in role.grants or () if one.object_name != ANY}
        databases = {database for database, _ in held}
        asked = {
            (row.database or DEFAULT_DATABASE, collection)
            for row in claim.wanted.rows
            if row.collections and _is_granted(claim, row, known_privileges, server)
            for collection in row.collections
        }
        found |= {place for place in asked - held if place[0] in databases}
    return frozenset(found)


def _is_granted(claim: Claim, row: GrantRow, known_privileges: KnownPrivileges, server: ServerFacts) -> bool:
    """Return whether at least one privilege of a row is granted; the collections of a row are judged alike."""
    first = replace(row, collections=row.collections[:1])
    return any(
        _expand(claim, name, first, "", known_privileges, server)[1] is None for name in row.privileges
    )
