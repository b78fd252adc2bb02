"""From the words of gRPC and Milvus to errors.py. Reads replies only: what was asked never gets into a message.

Milvus says most refusals with one and the same number (65535 before 2.6.19), so the legacy code and the text of the
reason tell them apart; both are the same from 2.3 to 3.0 as far as a rule below says nothing else.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from milvus_rbac.domain.catalogue import find, suggest
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.errors import (
    AlreadyExists,
    InternalError,
    MilvusRbacError,
    NotFound,
    OldPasswordRefused,
    Refused,
    Unreachable,
)
from milvus_rbac.milvus.endpoint import Endpoint
from milvus_rbac.milvus.stubs import common_pb2, grpc

_TEXT_LIMIT: Final = 300
_PERMISSION: Final = re.compile(r"Privilege(?P<privilege>\w+): permission deny")
_HTTP_STATUS: Final = re.compile(r"Received http2 header with status: (?P<status>\d+)")
_LOST: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def from_rpc(code: grpc.StatusCode, details: str, endpoint: Endpoint) -> MilvusRbacError:
    """Say what a call that did not end with a reply means."""
    if (http := _HTTP_STATUS.search(details)) is not None:
        return _foreign_server(endpoint, http["status"])
    if code is grpc.StatusCode.UNAUTHENTICATED or _refuses_login(code, details):
        return Unreachable(
            Reason.CREDENTIALS_REJECTED,
            f"Milvus at {endpoint.name} rejects the user name or password of spec.credentialsSecretRef.",
        )
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return _permission_denied(details)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Refused(Reason.UNSUPPORTED_BY_SERVER, f"This Milvus does not know the call: {clip(details)}")
    if code in _LOST or _says_nothing(details):
        return _tls_trouble(details, endpoint) or _unreachable(code, details, endpoint)
    return InternalError(f"Milvus at {endpoint.name} answered {code.name}: {clip(details)}")


def from_status(status: Any) -> MilvusRbacError:
    """Say what a reply that is not a success means; `status` is a common.Status."""
    reason = status.reason
    for pattern, error in _RULES:
        if (match := pattern.search(reason)) is not None:
            return error(match)
    if status.error_code == common_pb2.NotReadyServe:
        return _not_ready(None)
    return InternalError(f"Milvus answered {status.error_code}/{status.code}: {clip(reason)}")


def clip(text: str) -> str:
    """Cut a server's text to what fits a status message, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_LIMIT else line[: _TEXT_LIMIT - 1] + "…"


def tls_wanted(endpoint: Endpoint) -> Unreachable:
    """Say that a plaintext connection met a TLS port."""
    return Unreachable(Reason.TLS_MISMATCH, f"{endpoint.name} speaks TLS: write https:// in spec.uri.")


def _refuses_login(code: grpc.StatusCode, details: str) -> bool:
    # 2.3.0 to 2.3.3 refuse a login with UNKNOWN (milvus#28437).
    return code is grpc.StatusCode.UNKNOWN and "auth check failure" in details


def _says_nothing(details: str) -> bool:
    """Broken streams come as INTERNAL or UNKNOWN; so does a proxy whose cache is not there yet."""
    signs = ("RST_STREAM", "Stream removed", "Connection reset", "Socket closed", "Proxy is not ready")
    return any(sign in details for sign in signs)


def _foreign_server(endpoint: Endpoint, status: str) -> Unreachable:
    return Unreachable(
        Reason.UNREACHABLE,
        f"What answers at {endpoint.name} is no Milvus (HTTP status {status}): check spec.uri and what is in between.",
    )


def _permission_denied(details: str) -> Refused:
    match = _PERMISSION.search(details)
    if match is None:
        return Refused(Reason.MISSING_PRIVILEGES, f"Milvus refuses the operator's account: {clip(details)}")
    return Refused(
        Reason.MISSING_PRIVILEGES,
        f"The operator's account lacks the privilege {match['privilege']}:"
        " grant it on all databases, or bind the role admin to the account.",
    )


def _tls_trouble(details: str, endpoint: Endpoint) -> Unreachable | None:
    for sign, advice in _TLS_SIGNS:
        if sign in details:
            return Unreachable(Reason.TLS_MISMATCH, advice.format(endpoint=endpoint))
    return None


_TLS_SIGNS: Final = (
    ("WRONG_VERSION_NUMBER", "{endpoint.name} does not speak TLS: write http:// in spec.uri."),
    ("certificate has expired", "The certificate of {endpoint.name} has expired: renew it."),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "No trusted authority vouches for the certificate of {endpoint.name}: name its CA in spec.tls.caSecretRef.",
    ),
    (
        "Hostname Verification Check failed",
        "The certificate of {endpoint.name} is for another name: write that name in spec.tls.serverName.",
    ),
    (
        "Failed to create security handshaker",
        "The Secret of spec.tls.caSecretRef holds no certificate that can be read.",
    ),
    (
        "handshake failed",
        "The TLS handshake with {endpoint.name} failed: check spec.tls and the server's certificate.",
    ),
)


def _unreachable(code: grpc.StatusCode, details: str, endpoint: Endpoint) -> Unreachable:
    check = "check spec.uri, that Milvus runs, and that no NetworkPolicy is in the way."
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or "timed out" in details:
        said = f"{endpoint.name} did not answer in time"
    elif "resolving" in details or "Domain name not found" in details:
        said = f"The host of {endpoint.name} is not known to DNS"
    elif "Connection refused" in details:
        said = f"{endpoint.name} refuses connections"
    elif "Proxy is not ready" in details:
        said = f"Milvus at {endpoint.name} is starting"
    elif "http1.x server" in details:
        said = f"{endpoint.name} answers, but not with gRPC"
    else:
        said = f"The connection to {endpoint.name} broke"
    return Unreachable(Reason.UNREACHABLE, f"{said}: {check}")


def _already_exists(_: re.Match[str]) -> MilvusRbacError:
    return AlreadyExists(
        "Something of that name appeared in Milvus in the meantime; the next look says whose it is."
    )


def _limit(match: re.Match[str]) -> MilvusRbacError:
    setting, builtins = (
        ("maxRoleNum", "admin and public") if match["what"] == "roles" else ("maxUserNum", "root")
    )
    return Refused(
        Reason.LIMIT_REACHED,
        f"Milvus takes no more {match['what']}: raise proxy.{setting} in its configuration, which counts"
        f" {builtins} too.",
    )


def _not_found(match: re.Match[str]) -> MilvusRbacError:
    return NotFound(f"The {match['what']} is not in Milvus any more; the next look makes up for it.")


def _still_granted(_: re.Match[str]) -> MilvusRbacError:
    return Refused(
        Reason.CONFLICT, "The role was given privileges in the meantime, and Milvus drops none that has any."
    )


def _old_password(_: re.Match[str]) -> MilvusRbacError:
    return OldPasswordRefused(
        "Milvus did not accept the old password: give it in the key previous-password, or name the operator's account in"
        " common.security.superUsers."
    )


def _password_length(match: re.Match[str]) -> MilvusRbacError:
    length, low, high = (int(match[name]) for name in ("length", "low", "high"))
    reason = Reason.PASSWORD_TOO_SHORT if length < low else Reason.PASSWORD_TOO_LONG
    return Refused(reason, f"Milvus takes passwords of {low} to {high} bytes: this one has {length}.")


def _password_beyond_bcrypt(match: re.Match[str]) -> MilvusRbacError:
    # Servers before 2.4.18 say 256 and fail on what bcrypt takes.
    return Refused(Reason.PASSWORD_TOO_LONG, f"Milvus takes passwords of at most {match['high']} bytes.")


def _invalid_name(match: re.Match[str]) -> MilvusRbacError:
    return Refused(
        Reason.INVALID_NAME, f"Milvus does not take this name, choose another: {clip(match.string)}"
    )


def _unknown_privilege(match: re.Match[str]) -> MilvusRbacError:
    name = match["privilege"]
    row = find(name)
    if row is not None:
        since = ".".join(map(str, row.since))
        return Refused(
            Reason.UNSUPPORTED_BY_SERVER, f"This Milvus does not know {name}, which came with {since}."
        )
    meant = suggest(name)
    advice = f"write {meant}." if meant else "see the privilege names in Milvus' documentation."
    return Refused(Reason.UNKNOWN_PRIVILEGE, f"Milvus does not know the privilege {clip(name)}: {advice}")


def _group_in_v1(match: re.Match[str]) -> MilvusRbacError:
    return Refused(
        Reason.UNSUPPORTED_BY_SERVER,
        f"The privilege group {match['group']} cannot be granted to this Milvus: grant its privileges by name.",
    )


def _no_database(match: re.Match[str]) -> MilvusRbacError:
    return Refused(Reason.INVALID_SCOPE, f"The database {match['database']} does not exist in Milvus.")


def _object_type(match: re.Match[str]) -> MilvusRbacError:
    return Refused(Reason.INVALID_SCOPE, f"Milvus refuses the scope of a grant: {clip(match.string)}")


def _built_in(match: re.Match[str]) -> MilvusRbacError:
    return Refused(Reason.RESERVED_NAME, f"Milvus keeps its built-in users and roles: {clip(match.string)}")


def _no_caller(_: re.Match[str]) -> MilvusRbacError:
    # With authorization off, a grant wants to know who gives it. The server's text repeats what the caller sent.
    return Refused(
        Reason.AUTHORIZATION_OFF,
        "Milvus does not check logins and does not know the operator's account: turn on"
        " common.security.authorizationEnabled.",
    )


def _not_ready(_: re.Match[str] | None) -> MilvusRbacError:
    return Unreachable(
        Reason.UNREACHABLE, "Milvus is starting, or a part of it is down: wait, then look at its pods."
    )


_RULES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], MilvusRbacError]], ...]] = tuple(
    (re.compile(pattern), error)
    for pattern, error in (  # the formatter is kept off: one rule a line, whatever its length, is a table
        (r"number of (?P<what>roles|users) has reached the limit", _limit),
        (r"already exists|has existed", _already_exists),  # the second from 2.2
        (r"old password not correct", _old_password),
        (r"invalid password length.*\[(?P<length>\d+) out of range (?P<low>\d+) <= value <= (?P<high>\d+)", _password_length),
        (r"bcrypt: password length exceeds (?P<high>\d+) bytes", _password_beyond_bcrypt),
        (r"it has privileges", _still_granted),
        (r"not found the (?P<what>role|user),", _not_found),
        (r"(?P<what>user|role)( \".*\" (not found|does not exist)| not found)", _not_found),  # 2.6.19 and later
        (r"not found the privilege name\[(?P<privilege>[^\]]*)\]", _unknown_privilege),
        (r"can not operate the \S+ privilege group \[(?P<group>[^\]]*)\]", _group_in_v1),
        (r"not found the object type|object entity in the request", _object_type),
        (r"database not found\[database=(?P<database>[^\]]*)\]", _no_database),
        (r"cannot be deleted|default role, which can't be dropped", _built_in),
        (r"invalid user ?name|(user|role|object) ?name (must|should) be not empty", _invalid_name),
        # Object and database names are refused with the same words as role names.
        (r"role name can only contain|character of role name|length of role name", _invalid_name),
        (r"fail to get authorization", _no_caller),
        (r"service not ready", _not_ready),
    )
)  # fmt: skip
