"""What stands before every call: is the method known, is the login good, may the caller do it. In this order."""

import base64
import binascii
from typing import Any

import grpc

from support.double.calls import CALLS, FILTERED, Call
from support.double.core import CLOUD_ADMIN, Caller, Core
from support.double.places import database_of, has_all
from support.double.replies import RpcError
from support.double.store import PUBLIC, ROOT

SERVICE = "milvus.proto.milvus.MilvusService"
API_KEY = "an-api-key-of-the-cloud"
"""What Zilliz Cloud lets in beside users: a token without a colon."""


def find(core: Core, method: str) -> Call:
    """Find a method; one that is not there is said before anybody asks who calls."""
    if method in core.dress.unknown_methods or (
        method not in CALLS and method not in core.dress.unimplemented_methods
    ):
        raise RpcError(grpc.StatusCode.UNIMPLEMENTED, f"unknown method {method} for service {SERVICE}")
    if method not in CALLS:
        raise RpcError(grpc.StatusCode.UNIMPLEMENTED, f"method {method} not implemented")
    return CALLS[method]


def authenticate(core: Core, metadata: dict[str, str]) -> Caller:
    """Return the caller; without authorization there need be none, and no password is checked."""
    database = metadata.get("dbname", "")
    token = metadata.get("authorization")
    if not core.settings.authorization_enabled:
        name = _decoded(token).partition(":")[0] if token else None
        return Caller(name, database)
    if token is None:
        raise _unauthenticated("missing authorization in header")
    text = _decoded(token)
    if ":" not in text:
        if core.dress.cloud and text == API_KEY:
            return Caller(CLOUD_ADMIN, database)
        raise _unauthenticated("auth check failure, please check api key is correct")
    name, _, password = text.partition(":")
    account = core.store.users.get(name)
    if account is None or not account.can_log_in or not core.accepts(account, password):
        raise _unauthenticated("auth check failure, please check username and password are correct")
    return Caller(name, database)


def authorize(core: Core, caller: Caller, method: str, call: Call, request: Any) -> None:
    """Judge the call from what the proxies remember."""
    if call.privilege is None or caller.name is None or has_all(core, caller.name):
        return
    if method in FILTERED and core.dress.filters_lists:
        return
    if _is_about_oneself(core, caller, method, request):
        return
    named = database_of(caller, request) if getattr(request, "db_name", "") else ""
    database = core.proxies.judged_in(call.privilege, caller.database, named)
    target = _target(call, request)
    if not core.proxies.allows(caller.name, call.privilege, database, target or "*"):
        where = f" in the `{database}` database" if core.dress.privileges >= (2, 4) else ""
        text = f"Privilege{call.privilege}: permission deny to {caller.name}{where}"
        raise RpcError(grpc.StatusCode.PERMISSION_DENIED, text)


def _target(call: Call, request: Any) -> str:
    value = request
    for part in call.takes.split(".") if call.takes else ():
        value = getattr(value, part)
    return value if isinstance(value, str) else ""


def _is_about_oneself(core: Core, caller: Caller, method: str, request: Any) -> bool:
    """Everybody may change its own password, read its own entry, and the grants of its own roles and of public."""
    match method:
        case "UpdateCredential":
            return bool(request.username == caller.name)
        case "SelectUser":
            return bool(request.HasField("user") and request.user.name == caller.name)
        case "SelectGrant":
            return request.entity.role.name in core.proxies.roles_of(caller.name or ROOT) | {PUBLIC}
        case _:
            return False


def _decoded(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError):
        raise _unauthenticated("invalid token format") from None


def _unauthenticated(text: str) -> RpcError:
    return RpcError(grpc.StatusCode.UNAUTHENTICATED, text)
