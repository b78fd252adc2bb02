"""Databases, collections, aliases, partitions: as little as it takes to see what a grant allows."""

from typing import Any

from pymilvus.grpc_gen import common_pb2
from pymilvus.grpc_gen import milvus_pb2 as pb

from support.double import checks
from support.double.core import Caller, Core
from support.double.replies import INVALID, SUCCESS, RefusalError, by_proxy
from support.double.store import DEFAULT, Collection


def database_of(caller: Caller, request: Any) -> str:
    """Return the database that a request names."""
    return getattr(request, "db_name", "") or caller.database or DEFAULT


async def create_database(core: Core, _: Caller, request: Any) -> Any:
    checks.database_name(core.dress, request.db_name)
    if request.db_name in core.store.databases:
        said = f"database already exist: {request.db_name}"
        if core.dress.wal:
            raise by_proxy(core.dress, "IllegalArgument", INVALID, said)
        raise RefusalError("UnexpectedError", 65535, said, is_input=False)
    core.store.databases[request.db_name] = {}
    return SUCCESS


async def drop_database(core: Core, _: Caller, request: Any) -> Any:
    core.store.databases.pop(request.db_name, None)
    return SUCCESS


async def list_databases(core: Core, caller: Caller, _: Any) -> Any:
    names = [name for name in sorted(core.store.databases) if _sees(core, caller, name)]
    return pb.ListDatabasesResponse(status=SUCCESS, db_names=names)


def _sees(core: Core, caller: Caller, database: str) -> bool:
    """Return whether a caller has any right of its own in a database; the rights of `public` do not count."""
    if not core.dress.filters_lists or caller.name is None or has_all(core, caller.name):
        return True
    roles = core.proxies.roles_of(caller.name) - {"public"}
    grants = (kept for role in roles for kept in core.store.held(role))
    return any(kept.database in {"*", database} for kept in grants)


def has_all(core: Core, user: str) -> bool:
    """Return whether a user may do everything."""
    must_bind = core.settings.root_should_bind_role and core.dress.root_can_be_bound
    is_root = user == "root" and not must_bind
    return is_root or "admin" in core.proxies.roles_of(user) or not core.settings.authorization_enabled


async def describe_database(core: Core, caller: Caller, request: Any) -> Any:
    name = database_of(caller, request)
    if name not in core.store.databases:
        raise by_proxy(core.dress, "UnexpectedError", 800, f"database not found[database={name}]")
    return pb.DescribeDatabaseResponse(status=SUCCESS, db_name=name)


async def create_collection(core: Core, caller: Caller, request: Any) -> Any:
    checks.collection_or_alias(core.dress, "name", request.collection_name)
    _collections(core, caller, request)[request.collection_name] = Collection()
    return SUCCESS


async def drop_collection(core: Core, caller: Caller, request: Any) -> Any:
    database, name = database_of(caller, request), request.collection_name
    if core.store.databases.get(database, {}).pop(name, None) is not None and core.dress.drops_plain_grants:
        core.store.rename_plain_grants(database, name, None)
        core.proxies.reload()
    return SUCCESS


async def rename_collection(core: Core, caller: Caller, request: Any) -> Any:
    database = database_of(caller, request)
    checks.collection_or_alias(core.dress, "name", request.newName)
    collections = _collections(core, caller, request)
    collections[request.newName] = collections.pop(request.oldName)
    if core.dress.drops_plain_grants:
        core.store.rename_plain_grants(database, request.oldName, request.newName)
        core.proxies.reload()
    return SUCCESS


async def has_collection(core: Core, caller: Caller, request: Any) -> Any:
    database = database_of(caller, request)
    name = core.store.real_name(database, request.collection_name)
    return pb.BoolResponse(status=SUCCESS, value=name in core.store.databases.get(database, {}))


async def show_collections(core: Core, caller: Caller, request: Any) -> Any:
    database = database_of(caller, request)
    names = sorted(core.store.databases.get(database, {}))
    shown = names if _sees(core, caller, database) else []
    return pb.ShowCollectionsResponse(status=SUCCESS, collection_names=shown)


async def describe_collection(core: Core, caller: Caller, request: Any) -> Any:
    database, name = database_of(caller, request), request.collection_name
    real = core.store.real_name(database, name)
    if real in core.store.databases.get(database, {}):
        return pb.DescribeCollectionResponse(status=SUCCESS, collection_name=real, db_name=database)
    legacy, code, detail = core.dress.missing_collection
    where = f"[database={database}][collection={name}]"
    old = core.dress.privileges < (2, 4)
    text = f"can't find collection{' collection not found' if old else ''}{where}"
    refusal = RefusalError(legacy, code, text, detail=detail and detail + where, is_input=not old)
    return pb.DescribeCollectionResponse(status=refusal.status, collection_name=name, db_name=database)


async def create_partition(core: Core, caller: Caller, request: Any) -> Any:
    del core, caller, request  # partitions are not kept: only whether they may be made matters
    return SUCCESS


async def create_alias(core: Core, caller: Caller, request: Any) -> Any:
    checks.collection_or_alias(core.dress, "alias", request.alias)
    collections, database = _collections(core, caller, request), database_of(caller, request)
    if request.collection_name not in collections:
        text = f"collection not found[database={database}][collection={request.collection_name}]"
        raise RefusalError("UnexpectedError", 100, text, is_input=False)
    collections[request.collection_name].aliases.add(request.alias)
    return SUCCESS


async def drop_alias(core: Core, caller: Caller, request: Any) -> Any:
    for collection in _collections(core, caller, request).values():
        collection.aliases.discard(request.alias)
    return SUCCESS


async def describe_alias(core: Core, caller: Caller, request: Any) -> Any:
    if core.dress.checks_alias_lookups:
        checks.collection_or_alias(core.dress, "alias", request.alias)
    _collections(core, caller, request)
    database = database_of(caller, request)
    real = core.store.real_name(database, request.alias)
    if real == request.alias:
        text = f"alias not found[database={database}][alias={request.alias}]"
        raise RefusalError("UnexpectedError", 1600, text, is_input=False)
    return pb.DescribeAliasResponse(status=SUCCESS, db_name=database, alias=request.alias, collection=real)


async def get_version(core: Core, _: Caller, __: Any) -> Any:
    return pb.GetVersionResponse(status=SUCCESS, version=core.dress.version)


async def connect(core: Core, _: Caller, __: Any) -> Any:
    info = common_pb2.ServerInfo(build_tags=core.dress.version, deploy_mode="STANDALONE")
    return pb.ConnectResponse(status=SUCCESS, server_info=info, identifier=1)


async def check_health(core: Core, _: Caller, __: Any) -> Any:
    del core
    return pb.CheckHealthResponse(status=SUCCESS, isHealthy=True)


def _collections(core: Core, caller: Caller, request: Any) -> dict[str, Collection]:
    name = database_of(caller, request)
    if name not in core.store.databases:
        raise by_proxy(core.dress, "UnexpectedError", 800, f"database not found[database={name}]")
    return core.store.databases[name]
