"""What a server can do and how it is set up, found by asking it; and the weaknesses that its version is known for.

A new version of Milvus is a line here.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.privileges import find
from milvus_rbac.domain.state import (
    ADMIN_ROLE,
    ANY,
    DEFAULT_DATABASE,
    PUBLIC_ROLE,
    ROOT_USER,
    ZILLIZ_ADMIN,
    Grant,
    PasswordVerdict,
)
from milvus_rbac.milvus import requests
from milvus_rbac.milvus.channel import Session
from milvus_rbac.milvus.errors import InternalError, NotFound, Refused, Unreachable, is_about_account
from milvus_rbac.milvus.logins import try_login
from milvus_rbac.milvus.port import Capabilities, Credentials, Password
from milvus_rbac.milvus.read import grants_in, read_groups

DEFAULT_ROOT: Final = Credentials(ROOT_USER, Password("Milvus"))
"""The account of every fresh Milvus."""

_NEEDED: Final = (
    "CreateOwnership",
    "DropOwnership",
    "SelectOwnership",
    "ManageOwnership",
    "SelectUser",
    "UpdateUser",
)
_USEFUL: Final = (
    "CreatePrivilegeGroup",
    "DropPrivilegeGroup",
    "ListPrivilegeGroups",
    "OperatePrivilegeGroup",
    "BackupRBAC",
)
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
_OLDEST: Final = (2, 3)
_COMPANIONS: Final = (2, 3, 6)
_WILDCARD_DATABASE: Final = (2, 4, 1)
_ALIASES: Final = (2, 6, 12)
_MAJOR_AND_MINOR: Final = 2
_PRIVILEGE_GROUPS: Final = (2, 4, 18)
_WILDCARD_BREAKS: Final = (((2, 4, 18), (2, 5)), ((2, 5, 0), (2, 5, 7)))
"""From the first version of each pair until before the second; 2.4 was never fixed."""


def parse_version(text: str) -> tuple[int, ...] | None:
    """Return the version in a text; None for builds without a stamp, which answer "unknown" or nothing."""
    match = _VERSION.match(text)
    return tuple(int(part) for part in match.groups() if part) if match else None


async def learn(session: Session, own: Credentials) -> Capabilities:
    """Return what a server can do, after a login that proves the account."""
    version = await session.log_in()
    parsed = parse_version(version)
    if parsed is not None and parsed < _OLDEST:
        raise Refused(
            Reason.UNSUPPORTED_BY_SERVER,
            f"Milvus {version} is older than 2.3, the first version that the operator manages: upgrade it.",
        )
    users = await _users(session)
    session.cloud = cloud = ZILLIZ_ADMIN in users and ROOT_USER not in users
    authorization = await _checks_logins(session)
    known, groups = await _privilege_groups(session, parsed)
    found = Capabilities(
        version=version,
        authorization=authorization,
        cloud=cloud,
        root_password_is_default=await _root_is_open(session, own, authorization),
        # A build without a stamp is taken to be newer than January 2024: companions that are believed in by mistake leave
        # rights that were granted by name, companions that are not believed in would be revoked again and again.
        companions=_is_at_least(version, _COMPANIONS, unknown=True),
        privilege_groups=known,
        builtin_groups={name: held for name, held in groups.items() if _is_builtin(name)},
        resolves_aliases=await _resolves_aliases(session, parsed),
        wildcard_database_lists_all=known or _is_at_least(version, _WILDCARD_DATABASE, unknown=False),
        wildcard_breaks=parsed is not None
        and any(first <= parsed < after for first, after in _WILDCARD_BREAKS),
    )
    # Root may do everything by its name, except with rootShouldBindRole; whose key an API key is can't be asked.
    if not authorization or cloud or not own.username or (own.username == ROOT_USER and users):
        return found
    return await _with_missing(session, own.username, found, groups)


def _is_builtin(name: str) -> bool:
    row = find(name)
    # A group that the catalogue does not know may be a user's own; a newer Milvus would list its built-in ones in the same way.
    return bool(row and row.group)


def _is_at_least(version: str, wanted: tuple[int, ...], *, unknown: bool) -> bool:
    parsed = parse_version(version)
    return unknown if parsed is None else parsed >= wanted


async def _users(session: Session) -> frozenset[str]:
    """Return the users; none where the account may not list them.

    The call needs the coordinator, where GetVersion answers before Milvus is ready.
    """
    try:
        return frozenset((await session.read("ListCredUsers", requests.all_users())).usernames)
    except Refused as error:
        if error.refusal.reason is Reason.MISSING_PRIVILEGES:
            return frozenset()
        raise


async def _checks_logins(session: Session) -> bool:
    """Return whether a login as a user that can't exist is refused: with authorization off, every login works."""
    missing = Credentials(f"nobody_{secrets.token_hex(8)}", Password(secrets.token_urlsafe(24)))
    verdict = await try_login(session, missing)
    if verdict is PasswordVerdict.UNKNOWN:
        # Never guessed: with authorization off, every login would then seem to prove something.
        name = session.endpoint.name
        raise Unreachable(
            Reason.UNREACHABLE, f"{name} did not answer in time whether it checks logins; it is asked again."
        )
    return verdict is PasswordVerdict.REFUSED


async def describes(session: Session) -> bool:
    """Return whether the server keeps descriptions (2.6.19 and later).

    Asks to alter a role without a name, which no server does: one that refuses the name knows the call.
    """
    try:
        await session.read("AlterRole", requests.describe_role("", ""))
    except Refused as error:
        return error.refusal.reason is Reason.INVALID_NAME
    except InternalError:
        return False
    return False


async def _resolves_aliases(session: Session, version: tuple[int, ...] | None) -> bool:
    """Return whether a grant on an alias is stored under its collection.

    That shows in nothing that is safe to try, so it goes by the version. Builds whose stamp is only "2.6" or missing are
    taken for those that do if they know a call that came soon after, with 2.6.19.
    """
    is_precise = version is not None and (len(version) > _MAJOR_AND_MINOR or version[:2] != _ALIASES[:2])
    return version >= _ALIASES if version is not None and is_precise else await describes(session)


async def _root_is_open(session: Session, own: Credentials, authorization: bool) -> bool:
    if own == DEFAULT_ROOT:
        return True
    # As root with another password there is nothing to try; with authorization off a login proves nothing.
    if own.username == ROOT_USER or not own.username or not authorization:
        return False
    return await try_login(session, DEFAULT_ROOT) is PasswordVerdict.IN_FORCE


async def _privilege_groups(
    session: Session, version: tuple[int, ...] | None
) -> tuple[bool, Mapping[str, frozenset[str]]]:
    """Return whether the server has privilege groups, and which, as far as the account may see them.

    OperatePrivilegeV2 can't be tried: without all its fields it kills the proxy of every version.
    """
    groups: Mapping[str, frozenset[str]] = {}
    try:
        groups = await read_groups(session)
    except Refused as error:
        if error.refusal.reason is Reason.UNSUPPORTED_BY_SERVER:
            return False, {}
    # 2.4.16 and 2.4.17 have groups, but no call to grant them.
    return version is None or version >= _PRIVILEGE_GROUPS, groups


async def _with_missing(
    session: Session, user: str, found: Capabilities, groups: Mapping[str, frozenset[str]]
) -> Capabilities:
    """Return the capabilities with the privileges that the account lacks; every user may read its own roles and grants."""
    # Servers that list grants database by database want a privilege for listing the databases too.
    needed = _NEEDED if found.wildcard_database_lists_all else (*_NEEDED, "ListDatabases")
    useful = _USEFUL if found.privilege_groups else ()
    reply = await session.read("SelectUser", requests.one_user(user))
    roles = {role.name for result in reply.results for role in result.roles if role.name} | {PUBLIC_ROLE}
    if ADMIN_ROLE in roles:
        return found
    held: set[Grant] = set()
    for role in sorted(roles):
        try:
            held |= await grants_in(session, found, role, (ANY, DEFAULT_DATABASE))
        except NotFound:
            continue
        except (Refused, InternalError) as error:
            if is_about_account(error):
                raise
            return found  # this role may give what is needed; if not, the first refused call names what is missing
    given = {name for name in (*needed, *useful) if any(_gives(grant, name, found, groups) for grant in held)}
    return replace(
        found,
        missing_privileges=tuple(name for name in needed if name not in given),
        useful_privileges=tuple(name for name in useful if name not in given),
    )


def _gives(grant: Grant, name: str, found: Capabilities, groups: Mapping[str, frozenset[str]]) -> bool:
    """Return whether a grant allows a call that is made without a database: Milvus judges it in `default`, 3.0 in `*`."""
    row = find(name)
    judged = {ANY} if found.databases_are_boundaries else {ANY, DEFAULT_DATABASE}
    if row is None or grant.database not in judged or grant.object_name != ANY:
        return False
    if grant.privilege == "All":
        # On `*`, 2.3.5 takes the grant of All and gives nothing for it.
        return grant.database == (ANY if found.wildcard_database_lists_all else DEFAULT_DATABASE)
    if grant.privilege in groups:
        return name in groups[grant.privilege]
    # An account that may not list the members of a group is believed to have what it needs.
    if grant.privilege == "ClusterAdmin" or find(grant.privilege) is None:
        return True
    return grant.object_type == row.object_type and grant.privilege in {name, ANY}


Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Weakness:
    """A way into some versions of Milvus past the access control."""

    what: str
    source: str
    """Where it was published."""
    fixed: tuple[Version, ...]
    """The first good version of each line, oldest first; lines before the first were never fixed."""
    meanwhile: str
    """What helps until the upgrade."""

    def affects(self, version: Version) -> bool:
        """Return whether a version has it."""
        lines = [good for good in self.fixed if good[:2] == version[:2]]
        return version < (lines[0] if lines else self.fixed[0])


WEAKNESSES: Final = (
    Weakness(
        "a request with a certain sourceId header needs no login",
        "CVE-2025-64513",
        ((2, 4, 24), (2, 5, 21), (2, 6, 5)),
        "let only trusted Pods reach its port",
    ),
    Weakness(
        "port 9091 serves a part of the API without a login",
        "CVE-2026-26190",
        ((2, 5, 27), (2, 6, 10)),
        "expose port 9091 to Prometheus only",
    ),
)


def weaknesses_of(version: str) -> Iterator[Weakness]:
    """Return the weaknesses that a version is known for; none of builds without a stamp."""
    parsed = parse_version(version)
    return (one for one in WEAKNESSES if parsed is not None and one.affects(parsed))
