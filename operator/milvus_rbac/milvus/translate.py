"""From a gRPC status, of a call without a reply, to errors.py. What Milvus itself refuses is refusals.py's."""

import re
from typing import Final

from milvus_rbac.domain.conditions import Reason
from milvus_rbac.errors import InternalError, MilvusRbacError, Refused, Unreachable
from milvus_rbac.milvus.endpoint import Endpoint
from milvus_rbac.milvus.refusals import clip
from milvus_rbac.milvus.stubs import grpc

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


def tls_wanted(endpoint: Endpoint) -> Unreachable:
    """Say that a plaintext connection met a TLS port."""
    return Unreachable(Reason.TLS_MISMATCH, f"{endpoint.name} speaks TLS: write https:// in spec.uri.")


def certificate_wanted(endpoint: Endpoint) -> Unreachable:
    """Say that the server wants to know who connects."""
    message = f"{endpoint.name} wants to see a certificate: name the Secret with it in spec.tls.clientCertSecretRef."
    return Unreachable(Reason.TLS_MISMATCH, message)


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
        "No certificate can be read in the Secret of spec.tls.caSecretRef, or none with its key in that of clientCertSecretRef.",
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
