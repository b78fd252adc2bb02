"""What a Milvus holds, as plain values: users, roles, bindings and grants. Knows neither servers nor resources."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ANY = "*"
"""Milvus' word for "all of them", as a database and as an object name."""

DEFAULT_DATABASE = "default"
"""Where Milvus puts what names no database."""

ADMIN_ROLE = "admin"
PUBLIC_ROLE = "public"
BUILTIN_ROLES = frozenset({ADMIN_ROLE, PUBLIC_ROLE})
"""Roles that every server has; they can neither be created nor dropped."""

ROOT_USER = "root"
ZILLIZ_ADMIN = "db_admin"
"""What Zilliz Cloud has instead of root."""


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


@dataclass(frozen=True, slots=True)
class Role:
    """A role with its grants; None where nobody looked."""

    grants: frozenset[Grant] | None = frozenset()


@dataclass(frozen=True, slots=True)
class State:
    """Every user with its bindings and every role of one Milvus; grants only of the roles that were in scope."""

    users: Mapping[str, User] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which details to read beside the lists of users, roles and bindings."""

    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Role name to the databases in which its grants are known to be. Servers before 2.4.1 list grants only database by
    database, and grants outlive their databases, so what was ever granted must be remembered by the caller."""
    logins: frozenset[str] = frozenset()
    """Users whose password is to be tried."""
