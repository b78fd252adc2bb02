"""Users and their passwords."""

from typing import Any

from pymilvus.grpc_gen import milvus_pb2 as pb

from support.double import checks
from support.double.core import CLOUD_ADMIN, Caller, Core
from support.double.replies import (
    INVALID,
    NOT_AUTHENTICATED,
    NOT_PERMITTED,
    SUCCESS,
    UNEXPECTED,
    RefusalError,
    by_coordinator,
    by_proxy,
    over_quota,
)
from support.double.store import ROOT, Account

LIMIT = "unable to add user because the number of users has reached the limit"
CREATE_FAILURE = "CreateCredentialFailure"


async def create(core: Core, _: Caller, request: Any) -> Any:
    dress = core.dress
    checks.user_name(dress, core.settings, request.username)
    password = checks.password(dress, core.settings, request.password, "decode password fail")
    checks.description(dress, "user", request.description)
    name = request.username.strip() if dress.wal else request.username
    is_full = len(core.store.users) >= core.settings.max_user_num
    if dress.counts_before_names and is_full:
        raise over_quota(dress, CREATE_FAILURE, LIMIT, "add credential")
    if name in core.store.users:
        raise by_coordinator(dress, CREATE_FAILURE, f"user already exists: {name}")
    if is_full:
        raise over_quota(dress, CREATE_FAILURE, LIMIT, "add credential")
    description = request.description if dress.descriptions else ""
    account = Account(password, description, can_log_in=name == request.username)
    core.store.users[name] = account
    core.proxies.bindings_changed(name)
    await core.hash_of(account)
    return SUCCESS


async def update(core: Core, caller: Caller, request: Any) -> Any:
    dress, name = core.dress, request.username
    if dress.descriptions and not request.newPassword:
        return _describe(core, request)
    old = checks.decode(dress, request.oldPassword, "decode old password failed").decode(errors="replace")
    new = checks.password(dress, core.settings, request.newPassword, "decode password fail")
    account = core.store.users.get(name)
    is_super = caller.name in core.settings.super_users
    knows = account is not None and account.can_log_in and core.accepts(account, old)
    if not is_super and not knows:
        raise by_proxy(
            dress,
            "UnexpectedError",
            NOT_AUTHENTICATED,
            f"old password not correct for {name}: not authenticated",
        )
    if account is None:
        if not dress.superuser_creates:
            text = "failed to check if update credential: user not found"
            raise RefusalError("UpdateCredentialFailure", UNEXPECTED, text, is_input=False)
        # Before 2.6.6 the update of a superuser is an upsert.
        account = core.store.users[name] = Account(new)
        core.proxies.bindings_changed(name)
    account.password, account.hash = new, ""
    await core.hash_of(account)
    return SUCCESS


def _describe(core: Core, request: Any) -> Any:
    checks.description(core.dress, "user", request.description)
    if not request.HasField("description"):
        raise by_proxy(core.dress, "IllegalArgument", INVALID, "must update either password or description")
    account = core.store.users.get(request.username)
    if account is None:
        text = "failed to check if update credential: user not found"
        raise RefusalError("UpdateCredentialFailure", UNEXPECTED, text, is_input=False)
    account.description = request.description
    return SUCCESS


async def delete(core: Core, _: Caller, request: Any) -> Any:
    dress = core.dress
    name = request.username.strip() if dress.wal else request.username
    if name in {ROOT, CLOUD_ADMIN} and (name == ROOT or dress.cloud):
        raise by_proxy(
            dress, "UnexpectedError", NOT_PERMITTED, f"{name} user cannot be deleted: privilege not permitted"
        )
    if not name:
        text = "username is empty" if dress.wal else "fail to execute task when deleting the user"
        raise by_coordinator(dress, "DeleteCredentialFailure", text, checked="delete credential")
    core.store.users.pop(name, None)
    core.proxies.bindings_changed(name)
    return SUCCESS


async def list_names(core: Core, _: Caller, __: Any) -> Any:
    return pb.ListCredUsersResponse(status=SUCCESS, usernames=sorted(core.store.users))


async def select(core: Core, _: Caller, request: Any) -> Any:
    names = sorted(core.store.users)
    if request.HasField("user"):
        checks.user_name(core.dress, core.settings, request.user.name)
        names = [name for name in names if name == request.user.name]
    return pb.SelectUserResponse(
        status=SUCCESS, results=[_result(core, name, request.include_role_info) for name in names]
    )


def roles_of(core: Core, name: str) -> list[str]:
    """Return the roles of a user as they are listed, with those that are not there (milvus#46676)."""
    ghosts = [
        ""
        for other, account in core.store.users.items()
        if core.dress.ghosts and other != name and other.startswith(name)
        for _ in account.roles
    ]
    return [*ghosts, *sorted(core.store.users[name].roles)]


def _result(core: Core, name: str, include_roles: bool) -> Any:
    roles = [pb.RoleEntity(name=role) for role in roles_of(core, name)] if include_roles else []
    return pb.UserResult(
        user=pb.UserEntity(name=name), roles=roles, description=core.store.users[name].description
    )
