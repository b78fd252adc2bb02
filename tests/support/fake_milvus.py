"""A Milvus in memory, for the properties: it does what Milvus 2.3 does, and refuses what Milvus 2.3 refuses.

Whatever it lets pass and a real server would not is a hole in every property.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from milvus_rbac.domain import privileges
from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DropRole,
    DropUser,
    GrantPrivilege,
    PasswordMeans,
    RecreateUser,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
)
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import (
    ANY,
    BUILTIN_ROLES,
    ROOT_USER,
    Grant,
    ObjectType,
    PasswordVerdict,
    Place,
    Role,
    Scope,
    State,
    User,
)
from milvus_rbac.milvus.errors import (
    AlreadyExists,
    Changed,
    NotFound,
    OldPasswordRefused,
    Refused,
    StillGranted,
    Unreachable,
)
from milvus_rbac.milvus.port import Aliases, Capabilities, Password, PasswordTexts

ROOT_PASSWORD = Password("root's own")


@dataclass(slots=True)
class Account:
    """A user as the server keeps it."""

    password: Password
    roles: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Outage:
    """Lets some writes through, then breaks the connection until it is lifted."""

    after: int
    """How many writes go through."""
    answer_lost: bool = False
    """The write at which the connection breaks is made all the same."""


@dataclass(slots=True)
class FakeMilvus:
    """One server. It counts its writes, and keeps the changes that were asked of it."""

    companions: bool = False
    """Load and Flush are granted and revoked with their companions (2.3.6 and later)."""
    superuser: bool = False
    """The caller is listed in common.security.superUsers."""
    authorization: bool = True
    max_users: int = 100
    """Counts root."""
    max_roles: int = 10
    """Counts admin and public."""
    users: dict[str, Account] = field(default_factory=lambda: {ROOT_USER: Account(ROOT_PASSWORD)})
    roles: dict[str, set[Grant]] = field(default_factory=lambda: {role: set() for role in BUILTIN_ROLES})
    outage: Outage | None = None
    writes: int = 0
    asked: list[Change] = field(default_factory=list)
    is_interrupted: bool = False

    # --- what the controller asks: milvus/port.py

    async def probe(self) -> Capabilities:
        return Capabilities("2.3.21", self.authorization, companions=self.companions)

    async def observe(self, scope: Scope, password_texts: PasswordTexts) -> State:
        return State(
            users={
                name: User(frozenset(account.roles), self._verdict(name, scope, password_texts))
                for name, account in self.users.items()
            },
            roles={
                role: Role(frozenset(grants) if role in scope.roles else None)
                for role, grants in self.roles.items()
            },
        )

    async def resolve(self, places: Collection[Place]) -> Aliases:  # noqa: ARG002 - the port's
        return Aliases()  # this old, no server looks aliases up

    async def missing(self, named: Collection[Place]) -> frozenset[Place]:  # noqa: ARG002 - the port's
        return frozenset()

    async def confirm(self, users: Collection[str], password_texts: PasswordTexts) -> Mapping[str, User]:  # noqa: ARG002 - the port's
        return {}  # this old, no server shows hashes

    async def apply(
        self, change: Change, password_texts: PasswordTexts, may_write: Callable[[], None]
    ) -> None:
        may_write()
        self.make(change, password_texts)

    async def close(self) -> None:
        pass

    # --- one change, as milvus/write.py makes it: every line may be refused, and the connection break before or after

    def make(self, change: Change, password_texts: PasswordTexts) -> None:  # noqa: C901, PLR0912 - one arm for each verb
        self.asked.append(change)
        match change:
            case CreateRole(role):
                self._write(partial(self._create_role, role))
            case GrantPrivilege(role, grant):
                self._write(partial(self._give, role, grant))
            case RevokePrivilege(role, grant, give_again):
                self._write(partial(self._take, role, grant))
                for companion in sorted(give_again):
                    self._write(partial(self._give, role, companion))
            case CreateUser(user):
                self._write(partial(self._create_user, user, password_texts.wanted[user]))
            case UpdatePassword(user, means):
                self._write(partial(self._update_password, user, means, password_texts))
            case RecreateUser(user, roles):
                if user not in self.users:
                    raise NotFound(f"user {user}")
                self._write(partial(self._drop_user, user))
                self._write(partial(self._create_user, user, password_texts.wanted[user]))
                for role in sorted(roles):
                    self._write(partial(self._bind, user, role))
            case BindRole(user, role):
                self._write(partial(self._bind, user, role))
            case UnbindRole(user, role):
                self._write(partial(self._unbind, user, role))
            case DropUser(user, roles):
                if user not in self.users:
                    return
                if self.users[user].roles != roles:
                    raise Changed(f"user {user}")
                self._write(partial(self._drop_user, user))
            case DropRole(role):
                self._write(partial(self._drop_role, role))
            case _:
                raise Refused(Reason.UNSUPPORTED_BY_SERVER, "no privilege groups")

    # --- what a test puts there by hand, and looks at

    @classmethod
    def holding(
        cls,
        users: Mapping[str, tuple[Password, Iterable[str]]],
        roles: Mapping[str, Iterable[Grant]],
        **settings: bool | int,
    ) -> "FakeMilvus":
        """A server where somebody was before; nothing of it counts as asked."""
        server = cls(**settings)  # type: ignore[arg-type]  # the fields above, by name
        server.roles |= {role: set(grants) for role, grants in roles.items()}
        server.users |= {name: Account(password, set(bound)) for name, (password, bound) in users.items()}
        assert all(account.roles <= server.roles.keys() for account in server.users.values())
        return server

    # --- the writes themselves

    def _write(self, write: Callable[[], None]) -> None:
        if self.outage is None or self.writes < self.outage.after:
            write()
            self.writes += 1
            return
        if self.outage.answer_lost and self.writes == self.outage.after:
            with suppress(Refused):  # nobody hears of that either
                write()
            self.writes += 1
        raise Unreachable(Reason.UNREACHABLE, "The connection broke.")

    def _create_role(self, role: str) -> None:
        if role in self.roles:
            raise AlreadyExists(f"role {role}")
        if len(self.roles) >= self.max_roles:
            raise Refused(Reason.LIMIT_REACHED, "number of roles")
        self.roles[role] = set()

    def _drop_role(self, role: str) -> None:
        self._must_have_role(role)
        if role in BUILTIN_ROLES:
            raise Refused(Reason.RESERVED_NAME, f"role {role} is built in")
        if self.roles[role]:
            raise StillGranted
        del self.roles[role]
        for account in self.users.values():
            account.roles.discard(role)

    def _give(self, role: str, grant: Grant) -> None:
        self._must_have_role(role)
        _must_be_grantable(grant)
        self.roles[role] |= {grant, *self._companions(grant)}

    def _take(self, role: str, grant: Grant) -> None:
        self._must_have_role(role)
        _must_be_grantable(grant)
        self.roles[role] -= {grant, *self._companions(grant)}

    def _create_user(self, user: str, password: Password) -> None:
        # At the limit, servers before 2.6 say so even of a user that is there.
        if len(self.users) >= self.max_users:
            raise Refused(Reason.LIMIT_REACHED, "number of users")
        if user in self.users:
            raise AlreadyExists(f"user {user}")
        self.users[user] = Account(password)

    def _drop_user(self, user: str) -> None:
        if user == ROOT_USER:
            raise Refused(Reason.RESERVED_NAME, "root cannot be deleted")
        self.users.pop(user, None)

    def _update_password(self, user: str, means: PasswordMeans, password_texts: PasswordTexts) -> None:
        account = self.users.get(user)
        if account is None and means is PasswordMeans.SUPERUSER:
            # The client looks first: such an update would create the user.
            raise NotFound(f"user {user}")
        knows = account is not None and password_texts.old.get(user) == account.password
        if account is None or not (self.superuser if means is PasswordMeans.SUPERUSER else knows):
            raise OldPasswordRefused(f"user {user}")
        account.password = password_texts.wanted[user]

    def _bind(self, user: str, role: str) -> None:
        self._must_have_role(role)
        if user not in self.users:
            raise NotFound(f"user {user}")
        self.users[user].roles.add(role)

    def _unbind(self, user: str, role: str) -> None:
        self._must_have_role(role)
        if user in self.users:
            self.users[user].roles.discard(role)

    # --- looking

    def _must_have_role(self, role: str) -> None:
        if role not in self.roles:
            raise NotFound(f"role {role}")

    def _companions(self, grant: Grant) -> set[Grant]:
        row = privileges.find(grant.privilege)
        if row is None or not self.companions:
            return set()
        return {Grant(grant.object_type, name, grant.database, grant.object_name) for name in row.companions}

    def _verdict(self, user: str, scope: Scope, password_texts: PasswordTexts) -> PasswordVerdict:
        if not self.authorization or user not in scope.logins or user not in password_texts.wanted:
            return PasswordVerdict.UNKNOWN
        is_right = self.users[user].password == password_texts.wanted[user]
        return PasswordVerdict.IN_FORCE if is_right else PasswordVerdict.REFUSED


def _must_be_grantable(grant: Grant) -> None:
    """What OperatePrivilege checks: the name, and that the type is the one under which it is kept."""
    row = privileges.find(grant.privilege)
    if row is None or row.group:
        raise Refused(Reason.UNKNOWN_PRIVILEGE, grant.privilege)
    if not row.everything and row.object_type != grant.object_type:
        # The server says that it does not know the name, which to whoever knows that it does means another server.
        raise Refused(Reason.UNSUPPORTED_BY_SERVER, f"{grant.privilege} is not of type {grant.object_type}")
    if grant.object_type == ObjectType.GLOBAL and grant.object_name != ANY:
        raise Refused(Reason.INVALID_SCOPE, "Global takes no object name")
