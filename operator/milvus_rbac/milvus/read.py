"""Reading the slice of a Milvus that a scope names, with the calls that every server has. Changes nothing."""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from milvus_rbac.domain import privileges
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import (
    ADMIN_ROLE,
    ANY,
    BUILTIN_ROLES,
    DEFAULT_DATABASE,
    PUBLIC_ROLE,
    Grant,
    ObjectType,
    PasswordVerdict,
    Place,
    Role,
    Scope,
    State,
    User,
)
from milvus_rbac.milvus import logins, requests
from milvus_rbac.milvus.channel import Session, each
from milvus_rbac.milvus.errors import NotFound, Refused
from milvus_rbac.milvus.port import Capabilities, PasswordTexts


async def observe(
    session: Session, capabilities: Capabilities, scope: Scope, password_texts: PasswordTexts
) -> State:
    """Read all users, roles and bindings, and the grants and passwords that the scope names."""
    names = (await session.read("ListCredUsers", requests.all_users())).usernames
    listed = (await session.read("SelectRole", requests.all_roles())).results
    members = _members(listed)
    said = {row.role.name: row.role.description for row in listed}
    wanted = members if scope.holders else scope.roles
    grants = await _grants(
        session,
        capabilities,
        {role: scope.roles.get(role, frozenset()) for role in wanted if role in members},
    )
    tried = {
        user: password_texts.wanted[user]
        for user in scope.logins
        if user in password_texts.wanted and user in names
    }
    verdicts = await logins.try_all(session, tried) if capabilities.authorization else {}
    gone = {role for role, held in grants.items() if held is None}
    groups = await _groups(session) if scope.groups and capabilities.privilege_groups else {}
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
    session: Session, capabilities: Capabilities, role: str, databases: Iterable[str]
) -> frozenset[Grant]:
    """Read the grants of a role in some databases; what is granted on all of them comes with each."""
    found: set[Grant] = set()
    for database in databases:
        reply = await session.read("SelectGrant", requests.grants_of(role, database))
        rows = (read_grant(row, is_v2=capabilities.privilege_groups) for row in reply.entities)
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
    is_foretold = not is_v2 or privileges.find(privilege) is not None
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
    session: Session, capabilities: Capabilities, roles: dict[str, frozenset[str]]
) -> dict[str, frozenset[Grant] | None]:
    """Read the grants of each role; None for one that went away after the list was read."""
    if not roles:
        return {}
    everywhere = {ANY}
    if not capabilities.wildcard_database_lists_all:
        listed = (await session.read("ListDatabases", requests.all_databases())).db_names
        everywhere |= {DEFAULT_DATABASE, *listed}

    async def read_role(role: str) -> frozenset[Grant] | None:
        known = frozenset() if capabilities.wildcard_database_lists_all else roles[role]
        try:
            return await grants_in(session, capabilities, role, sorted(everywhere | known))
        except NotFound:
            return None

    return dict(zip(roles, await each(roles, read_role), strict=True))


FEW_ROLES: Final = 4
"""Up to so many roles are read one by one: on a big server, everything at once takes longer than that."""


class Snapshots:
    """The whole of one Milvus, kept for a moment: one picture serves all rounds in which nothing changes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._taken: tuple[float, Any] | None = None
        self._is_refused = False

    def forget(self) -> None:
        """Something changed, or may have."""
        self._taken = None

    async def observe(
        self, capabilities: Capabilities, scope: Scope, password_texts: PasswordTexts
    ) -> State | None:
        """Read everything; None where another way is needed, because the server refuses this one, or is better."""
        if self._is_refused or not (scope.logins or scope.holders or len(scope.roles) > FEW_ROLES):
            return None
        try:
            meta = await self._take(scope.may_be_old)
        except Refused as refused:
            if refused.refusal.reason not in {Reason.MISSING_PRIVILEGES, Reason.UNSUPPORTED_BY_SERVER}:
                raise
            self._is_refused = True
            return None
        grants = _grants_in_backup(meta)
        if scope.holders:
            for role in (ADMIN_ROLE, PUBLIC_ROLE):
                grants[role] = set(await grants_in(self._session, capabilities, role, (ANY,)))
        hashes = {one.user: one.password for one in meta.users}
        judged = scope.logins if capabilities.authorization else {}
        verdicts = await logins.judge(hashes, password_texts.wanted, judged, self._session.listener)
        names = {role.name for role in meta.roles if role.name}
        said: dict[str, str] = {role.name: role.description for role in meta.roles}
        return State(
            users={
                one.user: User(
                    # Milvus before 2.6.8 lists roles with an empty name beside the real ones (milvus#46676).
                    frozenset(role.name for role in one.roles if role.name),
                    verdicts.get(one.user, PasswordVerdict.UNKNOWN),
                    logins.digest(one.password),
                )
                for one in meta.users
            },
            roles={
                role: Role(
                    frozenset(grants.get(role, ())) if role in names or role in grants else None,
                    said.get(role, ""),
                )
                for role in names | BUILTIN_ROLES
            },
            groups={**capabilities.builtin_groups, **members_of(meta.privilege_groups)},
        )

    async def _take(self, may_be_old: float) -> Any:
        now = time.monotonic()
        if self._taken is None or now - self._taken[0] > may_be_old:
            self._taken = None
            reply = await self._session.read("BackupRBAC", requests.backup())
            self._taken = (now, reply.RBAC_meta)
        return self._taken[1]


def _grants_in_backup(meta: Any) -> dict[str, set[Grant]]:
    grants: dict[str, set[Grant]] = {}
    for row in meta.grants:
        if (grant := read_grant(row, is_v2=True)) is not None:
            grants.setdefault(row.role.name, set()).add(grant)
    return grants
