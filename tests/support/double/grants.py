"""Grants, in both ways: V1 and V2 write the same store."""

from collections.abc import Iterable
from typing import Any

from pymilvus.grpc_gen import milvus_pb2 as pb

from support.double import checks, privileges
from support.double.core import Caller, Core
from support.double.privileges import ALL, ANY, COMPANIONS, LEGACY_GROUPS
from support.double.replies import (
    INVALID,
    SUCCESS,
    UNEXPECTED,
    RefusalError,
    by_coordinator,
    by_proxy,
)
from support.double.roles import NO_ROLE, NO_USER
from support.double.store import DEFAULT, Kept

FAILURE = "OperatePrivilegeFailure"
CHECK = "failed to operate privilege common check: "
TYPES = ("Collection", "Global", "User")


async def operate_v1(core: Core, caller: Caller, request: Any) -> Any:
    dress, entity = core.dress, request.entity
    if not request.HasField("entity"):
        raise by_proxy(dress, "IllegalArgument", INVALID, "the entity in the request is nil")
    privilege, kind, name = entity.grantor.privilege.name, entity.object.name, entity.object_name
    _check_role(core, entity.role.name)
    _check_filled(core, "ObjectType", kind)
    checks.entity_name(dress, "object name", name)
    _check_filled(core, "Privilege", privilege)
    grantor = _grantor(core, caller)
    database = entity.db_name or caller.database or DEFAULT
    if kind == "Global":
        name = ANY
    _common(core, entity.role.name, grantor, kind)
    if privilege in core.store.groups:
        raise by_coordinator(dress, FAILURE, f"can not operate the custom privilege group [{privilege}]")
    if privilege in privileges.builtin_groups(dress.privileges):
        raise by_coordinator(dress, FAILURE, f"can not operate the built-in privilege group [{privilege}]")
    if not _fits(core, privilege, kind):
        where = f" in object[{kind}]" if dress.privileges >= (2, 4) else ""
        raise by_coordinator(dress, FAILURE, f"not found the privilege name[{privilege}]{where}")
    if kind == "Collection":
        name = _resolved(core, database, name)
    return _operate(core, entity.role.name, Kept(kind, database, name, privilege), grantor, request.type)


async def operate_v2(core: Core, caller: Caller, request: Any) -> Any:
    dress = core.dress
    if not request.HasField("role"):
        raise by_proxy(dress, "IllegalArgument", INVALID, "the role in the request is nil")
    _check_role(core, request.role.name)
    privilege = request.grantor.privilege.name
    _check_filled(core, "Privilege", privilege)
    if request.type not in {pb.OperatePrivilegeType.Grant, pb.OperatePrivilegeType.Revoke}:
        raise by_proxy(dress, "IllegalArgument", INVALID, "the type in the request not grant or revoke")
    if request.db_name != ANY:
        checks.database_name(dress, request.db_name)
    checks.entity_name(dress, "collection name", request.collection_name)
    grantor = _grantor(core, caller)
    database = request.db_name or caller.database or DEFAULT
    name = _resolved(core, database, request.collection_name)
    if core.dress.cloud and privilege not in privileges.builtin_groups(dress.privileges):
        text = f"privilege {privilege} can't be granted on this cluster: contact support to enable it"
        raise by_coordinator(dress, FAILURE, text)
    _common(core, request.role.name, grantor, "Global")
    _check_scope(core, privilege, database, name)
    kind, listed = LEGACY_GROUPS.get(privilege, (_stored_type(core, privilege), privilege))
    return _operate(core, request.role.name, Kept(kind, database, name, listed), grantor, request.type)


def _operate(core: Core, role: str, kept: Kept, grantor: str, type_: int) -> Any:
    together = [kept] + [
        Kept(kept.object_type, kept.database, kept.object_name, name)
        for name in COMPANIONS.get(kept.privilege, ())
    ]
    for one in together:
        if type_ == pb.OperatePrivilegeType.Grant:
            core.store.give(role, one, grantor)
            core.proxies.granted(role, one)
        else:
            core.store.take(role, one)
            core.proxies.revoked(role, one)
    return SUCCESS


def _check_role(core: Core, name: str) -> None:
    checks.role_name(core.dress, core.settings, name)


def _check_filled(core: Core, what: str, name: str) -> None:
    if not name:
        text = f"{what} should be not empty: invalid parameter[expected=not empty][actual=]"
        raise by_proxy(core.dress, "IllegalArgument", INVALID, text)


def _grantor(core: Core, caller: Caller) -> str:
    """A grant wants to know who gives it, even with authorization off."""
    if caller.name is None:
        word = "authorization:[token]" if core.dress.privileges >= (2, 4) else "authorize:[authorization]"
        text = f"fail to get authorization from the md, {word}"
        if core.dress.wal:
            raise by_proxy(core.dress, "IllegalArgument", INVALID, text)
        raise RefusalError("UnexpectedError", UNEXPECTED, text, is_input=False)
    return caller.name


def _common(core: Core, role: str, grantor: str, kind: str) -> None:
    dress = core.dress
    before = CHECK if dress.wal else ""
    if kind not in TYPES:
        text = "the object entity in the request is nil or invalid"
        if dress.privileges < (2, 4):
            text = f"not found the object type[name: {kind}], supported the object types: [Collection Global User]"
        raise by_coordinator(dress, FAILURE, before + text)
    if role not in core.store.roles:
        raise by_coordinator(
            dress, FAILURE, before + (f'the role "{role}" does not exist' if dress.wal else NO_ROLE)
        )
    if grantor not in core.store.users:
        said = f'the grantor user "{grantor}" does not exist' if dress.wal else NO_USER
        raise by_coordinator(dress, FAILURE, before + said)


def _is_known(core: Core, privilege: str) -> bool:
    line = core.dress.privileges
    return (
        privilege in {ANY, ALL}
        or privilege in privileges.names(line)
        or privilege in privileges.builtin_groups(line)
        or privilege in core.store.groups
        or (line >= (2, 4) and privilege in LEGACY_GROUPS)
    )


def _fits(core: Core, privilege: str, kind: str) -> bool:
    """Tell whether V1 takes a name under a type."""
    line = core.dress.privileges
    if privilege == ANY:
        return True
    if privilege == ALL:
        return kind == "Global"
    if line >= (2, 4) and privilege in LEGACY_GROUPS and not privilege.startswith("Group"):
        return LEGACY_GROUPS[privilege][0] == kind
    return privilege in privileges.names(line) and privileges.object_type(privilege) == kind


def _stored_type(core: Core, privilege: str) -> str:
    is_single = privilege in privileges.names(core.dress.privileges)
    return privileges.object_type(privilege) if is_single else "Global"


def _check_scope(core: Core, privilege: str, database: str, name: str) -> None:
    """Groups have scopes that are checked, when they are revoked too; single privileges have none."""
    dress = core.dress
    if not _is_known(core, privilege):
        raise by_coordinator(dress, FAILURE, f"not found the privilege name[{privilege}]")
    groups = privileges.builtin_groups(dress.privileges)
    members = core.store.groups.get(privilege, groups.get(privilege, ()))
    if not members:
        return
    level = privileges.levels(dress.privileges).get(members[0])
    refused = None
    if level is None:
        refused = "not found the privilege level"
    elif level == privileges.CLUSTER and (database, name) != (ANY, ANY):
        refused = f"dbName and collectionName should be * for the cluster level privilege: {privilege}"
    elif level == privileges.DATABASE and name != ANY:
        refused = f"collectionName should be * for the database level privilege: {privilege}"
    elif level == privileges.COLLECTION and database == ANY and name != ANY:
        refused = f"please specify database name for the collection level privilege: {privilege}"
    if refused is not None:
        raise by_coordinator(dress, FAILURE, refused, old_code=INVALID)


def _resolved(core: Core, database: str, name: str) -> str:
    """Look a named collection up, where the version does: its database must be there, the collection need not."""
    if not core.dress.resolves_aliases or name == ANY:
        return name
    if database not in core.store.databases:
        refusal = by_proxy(core.dress, "UnexpectedError", 800, f"database not found[database={database}]")
        if not core.dress.judges_by_request:
            refusal.status.extra_info.clear()
        raise refusal
    return core.store.real_name(database, name)


async def select(core: Core, caller: Caller, request: Any) -> Any:
    dress, entity = core.dress, request.entity
    if not request.HasField("entity"):
        raise by_proxy(dress, "IllegalArgument", INVALID, "the grant entity in the request is nil")
    _check_role(core, entity.role.name)
    role = entity.role.name
    database = entity.db_name or caller.database or DEFAULT
    kind, name = entity.object.name, entity.object_name
    if kind:
        checks.entity_name(dress, "object name", name)
        if kind == "Collection":
            name = _resolved(core, database, name)
    if role not in core.store.roles:
        text = f'the role "{role}" does not exist' if dress.wal else NO_ROLE
        raise by_coordinator(dress, "SelectGrantFailure", text)
    if kind and kind not in TYPES:
        text = (
            f"not found the object type[name: {kind}], supported the object types: [Collection Global User]"
        )
        raise by_coordinator(dress, "SelectGrantFailure", text)
    everywhere = database == ANY and dress.lists_everything
    shown = [
        (kept, grantor)
        for kept, grantor in core.store.listed(role)
        if (everywhere and not kind) or kept.database in {ANY, database}
        if not kind or (kept.object_type, kept.object_name) == (kind, name)
    ]
    reply = pb.SelectGrantResponse(status=SUCCESS)
    add_entities(reply.entities, role, shown)
    return reply


def add_entities(entities: Any, role: str, grants: Iterable[tuple[Kept, str]]) -> None:
    """Add grants to a reply, as servers write them. Most of a message is the same for many, and copied."""
    templates: dict[tuple[str, str, str], Any] = {}
    for kept, grantor in grants:
        key = kept.object_type, kept.privilege, grantor
        if key not in templates:
            templates[key] = pb.GrantEntity(
                role=pb.RoleEntity(name=role),
                object=pb.ObjectEntity(name=kept.object_type),
                grantor=pb.GrantorEntity(
                    user=pb.UserEntity(name=grantor), privilege=pb.PrivilegeEntity(name=kept.privilege)
                ),
            )
        entity = entities.add()
        entity.CopyFrom(templates[key])
        entity.object_name, entity.db_name = kept.object_name, kept.database
