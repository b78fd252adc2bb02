"""Say what resources want in the words that a server stores. This is where servers differ; nothing else knows dialects."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from milvus_rbac.domain import scopes
from milvus_rbac.domain.changes import PasswordMeans
from milvus_rbac.domain.claims import Claim, GrantRow, WantedGroup, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.scopes import Vocabulary
from milvus_rbac.domain.state import PUBLIC_ROLE, Grant, State


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


@dataclass(frozen=True, slots=True)
class DesiredRole:
    """The grants a role is to have."""

    grants: frozenset[Grant]
    undecided: frozenset[str] = frozenset()
    """Names that are asked for and can't be judged now: what the role holds of them stays as it is."""


@dataclass(frozen=True, slots=True)
class DesiredUser:
    """The roles a user is to have, and the way to a new password if it needs one."""

    roles: frozenset[str]
    means: PasswordMeans | None
    """None: only by dropping and re-creating the user."""
    assume_refused: bool = False
    """Take the password for outdated where nobody can try it: with authorization off every login works."""


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
) -> tuple[Desired, ...]:
    """Say every claim in what this server can express; a claim that owns nothing wants nothing.

    Args:
        assembled: claims, each with what was said of its ownership.
        terms: what is known about the server.
        observed: what the server holds; of it, the privilege groups matter.
    """
    groups = observed.groups if observed else {}
    words = replace(
        terms.words, groups=groups, groups_unreadable=observed is not None and observed.groups_unreadable
    )
    everything = tuple(assembled)
    lowered = [
        _lower_claim(*one, words, terms) for one in everything if isinstance(one[0].wanted, WantedGroup)
    ]
    # A role may hold what this round puts into a group.
    filled = {
        one.claim.object_name: one.state.privileges for one in lowered if isinstance(one.state, DesiredGroup)
    }
    words = replace(words, groups={**groups, **filled})
    others = (one for one in everything if not isinstance(one[0].wanted, WantedGroup))
    return (*lowered, *(_lower_claim(*one, words, terms) for one in others))


def _lower_claim(claim: Claim, refusal: Refusal | None, words: Vocabulary, terms: Terms) -> Desired:
    if refusal is not None or claim.deleting or claim.expired:
        return Desired(claim, None, (refusal,) if refusal else ())
    match claim.wanted:
        case WantedRole(rows):
            return _lower_role(claim, rows, words)
        case WantedUser():
            return _lower_user(claim, claim.wanted, terms)
        case WantedGroup():
            return _lower_group(claim, claim.wanted, words)


def _lower_user(claim: Claim, wanted: WantedUser, terms: Terms) -> Desired:
    refusals = []
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
    return Desired(claim, DesiredUser(wanted.roles - {PUBLIC_ROLE}, means, outdated), tuple(refusals))


def _lower_role(claim: Claim, rows: tuple[GrantRow, ...], words: Vocabulary) -> Desired:
    grants: set[Grant] = set()
    undecided: set[str] = set()
    refusals: list[Refusal] = []
    for index, row in enumerate(rows):
        for name in row.privileges:
            refusal = scopes.check(name, row, f"spec.grants[{index}]", words)
            if refusal is None:
                grants.update(scopes.expand(name, row, words))
                continue
            refusals.append(refusal)
            if refusal.reason is Reason.MISSING_PRIVILEGES:
                undecided.add(name)
    return Desired(claim, DesiredRole(frozenset(grants), frozenset(undecided)), tuple(refusals))


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
