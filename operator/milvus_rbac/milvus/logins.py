"""Whether a password is the one in force: by the hash that the server shows, or by logging in."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Final

import bcrypt

from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import PasswordVerdict
from milvus_rbac.milvus import requests
from milvus_rbac.milvus.channel import Session, each
from milvus_rbac.milvus.errors import MilvusRbacError, Unreachable
from milvus_rbac.milvus.port import DEAF, Credentials, Listener, Password

_ATTEMPTS: Final = 2
"""How often a login must be refused to count as refused."""


async def try_all(session: Session, tried: Mapping[str, Password]) -> dict[str, PasswordVerdict]:
    """Log in as each user."""

    async def try_user(user: str) -> PasswordVerdict:
        verdict = await _verdict(session, Credentials(user, tried[user]))
        session.listener.checked("login", verdict)
        return verdict

    return dict(zip(tried, await each(tried, try_user), strict=True))


async def try_login(session: Session, credentials: Credentials) -> PasswordVerdict:
    """Log in once on a channel of its own; a channel that exists already would prove nothing."""
    async with Session(session.endpoint, credentials, session.listener) as login:
        try:
            await login.log_in()
        except Unreachable as error:
            rejected = error.refusal.reason is Reason.CREDENTIALS_REJECTED
            return PasswordVerdict.REFUSED if rejected else PasswordVerdict.UNKNOWN
    return PasswordVerdict.IN_FORCE


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


def digest(password_hash: str) -> str:
    """Name a hash without giving it away: who reads a status can't try passwords on it."""
    return hashlib.sha256(password_hash.encode()).hexdigest()


async def judge(
    hashes: Mapping[str, str],
    wanted: Mapping[str, Password],
    known: Mapping[str, str],
    listener: Listener = DEAF,
) -> dict[str, PasswordVerdict]:
    """Compare wanted passwords with the server's hashes; one whose digest is known to be the wanted one's costs nothing.

    Args:
        hashes: by user, bcrypt as the server keeps it.
        wanted: the texts, by user.
        known: by user, the digest under which the wanted text is known to be in force.
        listener: told of every look.
    """

    async def judge_user(user: str) -> PasswordVerdict:
        if known[user] and known[user] == digest(hashes[user]):
            listener.checked("digest", PasswordVerdict.IN_FORCE)
            return PasswordVerdict.IN_FORCE
        # bcrypt is slow on purpose (50 ms with the cost of 3.0), and lets other threads run meanwhile.
        matches = await asyncio.to_thread(_matches, wanted[user], hashes[user])
        verdict = PasswordVerdict.IN_FORCE if matches else PasswordVerdict.REFUSED
        listener.checked("hash", verdict)
        return verdict

    users = [user for user in known if user in hashes and user in wanted]
    return dict(zip(users, await each(users, judge_user), strict=True))


def _matches(password: Password, password_hash: str) -> bool:
    try:
        return bcrypt.checkpw(password.reveal().encode(), password_hash.encode())
    except ValueError:
        return False  # RestoreRBAC can have put there what is no hash; no password logs in with that
