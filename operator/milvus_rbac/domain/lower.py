"""Say what resources want in the words that a server stores. This is where servers differ; nothing else knows dialects."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from milvus_rbac.domain import permits, scopes
from milvus_rbac.domain.changes import PasswordMeans
from milvus_rbac.domain.claims import Claim, GrantRow, WantedGroup, WantedRole, WantedUser, not_permitted
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.scopes import Vocabulary
from milvus_rbac.domain.state import CLOUD_ROLES, PUBLIC_ROLE, Grant, Place, State, User


class PasswordUpdate(StrEnum):
    """spec.passwordUpdate of a connection."""

    AUTO = "Auto"
    IN_PLACE = "InPlace"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is known about the server and agreed with its owner, as far as decisions need it."""

    observe_only: bool = False
    """mode: Observe."""
    authorization: bool = True
    password_update: PasswordUpdate = PasswordUpdate.AUTO
    superuser: bool | None = None
    """Whether the operator's account changes passwords without the old one; None: not tried yet."""
    known_old: frozenset[str] = frozenset()
    """Users whose password in force is remembered and is not the wanted one."""
    words: Vocabulary = field(default_factory=Vocabulary)
    """Which names the server takes in a grant."""
    cloud: bool = False
    """The server is Zilliz Cloud."""
    companions: bool = False
    """Load and Flush are given and taken with their companions."""
    databases_are_boundaries: bool = True
    """Whether a right in one database gives nothing in others (3.0)."""


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
    terms: Terms,
    observed: State | None = None,
    role_owners: Mapping[str, Claim] = MappingProxyType({}),
    aliases: Mapping[Place, str | None] = MappingProxyType({}),
) -> tuple[Desired, ...]:
    """Say every claim in what this server can express; a claim that owns nothing wants nothing.

    Args:
        assembled: claims, each with what was said of its ownership.
        terms: what is known about the server.
        observed: what the server holds.
        role_owners: by role, the claim that owns it; needed for users of other namespaces than the connection's.
        aliases: what those of the named collections that are aliases stand for; None where that can't be read.
    """
    observed = observed or State()
    groups = observed.groups
    words = replace(terms.words, groups=groups, groups_unreadable=observed.groups_unreadable, aliases=aliases)
    at = _Place(terms, words, observed, role_owners)
    everything = tuple(assembled)
    lowered = [at.lower(*one) for one in everything if isinstance(one[0].wanted, WantedGroup)]
    # A role may hold what this round puts into a group.
    filled = {
        one.claim.object_name: one.state.privileges for one in lowered if isinstance(one.state, DesiredGroup)
    }
    at = replace(at, words=replace(words, groups={**groups, **filled}))
    others = (one for one in everything if not isinstance(one[0].wanted, WantedGroup))
    return (*lowered, *(at.lower(*one) for one in others))


@dataclass(frozen=True, slots=True)
class _Place:
    """What is known where claims are lowered."""

    terms: Terms
    words: Vocabulary
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
            case WantedRole() if self.terms.cloud and claim.object_name in CLOUD_ROLES:
                message = (
                    f"spec.roleName: {claim.object_name} is built into Zilliz Cloud; choose another name."
                )
                return Desired(claim, None, (Refusal(Reason.RESERVED_NAME, message),))
            case WantedRole():
                return _lower_role(claim, claim.wanted, self._held(claim), self.words, self.terms)
            case WantedUser():
                return _lower_user(
                    claim, claim.wanted, self.terms, self._forbidden(claim, claim.wanted.roles)
                )
            case WantedGroup():
                return _lower_group(claim, claim.wanted, self.words)

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


def _lower_user(claim: Claim, wanted: WantedUser, terms: Terms, forbidden: frozenset[str]) -> Desired:
    refusals = [_forbidden_role(role) for role in sorted(forbidden - {PUBLIC_ROLE})]
    if wanted.password_refusal is not None:
        refusals.append(wanted.password_refusal)
    if PUBLIC_ROLE in wanted.roles:
        message = f"spec.roles: every user has {PUBLIC_ROLE} anyway; take it out of the list."
        refusals.append(Refusal(Reason.RESERVED_NAME, message))
    means: PasswordMeans | None = None
    if claim.object_name in terms.known_old:
        means = PasswordMeans.KNOWN_TEXT
    elif terms.superuser is not False:
        means = PasswordMeans.SUPERUSER
    outdated = wanted.rotated and not terms.authorization
    roles = wanted.roles - forbidden - {PUBLIC_ROLE}
    return Desired(claim, DesiredUser(roles, means, outdated, wanted.description), tuple(refusals))


def _forbidden_role(role: str) -> Refusal:
    message = (
        f"spec.roles: {role} is neither a role that a MilvusRole of this namespace owns nor one that is delegated to it: take "
        "it out, or ask those who run the MilvusConnection."
    )
    return Refusal(Reason.NOT_PERMITTED, message)


def _lower_role(
    claim: Claim, wanted: WantedRole, held: frozenset[Grant], words: Vocabulary, terms: Terms
) -> Desired:
    grants: set[Grant] = set()
    undecided: set[str] = set()
    refusals: list[Refusal] = []
    for index, row in enumerate(wanted.rows):
        for name in row.privileges:
            asked, refusal = _expand(claim, name, row, f"spec.grants[{index}]", words, terms)
            if refusal is None:
                grants.update(asked)
                continue
            refusals.append(refusal)
            if refusal.reason is Reason.MISSING_PRIVILEGES:
                undecided.add(name)
    # What is asked for and can't be judged now stays as it is, as far as it is permitted.
    kept = {one for one in held if one.privilege in undecided and _is_within(claim, one, terms)}
    state = DesiredRole(frozenset(grants | kept), wanted.description)
    return Desired(claim, state, tuple(refusals))


def _is_within(claim: Claim, grant: Grant, terms: Terms) -> bool:
    given, bound = claim.permit, terms.databases_are_boundaries
    return given is None or permits.refuse_grants(given, (grant,), "", databases_are_boundaries=bound) is None


def _expand(
    claim: Claim, name: str, row: GrantRow, where: str, words: Vocabulary, terms: Terms
) -> tuple[tuple[Grant, ...], Refusal | None]:
    """Give the grants that a name means in its row, or why there are none."""
    given = claim.permit
    refusal = permits.refuse_privilege(given, name, where, words) if given is not None else None
    refusal = refusal or scopes.check(name, row, where, words)
    if refusal is not None:
        return (), refusal
    grants = tuple(scopes.expand(name, row, words))
    if given is not None:
        refusal = permits.refuse_grants(
            given, grants, where, databases_are_boundaries=terms.databases_are_boundaries
        )
    return grants, refusal


def _lower_group(claim: Claim, wanted: WantedGroup, words: Vocabulary) -> Desired:
    if not words.privilege_groups:
        message = "This Milvus has no privilege groups (2.4.18 and newer do): name the privileges in the roles instead."
        return Desired(claim, None, (Refusal(Reason.UNSUPPORTED_BY_SERVER, message),))
    if words.groups_unreadable:
        return Desired(claim, None, (scopes.unreadable("spec.groupName"),))
    checked = {name: scopes.check_member(name, words) for name in sorted(wanted.privileges)}
    refusals = [refusal for refusal in checked.values() if refusal is not None]
    good = frozenset(name for name, refusal in checked.items() if refusal is None)
    if (mixed := scopes.one_level(good, words)) is not None:
        refusals.append(mixed)
    # Nothing to put into it that Milvus would take: better no group, or the one that is there, than half a one.
    if mixed is not None or not good:
        return Desired(claim, None, tuple(refusals))
    return Desired(claim, DesiredGroup(good), tuple(refusals))
