"""What the coordinator keeps: users, roles, grants, groups, databases and their collections. Checks nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from support.double.dress import Dress
from support.double.privileges import ANY

DEFAULT = "default"
ROOT = "root"
ADMIN, PUBLIC = "admin", "public"


@dataclass(slots=True)
class Account:
    """A user."""

    password: str
    description: str = ""
    roles: set[str] = field(default_factory=set)
    can_log_in: bool = True
    """False where its name was sent with spaces around it: no form of the name fits the hash then (2.6 and newer)."""
    hash: str = ""
    """Of the password; made when somebody asks for it."""


@dataclass(frozen=True, slots=True, order=True)
class Kept:
    """One grant by the key under which it is kept."""

    object_type: str
    database: str
    object_name: str
    privilege: str


def _place(item: tuple[Kept, str]) -> tuple[str, str, str, str]:
    kept, _ = item
    return kept.object_type, kept.database, kept.object_name, kept.privilege


@dataclass(slots=True)
class Collection:
    """A collection, by its aliases."""

    aliases: set[str] = field(default_factory=set)


class Store:
    """Of one server."""

    def __init__(self, dress: Dress, root_password: str) -> None:
        self.users: dict[str, Account] = {ROOT: Account(root_password)}
        self.roles: dict[str, str] = {ADMIN: "", PUBLIC: ""}
        """Role to its description."""
        self.grants: dict[str, dict[Kept, str]] = {}
        """Role to its grants and who gave each. Grants outlive their role where it was dropped in another way than asked."""
        self.groups: dict[str, list[str]] = {}
        self.databases: dict[str, dict[str, Collection]] = {DEFAULT: {}}
        for object_type, names in dress.public.items():
            for name in names:
                self.give(PUBLIC, Kept(object_type, ANY, ANY, name), ROOT)

    def give(self, role: str, kept: Kept, grantor: str) -> None:
        """Keep a grant; who gave it first, stays."""
        self.grants.setdefault(role, {}).setdefault(kept, grantor)

    def take(self, role: str, kept: Kept) -> None:
        """Forget a grant."""
        self.grants.get(role, {}).pop(kept, None)

    def held(self, role: str) -> dict[Kept, str]:
        """Give the grants of a role."""
        return self.grants.get(role, {})

    def listed(self, role: str) -> list[tuple[Kept, str]]:
        """Return the grants of a role in the order in which servers list them."""
        return sorted(self.held(role).items(), key=_place)

    def members(self, role: str) -> list[str]:
        """Give the users with a role."""
        return sorted(name for name, account in self.users.items() if role in account.roles)

    def holders(self, group: str) -> list[str]:
        """Give the roles that hold a group."""
        return sorted(
            role for role, held in self.grants.items() if any(one.privilege == group for one in held)
        )

    def real_name(self, database: str, name: str) -> str:
        """Resolve an alias; a name that is none stays."""
        for collection, kept in self.databases.get(database, {}).items():
            if name in kept.aliases:
                return collection
        return name

    def drop_role(self, role: str) -> None:
        """Forget a role with its bindings and grants."""
        del self.roles[role]
        self.grants.pop(role, None)
        for account in self.users.values():
            account.roles.discard(role)

    def rename_plain_grants(self, database: str, old: str, new: str | None) -> Iterable[str]:
        """Move, or with None drop, what is granted on a collection by its name; give the roles that had it."""
        changed = []
        for role, held in self.grants.items():
            for kept in [one for one in held if one.object_type == "Collection"]:
                if (kept.database, kept.object_name) == (database, old):
                    grantor = held.pop(kept)
                    changed.append(role)
                    if new is not None:
                        held[Kept("Collection", database, new, kept.privilege)] = grantor
        return changed
