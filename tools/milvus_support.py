"""What each line of Milvus can do, as milvus/capabilities.py detects it, and what the operator does instead.

tests/contract/test_dialects.py compares it with a server of each line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from milvus_rbac.milvus.port import Capabilities


@dataclass(frozen=True, slots=True)
class Ability:
    """A feature that not every server has."""

    what: str
    has: Callable[[Capabilities], bool]
    instead: str
    """What the operator does on a server without it."""


ABILITIES: Final = (
    Ability("users, passwords, roles, bindings, single privileges", lambda _: True, ""),
    Ability(
        "privilege groups, built-in and of one's own (V2 grants)",
        lambda server: server.privilege_groups,
        "the row or group is `UnsupportedByServer`; nothing is expanded in its place",
    ),
    Ability(
        "everything is read with one call (BackupRBAC)",
        lambda server: server.privilege_groups,
        "reads the lists of users and of roles, and the grants role by role",
    ),
    Ability(
        "passwords are judged by the hash that the server keeps",
        lambda server: server.privilege_groups,
        "logs in as the user; a refusal counts when it came twice and Milvus was well before and after",
    ),
    Ability(
        "the grants of a role are listed for all databases at once",
        lambda server: server.wildcard_database_lists_all,
        "asks database by database, those in `status.grants` too, which may be gone",
    ),
    Ability(
        "a grant on an alias is stored under its collection (2.6.12 and newer)",
        lambda server: server.resolves_aliases,
        "looks no alias up: the grant is compared and stored under the name that is written",
    ),
    Ability(
        "a request is judged in the database that it names",
        lambda server: server.databases_are_boundaries,
        "nothing can be done from outside: a grant in one database can be used on others; see [security](security.md)",
    ),
    Ability(
        "a grant of `*` survives a restart",
        lambda server: not server.wildcard_breaks,
        "`*` is `UnsupportedByServer`, and the MilvusConnection warns",
    ),
)

_V2: Final = Capabilities("", authorization=True, privilege_groups=True, wildcard_database_lists_all=True)

LINES: Final[Mapping[str, Capabilities]] = MappingProxyType(
    {
        "2.3": Capabilities("2.3.21", authorization=True),
        "2.4.18": Capabilities(
            "2.4.18", True, privilege_groups=True, wildcard_database_lists_all=True, wildcard_breaks=True
        ),
        "2.5": _V2,
        "2.6": replace(_V2, resolves_aliases=True),
        "3.0": Capabilities(
            "3.0.0",
            True,
            privilege_groups=True,
            wildcard_database_lists_all=True,
            resolves_aliases=True,
            # What 3.0 is known by: renaming a collection is of the level of databases there.
            builtin_groups={"DatabaseAdmin": frozenset({"RenameCollection"})},
        ),
    }
)
"""By the version with which a line begins to be like this."""
