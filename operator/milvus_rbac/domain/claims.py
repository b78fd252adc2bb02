"""Who asks for what: a resource claims one user, role or privilege group of one Milvus. Knows no server's present state."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.delegation import Permit
from milvus_rbac.domain.state import Grant


class Kind(StrEnum):
    """The custom resources that claim something."""

    USER = "MilvusUser"
    ROLE = "MilvusRole"
    GROUP = "MilvusPrivilegeGroup"

    @property
    def noun(self) -> str:
        """What is claimed, in Milvus' words."""
        return _NOUNS[self]


_NOUNS = {Kind.USER: "user", Kind.ROLE: "role", Kind.GROUP: "privilege group"}


class Origin(StrEnum):
    """How a claimed object came to be ours."""

    CREATED = "Created"
    ADOPTED = "Adopted"


class Adoption(StrEnum):
    """Whether an object that exists already may be taken over."""

    SAFE = "Safe"
    """Only when nothing is taken away from anybody."""
    ALWAYS = "Always"
    """And make it match, whatever that takes away."""
    NEVER = "Never"
    """Leave it alone and say Conflict."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A resource in Kubernetes."""

    kind: Kind
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """Which content of which Secret; never the content."""

    uid: str
    resource_version: str
    key: str = ""
    """Empty where the whole Secret is meant."""


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One row of spec.grants."""

    privileges: tuple[str, ...]
    database: str | None = None
    collections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WantedRole:
    """What a MilvusRole asks for."""

    rows: tuple[GrantRow, ...]
    description: str | None = None
    """None: whatever is there."""


@dataclass(frozen=True, slots=True, order=True)
class StaleGrant:
    """A privilege that was taken out of a group and that the proxies still give to a role which holds the group.

    Milvus 2.4 to 3.0 (measured on 2.4.23, 2.5.15, 2.6.20 and 3.0) take nothing from the proxies when a group shrinks, and
    no call shows it; a revoke of the bare privilege where the role holds the group does.
    """

    role: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class WantedGroup:
    """What a MilvusPrivilegeGroup asks for."""

    privileges: frozenset[str]
    stale: frozenset[StaleGrant] = frozenset()
    """What earlier rounds took out of the group and have not taken from the proxies yet."""


@dataclass(frozen=True, slots=True)
class WantedUser:
    """What a MilvusUser asks for."""

    roles: frozenset[str]
    password: SecretVersion | None = None
    rotated: bool = False
    """The Secret has another version than the one that was last seen in force."""
    known_digest: str = ""
    """The digest of the server's hash under which this password was last seen in force; empty if none was."""
    password_refusal: Refusal | None = None
    """Why there is no password to work with; bindings go on without."""
    description: str | None = None
    """None: whatever is there."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One resource's claim on one name in Milvus."""

    ref: Ref
    object_name: str
    wanted: WantedRole | WantedUser | WantedGroup
    created_at: str
    """Kubernetes' creationTimestamp: RFC 3339 in UTC, so text order is time order."""
    adoption: Adoption = Adoption.SAFE
    origin: Origin | None = None
    """From the resource's status: the object is ours. None: we never got that far, or the status was lost."""
    intended: bool = False
    """The connection's status says that a create was about to be sent: what exists now is ours."""
    deleting: bool = False
    retain: bool = False
    """On deletion leave everything as it is."""
    suspended: bool = False
    expired: bool = False
    """spec.expiresAt is over: the object is not to exist, though the resource does."""
    permit: Permit | None = None
    """What the connection's owner lets the claim's namespace have; None for the connection's own, which is not limited."""
    heir: str = ""
    """Of one that goes: the uid of the claim that takes the object over, so that nothing is dropped."""
    former: str = ""
    """Of an heir: the uid of the claim from which it takes the object over."""
    refusal: Refusal | None = None
    """Why the claim is not valid, whatever the server holds."""

    @property
    def key(self) -> tuple[Kind, str]:
        """What is claimed."""
        return (self.ref.kind, self.object_name)

    @property
    def is_ours(self) -> bool:
        """Whether the object, if it exists, came to be ours."""
        return self.origin is not None or self.intended

    @property
    def is_permitted(self) -> bool:
        """Whether its namespace may claim the name. If not, what it has is taken back, and it may still be deleted."""
        return self.permit is None or self.permit.claims_name

    @property
    def may_adopt(self) -> bool:
        """Whether its namespace may take over what exists, and so whether its passwords are tried on others' accounts."""
        return self.permit is None or self.permit.may_adopt

    @property
    def may_drop(self) -> bool:
        """Whether the object goes with the resource. What was adopted because nothing was lost, stays."""
        if self.retain:
            return False
        return (
            self.origin is Origin.CREATED
            or self.intended
            or (self.is_ours and self.adoption is Adoption.ALWAYS)
        )


def not_permitted(claim: Claim) -> Refusal:
    """Say that a namespace may not claim a name, without a word on what there is."""
    if claim.ref.kind is Kind.GROUP:
        why = "privilege groups can only be made in the namespace of the MilvusConnection"
    else:
        why = f"no entry of the MilvusConnection's delegations lets this namespace claim the {claim.ref.kind.noun} {claim.object_name}"
    message = f"spec.connectionRef: {why}: ask those who run it."
    return Refusal(Reason.NOT_PERMITTED, message)


def stale_of(claim: Claim) -> frozenset[StaleGrant]:
    """Give what earlier rounds took out of a group and have not taken from the proxies yet; nothing for other kinds."""
    return claim.wanted.stale if isinstance(claim.wanted, WantedGroup) else frozenset()


def assemble(claims: Iterable[Claim], dirty: Collection[str]) -> tuple[tuple[Claim, Refusal | None], ...]:
    """Decide who owns what among all claims on one Milvus; answer for the dirty ones (by uid).

    A claim that does not own its name comes with the refusal that says so. If the owner goes and another claim of its
    namespace is there, that one inherits the object as it is.
    """
    rivals: Mapping[tuple[Kind, str], list[Claim]] = _by_key(claims)
    answers = []
    for contenders in rivals.values():
        if not any(claim.ref.uid in dirty for claim in contenders):
            continue
        settled = _with_heir(contenders)
        owner = elect(settled)
        answers += [(claim, _standing(claim, owner)) for claim in settled if claim.ref.uid in dirty]
    return tuple(answers)


def _with_heir(contenders: list[Claim]) -> list[Claim]:
    going = [claim for claim in contenders if claim.deleting and claim.is_ours and claim.refusal is None]
    if not going or len(contenders) == 1:
        return contenders
    owner = elect(contenders)
    if owner is None or owner not in going:
        # The heir is there already: its claim was written down, and the former owner has not been let go yet.
        taken = owner.ref.uid if owner is not None else ""
        return [replace(one, heir=taken) if one in going and taken else one for one in contenders]
    rest = [
        one
        for one in contenders
        if one.ref.namespace == owner.ref.namespace and not (one.deleting or one.expired)
    ]
    heir = elect(rest)
    if heir is None:
        return contenders
    inherited = replace(heir, origin=owner.origin or Origin.CREATED, former=owner.ref.uid)
    passed = {heir.ref.uid: inherited, owner.ref.uid: replace(owner, heir=heir.ref.uid)}
    return [passed.get(one.ref.uid, one) for one in contenders]


def elect(contenders: Iterable[Claim]) -> Claim | None:
    """Choose the owner of a name: the incumbent stays, else the oldest of those that are valid and permitted."""
    valid = [
        claim
        for claim in contenders
        if claim.refusal is None and (claim.is_ours or (claim.is_permitted and not claim.deleting))
    ]
    return min(
        valid,
        key=lambda claim: (
            bool(claim.heir),
            claim.origin is None,
            not claim.intended,
            claim.deleting,
            claim.created_at,
            claim.ref.uid,
        ),
        default=None,
    )


def owners(claims: Iterable[Claim], kind: Kind) -> dict[str, Claim]:
    """Give the owner of each name of a kind. Not all of them have what they own yet."""
    elected = (elect(contenders) for key, contenders in _by_key(claims).items() if key[0] is kind)
    return {owner.object_name: owner for owner in elected if owner is not None}


def _by_key(claims: Iterable[Claim]) -> Mapping[tuple[Kind, str], list[Claim]]:
    by_key: defaultdict[tuple[Kind, str], list[Claim]] = defaultdict(list)
    for claim in claims:
        by_key[claim.key].append(claim)
    return by_key


def _standing(claim: Claim, owner: Claim | None) -> Refusal | None:
    if claim.refusal is not None:
        return claim.refusal
    if not claim.is_permitted and not claim.is_ours:
        return not_permitted(claim)
    if owner is None or owner.ref.uid == claim.ref.uid:
        return None
    # Messages to one namespace never name what is in another.
    winner = (
        f"{owner.ref.kind} {owner.ref.name}"
        if owner.ref.namespace == claim.ref.namespace
        else "another namespace"
    )
    return Refusal(
        Reason.CONFLICT,
        f"The {claim.ref.kind.noun} {claim.object_name} is already claimed by {winner}: delete one of the two resources.",
    )
