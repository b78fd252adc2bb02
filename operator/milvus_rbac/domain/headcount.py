"""How many users and roles there are under the names of an entry of delegations, those of the turn included."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from milvus_rbac.domain.changes import Change, CreateRole, CreateUser
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.delegation import fits


@dataclass(slots=True)
class Headcount:
    """The users and roles that exist by the time the next is created."""

    users: set[str]
    roles: set[str]
    _counts: dict[tuple[Kind, tuple[str, ...]], int] = field(default_factory=dict)

    def note(self, changes: Iterable[Change]) -> None:
        """Count what will be created."""
        for change in changes:
            if isinstance(change, CreateUser):
                self._add(Kind.USER, change.user)
            elif isinstance(change, CreateRole):
                self._add(Kind.ROLE, change.role)

    def under(self, kind: Kind, patterns: tuple[str, ...]) -> int:
        """Return how many users or roles there are with names that an entry delegates."""
        key = (kind, patterns)
        if key not in self._counts:
            names = self.users if kind is Kind.USER else self.roles
            self._counts[key] = sum(fits(name, patterns) for name in names)
        return self._counts[key]

    def _add(self, kind: Kind, name: str) -> None:
        (self.users if kind is Kind.USER else self.roles).add(name)
        for (of, patterns), count in self._counts.items():
            if of is kind and fits(name, patterns):
                self._counts[of, patterns] = count + 1
