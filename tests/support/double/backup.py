"""BackupRBAC, and RestoreRBAC as far as it never fails half-way: the operator must not send it anyway."""

from typing import Any

from pymilvus.grpc_gen import milvus_pb2 as pb

from support.double import privileges
from support.double.core import Caller, Core
from support.double.grants import add_entities
from support.double.groups import info
from support.double.replies import INVALID, SUCCESS, by_coordinator
from support.double.roles import BUILTIN
from support.double.store import ROOT, Account, Kept
from support.double.users import roles_of

FAILURE = "OperatePrivilegeFailure"
CHECK = "rbac restorable"


async def back_up(core: Core, _: Caller, __: Any) -> Any:
    """Say everything but root, and what was granted to the roles that every server has."""
    if core.dress.cloud:
        raise by_coordinator(
            core.dress, FAILURE, "BackupRBAC is not available on this cluster", old_code=INVALID
        )
    store = core.store
    users = [
        pb.UserInfo(
            user=name,
            password=await core.hash_of(store.users[name]),
            roles=[pb.RoleEntity(name=role) for role in roles_of(core, name)],
        )
        for name in sorted(store.users)
        if name != ROOT
    ]
    roles = [name for name in sorted(store.roles) if name not in BUILTIN]
    meta = pb.RBACMeta(
        users=users,
        roles=[pb.RoleEntity(name=name, description=store.roles[name]) for name in roles],
        privilege_groups=[info(name, store.groups[name]) for name in sorted(store.groups)],
    )
    for role in roles:
        add_entities(meta.grants, role, store.listed(role))
    return pb.BackupRBACMetaResponse(status=SUCCESS, RBAC_meta=meta)


async def restore(core: Core, caller: Caller, request: Any) -> Any:
    """Add what a backup holds; anything that is there already refuses all of it."""
    meta, store = request.RBAC_meta, core.store
    _must_be_new(core, meta)
    for role in meta.roles:
        store.roles[role.name] = role.description if core.dress.descriptions else ""
    for group in meta.privilege_groups:
        store.groups[group.group_name] = [one.name for one in group.privileges]
    for user in meta.users:
        account = Account("", hash=user.password)
        account.roles = {role.name for role in user.roles}
        store.users[user.user] = account
    for row in meta.grants:
        name = row.grantor.privilege.name
        kind = row.object.name
        if name in store.groups or name in privileges.builtin_groups(core.dress.privileges):
            kind = "Global"
        kept = Kept(kind, row.db_name or "default", row.object_name, name)
        store.give(row.role.name, kept, row.grantor.user.name or caller.name or ROOT)
    core.proxies.reload()
    return SUCCESS


def _must_be_new(core: Core, meta: Any) -> None:
    store, dress = core.store, core.dress
    said = next((f"role [{one.name}] already exists" for one in meta.roles if one.name in store.roles), None)
    said = said or next(
        (
            f"privilege group [{one.group_name}] already exists"
            for one in meta.privilege_groups
            if one.group_name in store.groups
        ),
        None,
    )
    said = said or next(
        (f"user [{one.user}] already exists" for one in meta.users if one.user in store.users), None
    )
    new_roles = {one.name for one in meta.roles} | store.roles.keys()
    said = said or next(
        (
            f"role [{role.name}] does not exist"
            for user in meta.users
            for role in user.roles
            if role.name not in new_roles and dress.wal
        ),
        None,
    )
    said = said or next(filter(None, (_unknown(core, meta, row) for row in meta.grants)), None)
    if said is not None:
        raise by_coordinator(dress, FAILURE, said, checked=CHECK)


def _unknown(core: Core, meta: Any, row: Any) -> str | None:
    line, name = core.dress.privileges, row.grantor.privilege.name
    groups = {*core.store.groups, *(one.group_name for one in meta.privilege_groups)}
    known = {*privileges.names(line), *privileges.builtin_groups(line), *groups, privileges.ALL}
    if core.dress.wal:
        known.add(privileges.ANY)
        return None if name in known else f"privilege [{name}] does not exist"
    if name not in known:
        return f"privilege group [{name}] does not exist"
    kept = Kept(row.object.name, row.db_name or "default", row.object_name, name)
    is_there = kept in core.store.held(row.role.name)
    return f"the privilege[Privilege{name}] has been granted" if is_there else None
