"""Compare what a server holds with what is wanted. Compares like with like and knows no versions, owners or rules.

| object  | observed | desired | changes                                                     |
|---------|----------|---------|-------------------------------------------------------------|
| role    | -        | yes     | create, grant each                                          |
| role    | yes      | yes     | grant what is missing, revoke what is too much              |
| role    | yes      | -       | revoke each, drop                                           |
| user    | -        | yes     | create, bind each                                           |
| user    | yes      | yes     | change the password if refused, bind missing, unbind others |
| user    | yes      | -       | drop                                                        |
| group   | -        | yes     | create, fill                                                |
| group   | yes      | yes     | add what is missing, remove what is too much, and take that |
|         |          |         | from the proxies for every role that holds it               |
| group   | yes      | -       | drop                                                        |
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from milvus_rbac.domain import privileges
from milvus_rbac.domain.changes import (
    AddPrivileges,
    BindRole,
    Change,
    ClearProxies,
    CreateGroup,
    CreateRole,
    CreateUser,
    DescribeRole,
    DescribeUser,
    DropGroup,
    DropRole,
    DropUser,
    GrantPrivilege,
    RecreateUser,
    RemovePrivileges,
    ReplacePrivileges,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
)
from milvus_rbac.domain.claims import Kind, StaleGrant, stale_of
from milvus_rbac.domain.desired import Desired, DesiredGroup, DesiredRole, DesiredUser
from milvus_rbac.domain.scopes import KnownPrivileges
from milvus_rbac.domain.state import PUBLIC_ROLE, Grant, ObjectType, PasswordVerdict, State


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would make the server agree with one claim."""

    desired: Desired
    changes: tuple[Change, ...]
    stale: frozenset[StaleGrant] = frozenset()
    """Of a group: what the proxies give, or will give once the changes are made, although no grant does."""


def diff(
    observed: State,
    desired: Sequence[Desired],
    known_privileges: KnownPrivileges | None = None,
) -> tuple[Proposal, ...]:
    """Propose, claim by claim, the changes from observed to desired. Their order is that of the names.

    Args:
        observed: what the server holds.
        desired: what it is to hold.
        known_privileges: the server's privileges; needed for groups only.
    """
    wanted = {
        one.claim.object_name: one.state.grants for one in desired if isinstance(one.state, DesiredRole)
    }
    groups = _GroupDiff(observed, known_privileges or KnownPrivileges(), wanted)
    return tuple(
        groups.proposal(one)
        if one.claim.ref.kind is Kind.GROUP
        else Proposal(one, tuple(_changes(observed, one)))
        for one in desired
    )


def _changes(observed: State, desired: Desired) -> Iterator[Change]:
    name = desired.claim.object_name
    match desired.state:
        case DesiredRole():
            yield from _role_changes(observed, name, desired.state)
        case DesiredUser():
            yield from _user_changes(observed, name, desired.state)
        case _ if desired.claim.ref.kind is Kind.ROLE:
            yield from _role_removal(observed, name)
        case _:
            if name in observed.users:
                yield DropUser(name, observed.users[name].roles)


def _role_changes(observed: State, name: str, desired: DesiredRole) -> Iterator[Change]:
    if name not in observed.roles:
        yield CreateRole(name)
    held = observed.roles[name].grants or frozenset() if name in observed.roles else frozenset()
    now = observed.roles[name].description if name in observed.roles else ""
    if observed.describes and desired.description not in {None, now}:
        yield DescribeRole(name, desired.description or "")
    wanted = desired.grants
    for grant in sorted(wanted - held):
        yield GrantPrivilege(name, grant)
    # A companion comes with its leader and is no drift. Without the leader it is taken by a call of its own, because
    # servers before 2.3.6 leave it.
    for grant in sorted(held - wanted - privileges.companions(wanted)):
        yield RevokePrivilege(name, grant, give_again=privileges.companions({grant}) & wanted)


def _role_removal(observed: State, name: str) -> Iterator[Change]:
    if name not in observed.roles:
        return
    held = observed.roles[name].grants or frozenset()
    for grant in sorted(held):
        yield RevokePrivilege(name, grant, before_drop=True)
    yield DropRole(name)


def _user_changes(observed: State, name: str, wanted: DesiredUser) -> Iterator[Change]:
    user = observed.users.get(name)
    if user is None:
        yield CreateUser(name)
        held: frozenset[str] = frozenset()
        described = ""
    else:
        held, described = user.roles, user.description
        is_outdated = user.password is PasswordVerdict.REFUSED or wanted.assume_refused
        if is_outdated and not wanted.keeps_password:
            if wanted.means:
                yield UpdatePassword(name, wanted.means)
            else:
                yield RecreateUser(name, held & wanted.roles)
                described = ""
    if observed.describes and wanted.description not in {None, described}:
        yield DescribeUser(name, wanted.description or "")
    for role in sorted(wanted.roles - held):
        yield BindRole(name, role)
    # Everybody has public whether it is bound or not; binding it has no effect, nor has taking it.
    for role in sorted(held - wanted.roles - {PUBLIC_ROLE}):
        yield UnbindRole(name, role)


@dataclass(frozen=True, slots=True)
class _GroupDiff:
    """Compares privilege groups: what one loses must be taken from the roles that hold it too."""

    observed: State
    known_privileges: KnownPrivileges
    wanted: Mapping[str, frozenset[Grant]]
    """What the roles of this round are to have, by name."""

    def proposal(self, desired: Desired) -> Proposal:
        name = desired.claim.object_name
        held = self.observed.groups.get(name)
        left = frozenset(one for one in stale_of(desired.claim) if not self._is_given(name, one))
        if not isinstance(desired.state, DesiredGroup):
            drop = () if held is None else (DropGroup(name),)
            return Proposal(desired, (*self._clearing(left, before_drop=True), *drop), left)
        wanted = desired.state.privileges
        if held is not None and self._changes_level(held, wanted):
            return Proposal(desired, (ReplacePrivileges(name, held, wanted),), left)
        too_much = (held or frozenset()) - wanted
        stale = left | self._left_with_holders(name, too_much)
        changes: list[Change] = [CreateGroup(name)] if held is None else []
        if missing := wanted - (held or frozenset()):
            changes.append(AddPrivileges(name, missing))
        if too_much:
            changes.append(RemovePrivileges(name, too_much))
        return Proposal(desired, (*changes, *self._clearing(stale)), stale)

    def _changes_level(self, held: frozenset[str], wanted: frozenset[str]) -> bool:
        levels = {self.known_privileges.level_of(name) for name in held} | {
            self.known_privileges.level_of(name) for name in wanted
        }
        return bool(held) and len(levels) > 1

    def _left_with_holders(self, group: str, privileges: AbstractSet[str]) -> frozenset[StaleGrant]:
        """Say who keeps what: roles that hold the group, and those that get it before it shrinks, in the same round."""
        return frozenset(
            StaleGrant(role, Grant(stored_type(privilege), privilege, grant.database, grant.object_name))
            for role in self.observed.roles.keys() | self.wanted.keys()
            for grant in self._held(role) | self.wanted.get(role, frozenset())
            if grant.privilege == group
            for privilege in privileges
        )

    def _is_given(self, group: str, stale: StaleGrant) -> bool:
        """Tell whether what was left is right by now: the group has the privilege again, and the role has the group there."""
        return stale.grant.privilege in self.observed.groups.get(group, ()) and any(
            one.privilege == group and (one.database, one.object_name) == _place(stale.grant)
            for one in self._held(stale.role)
        )

    def _clearing(self, stale: Iterable[StaleGrant], *, before_drop: bool = False) -> Iterator[Change]:
        for one in sorted(stale):
            if one.role in self.observed.roles or one.role in self.wanted:
                yield ClearProxies(one.role, one.grant, before_drop=before_drop)

    def _held(self, role: str) -> frozenset[Grant]:
        return self.observed.roles[role].grants or frozenset() if role in self.observed.roles else frozenset()


def _place(grant: Grant) -> tuple[str, str]:
    return grant.database, grant.object_name


def stored_type(privilege: str) -> str:
    """Say under which type a server with privilege groups keeps a grant of the name."""
    row = privileges.find(privilege)
    return row.object_type if row else ObjectType.GLOBAL
