"""What the proxies remember of rights, and how they judge a request. They are told of changes; they do not look.

That is why a group that shrinks leaves its privilege with the users: they do not learn of it (2.4 to 3.0).
"""

import asyncio
from collections.abc import Callable, Iterable

from support.double.dress import Dress
from support.double.privileges import (
    ALL,
    ANY,
    LEGACY_MEMBERS,
    builtin_groups,
    levels,
    object_type,
)
from support.double.store import ADMIN, DEFAULT, PUBLIC, Kept, Store

Policy = tuple[str, str, str, str, str]
"""Role, object type, database, object, privilege."""


class Proxies:
    """All proxies of one server, as one."""

    def __init__(self, dress: Dress, store: Store, delay: float | None) -> None:
        self._dress = dress
        self._store = store
        self._delay = delay
        self._policies: set[Policy] = set()
        self._roles: dict[str, set[str]] = {}
        self._untold: list[Callable[[], None]] = []
        self.reload()

    def reload(self) -> None:
        """Read everything anew, as after a restart."""
        self._untold.clear()
        self._roles = {name: set(account.roles) for name, account in self._store.users.items()}
        self._policies = {
            policy
            for role in self._store.grants
            for kept in self._store.held(role)
            for policy in self.expand(role, kept)
        }

    def expand(self, role: str, kept: Kept) -> set[Policy]:
        """Return what a grant means: groups become their members, and what is Global by its name acts on every object."""
        return {self._policy(role, kept, name) for name in self._names(kept.privilege)}

    def granted(self, role: str, kept: Kept) -> None:
        """Something was granted."""
        self._tell(lambda: self._policies.update(self.expand(role, kept)))

    def revoked(self, role: str, kept: Kept) -> None:
        """Something was revoked: what the role still has by another grant stays."""

        def forget() -> None:
            left = {policy for one in self._store.held(role) for policy in self.expand(role, one)}
            self._policies -= self.expand(role, kept) - left

        self._tell(forget)

    def grown(self, group: str, privileges: Iterable[str]) -> None:
        """A group has more: every role that holds it has it too."""
        added = [
            self._policy(role, kept, name)
            for role, held in self._store.grants.items()
            for kept in held
            if kept.privilege == group
            for name in privileges
        ]
        self._tell(lambda: self._policies.update(added))

    def role_dropped(self, role: str) -> None:
        """A role is gone, and all that it could do."""

        def forget() -> None:
            self._policies = {policy for policy in self._policies if policy[0] != role}
            for roles in self._roles.values():
                roles.discard(role)

        self._tell(forget)

    def bindings_changed(self, user: str) -> None:
        """A user has other roles, or is gone."""
        account = self._store.users.get(user)
        now = set(account.roles) if account else set()

        def remember() -> None:
            self._roles[user] = now

        self._tell(remember)

    def roles_of(self, user: str) -> set[str]:
        """Return the roles that the proxies believe a user to have."""
        return self._roles.get(user, set()) | {PUBLIC}

    def allows(self, user: str, privilege: str, database: str = DEFAULT, name: str = ANY) -> bool:
        """Judge a request, given the database in which it is judged."""
        kind = object_type(privilege)
        roles = self.roles_of(user)
        if ADMIN in roles:
            return True
        target = self._store.real_name(database, name) if self._dress.resolves_aliases else name
        return any(
            policy[0] in roles and _matches(policy, kind, database, target, privilege)
            for policy in self._policies
        )

    def policies_of(self, role: str) -> set[Policy]:
        """Return what the proxies let the users of a role do."""
        return {policy for policy in self._policies if policy[0] == role}

    def judged_in(self, privilege: str, header: str, named: str) -> str:
        """Return the database in which a request is judged."""
        if not self._dress.judges_by_request:
            return header or DEFAULT
        if levels(self._dress.privileges).get(privilege) == "Cluster":
            return ANY
        return named or header or DEFAULT

    def _names(self, privilege: str) -> Iterable[str]:
        if privilege in self._store.groups:
            return tuple(self._store.groups[privilege])
        groups = builtin_groups(self._dress.privileges)
        if privilege in groups:
            return groups[privilege]
        return LEGACY_MEMBERS.get(privilege, (privilege,))

    def _policy(self, role: str, kept: Kept, name: str) -> Policy:
        kind = object_type(name)
        return role, kind, kept.database, ANY if kind == "Global" else kept.object_name, name

    def _tell(self, change: Callable[[], None]) -> None:
        # Before 2.6.6 the proxies are told after the caller; what is meant is worked out only then.
        self._untold.append(change)
        if self._dress.wal or self._delay == 0:
            self.catch_up()
        elif self._delay is not None:
            asyncio.get_running_loop().call_later(self._delay, self.catch_up)

    @property
    def untold(self) -> int:
        """How many changes the proxies have not been told of yet."""
        return len(self._untold)

    def catch_up(self, changes: int | None = None) -> None:
        """Let the proxies learn of so many changes, or of all that they do not know of yet."""
        told, self._untold = self._untold[:changes], self._untold[len(self._untold[:changes]) :]
        for change in told:
            change()


def _matches(policy: Policy, kind: str, database: str, name: str, privilege: str) -> bool:
    _, policy_kind, policy_database, policy_name, policy_privilege = policy
    if policy_privilege == ALL:
        return policy_database == database
    if policy_database not in {ANY, database} or policy_kind != kind or policy_name not in {ANY, name}:
        return False
    return policy_privilege in {ANY, privilege}
