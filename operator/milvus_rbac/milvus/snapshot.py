"""Everything that a server holds, from one call (BackupRBAC): read in pieces, and kept in little memory.

500 roles with 1,000 grants each come as a reply of about 40 MB. Parsed at once, that blocks the event loop for seconds
and takes hundreds of MiB. So the reply is read field by field while other tasks run, grants stay compressed as they came,
and only those of the roles in question become objects.
"""

import time
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError

from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.state import (
    ADMIN_ROLE,
    BUILTIN_ROLES,
    PUBLIC_ROLE,
    Grant,
    PasswordVerdict,
    Role,
    Scope,
    State,
    User,
)
from milvus_rbac.milvus import logins, requests, wire
from milvus_rbac.milvus.channel import Session
from milvus_rbac.milvus.errors import InternalError, Refused
from milvus_rbac.milvus.port import Capabilities, PasswordTexts
from milvus_rbac.milvus.read import members_of, read_each_role, read_grant
from milvus_rbac.milvus.stubs import milvus_pb2 as pb
from milvus_rbac.pace import Pace

FEW_ROLES: Final = 4
"""Up to so many roles are read one by one: a whole snapshot of a big server takes longer than that."""
SECONDS: Final = 60.0
"""How long the server may take: it reads its store once for each object on which a role is granted something."""

_BLOCK: Final = 64 * 1024
"""Bytes of grants that are compressed together: a millisecond of work."""
_KEPT_GRANTS: Final = 100_000
"""How many grants are kept as objects: 20 MiB at most."""
_STEP: Final = 64
"""How many fields are read between two looks at the clock."""

_USERS, _ROLES, _GRANTS, _GROUPS = (
    pb.RBACMeta.DESCRIPTOR.fields_by_name[name].number
    for name in ("users", "roles", "grants", "privilege_groups")
)
_META: Final = pb.BackupRBACMetaResponse.DESCRIPTOR.fields_by_name["RBAC_meta"].number
_ROLE_OF_GRANT: Final = pb.GrantEntity.DESCRIPTOR.fields_by_name["role"].number


class Snapshot:
    """What one server held at one time."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        """Without verdicts on their passwords."""
        self.hashes: dict[str, str] = {}
        self.descriptions: dict[str, str] = {}
        """Of every role except those that each server has."""
        self.groups: dict[str, frozenset[str]] = {}
        self.grant_count = 0
        self._blocks: dict[str, list[bytes]] = {}
        """By role, its grants: each block is a compressed RBACMeta with some of them."""
        self._grants: dict[str, frozenset[Grant]] = {}
        """Grants of roles that were asked for, the latest last."""

    def add_grants(self, role: str, block: memoryview, count: int) -> None:
        """Keep a block of serialized grants of a role."""
        if not role:
            return
        self._blocks.setdefault(role, []).append(zlib.compress(block, 1))
        self.grant_count += count

    def take_over(self, older: "Snapshot") -> None:
        """Keep the objects of an older snapshot for the roles whose grants have not changed since."""
        self._grants = {
            role: grants
            for role, grants in older._grants.items()  # noqa: SLF001 - of the same class
            if older._blocks.get(role) == self._blocks.get(role)  # noqa: SLF001 - of the same class
        }

    async def grants_of(self, role: str, pace: Pace) -> frozenset[Grant]:
        """Return the grants of a role."""
        if (kept := self._grants.pop(role, None)) is None:
            kept = await self._read_grants(role, pace)
        self._grants[role] = kept
        room = sum(map(len, self._grants.values())) - _KEPT_GRANTS
        for other in list(self._grants) if room > 0 else ():
            room -= len(self._grants.pop(other))
            if room <= 0:
                break
        return kept

    async def holders(self, groups: Iterable[str], pace: Pace) -> frozenset[str]:
        """Return the roles that may hold one of the groups: none is missing, and there may be too many."""
        # As each grant holds the name of its privilege: with its length, so that longer names do not match.
        signs = [wire.field(1, name.encode()) for name in groups]
        found = set()
        for role, blocks in self._blocks.items() if signs else ():
            for block in blocks:
                serialized = zlib.decompress(block)
                await pace.rest()
                if any(sign in serialized for sign in signs):
                    found.add(role)
                    break
        return frozenset(found)

    async def _read_grants(self, role: str, pace: Pace) -> frozenset[Grant]:
        found: set[Grant] = set()
        for block in self._blocks.get(role, ()):
            rows = pb.RBACMeta.FromString(zlib.decompress(block)).grants
            found.update(grant for row in rows if (grant := read_grant(row, is_v2=True)) is not None)
            await pace.rest()
        return frozenset(found)


async def parse(reply: bytes) -> Snapshot:
    """Return the snapshot in a serialized reply to BackupRBAC. Raises InternalError if it is none."""
    snapshot, pace = Snapshot(), Pace()
    reader = _Reader(reply, snapshot)
    try:
        for number, _, start, end in wire.fields(reply):
            if number != _META:
                continue
            for count, field in enumerate(wire.fields(reply, start, end)):
                reader.read(*field)
                if count % _STEP == 0:
                    await pace.rest()
            reader.end_block()
    except (ValueError, DecodeError) as error:
        raise InternalError(f"Milvus answered BackupRBAC with what can't be read: {error}.") from None
    return snapshot


class _Reader:
    """Puts the fields of a reply into a snapshot."""

    def __init__(self, reply: bytes, snapshot: Snapshot) -> None:
        self._reply = reply
        self._view = memoryview(reply)
        self._snapshot = snapshot
        self._roles: dict[frozenset[str], frozenset[str]] = {}
        """Users with the same roles share one set."""
        self._role = ""
        self._sign = b""
        """How every grant of the role begins, as servers write their fields in order."""
        self._block = 0, 0, 0
        """Where the grants of the role start and end that are not in the snapshot yet, and how many they are."""

    def read(self, number: int, begin: int, start: int, end: int) -> None:
        if number == _GRANTS:
            self._read_grant(begin, start, end)
        elif number == _USERS:
            self._read_user(pb.UserInfo.FromString(self._reply[start:end]))
        elif number == _ROLES:
            role = pb.RoleEntity.FromString(self._reply[start:end])
            if role.name:
                self._snapshot.descriptions[role.name] = role.description
        elif number == _GROUPS:
            self._snapshot.groups |= members_of((pb.PrivilegeGroupInfo.FromString(self._reply[start:end]),))

    def _read_user(self, user: Any) -> None:
        # Milvus before 2.6.8 lists roles with an empty name beside the real ones (milvus#46676).
        roles = frozenset(role.name for role in user.roles if role.name)
        roles = self._roles.setdefault(roles, roles)
        self._snapshot.users[user.user] = User(roles, hash_digest=logins.digest(user.password))
        self._snapshot.hashes[user.user] = user.password

    def _read_grant(self, begin: int, start: int, end: int) -> None:
        first, _, count = self._block
        is_same = self._sign and self._reply.startswith(self._sign, start)
        if is_same and end - first <= _BLOCK:
            self._block = first, end, count + 1
            return
        self.end_block()
        if not is_same:
            role = pb.GrantEntity.FromString(self._reply[start:end]).role
            sign = wire.field(_ROLE_OF_GRANT, role.SerializeToString())
            self._role, self._sign = role.name, sign if self._reply.startswith(sign, start) else b""
        self._block = begin, end, 1

    def end_block(self) -> None:
        """Hand the grants over that were found since the last block."""
        first, last, count = self._block
        if count:
            self._snapshot.add_grants(self._role, self._view[first:last], count)
        self._block = 0, 0, 0


class Snapshots:
    """The latest snapshot of a server, used until it is too old or the operator has changed something."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._latest: tuple[float, Snapshot] | None = None
        self._is_current = False
        self._changes = 0
        self._is_refused = False

    def forget(self) -> None:
        """Read anew next time: the operator changes something now."""
        self._is_current = False
        self._changes += 1

    async def observe(
        self, capabilities: Capabilities, scope: Scope, password_texts: PasswordTexts
    ) -> State | None:
        """Return the state; None where reading it call by call is better, or the server does not give snapshots."""
        if self._is_refused or not (scope.logins or scope.holders or len(scope.roles) > FEW_ROLES):
            return None
        snapshot = await self._take(scope.may_be_old)
        if snapshot is None:
            return None
        judged = scope.logins if capabilities.authorization else {}
        listener = self._session.listener
        verdicts = await logins.judge(snapshot.hashes, password_texts.wanted, judged, listener)
        grants, troubles = await self._grants(capabilities, scope, snapshot)
        changed = {name: _with_verdict(snapshot.users[name], verdict) for name, verdict in verdicts.items()}
        return State(
            users={**snapshot.users, **changed},
            roles={
                role: Role(grants.get(role), snapshot.descriptions.get(role, ""))
                for role in snapshot.descriptions.keys() | BUILTIN_ROLES
            },
            groups={**capabilities.builtin_groups, **snapshot.groups},
            troubles=troubles,
            grant_count=snapshot.grant_count,
        )

    async def _grants(
        self, capabilities: Capabilities, scope: Scope, snapshot: Snapshot
    ) -> tuple[dict[str, frozenset[Grant] | None], Mapping[tuple[str, str], Refusal]]:
        pace = Pace()
        wanted = scope.roles.keys() & snapshot.descriptions.keys()
        if scope.holders:
            wanted |= await snapshot.holders(snapshot.groups, pace) & snapshot.descriptions.keys()
        grants: dict[str, frozenset[Grant] | None] = {}
        for role in wanted:
            grants[role] = await snapshot.grants_of(role, pace)
        if not scope.holders:
            return grants, {}
        # Snapshots leave out what these two were granted.
        builtin = dict.fromkeys((ADMIN_ROLE, PUBLIC_ROLE), frozenset[str]())
        read = await read_each_role(self._session, capabilities, builtin)
        return {**grants, **read.grants}, read.troubles

    async def _take(self, may_be_old: float) -> Snapshot | None:
        """Return a snapshot; None where the server gives none, so that a fault of one object does not hide all others."""
        now, changes, older = time.monotonic(), self._changes, self._latest
        if older is not None and self._is_current and now - older[0] <= may_be_old:
            return older[1]
        try:
            snapshot = await parse(await self._session.read_raw("BackupRBAC", requests.backup(), SECONDS))
        except Refused as refused:
            reasons = {Reason.MISSING_PRIVILEGES, Reason.UNSUPPORTED_BY_SERVER}
            self._is_refused = refused.refusal.reason in reasons
            return None
        except InternalError:
            return None
        if older is not None:
            snapshot.take_over(older[1])
        self._latest, self._is_current = (now, snapshot), changes == self._changes
        return snapshot


def _with_verdict(user: User, verdict: PasswordVerdict) -> User:
    return User(user.roles, verdict, user.hash_digest)
