"""The writes of one change, call by call. Decides nothing; asks before each write whether it is still allowed."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from milvus_rbac.domain.changes import (
    AddPrivileges,
    BindRole,
    Change,
    ClearProxies,
    CreateGroup,
    CreateRole,
    CreateUser,
    DescribeRole,
    DescribeUser,
    DropGroup,
    DropRole,
    DropUser,
    GrantPrivilege,
    PasswordMeans,
    RecreateUser,
    RemovePrivileges,
    ReplacePrivileges,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
)
from milvus_rbac.domain.state import ANY, Grant
from milvus_rbac.milvus import requests
from milvus_rbac.milvus.channel import Session
from milvus_rbac.milvus.errors import (
    Changed,
    DatabaseMissing,
    InternalError,
    NotFound,
    OldPasswordRefused,
    StillGranted,
)
from milvus_rbac.milvus.port import Capabilities, Password, PasswordTexts
from milvus_rbac.milvus.read import grants_in


class Writer:
    """The writes of one change, with the passwords that it needs."""

    def __init__(
        self,
        session: Session,
        capabilities: Capabilities,
        password_texts: PasswordTexts,
        may_write: Callable[[], None],
    ) -> None:
        self._session = session
        self._capabilities = capabilities
        self._v2 = capabilities.privilege_groups
        self._texts = password_texts
        self._may_write = may_write

    async def apply(self, change: Change) -> None:  # noqa: C901, PLR0912 - one arm for each verb, and mypy misses none
        """Carry out the change."""
        match change:
            case CreateRole(role):
                await self._write("CreateRole", requests.create_role(role))
            case DropRole(role):
                await self._drop_role(role)
            case GrantPrivilege(role, grant):
                await self._give(role, grant)
            case RevokePrivilege(role, grant, give_again, before_drop):
                with contextlib.suppress(DatabaseMissing) if before_drop else contextlib.nullcontext():
                    await self._revoke(role, grant, give_again)
            case CreateGroup(group):
                await self._write("CreatePrivilegeGroup", requests.create_group(group))
            case AddPrivileges(group, privileges):
                await self._write("OperatePrivilegeGroup", requests.add_to_group(group, privileges))
            case RemovePrivileges(group, privileges):
                await self._write("OperatePrivilegeGroup", requests.remove_from_group(group, privileges))
            case ReplacePrivileges(group, removed, added):
                await self._write("OperatePrivilegeGroup", requests.remove_from_group(group, removed))
                await self._write("OperatePrivilegeGroup", requests.add_to_group(group, added))
            case ClearProxies(role, grant, give_again, before_drop):
                # If the role is gone, the proxies have forgotten what it could do.
                with contextlib.suppress(NotFound, *((DatabaseMissing,) if before_drop else ())):
                    await self._revoke(role, grant, give_again)
            case DropGroup(group):
                await self._write("DropPrivilegeGroup", requests.drop_group(group))
            case CreateUser(user):
                await self._create_user(user)
            case DropUser():
                await self._drop_user(change)
            case UpdatePassword(user, means):
                await self._update_password(user, means)
            case RecreateUser():
                await self._recreate(change)
            case BindRole(user, role):
                await self._write("OperateUserRole", requests.bind(user, role))
            case DescribeUser(user, description):
                await self._write("UpdateCredential", requests.describe_user(user, description))
            case DescribeRole(role, description):
                await self._write("AlterRole", requests.describe_role(role, description))
            case UnbindRole(user, role):
                await self._write("OperateUserRole", requests.unbind(user, role))

    async def _write(self, method: str, request: Any) -> None:
        self._may_write()
        await self._session.write(method, request)

    async def _give(self, role: str, grant: Grant) -> None:
        if self._v2:
            await self._write("OperatePrivilegeV2", requests.give_v2(role, grant))
        else:
            await self._write("OperatePrivilege", requests.give(role, grant))

    async def _revoke(self, role: str, grant: Grant, give_again: frozenset[Grant]) -> None:
        if self._v2:
            await self._write("OperatePrivilegeV2", requests.revoke_v2(role, grant))
        else:
            await self._write("OperatePrivilege", requests.revoke(role, grant))
        for companion in sorted(give_again):
            await self._give(role, companion)

    async def _drop_role(self, role: str) -> None:
        try:
            await self._write("DropRole", requests.drop_role(role))
        except StillGranted:
            # Grants outlive their database, and 2.6.12 and later then can't revoke them. If only such are left: by force.
            held = await grants_in(self._session, self._capabilities, role, (ANY,))
            listed = (await self._session.read("ListDatabases", requests.all_databases())).db_names
            if not held or any(grant.database in {ANY, *listed} for grant in held):
                raise
            await self._write("DropRole", requests.drop_role(role, by_force=True))

    async def _create_user(self, user: str) -> None:
        await self._write("CreateCredential", requests.create_user(user, _text(self._texts.wanted, user)))

    async def _update_password(self, user: str, means: PasswordMeans) -> None:
        new = _text(self._texts.wanted, user)
        old = await self._old_password(user, means)
        await self._write("UpdateCredential", requests.update_password(user, old, new))

    async def _old_password(self, user: str, means: PasswordMeans) -> Password:
        match means:
            case PasswordMeans.KNOWN_TEXT:
                if user not in self._texts.old:
                    raise OldPasswordRefused(f"The old password of user {user} is not known.")
                return self._texts.old[user]
            case PasswordMeans.SUPERUSER:
                # Before 2.6.6 an update by a superuser creates a user that does not exist.
                await self._must_exist(user)
                return Password("")

    async def _must_exist(self, user: str) -> None:
        if await self._roles_of(user) is None:
            raise NotFound(f"The user {user} is not in Milvus any more.")

    async def _roles_of(self, user: str) -> frozenset[str] | None:
        """Return the roles of a user; None if there is no such user."""
        reply = await self._session.read("SelectUser", requests.one_user(user))
        found = [result for result in reply.results if result.user.name == user]
        return frozenset(role.name for role in found[0].roles if role.name) if found else None

    async def _drop_user(self, change: DropUser) -> None:
        # Another client may have changed the user since it was observed. (Milvus itself refuses to drop a role that was
        # granted privileges meanwhile.)
        roles = await self._roles_of(change.user)
        if roles is None:
            return
        if roles != change.roles:
            raise Changed(f"Another client has just changed the roles of user {change.user}.")
        await self._write("DeleteCredential", requests.drop_user(change.user))

    async def _recreate(self, change: RecreateUser) -> None:
        # The server checks the new password first, and may know the account as a superuser by now: nothing is dropped in vain.
        with contextlib.suppress(OldPasswordRefused):
            await self._update_password(change.user, PasswordMeans.SUPERUSER)
            return
        await self._write("DeleteCredential", requests.drop_user(change.user))
        await self._create_user(change.user)
        for role in sorted(change.roles):
            await self._write("OperateUserRole", requests.bind(change.user, role))


def _text(texts: Mapping[str, Password], user: str) -> Password:
    text = texts.get(user)
    if text is None:
        raise InternalError(f"A change of the password of user {user} came without the password.")
    return text
