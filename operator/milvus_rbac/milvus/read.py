"""Reading the slice of a Milvus that a scope names, with the calls that every server has. Changes nothing."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from milvus_rbac.domain import catalogue
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import (
    ANY,
    DEFAULT_DATABASE,
    Grant,
    ObjectType,
    PasswordVerdict,
    Place,
    Role,
    Scope,
    State,
    User,
)
from milvus_rbac.errors import NotFound, Refused
from milvus_rbac.milvus import logins, requests
from milvus_rbac.milvus.concurrency import each
from milvus_rbac.milvus.port import Features, Wallet
from milvus_rbac.milvus.session import Session


async def observe(session: Session, features: Features, scope: Scope, wallet: Wallet) -> State:
    """Read all users, roles and bindings, and the grants and passwords that the scope names."""
    names = (await session.read("ListCredUsers", requests.all_users())).usernames
    listed = (await session.read("SelectRole", requests.all_roles())).results
    members = _members(listed)
    said = {row.role.name: row.role.description for row in listed}
    wanted = members if scope.holders else scope.roles
    grants = await _grants(
        session, features, {role: scope.roles.get(role, frozenset()) for role in wanted if role in members}
    )
    tried = {user: wallet.wanted[user] for user in scope.logins if user in wallet.wanted and user in names}
    verdicts = await logins.try_all(session, tried) if features.authorization else {}
    gone = {role for role, held in grants.items() if held is None}
    groups = await _groups(session) if scope.groups and features.privilege_groups else {}
    return State(
        users={
            name: User(
                frozenset(role for role, users in members.items() if name in users and role not in gone),
                verdicts.get(name, PasswordVerdict.UNKNOWN),
            )
            for name in names
        },
        roles={role: Role(grants.get(role), said[role]) for role in members if role not in gone},
        groups=groups or {},
        groups_unreadable=groups is None,
    )


async def with_descriptions(session: Session, state: State) -> State:
    """Add what is said of each user: no other reply has it."""
    reply = await session.read("SelectUser", requests.every_user())
    said = {result.user.name: result.description for result in reply.results}
    users = {name: replace(user, description=said.get(name, "")) for name, user in state.users.items()}
    return replace(state, users=users, describes=True)


async def grants_in(
    session: Session, features: Features, role: str, databases: Iterable[str]
) -> frozenset[Grant]:
    """Read the grants of a role in some databases; what is granted on all of them comes with each."""
    found: set[Grant] = set()
    for database in databases:
        reply = await session.read("SelectGrant", requests.grants_of(role, database))
        rows = (read_grant(row, is_v2=features.privilege_groups) for row in reply.entities)
        found.update(grant for grant in rows if grant is not None)
    return frozenset(found)


async def read_groups(session: Session) -> Mapping[str, frozenset[str]]:
    """Read all privilege groups, those that Milvus brings along too."""
    reply = await session.read("ListPrivilegeGroups", requests.all_groups())
    return members_of(reply.privilege_groups)


async def aliases(session: Session, places: Collection[Place]) -> Mapping[Place, str | None]:
    """Say what those of the names stand for that are aliases; None where the account may not ask."""

    async def look_up(place: Place) -> str | None:
        try:
            return str((await session.read("DescribeAlias", requests.one_alias(*place))).collection)
        except Refused as refused:
            return None if refused.refusal.reason is Reason.MISSING_PRIVILEGES else ""

    found = dict(zip(places, await each(places, look_up), strict=True))
    return {place: collection for place, collection in found.items() if collection != ""}


def members_of(groups: Any) -> dict[str, frozenset[str]]:
    """Read privilege groups as every reply has them."""
    return {group.group_name: frozenset(privilege.name for privilege in group.privileges) for group in groups}


async def _groups(session: Session) -> Mapping[str, frozenset[str]] | None:
    """Read the groups; None where the account may not: what roles hold and users are is not held back by that."""
    try:
        return await read_groups(session)
    except Refused as refused:
        if refused.refusal.reason is not Reason.MISSING_PRIVILEGES:
            raise
        return None


def read_grant(row: Any, *, is_v2: bool) -> Grant | None:
    """Read one grant; None for a privilege that the server does not know any more, after a downgrade, and gives no name."""
    privilege = row.grantor.privilege.name
    if not privilege:
        return None
    # V2 takes no type, so one that the catalogue can't foretell must not tell two grants apart.
    is_foretold = not is_v2 or catalogue.find(privilege) is not None
    return Grant(
        object_type=row.object.name if is_foretold else ObjectType.GLOBAL,
        privilege=privilege,
        database=row.db_name or DEFAULT_DATABASE,
        object_name=row.object_name,
    )


def _members(results: Any) -> dict[str, frozenset[str]]:
    # Milvus before 2.6.8 lists roles with an empty name beside the real ones (milvus#46676).
    return {row.role.name: frozenset(user.name for user in row.users) for row in results if row.role.name}


async def _grants(
    session: Session, features: Features, roles: dict[str, frozenset[str]]
) -> dict[str, frozenset[Grant] | None]:
    """Read the grants of each role; None for one that went away after the list was read."""
    if not roles:
        return {}
    everywhere = {ANY}
    if not features.wildcard_database_lists_all:
        listed = (await session.read("ListDatabases", requests.all_databases())).db_names
        everywhere |= {DEFAULT_DATABASE, *listed}

    async def read_role(role: str) -> frozenset[Grant] | None:
        known = frozenset() if features.wildcard_database_lists_all else roles[role]
        try:
            return await grants_in(session, features, role, sorted(everywhere | known))
        except NotFound:
            return None

    return dict(zip(roles, await each(roles, read_role), strict=True))
