"""Whether a password is the one in force: by the hash that the server shows, or by a login."""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import bcrypt

from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import PasswordVerdict
from milvus_rbac.milvus import requests
from milvus_rbac.milvus.channel import Session, each
from milvus_rbac.milvus.errors import InternalError, MilvusRbacError, Refused, Unreachable
from milvus_rbac.milvus.port import NO_LISTENER, Credentials, Listener, Password
from milvus_rbac.pace import Pace

_ATTEMPTS: Final = 2
"""How often a login must be refused to count as refused."""

_COST: Final = re.compile(r"\$2[abxy]?\$(\d\d)\$")
_HIGHEST_COST: Final = 14
"""A second of work. Milvus makes hashes of cost 4 or 10; RestoreRBAC can put any into it, and each step doubles the time."""

_HASHING: Final = ThreadPoolExecutor(4, "milvus-rbac bcrypt")
"""Threads of their own: the event loop's are held for a while by each host name that can't be resolved."""


async def try_all(session: Session, tried: Mapping[str, Password]) -> dict[str, PasswordVerdict]:
    """Return the verdict of a login as each user."""

    async def try_user(user: str) -> PasswordVerdict:
        verdict = await _verdict(session, Credentials(user, tried[user]))
        session.listener.checked("login", verdict)
        return verdict

    return dict(zip(tried, await each(tried, try_user), strict=True))


async def try_login(session: Session, credentials: Credentials) -> PasswordVerdict:
    """Log in once, on a new channel: one that exists already would prove nothing."""
    async with Session(session.endpoint, credentials, session.listener) as login:
        try:
            await login.log_in()
        except Unreachable as error:
            rejected = error.refusal.reason is Reason.CREDENTIALS_REJECTED
            return PasswordVerdict.REFUSED if rejected else PasswordVerdict.UNKNOWN
        except (Refused, InternalError):
            return PasswordVerdict.UNKNOWN
    return PasswordVerdict.IN_FORCE


async def _verdict(session: Session, credentials: Credentials) -> PasswordVerdict:
    """Log in, and believe a refusal only when it is proven.

    A proxy that can't reach its coordinator answers "wrong password" too. So a refusal counts when it came twice, and
    a call that needs the coordinator was answered before (the list of users) and after.
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


def digest(password_hash: str) -> str:
    """Return a digest that identifies a hash in a status, where passwords can't be tried against it."""
    return hashlib.sha256(password_hash.encode()).hexdigest()


async def judge(
    hashes: Mapping[str, str],
    wanted: Mapping[str, Password],
    known: Mapping[str, str],
    listener: Listener = NO_LISTENER,
) -> dict[str, PasswordVerdict]:
    """Return the verdicts on wanted passwords by the server's hashes; a hash that was found in force before costs nothing.

    Args:
        hashes: by user, bcrypt as the server keeps it.
        wanted: the texts, by user.
        known: by user, the digest under which the wanted text is known to be in force.
        listener: learns of every check.
    """
    verdicts: dict[str, PasswordVerdict] = {}
    pace = Pace()
    for user in known:
        if known[user] and user in hashes and user in wanted and known[user] == digest(hashes[user]):
            listener.checked("digest", PasswordVerdict.IN_FORCE)
            verdicts[user] = PasswordVerdict.IN_FORCE
        await pace.rest()

    async def try_hash(user: str) -> PasswordVerdict:
        # bcrypt is slow on purpose (50 ms with the cost of 3.0), and lets other threads run meanwhile.
        loop = asyncio.get_running_loop()
        verdict = await loop.run_in_executor(_HASHING, _compare, wanted[user], hashes[user])
        listener.checked("hash", verdict)
        return verdict

    rest = [user for user in known if user in hashes and user in wanted and user not in verdicts]
    return verdicts | dict(zip(rest, await each(rest, try_hash), strict=True))


def _compare(password: Password, password_hash: str) -> PasswordVerdict:
    cost = _COST.match(password_hash)
    if cost is not None and int(cost[1]) > _HIGHEST_COST:
        return PasswordVerdict.UNKNOWN
    try:
        matches = bcrypt.checkpw(password.reveal().encode(), password_hash.encode())
    except ValueError:
        matches = False  # RestoreRBAC can have put something else there; no password logs in with that
    return PasswordVerdict.IN_FORCE if matches else PasswordVerdict.REFUSED
