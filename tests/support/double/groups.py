"""Privilege groups."""

from typing import Any

from pymilvus.grpc_gen import milvus_pb2 as pb

from support.double import checks, privileges
from support.double.core import Caller, Core
from support.double.privileges import ALL, ANY, LEGACY_GROUPS
from support.double.replies import INVALID, SUCCESS, RefusalError, by_coordinator

CREATE_FAILURE = "CreatePrivilegeGroupFailure"
FAILURE = "OperatePrivilegeGroupFailure"


def _refuse_in_cloud(core: Core, failure: str) -> None:
    if core.dress.cloud:
        text = "custom privilege groups are not enabled on this cluster: contact support"
        raise by_coordinator(core.dress, failure, text)


async def create(core: Core, _: Caller, request: Any) -> Any:
    name = request.group_name
    checks.group_name(core.dress, name)
    _refuse_in_cloud(core, CREATE_FAILURE)
    line = core.dress.privileges
    is_builtin = (
        name in {ANY, ALL}
        or name in privileges.names(line)
        or name in privileges.builtin_groups(line)
        or name in LEGACY_GROUPS
    )
    said = None
    if is_builtin:
        said = (
            f"privilege group name [{name}] is defined by built in privileges or privilege groups in system"
        )
    elif name in core.store.groups:
        said = f"privilege group name [{name}] is defined by users"
    if said is not None:
        raise by_coordinator(
            core.dress, CREATE_FAILURE, said, checked="privilege group creatable", old_code=INVALID
        )
    core.store.groups[name] = []
    return SUCCESS


async def drop(core: Core, _: Caller, request: Any) -> Any:
    name = request.group_name
    checks.group_name(core.dress, name)
    holders = core.store.holders(name) if name in core.store.groups else []
    if holders:
        text = f"privilege group [{name}] is used by role [{holders[0]}], Use REVOKE API to revoke it first"
        raise by_coordinator(
            core.dress, "DropPrivilegeGroupFailure", text, checked="privilege group dropable"
        )
    core.store.groups.pop(name, None)
    return SUCCESS


async def operate(core: Core, _: Caller, request: Any) -> Any:
    name = request.group_name
    checks.group_name(core.dress, name)
    _refuse_in_cloud(core, FAILURE)
    asked = [one.name for one in request.privileges]
    _check_group(core, name)
    if not asked and core.dress.wal:
        raise _refused(core, "privileges is empty when alter the privilege group")
    held = core.store.groups[name]
    is_removing = request.type == pb.OperatePrivilegeGroupType.RemovePrivilegesFromGroup
    # Before the log, levels were looked at first, and a name without one is of another level than any with.
    if not core.dress.wal and not is_removing:
        _check_levels(core, [*held, *asked])
    _check_members(core, asked)
    if is_removing:
        # Nobody tells the proxies (2.4 to 3.0).
        core.store.groups[name] = [one for one in held if one not in asked]
        return SUCCESS
    added = [one for one in dict.fromkeys(asked) if one not in held]
    _check_levels(core, [*held, *added])
    core.store.groups[name] = [*held, *added]
    core.proxies.grown(name, added)
    return SUCCESS


async def list_all(core: Core, _: Caller, __: Any) -> Any:
    custom = {name: core.store.groups[name] for name in sorted(core.store.groups)}
    everything = {**custom, **privileges.builtin_groups(core.dress.privileges)}
    groups = [info(name, held) for name, held in everything.items()]
    return pb.ListPrivilegeGroupsResponse(status=SUCCESS, privilege_groups=groups)


def info(name: str, held: Any) -> Any:
    """Return a group as servers write it."""
    return pb.PrivilegeGroupInfo(
        group_name=name, privileges=[pb.PrivilegeEntity(name=privilege) for privilege in held]
    )


def _refused(core: Core, text: str, old_code: int = INVALID) -> RefusalError:
    return by_coordinator(core.dress, FAILURE, text, checked="privilege group alterable", old_code=old_code)


def _check_group(core: Core, name: str) -> None:
    if name in core.store.groups:
        return
    if core.dress.wal:
        raise _refused(core, f"there is no privilege group name [{name}] defined in system to operate")
    if name in privileges.builtin_groups(core.dress.privileges):
        raise _refused(
            core, f"the privilege group name [{name}] is defined by built in privilege groups in system"
        )
    raise _refused(core, f"there is no privilege group name [{name}] to operate")


def _check_members(core: Core, asked: list[str]) -> None:
    line = core.dress.privileges
    groups = {*core.store.groups, *privileges.builtin_groups(line)} if core.dress.wal else set()
    for one in asked:
        if one not in privileges.names(line) and one not in groups:
            text = f"there is no privilege name or privilege group name [{one}] defined in system to operate"
            raise _refused(core, text)


def _check_levels(core: Core, members: list[str]) -> None:
    levels = privileges.levels(core.dress.privileges)
    if len({levels.get(one) for one in members}) > 1:
        raise _refused(core, "privileges are not the same privilege level", old_code=65535)
