"""Compare what a server holds with what is wanted. Compares like with like and knows no versions, owners or rules.

| object  | observed | desired | changes                                                     |
|---------|----------|---------|-------------------------------------------------------------|
| role    | -        | yes     | create, grant each                                          |
| role    | yes      | yes     | grant what is missing, revoke what is too much              |
| role    | yes      | -       | revoke each, drop                                           |
| user    | -        | yes     | create, bind each                                           |
| user    | yes      | yes     | change the password if refused, bind missing, unbind others |
| user    | yes      | -       | drop                                                        |
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from milvus_rbac.domain import catalogue
from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DropRole,
    DropUser,
    GrantPrivilege,
    RecreateUser,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
)
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.lower import Desired, DesiredRole, DesiredUser
from milvus_rbac.domain.state import PUBLIC_ROLE, Grant, PasswordVerdict, State


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would make the server agree with one claim."""

    desired: Desired
    changes: tuple[Change, ...]


def diff(observed: State, desired: Iterable[Desired]) -> tuple[Proposal, ...]:
    """Propose, claim by claim, the changes from observed to desired. Their order is that of the names."""
    return tuple(Proposal(one, tuple(_changes(observed, one))) for one in desired)


def _changes(observed: State, desired: Desired) -> Iterator[Change]:
    name = desired.claim.object_name
    match desired.state:
        case DesiredRole(grants):
            yield from _role_changes(observed, name, grants)
        case DesiredUser():
            yield from _user_changes(observed, name, desired.state)
        case None if desired.claim.ref.kind is Kind.ROLE:
            yield from _role_removal(observed, name)
        case None:
            if name in observed.users:
                yield DropUser(name, observed.users[name].roles)


def _role_changes(observed: State, name: str, wanted: frozenset[Grant]) -> Iterator[Change]:
    if name not in observed.roles:
        yield CreateRole(name)
    held = observed.roles[name].grants or frozenset() if name in observed.roles else frozenset()
    for grant in sorted(wanted - held):
        yield GrantPrivilege(name, grant)
    # A companion comes with its leader and is no drift. Without the leader it is taken by a call of its own, because
    # servers before 2.3.6 leave it.
    for grant in sorted(held - wanted - companions(wanted)):
        yield RevokePrivilege(name, grant, give_again=companions({grant}) & wanted)


def _role_removal(observed: State, name: str) -> Iterator[Change]:
    if name not in observed.roles:
        return
    held = observed.roles[name].grants or frozenset()
    for grant in sorted(held):
        yield RevokePrivilege(name, grant)
    yield DropRole(name)


def _user_changes(observed: State, name: str, wanted: DesiredUser) -> Iterator[Change]:
    user = observed.users.get(name)
    if user is None:
        yield CreateUser(name)
        held: frozenset[str] = frozenset()
    else:
        held = user.roles
        if user.password is PasswordVerdict.REFUSED or wanted.assume_refused:
            yield (
                UpdatePassword(name, wanted.means)
                if wanted.means
                else RecreateUser(name, held & wanted.roles)
            )
    for role in sorted(wanted.roles - held):
        yield BindRole(name, role)
    # Everybody has public whether it is bound or not; binding it has no effect, nor has taking it.
    for role in sorted(held - wanted.roles - {PUBLIC_ROLE}):
        yield UnbindRole(name, role)


def companions(grants: Iterable[Grant]) -> frozenset[Grant]:
    """Name the grants that servers since 2.3.6 give and take together with these."""
    return frozenset(
        Grant(grant.object_type, name, grant.database, grant.object_name)
        for grant in grants
        for privilege in (catalogue.find(grant.privilege),)
        if privilege is not None
        for name in privilege.companions
    )
