"""Reading the slice of a Milvus that a scope names. Changes nothing."""

from collections.abc import Iterable
from typing import Any, Final

from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import ANY, DEFAULT_DATABASE, Grant, PasswordVerdict, Role, Scope, State, User
from milvus_rbac.errors import MilvusRbacError, NotFound, Unreachable
from milvus_rbac.milvus import requests
from milvus_rbac.milvus.concurrency import each
from milvus_rbac.milvus.port import Credentials, Features, Password, Wallet
from milvus_rbac.milvus.session import Session

_ATTEMPTS: Final = 2
"""How often a login must be refused to count as refused."""


async def observe(session: Session, features: Features, scope: Scope, wallet: Wallet) -> State:
    """Read all users, roles and bindings, and the grants and passwords that the scope names."""
    names = (await session.read("ListCredUsers", requests.all_users())).usernames
    members = _members((await session.read("SelectRole", requests.all_roles())).results)
    grants = await _grants(
        session, features, {role: scope.roles[role] for role in scope.roles if role in members}
    )
    tried = {user: wallet.wanted[user] for user in scope.logins if user in wallet.wanted and user in names}
    verdicts = await _verdicts(session, tried) if features.authorization else {}
    gone = {role for role, held in grants.items() if held is None}
    return State(
        users={
            name: User(
                frozenset(role for role, users in members.items() if name in users and role not in gone),
                verdicts.get(name, PasswordVerdict.UNKNOWN),
            )
            for name in names
        },
        roles={role: Role(grants.get(role)) for role in members if role not in gone},
    )


async def grants_in(session: Session, role: str, databases: Iterable[str]) -> frozenset[Grant]:
    """Read the grants of a role in some databases; what is granted on all of them comes with each."""
    found: set[Grant] = set()
    for database in databases:
        reply = await session.read("SelectGrant", requests.grants_of(role, database))
        # A privilege that the server does not know any more, after a downgrade, is listed without a name.
        found.update(_grant(row) for row in reply.entities if row.grantor.privilege.name)
    return frozenset(found)


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
            return await grants_in(session, role, sorted(everywhere | known))
        except NotFound:
            return None

    return dict(zip(roles, await each(roles, read_role), strict=True))


def _grant(row: Any) -> Grant:
    return Grant(
        object_type=row.object.name,
        privilege=row.grantor.privilege.name,
        database=row.db_name or DEFAULT_DATABASE,
        object_name=row.object_name,
    )


async def _verdicts(session: Session, tried: dict[str, Password]) -> dict[str, PasswordVerdict]:
    async def try_user(user: str) -> PasswordVerdict:
        return await _verdict(session, Credentials(user, tried[user]))

    return dict(zip(tried, await each(tried, try_user), strict=True))


async def _verdict(session: Session, credentials: Credentials) -> PasswordVerdict:
    """Log in, and believe a refusal only when it is proven.

    A proxy that cannot reach its coordinator says "wrong password" too. So: refused twice, and a call that needs the
    coordinator answered before (the list of users) and after.
    """
    for _ in range(_ATTEMPTS):
        verdict = await try_login(session, credentials)
        if verdict is not PasswordVerdict.REFUSED:
            return verdict
    try:
        await session.read("ListCredUsers", requests.all_users())
    except MilvusRbacError:
        return PasswordVerdict.UNKNOWN
    return PasswordVerdict.REFUSED


async def try_login(session: Session, credentials: Credentials) -> PasswordVerdict:
    """Log in once on a channel of its own; a channel that exists already would prove nothing."""
    async with Session(session.endpoint, credentials) as login:
        try:
            await login.log_in()
        except Unreachable as error:
            rejected = error.refusal.reason is Reason.CREDENTIALS_REJECTED
            return PasswordVerdict.REFUSED if rejected else PasswordVerdict.UNKNOWN
    return PasswordVerdict.IN_FORCE
