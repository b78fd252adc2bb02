"""What a Milvus holds, as plain values: users, roles, bindings, grants and groups."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from milvus_rbac.domain.conditions import Refusal

ANY = "*"
"""Stands for all databases, or for all objects."""

DEFAULT_DATABASE = "default"
"""The database that Milvus uses if none is named."""

ADMIN_ROLE = "admin"
PUBLIC_ROLE = "public"
BUILTIN_ROLES = frozenset({ADMIN_ROLE, PUBLIC_ROLE})
"""Roles that every server has and that can neither be created nor dropped."""

CLOUD_ROLES = frozenset({"db_admin", "db_rw", "db_ro"})
"""Further roles that Zilliz Cloud has."""

ROOT_USER = "root"
ZILLIZ_ADMIN = "db_admin"
"""The user that Zilliz Cloud has instead of root."""

Place = tuple[str, str]
"""A database, and a collection or an alias in it."""


class ObjectType(StrEnum):
    """The object type under which Milvus stores a grant."""

    COLLECTION = "Collection"
    GLOBAL = "Global"
    USER = "User"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One grant of a role, by the key under which the server stores it."""

    object_type: str
    privilege: str
    database: str
    object_name: str

    def __str__(self) -> str:
        """Return the grant as messages word it."""
        where = self.database if self.object_name == ANY else f"{self.database}.{self.object_name}"
        return f"{self.privilege} on {where}"


class PasswordVerdict(StrEnum):
    """Whether the server accepts the password of the Secret."""

    IN_FORCE = "InForce"
    REFUSED = "Refused"
    UNKNOWN = "Unknown"
    """It was not tried, or the server gave no verdict: authorization is off, or the call failed."""


@dataclass(frozen=True, slots=True)
class User:
    """A user and the roles that are bound to it."""

    roles: frozenset[str] = frozenset()
    password: PasswordVerdict = PasswordVerdict.UNKNOWN
    hash_digest: str = ""
    """SHA-256 of the password hash that the server keeps, in hex; empty if the server does not show it."""
    description: str = ""
    """Empty also if it was not read, or the server keeps no descriptions."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role and its grants; None if they were not read."""

    grants: frozenset[Grant] | None = frozenset()
    description: str = ""
    """Empty also if it was not read, or the server keeps no descriptions."""


@dataclass(frozen=True, slots=True)
class State:
    """All users with their roles and all roles of one Milvus; the grants only of roles that were in scope."""

    users: Mapping[str, User] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Privilege groups, built-in ones too, with the names of their privileges. Empty if the server has no groups, or they
    were not read."""
    describes: bool = False
    """Whether descriptions were read; servers keep them from 2.6.19 on."""
    groups_unreadable: bool = False
    """Whether the operator's account may not list groups, so that nothing follows from `groups` being empty."""
    troubles: Mapping[tuple[str, str], Refusal] = field(default_factory=dict)
    """What could not be read of one object, and why, by the noun of its kind (such as "role") and its name. Nothing must
    be concluded about these: a role among them has None as its grants whether it holds any or not."""
    grant_count: int | None = None
    """How many grants all roles hold together, admin and public left out; None where they were not counted."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which details to read beyond the lists of users, roles and bindings."""

    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The roles whose grants to read, each with the databases in which it is known to have some. Servers before 2.4.1 list
    grants one database at a time, and grants outlive their databases, so the caller must remember where they were."""
    logins: Mapping[str, str] = field(default_factory=dict)
    """The users whose password to check, each with the `hash_digest` of the wanted password if that is known, else an empty
    text."""
    groups: bool = False
    """Whether to read privilege groups."""
    descriptions: bool = False
    """Whether to read the descriptions of users and roles."""
    holders: bool = False
    """Whether it matters which roles hold a privilege group. The grants of those that hold one are then read too."""
    may_be_old: float = 0.0
    """How many seconds old a snapshot may be, if nothing was written since."""
