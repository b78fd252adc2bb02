"""The state of a Milvus, read with the calls that every server has. Changes nothing."""

import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from milvus_rbac.domain import privileges
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.state import (
    ANY,
    DEFAULT_DATABASE,
    Grant,
    ObjectType,
    PasswordVerdict,
    Role,
    Scope,
    State,
    User,
)
from milvus_rbac.milvus import logins, requests
from milvus_rbac.milvus.channel import Session, each
from milvus_rbac.milvus.errors import InternalError, NotFound, Refused, is_about_account
from milvus_rbac.milvus.port import Capabilities, PasswordTexts


async def observe(
    session: Session, capabilities: Capabilities, scope: Scope, password_texts: PasswordTexts
) -> State:
    """Return all users, roles and bindings, and the grants and passwords that the scope names."""
    names = frozenset((await session.read("ListCredUsers", requests.all_users())).usernames)
    listed = (await session.read("SelectRole", requests.all_roles())).results
    # Milvus before 2.6.8 lists roles with an empty name beside the real ones (milvus#46676).
    descriptions = {row.role.name: row.role.description for row in listed if row.role.name}
    wanted = descriptions.keys() if scope.holders else descriptions.keys() & scope.roles.keys()
    databases = {role: scope.roles.get(role, frozenset()) for role in wanted}
    read = await read_each_role(session, capabilities, databases)
    tried = {
        user: password_texts.wanted[user]
        for user in scope.logins
        if user in password_texts.wanted and user in names
    }
    verdicts = await logins.try_all(session, tried) if capabilities.authorization else {}
    groups = await _groups(session) if scope.groups and capabilities.privilege_groups else {}
    bindings = _bindings(listed, descriptions.keys() - read.gone)
    return State(
        users={
            name: User(
                frozenset(bindings.get(name, ())),
                verdicts.get(name, PasswordVerdict.UNKNOWN),
            )
            for name in names
        },
        roles={
            role: Role(read.grants.get(role), description)
            for role, description in descriptions.items()
            if role not in read.gone
        },
        groups=groups or {},
        groups_unreadable=groups is None,
        troubles=read.troubles,
    )


async def with_descriptions(session: Session, state: State) -> State:
    """Return the state with the users' descriptions, which no other call shows.

    Where the call fails, it stays a state without descriptions: nothing else depends on them.
    """
    try:
        reply = await session.read("SelectUser", requests.every_user())
    except (Refused, InternalError):
        return state
    found = {result.user.name: result.description for result in reply.results}
    users = {name: replace(user, description=found.get(name, "")) for name, user in state.users.items()}
    return replace(state, users=users, describes=True)


@dataclass(frozen=True, slots=True)
class RolesRead:
    """The grants of some roles."""

    grants: Mapping[str, frozenset[Grant] | None]
    """None where they can't be read."""
    gone: frozenset[str]
    """Roles that went away after they were listed."""
    troubles: Mapping[tuple[str, str], Refusal]
    """Why grants can't be read, as in `State.troubles`."""


async def read_each_role(
    session: Session, capabilities: Capabilities, roles: Mapping[str, frozenset[str]]
) -> RolesRead:
    """Return the grants of each role, given with the databases in which its grants are known to be."""
    if not roles:
        return RolesRead({}, frozenset(), {})
    everywhere = {ANY}
    if not capabilities.wildcard_database_lists_all:
        listed = (await session.read("ListDatabases", requests.all_databases())).db_names
        everywhere |= {DEFAULT_DATABASE, *listed}
    gone: set[str] = set()
    troubles: dict[tuple[str, str], Refusal] = {}

    async def read_role(role: str) -> frozenset[Grant] | None:
        known = frozenset() if capabilities.wildcard_database_lists_all else roles[role]
        try:
            return await grants_in(session, capabilities, role, sorted(everywhere | known))
        except NotFound:
            gone.add(role)
        except (Refused, InternalError) as error:
            if is_about_account(error):
                raise
            message = f"The grants of role {role} can't be read: {error.refusal.message}"
            troubles["role", role] = Refusal(error.refusal.reason, message)
        return None

    grants = dict(zip(roles, await each(roles, read_role), strict=True))
    return RolesRead(grants, frozenset(gone), troubles)


async def grants_in(
    session: Session, capabilities: Capabilities, role: str, databases: Iterable[str]
) -> frozenset[Grant]:
    """Return the grants of a role in some databases; each reply holds those on all databases too."""
    found: set[Grant] = set()
    for database in databases:
        reply = await session.read("SelectGrant", requests.grants_of(role, database))
        rows = (read_grant(row, is_v2=capabilities.privilege_groups) for row in reply.entities)
        found.update(grant for grant in rows if grant is not None)
    return frozenset(found)


async def read_groups(session: Session) -> Mapping[str, frozenset[str]]:
    """Return all privilege groups with their privileges, the built-in ones too."""
    reply = await session.read("ListPrivilegeGroups", requests.all_groups())
    return members_of(reply.privilege_groups)


def members_of(groups: Any) -> dict[str, frozenset[str]]:
    """Return the privileges of each group in a reply."""
    return {group.group_name: frozenset(privilege.name for privilege in group.privileges) for group in groups}


async def _groups(session: Session) -> Mapping[str, frozenset[str]] | None:
    """Return the groups; None where the account may not list them: users and roles can be read all the same."""
    try:
        return await read_groups(session)
    except Refused as refused:
        if refused.refusal.reason is not Reason.MISSING_PRIVILEGES:
            raise
        return None


def read_grant(row: Any, *, is_v2: bool) -> Grant | None:
    """Return a grant of a reply; None if its privilege has no name, which the server forgot with a downgrade."""
    privilege = row.grantor.privilege.name
    if not privilege:
        return None
    # V2 takes no type: what the server stores for an unknown privilege can't be foretold, so it must not make a difference.
    is_foretold = not is_v2 or privileges.find(privilege) is not None
    # The texts of many grants are the same.
    return Grant(
        object_type=sys.intern(row.object.name) if is_foretold else ObjectType.GLOBAL,
        privilege=sys.intern(privilege),
        database=sys.intern(row.db_name or DEFAULT_DATABASE),
        object_name=sys.intern(row.object_name),
    )


def _bindings(listed: Iterable[Any], roles: AbstractSet[str]) -> Mapping[str, set[str]]:
    """Return the roles of each user, of those that are there."""
    bindings: dict[str, set[str]] = {}
    for row in listed:
        for user in row.users if row.role.name in roles else ():
            bindings.setdefault(user.name, set()).add(row.role.name)
    return bindings
