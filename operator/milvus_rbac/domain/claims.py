"""What resources ask for: each one claims a user, a role or a privilege group of one Milvus.

A claim is read from its resource alone; what the server holds at the moment is in `state.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from milvus_rbac.domain.conditions import Refusal
from milvus_rbac.domain.delegation import Permit
from milvus_rbac.domain.record import Record
from milvus_rbac.domain.state import Grant

MAX_GRANTS = 10_000
"""The most grants that one role may expand to. Milvus writes about 90 of them a second."""


class Kind(StrEnum):
    """The custom resources that claim something in Milvus."""

    USER = "MilvusUser"
    ROLE = "MilvusRole"
    GROUP = "MilvusPrivilegeGroup"

    @property
    def noun(self) -> str:
        """What Milvus calls the claimed object."""
        return _NOUNS[self]


_NOUNS = {Kind.USER: "user", Kind.ROLE: "role", Kind.GROUP: "privilege group"}


class Origin(StrEnum):
    """How the operator came to own a claimed object."""

    CREATED = "Created"
    ADOPTED = "Adopted"


class Adoption(StrEnum):
    """Whether the operator may take over an object that exists already."""

    SAFE = "Safe"
    """Only if no user loses anything by it."""
    ALWAYS = "Always"
    """Take it over and make it match the spec, whatever users lose."""
    NEVER = "Never"
    """Leave it alone and report Conflict."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A resource in Kubernetes."""

    kind: Kind
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """The version of a Secret's content; never the content itself."""

    uid: str
    resource_version: str
    key: str = ""
    """Empty if the Secret as a whole is meant."""


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
    """None keeps the description that Milvus has."""

    @property
    def grant_count(self) -> int:
        """How many grants the rows ask for: each privilege on each collection. Counted without making them."""
        return sum(len(row.privileges) * max(1, len(row.collections)) for row in self.rows)


@dataclass(frozen=True, slots=True, order=True)
class StaleGrant:
    """A privilege that a group has lost and that Milvus' proxies still give to a role which holds the group.

    In Milvus 2.4 to 3.0 (measured on 2.4.23, 2.5.15, 2.6.20 and 3.0) the proxies do not notice that a group shrinks, and
    no call shows it. They notice when the bare privilege is revoked at each place where the role holds the group.
    """

    role: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class WantedGroup:
    """What a MilvusPrivilegeGroup asks for."""

    privileges: frozenset[str]
    stale: frozenset[StaleGrant] = frozenset()
    """What the group lost in earlier turns and the proxies still give."""


@dataclass(frozen=True, slots=True)
class WantedUser:
    """What a MilvusUser asks for."""

    roles: frozenset[str]
    password: SecretVersion | None = None
    rotated: bool = False
    """Whether the Secret has another version than the one that was last seen in force."""
    is_generated: bool = False
    """Whether the operator has generated the password itself."""
    known_digest: str = ""
    """The digest of the server's password hash when this password was last seen in force; empty if it never was."""
    password_refusal: Refusal | None = None
    """Why there is no usable password. The user's roles are bound all the same."""
    description: str | None = None
    """None keeps the description that Milvus has."""
    meant_roles: Mapping[str, str] = field(default_factory=dict, hash=False)
    """By wanted role that is the name of a MilvusRole instead: the role that this MilvusRole has in Milvus."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim of one resource on one name in Milvus."""

    ref: Ref
    object_name: str
    wanted: WantedRole | WantedUser | WantedGroup
    created_at: str
    """Kubernetes' creationTimestamp: RFC 3339 in UTC, so that sorting as text sorts by time."""
    adoption: Adoption = Adoption.SAFE
    origin: Origin | None = None
    """From the resource's status: how the object became ours. None if it did not, or if the status was lost."""
    record: Record | None = None
    """What the resource's status says that the object holds; None if it is not ours, or the status does not say all."""
    intended: bool = False
    """Whether the connection's status has an intent to create the object: if it exists now, it is ours."""
    deleting: bool = False
    retain: bool = False
    """Whether the object stays in Milvus as it is when the resource is deleted, by its spec and with the leave that needs."""
    suspended: bool = False
    asks_to_stay: bool = False
    """Whether the spec asks that the object stays in Milvus when the resource is deleted."""
    expired: bool = False
    """Whether spec.expiresAt has passed: the object must not exist, although the resource does."""
    permit: Permit | None = None
    """What the MilvusConnection lets the claim's namespace have; None in its own namespace, which is not limited."""
    heir: str = ""
    """For a claim being deleted: the uid of the claim that takes the object over, so that nothing is dropped."""
    former: str = ""
    """For an heir: the uid of the claim from which it takes the object over."""
    refusal: Refusal | None = None
    """Why the claim is invalid, whatever the server holds."""

    @property
    def key(self) -> tuple[Kind, str]:
        """The kind and the name of the claimed object."""
        return (self.ref.kind, self.object_name)

    @property
    def is_ours(self) -> bool:
        """Whether the object, if it exists, belongs to this claim."""
        return self.origin is not None or self.intended

    @property
    def is_permitted(self) -> bool:
        """Whether the namespace may claim the name. If not, what the claim has is taken back; it can still be deleted."""
        return self.permit is None or self.permit.claims_name

    @property
    def may_adopt(self) -> bool:
        """Whether the namespace may take over what exists, and so whether its password may be tried on a foreign account."""
        return self.permit is None or self.permit.may_adopt

    @property
    def may_drop(self) -> bool:
        """Whether the object is dropped with the resource. What was adopted without any loss stays."""
        if self.retain:
            return False
        return (
            self.origin is Origin.CREATED
            or self.intended
            or (self.is_ours and self.adoption is Adoption.ALWAYS)
        )


def stale_of(claim: Claim) -> frozenset[StaleGrant]:
    """Return what the claimed group lost in earlier turns and the proxies still give; nothing for users and roles."""
    return claim.wanted.stale if isinstance(claim.wanted, WantedGroup) else frozenset()
