"""What resources want, as a particular server stores it. Servers differ here and nowhere else in the domain."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from milvus_rbac.domain import privileges, scopes
from milvus_rbac.domain.changes import PasswordMeans
from milvus_rbac.domain.claims import MAX_GRANTS, Claim, GrantRow, WantedGroup, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.delegation import Permit
from milvus_rbac.domain.ownership import not_permitted
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
    """What decisions need to know about the server, and what the spec of its MilvusConnection allows."""

    observe_only: bool = False
    """Whether the mode is Observe, and nothing may be written."""
    authorization: bool = True
    password_update: PasswordUpdate = PasswordUpdate.AUTO
    superuser: bool | None = None
    """Whether the operator's account can change a password without the old one; None if that was not tried yet."""
    known_old: frozenset[str] = frozenset()
    """Users whose password in force is remembered and differs from the wanted one."""
    known_privileges: KnownPrivileges = field(default_factory=KnownPrivileges)
    """The privileges that the server knows."""
    cloud: bool = False
    """Whether the server is Zilliz Cloud."""
    companions: bool = False
    """Whether the server grants and revokes Load and Flush together with their companions."""
    databases_are_boundaries: bool = True
    """Whether a privilege in one database gives nothing in others (Milvus 3.0)."""
    resolves_aliases: bool = False
    """Whether a grant on an alias is stored under its collection (2.6.12 and later)."""


@dataclass(frozen=True, slots=True)
class DesiredRole:
    """The grants that a role should have."""

    grants: frozenset[Grant]
    description: str | None = None
    """None keeps what the server has; the same for users."""


@dataclass(frozen=True, slots=True)
class DesiredUser:
    """The roles that a user should have, and how its password can be changed."""

    roles: frozenset[str]
    means: PasswordMeans | None
    """None if the only way is to drop and re-create the user."""
    assume_refused: bool = False
    """Whether to treat the password as outdated without a login: with authorization off, every login succeeds."""
    description: str | None = None
    keeps_password: bool = False
    """Whether the password in force stays: the user is no longer permitted, and only loses what it has."""


@dataclass(frozen=True, slots=True)
class DesiredGroup:
    """The privileges that a group should hold, all of one level."""

    privileges: frozenset[str]


@dataclass(frozen=True, slots=True)
class Desired:
    """One claim in a form that can be compared with what the server holds."""

    claim: Claim
    state: DesiredRole | DesiredUser | DesiredGroup | None
    """None if nothing is wanted: the object must go, or the claim was refused as a whole."""
    refusals: tuple[Refusal, ...] = ()
    """Why parts of the claim, or all of it, are refused."""


def lower(
    assembled: Iterable[tuple[Claim, Refusal | None]],
    server: ServerFacts,
    observed: State | None = None,
    role_owners: Mapping[str, Claim] = MappingProxyType({}),
    aliases: Mapping[Place, str | None] = MappingProxyType({}),
) -> tuple[Desired, ...]:
    """Return every claim as this server stores it. A claim that does not own its name wants nothing.

    Args:
        assembled: claims, each with the reason why it does not own its name, if it does not.
        server: what is known about the server.
        observed: what the server holds.
        role_owners: the owner of each role; needed for users outside the connection's namespace.
        aliases: the collections behind those names that are aliases; None where the server does not show it.
    """
    observed = observed or State()
    groups = observed.groups
    known_privileges = replace(
        server.known_privileges, groups=groups, groups_unreadable=observed.groups_unreadable, aliases=aliases
    )
    context = _Context(server, known_privileges, observed, role_owners)
    everything = tuple(assembled)
    lowered = [context.lower(*one) for one in everything if isinstance(one[0].wanted, WantedGroup)]
    # A role may be granted a group that this turn fills.
    filled = {
        one.claim.object_name: one.state.privileges for one in lowered if isinstance(one.state, DesiredGroup)
    }
    context = replace(context, known_privileges=replace(known_privileges, groups={**groups, **filled}))
    others = (one for one in everything if not isinstance(one[0].wanted, WantedGroup))
    return (*lowered, *(context.lower(*one) for one in others))


@dataclass(frozen=True, slots=True)
class _Context:
    """Everything that a claim is lowered with."""

    server: ServerFacts
    known_privileges: KnownPrivileges
    observed: State
    role_owners: Mapping[str, Claim]

    def lower(self, claim: Claim, refusal: Refusal | None) -> Desired:
        # What a tenant leaves in Milvus must first lose what is no longer permitted.
        stays = claim.retain and claim.permit is not None
        if refusal is not None or (claim.deleting and not stays) or claim.expired:
            return Desired(claim, None, (refusal,) if refusal else ())
        if not claim.is_permitted:
            return self._take_back(claim)
        if claim.asks_to_stay and claim.permit is not None and not claim.permit.may_retain:
            if not claim.is_ours:
                return Desired(claim, None, (MAY_NOT_STAY,))
            lowered = self._lower_wanted(claim)
            return replace(lowered, refusals=(*lowered.refusals, MAY_NOT_STAY))
        return self._lower_wanted(claim)

    def _lower_wanted(self, claim: Claim) -> Desired:
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

    def _held(self, claim: Claim) -> frozenset[Grant] | None:
        role = self.observed.roles.get(claim.object_name)
        return role.grants if role else None

    def _take_back(self, claim: Claim) -> Desired:
        """Want an empty object for a name that the namespace may no longer claim; the object itself stays until it is deleted."""
        refusals, name = (not_permitted(claim),), claim.object_name
        if isinstance(claim.wanted, WantedRole) and name in self.observed.roles:
            return Desired(claim, DesiredRole(frozenset()), refusals)
        if isinstance(claim.wanted, WantedUser) and name in self.observed.users:
            return Desired(claim, DesiredUser(frozenset(), None, keeps_password=True), refusals)
        return Desired(claim, None, refusals)

    def _forbidden(self, claim: Claim, roles: frozenset[str]) -> frozenset[str]:
        """Return the roles that a tenant's user may not hold: neither delegated nor owned by its namespace."""
        permit = claim.permit
        if permit is None:
            return frozenset()
        return frozenset(
            role
            for role in roles
            if not is_delegated(permit, role, self.observed) and not self._is_own(role, claim)
        )

    def _is_own(self, role: str, user: Claim) -> bool:
        owner = self.role_owners.get(role)
        if owner is None or owner.ref.namespace != user.ref.namespace or not owner.is_permitted:
            return False
        # A role that is not ours yet may become so in this turn, before it is bound. But if the user holds it already, it
        # exists and belongs to another owner.
        held = self.observed.users.get(user.object_name, User()).roles
        return owner.is_ours or role not in held


MAY_NOT_STAY = Refusal(
    Reason.NOT_PERMITTED,
    "spec.deletionPolicy: the delegation does not let this namespace leave anything in Milvus (mayRetain), and what is deleted "
    "is dropped: write Delete, or ask the owner of the MilvusConnection.",
)


def _lower_user(claim: Claim, wanted: WantedUser, server: ServerFacts, forbidden: frozenset[str]) -> Desired:
    refusals = [_forbidden_role(role, wanted.meant_roles) for role in sorted(forbidden - {PUBLIC_ROLE})]
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


def is_delegated(permit: Permit, role: str, observed: State) -> bool:
    """Return whether a role is one of those that are listed in an entry, and holds only what can be delegated."""
    if role not in permit.roles:
        return False
    held = observed.roles.get(role)
    return all(
        is_group_delegable(name, observed.groups)
        if name in observed.groups
        else privileges.is_delegable(name)
        for name in {grant.privilege for grant in (held.grants or () if held else ())}
    )


def _forbidden_role(role: str, meant_roles: Mapping[str, str]) -> Refusal:
    advice = (
        f"write {meant_roles[role]}, the roleName of the MilvusRole {role}"
        if role in meant_roles
        else "take it out, or ask the owner of the MilvusConnection"
    )
    after = (
        " is neither a role that a MilvusRole of this namespace owns nor one that is delegated to it, or it holds what can't be "
        f"delegated: {advice}."
    )
    return Refusal.naming(Reason.NOT_PERMITTED, "spec.roles: ", role, after)


def _lower_role(
    claim: Claim,
    wanted: WantedRole,
    held: frozenset[Grant] | None,
    known_privileges: KnownPrivileges,
    server: ServerFacts,
) -> Desired:
    if wanted.grant_count > MAX_GRANTS:
        return _refuse_size(claim, wanted, held, known_privileges, server)
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
    # A grant that is asked for and can't be judged now stays as it is, if it is permitted.
    if undecided:
        grants |= {one for one in held or () if one.privilege in undecided and _is_within(claim, one, server)}
    return Desired(claim, DesiredRole(frozenset(grants), wanted.description), tuple(refusals))


def _refuse_size(
    claim: Claim,
    wanted: WantedRole,
    held: frozenset[Grant] | None,
    known_privileges: KnownPrivileges,
    server: ServerFacts,
) -> Desired:
    """Return the refusal of a role that asks for too many grants: nothing is given, and only what is not permitted is taken."""
    message = (
        f"spec.grants: the role asks for {wanted.grant_count:,} grants (privileges times collections, over all rows), and "
        f"{MAX_GRANTS:,} is the limit; until it asks for fewer, its grants stay as they are. Split it into several roles, "
        "grant a privilege group instead of single privileges, or write * for all collections."
    )
    refusal = Refusal(Reason.LIMIT_REACHED, message)
    if held is None or claim.permit is None or not claim.is_ours:
        return Desired(claim, None, (refusal,))
    bound = server.databases_are_boundaries
    kept = (
        one for one in held if may_hold(claim.permit, one, known_privileges, databases_are_boundaries=bound)
    )
    return Desired(claim, DesiredRole(frozenset(kept)), (refusal,))


def _is_within(claim: Claim, grant: Grant, server: ServerFacts) -> bool:
    """Return whether a grant lies where the namespace may have grants."""
    permit, bound = claim.permit, server.databases_are_boundaries
    return permit is None or refuse_grants(permit, (grant,), "", databases_are_boundaries=bound) is None


def _expand(
    claim: Claim, name: str, row: GrantRow, where: str, known_privileges: KnownPrivileges, server: ServerFacts
) -> tuple[tuple[Grant, ...], Refusal | None]:
    """Return the grants that a name means in its row, and why they are refused, if they are."""
    permit = claim.permit
    refusal = refuse_privilege(permit, name, where, known_privileges) if permit is not None else None
    refusal = refusal or scopes.check(name, row, where, known_privileges)
    if refusal is not None:
        return (), refusal
    grants = tuple(scopes.expand(name, row, known_privileges))
    if permit is not None:
        refusal = refuse_grants(
            permit, grants, where, databases_are_boundaries=server.databases_are_boundaries
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
    # Without valid privileges of one level, the group is not created, or stays as it is.
    if mixed is not None or not good:
        return Desired(claim, None, tuple(refusals))
    return Desired(claim, DesiredGroup(good), tuple(refusals))


def refuse_privilege(
    permit: Permit, name: str, where: str, known_privileges: KnownPrivileges
) -> Refusal | None:
    """Return why a tenant may not be granted a privilege or group anywhere.

    It is checked before everything else, so that a tenant learns nothing about what it may not have.
    """
    if name not in permit.privileges:
        return _no(where, f"the privilege {name} is not delegated to this namespace")
    if name in known_privileges.groups and not is_group_delegable(name, known_privileges.groups):
        return _no(
            where, f"{name} holds privileges that reach beyond single databases, which can't be delegated"
        )
    if (
        name in known_privileges.levels
        and name not in known_privileges.groups
        and privileges.find(name) is None
    ):
        return _no(
            where,
            f"the operator does not know the privilege {name} and delegates only privileges that it knows",
        )
    return None


def is_group_delegable(name: str, groups: Mapping[str, frozenset[str]]) -> bool:
    """Return whether all that a privilege group holds can be delegated."""
    return all(privileges.is_delegable(one) for one in groups.get(name, ()))


def may_hold(
    permit: Permit, grant: Grant, known_privileges: KnownPrivileges, *, databases_are_boundaries: bool
) -> bool:
    """Return whether a tenant's role may have a grant, asked for or not."""
    refused = refuse_privilege(permit, grant.privilege, "", known_privileges) or refuse_grants(
        permit, (grant,), "", databases_are_boundaries=databases_are_boundaries
    )
    return refused is None


def refuse_grants(
    permit: Permit, grants: Collection[Grant], where: str, *, databases_are_boundaries: bool
) -> Refusal | None:
    """Return why a tenant may not have grants in the databases where it asks for them."""
    if ANY in permit.databases:
        return None
    outside = sorted({grant.database for grant in grants} - permit.databases)
    if ANY in outside:
        return _no(
            where,
            "it reaches beyond single databases, and only single databases are delegated to this namespace",
        )
    if outside:
        return _no(where, f"the database {outside[0]} is not delegated to this namespace")
    if not databases_are_boundaries and not permit.accepts_weak_isolation:
        return _no(
            where,
            "before Milvus 3.0 a database does not keep users out of other databases (milvus#50678), and the delegation does "
            "not accept that (acceptWeakIsolation)",
        )
    return None


def _no(where: str, why: str) -> Refusal:
    message = f"{where}: {why}: take it out, or ask the owner of the MilvusConnection."
    return Refusal(Reason.NOT_PERMITTED, message)


def may_see_places(permit: Permit | None) -> bool:
    """Return whether a namespace may learn which collections there are: it could find out by itself."""
    return permit is None or bool(permit.privileges & {"DescribeCollection", "ShowCollections"})


def named_places(grants: Iterable[Grant]) -> frozenset[Place]:
    """Return the collections that grants name, and as `*` the databases, without the one named default, which every Milvus has."""
    named = {(grant.database, grant.object_name) for grant in grants if grant.database != ANY}
    return frozenset(named - {(DEFAULT_DATABASE, ANY)})


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
