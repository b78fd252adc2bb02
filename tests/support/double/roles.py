"""Roles and who has them."""

from typing import Any

from pymilvus.grpc_gen import milvus_pb2 as pb

from support.double import checks
from support.double.core import Caller, Core
from support.double.replies import (
    NOT_PERMITTED,
    SUCCESS,
    UNEXPECTED,
    RefusalError,
    by_coordinator,
    by_proxy,
    over_quota,
)
from support.double.store import ADMIN, PUBLIC

LIMIT = "unable to create role because the number of roles has reached the limit"
NO_ROLE = "not found the role, maybe the role isn't existed or internal system error"
NO_USER = "not found the user, maybe the user isn't existed or internal system error"
BUILTIN = (ADMIN, PUBLIC)


async def create(core: Core, _: Caller, request: Any) -> Any:
    dress, name = core.dress, request.entity.name
    checks.role_name(dress, core.settings, name)
    checks.description(dress, "role", request.entity.description)
    if name in core.store.roles:
        described = f'  description:"{request.entity.description}"' if _shows(core, request) else ""
        raise by_coordinator(dress, "CreateRoleFailure", f'role [name:"{name}"{described}] already exists')
    if len(core.store.roles) >= core.settings.max_role_num:
        raise over_quota(dress, "CreateRoleFailure", LIMIT, "create role")
    core.store.roles[name] = request.entity.description if dress.descriptions else ""
    return SUCCESS


def _shows(core: Core, request: Any) -> bool:
    return core.dress.descriptions and bool(request.entity.description)


async def alter(core: Core, _: Caller, request: Any) -> Any:
    dress, name = core.dress, request.role_name
    checks.role_name(dress, core.settings, name)
    checks.description(dress, "role", request.description)
    if name in BUILTIN:
        text = f"the role[{name}] is a default role, which can't be altered: privilege not permitted"
        raise by_proxy(dress, "UnexpectedError", NOT_PERMITTED, text)
    if name not in core.store.roles:
        text = "failed to check if alter role: role not exists"
        raise RefusalError("UnexpectedError", UNEXPECTED, text, is_input=False)
    core.store.roles[name] = request.description
    return SUCCESS


async def drop(core: Core, _: Caller, request: Any) -> Any:
    dress, name = core.dress, request.role_name
    checks.role_name(dress, core.settings, name)
    if name in BUILTIN:
        text = f"the role[{name}] is a default role, which can't be dropped: privilege not permitted"
        raise by_proxy(dress, "UnexpectedError", NOT_PERMITTED, text)
    must_exist(core, name, "DropRoleFailure")
    by_force = request.force_drop and dress.force_drop
    if not by_force and core.store.held(name):
        text = "fail to drop the role that it has privileges. Use REVOKE API to revoke privileges"
        raise by_coordinator(dress, "DropRoleFailure", text, checked="drop role")
    core.store.drop_role(name)
    core.proxies.role_dropped(name)
    return SUCCESS


def must_exist(core: Core, role: str, failure: str) -> None:
    if role not in core.store.roles:
        raise by_coordinator(core.dress, failure, NO_ROLE)


async def operate_binding(core: Core, _: Caller, request: Any) -> Any:
    dress, role, user = core.dress, request.role_name, request.username
    checks.user_name(dress, core.settings, user)
    checks.role_name(dress, core.settings, role)
    must_exist(core, role, "OperateUserRoleFailure")
    account = core.store.users.get(user)
    is_adding = request.type == pb.OperateUserRoleType.AddUserToRole
    if account is None and is_adding:
        text = f'user "{user}" not found' if dress.wal else NO_USER
        raise by_coordinator(dress, "OperateUserRoleFailure", text, checked="operate user role")
    if account is not None:
        (account.roles.add if is_adding else account.roles.discard)(role)
        core.proxies.bindings_changed(user)
    return SUCCESS


async def select(core: Core, _: Caller, request: Any) -> Any:
    names = sorted(core.store.roles)
    if request.HasField("role"):
        checks.role_name(core.dress, core.settings, request.role.name)
        names = [name for name in names if name == request.role.name]
    results = [
        pb.RoleResult(
            role=pb.RoleEntity(name=name, description=core.store.roles[name]),
            users=[pb.UserEntity(name=user) for user in core.store.members(name)]
            if request.include_user_info
            else [],
        )
        for name in names
    ]
    return pb.SelectRoleResponse(status=SUCCESS, results=results)
