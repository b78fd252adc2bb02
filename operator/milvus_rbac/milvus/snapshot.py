"""Reading a whole Milvus with one call: BackupRBAC (2.4.9 and later). Its reply holds password hashes: it is a secret.

It leaves out root with its roles, and the grants of the roles that every server has.
"""

import time
from typing import Any, Final

from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import (
    ADMIN_ROLE,
    ANY,
    BUILTIN_ROLES,
    PUBLIC_ROLE,
    Grant,
    PasswordVerdict,
    Role,
    Scope,
    State,
    User,
)
from milvus_rbac.errors import Refused
from milvus_rbac.milvus import logins, requests
from milvus_rbac.milvus.port import Features, Wallet
from milvus_rbac.milvus.read import grants_in, members_of, read_grant
from milvus_rbac.milvus.session import Session

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

    async def observe(self, features: Features, scope: Scope, wallet: Wallet) -> State | None:
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
        grants = _grants(meta)
        if scope.holders:
            for role in (ADMIN_ROLE, PUBLIC_ROLE):
                grants[role] = set(await grants_in(self._session, features, role, (ANY,)))
        hashes = {one.user: one.password for one in meta.users}
        judged = scope.logins if features.authorization else {}
        verdicts = await logins.judge(hashes, wallet.wanted, judged, self._session.listener)
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
            groups={**features.builtin_groups, **members_of(meta.privilege_groups)},
        )

    async def _take(self, may_be_old: float) -> Any:
        now = time.monotonic()
        if self._taken is None or now - self._taken[0] > may_be_old:
            self._taken = None
            reply = await self._session.read("BackupRBAC", requests.backup())
            self._taken = (now, reply.RBAC_meta)
        return self._taken[1]


def _grants(meta: Any) -> dict[str, set[Grant]]:
    grants: dict[str, set[Grant]] = {}
    for row in meta.grants:
        if (grant := read_grant(row, is_v2=True)) is not None:
            grants.setdefault(row.role.name, set()).add(grant)
    return grants
