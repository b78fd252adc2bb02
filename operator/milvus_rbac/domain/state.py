"""What a Milvus holds, as plain values: users, roles, bindings, grants, groups. Knows neither servers nor resources."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from milvus_rbac.domain.conditions import Refusal

ANY = "*"
"""Milvus' word for "all of them", as a database and as an object name."""

DEFAULT_DATABASE = "default"
"""Where Milvus puts what names no database."""

ADMIN_ROLE = "admin"
PUBLIC_ROLE = "public"
BUILTIN_ROLES = frozenset({ADMIN_ROLE, PUBLIC_ROLE})
"""Roles that every server has; they can neither be created nor dropped."""

CLOUD_ROLES = frozenset({"db_admin", "db_rw", "db_ro"})
"""Roles that Zilliz Cloud has beside them."""

ROOT_USER = "root"
ZILLIZ_ADMIN = "db_admin"
"""What Zilliz Cloud has instead of root."""


Place = tuple[str, str]
"""A database, and a collection or an alias in it."""


class ObjectType(StrEnum):
    """Under which type Milvus stores a grant."""

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
        """Read like the sentence a person would say."""
        where = self.database if self.object_name == ANY else f"{self.database}.{self.object_name}"
        return f"{self.privilege} on {where}"


class PasswordVerdict(StrEnum):
    """Whether the Secret's password is the one that the server accepts."""

    IN_FORCE = "InForce"
    REFUSED = "Refused"
    UNKNOWN = "Unknown"
    """Nobody asked, or the server gave no verdict (authorization off, trouble while asking)."""


@dataclass(frozen=True, slots=True)
class User:
    """A user with the roles bound to it."""

    roles: frozenset[str] = frozenset()
    password: PasswordVerdict = PasswordVerdict.UNKNOWN
    hash_digest: str = ""
    """SHA-256 of the password hash that the server keeps, in hex; empty where the server does not show it."""
    description: str = ""
    """Empty also where nobody looked, or the server keeps none."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role with its grants; None where nobody looked."""

    grants: frozenset[Grant] | None = frozenset()
    description: str = ""
    """Empty also where nobody looked, or the server keeps none."""


@dataclass(frozen=True, slots=True)
class State:
    """Every user with its bindings and every role of one Milvus; grants only of the roles that were in scope."""

    users: Mapping[str, User] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Privilege groups, those that Milvus brings along too, with the names of their privileges. Empty where the server
    has no groups, and where nobody looked."""
    describes: bool = False
    """The server keeps descriptions (2.6.19 and later), and somebody asked for them."""
    groups_unreadable: bool = False
    """The operator's account may not list groups: nothing must be concluded from there being none."""
    troubles: Mapping[tuple[str, str], Refusal] = field(default_factory=dict)
    """What could not be read of one object, and why, by the noun of its kind (such as "role") and its name. Nothing must
    be concluded about these: a role among them has None as its grants whether it holds any or not."""
    grant_count: int | None = None
    """How many grants all roles hold together, admin and public left out; None where they were not counted."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which details to read beside the lists of users, roles and bindings."""

    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Role name to the databases in which its grants are known to be. Servers before 2.4.1 list grants only database by
    database, and grants outlive their databases, so what was ever granted must be remembered by the caller."""
    logins: Mapping[str, str] = field(default_factory=dict)
    """Users whose password is to be judged, each with the `hash_digest` under which the wanted password is known to be in
    force; an empty one where none is known."""
    groups: bool = False
    """Whether privilege groups matter."""
    descriptions: bool = False
    """Whether it matters what is said of users and roles."""
    holders: bool = False
    """Whether it matters which roles hold a privilege group. The grants of those that hold one are then read too."""
    may_be_old: float = 0.0
    """Seconds that what is read may be old, as long as nothing was written since."""
