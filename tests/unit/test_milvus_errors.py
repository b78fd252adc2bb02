"""What the replies of servers mean. The texts were recorded on real servers, or are in their source."""

from types import SimpleNamespace

import grpc
import pytest

from milvus_rbac.domain.conditions import MESSAGE_LIMIT, Reason
from milvus_rbac.milvus import channel, errors
from milvus_rbac.milvus.channel import Endpoint
from milvus_rbac.milvus.errors import (
    AlreadyExists,
    DatabaseMissing,
    InternalError,
    MilvusRbacError,
    NotFound,
    OldPasswordRefused,
    Refused,
    StillGranted,
    Unreachable,
)

PLAIN = Endpoint("milvus.test", 19530, secure=False, ca_pem=None, client=None, server_name=None)
NO_CONNECTION = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:19530: "
Code = grpc.StatusCode


def _status(text: str, legacy: int = 1) -> SimpleNamespace:
    """Return a status like that of most servers: one number for all refusals, so that only the text tells them apart."""
    return SimpleNamespace(error_code=legacy, code=65535, reason=text)


@pytest.mark.parametrize(
    ("code", "details", "kind", "reason", "says"),
    [
        (
            Code.UNAUTHENTICATED,
            "auth check failure, please check username and password are correct",
            Unreachable,
            Reason.CREDENTIALS_REJECTED,
            "spec.credentialsSecretRef",
        ),
        (  # 2.3.0 to 2.3.3
            Code.UNKNOWN,
            "auth check failure, please check username and password are correct",
            Unreachable,
            Reason.CREDENTIALS_REJECTED,
            "milvus.test:19530",
        ),
        (
            Code.PERMISSION_DENIED,
            "PrivilegeCreateOwnership: permission deny to oper",
            Refused,
            Reason.MISSING_PRIVILEGES,
            "lacks the privilege CreateOwnership",
        ),
        (  # 2.4 and later name the database
            Code.PERMISSION_DENIED,
            "PrivilegeSelectOwnership: permission deny to oper in the `default` database",
            Refused,
            Reason.MISSING_PRIVILEGES,
            "lacks the privilege SelectOwnership",
        ),
        (
            Code.PERMISSION_DENIED,
            "blocked by a hook",
            Refused,
            Reason.MISSING_PRIVILEGES,
            "blocked by a hook",
        ),
        (
            Code.UNIMPLEMENTED,
            "unknown method BackupRBAC for service milvus.proto.milvus.MilvusService",
            Refused,
            Reason.UNSUPPORTED_BY_SERVER,
            "BackupRBAC",
        ),
        (
            Code.UNIMPLEMENTED,
            "Received http2 header with status: 404",
            Unreachable,
            Reason.UNREACHABLE,
            "no Milvus (HTTP status 404)",
        ),
        (  # while Milvus restarts behind it
            Code.UNAVAILABLE,
            "Received http2 header with status: 503",
            Unreachable,
            Reason.UNREACHABLE,
            "does not reach Milvus behind it (HTTP status 503)",
        ),
        (
            Code.DEADLINE_EXCEEDED,
            "Deadline Exceeded",
            Unreachable,
            Reason.UNREACHABLE,
            "did not answer in time",
        ),
        (
            Code.UNAVAILABLE,
            NO_CONNECTION + "connection attempt timed out before receiving SETTINGS frame",
            Unreachable,
            Reason.UNREACHABLE,
            "did not answer in time",
        ),
        (Code.CANCELLED, "", Unreachable, Reason.UNREACHABLE, "broke"),
        (
            Code.UNAVAILABLE,
            NO_CONNECTION + "Failed to connect to remote host: Connection refused",
            Unreachable,
            Reason.UNREACHABLE,
            "refuses connections",
        ),
        (
            Code.UNAVAILABLE,
            "errors resolving milvus.test:19530: [field:hostname lookup error:… Domain name not found]",
            Unreachable,
            Reason.UNREACHABLE,
            "not known to DNS",
        ),
        (
            Code.UNAVAILABLE,
            NO_CONNECTION
            + "Failed parsing HTTP/2 (…) (Trying to connect an http1.x server (HTTP status 400))",
            Unreachable,
            Reason.UNREACHABLE,
            "not with gRPC",
        ),
        (Code.UNAVAILABLE, "recvmsg:Connection reset by peer", Unreachable, Reason.UNREACHABLE, "broke"),
        (
            Code.INTERNAL,
            "Received RST_STREAM with error code 2",
            Unreachable,
            Reason.UNREACHABLE,
            "broke",
        ),
        (
            Code.UNKNOWN,
            "internal: Milvus Proxy is not ready yet. please wait",
            Unreachable,
            Reason.UNREACHABLE,
            "is starting",
        ),
        (
            Code.UNAVAILABLE,
            NO_CONNECTION + "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:100000f7:SSL"
            " routines:OPENSSL_internal:WRONG_VERSION_NUMBER: Invalid certificate verification context: OK",
            Unreachable,
            Reason.TLS_MISMATCH,
            "write http://",
        ),
        (
            Code.UNAVAILABLE,
            NO_CONNECTION + "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL"
            " routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK",
            Unreachable,
            Reason.TLS_MISMATCH,
            "spec.tls.caSecretRef",
        ),
        (
            Code.UNAVAILABLE,
            NO_CONNECTION + "OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: certificate has expired: OK",
            Unreachable,
            Reason.TLS_MISMATCH,
            "renew it",
        ),
        (
            Code.UNAVAILABLE,
            NO_CONNECTION
            + "Custom verification check failed with error: UNAUTHENTICATED: Hostname Verification"
            " Check failed.",
            Unreachable,
            Reason.TLS_MISMATCH,
            "spec.tls.serverName",
        ),
        (
            Code.UNAVAILABLE,
            NO_CONNECTION + "Failed to create security handshaker.",
            Unreachable,
            Reason.TLS_MISMATCH,
            "No certificate can be read",
        ),
        (Code.RESOURCE_EXHAUSTED, "too much", InternalError, Reason.INTERNAL_ERROR, "too much"),
    ],
)
def test_a_call_without_a_reply_says_what_to_check(
    code: grpc.StatusCode, details: str, kind: type[MilvusRbacError], reason: Reason, says: str
) -> None:
    error = channel.from_rpc(code, details, PLAIN)
    assert (type(error), error.refusal.reason) == (kind, reason)
    assert says in error.refusal.message


@pytest.mark.parametrize(
    ("text", "kind", "reason", "says"),
    [
        ("user already exists: alice", AlreadyExists, Reason.CONFLICT, ""),
        ('role [name:"r1"] already exists: invalid parameter', AlreadyExists, Reason.CONFLICT, ""),
        ("fail to create role, error: the key[x] has existed", AlreadyExists, Reason.CONFLICT, ""),
        (
            "unable to add user because the number of users has reached the limit",
            Refused,
            Reason.LIMIT_REACHED,
            "proxy.maxUserNum",
        ),
        (
            "quota exceeded[reason=unable to create role because the number of roles has reached the limit]",
            Refused,
            Reason.LIMIT_REACHED,
            "proxy.maxRoleNum",
        ),
        (
            "not found the role, maybe the role isn't existed or internal system error",
            NotFound,
            Reason.CONFLICT,
            "The role is not in Milvus",
        ),
        (
            "not found the user, maybe the user isn't existed or internal system error",
            NotFound,
            Reason.CONFLICT,
            "The user is not in Milvus",
        ),
        (
            'failed to check if operate user role: user "missing" not found: invalid parameter',
            NotFound,
            Reason.CONFLICT,
            "The user",
        ),
        (
            'the role "missing" does not exist: invalid parameter',
            NotFound,
            Reason.CONFLICT,
            "The role",
        ),
        (
            "failed to check if update credential: user not found",
            NotFound,
            Reason.CONFLICT,
            "The user",
        ),
        (
            "old password not correct for alice: not authenticated",
            OldPasswordRefused,
            Reason.OLD_PASSWORD_UNKNOWN,
            "previous-password",
        ),
        (
            "invalid password length: invalid parameter[5 out of range 6 <= value <= 256]",
            Refused,
            Reason.PASSWORD_TOO_SHORT,
            "6 to 256",
        ),
        (
            "invalid password length: invalid parameter[21 out of range 8 <= value <= 20]",
            Refused,
            Reason.PASSWORD_TOO_LONG,
            "8 to 20",
        ),
        (
            "encrypt password failed: bcrypt: password length exceeds 72 bytes",
            Refused,
            Reason.PASSWORD_TOO_LONG,
            "72 bytes",
        ),
        (
            "invalid user name 1abc, the first character must be a letter, but got 1: invalid parameter",
            Refused,
            Reason.INVALID_NAME,
            "1abc",
        ),
        ("username must be not empty: invalid parameter", Refused, Reason.INVALID_NAME, ""),
        (
            "role name can only contain numbers, letters, dollars and underscores, found - at 1",
            Refused,
            Reason.INVALID_NAME,
            "",
        ),
        (
            "not found the privilege name[BackupRBAC]",
            Refused,
            Reason.UNSUPPORTED_BY_SERVER,
            "came with 2.4.9",
        ),
        (
            "not found the privilege name[PrivilegeSearch] in object[Collection]: invalid parameter",
            Refused,
            Reason.UNKNOWN_PRIVILEGE,
            "write Search",
        ),
        (
            "not found the privilege name[Foo]",
            Refused,
            Reason.UNKNOWN_PRIVILEGE,
            "documentation",
        ),
        (
            "can not operate the built-in privilege group [ClusterAdmin]",
            Refused,
            Reason.UNSUPPORTED_BY_SERVER,
            "ClusterAdmin",
        ),
        (
            "not found the object type[name: Database], supported the object types: [Collection Global User]",
            Refused,
            Reason.INVALID_SCOPE,
            "Database",
        ),
        (
            "Invalid collection alias: my-docs.  collection alias can only contain numbers, letters and underscores",
            Refused,
            Reason.INVALID_SCOPE,
            "my-docs",
        ),
        (
            "the length of collection name must be not greater than limit: invalid parameter[256 out of range 0 <= value <= 255]",
            Refused,
            Reason.INVALID_SCOPE,
            "256",
        ),
        (
            "privilege group name a b can only contain numbers, letters and underscores: invalid parameter",
            Refused,
            Reason.INVALID_NAME,
            "a b",
        ),
        ("database not found[database=nodb]", DatabaseMissing, Reason.INVALID_SCOPE, "nodb"),
        (
            "fail to drop the role that it has privileges. Use REVOKE API to revoke privileges",
            StillGranted,
            Reason.CONFLICT,
            "privileges in the meantime",
        ),
        (
            "root user cannot be deleted: privilege not permitted",
            Refused,
            Reason.RESERVED_NAME,
            "root",
        ),
        (
            "the role[admin] is a default role, which can't be dropped: privilege not permitted",
            Refused,
            Reason.RESERVED_NAME,
            "admin",
        ),
        (
            "service not ready[rootcoord=1]: Initializing",
            Unreachable,
            Reason.UNREACHABLE,
            "starting",
        ),
        ("something new", InternalError, Reason.INTERNAL_ERROR, "something new"),
    ],
)
def test_a_reply_that_is_no_success_is_sorted_by_its_words(
    text: str, kind: type[MilvusRbacError], reason: Reason, says: str
) -> None:
    error = errors.from_status(_status(text))
    assert (type(error), error.refusal.reason) == (kind, reason)
    assert says in error.refusal.message


def test_a_server_that_is_not_ready_is_waited_for_whatever_it_says() -> None:
    error = errors.from_status(_status("not serving", legacy=56))
    assert (type(error), error.refusal.reason) == (Unreachable, Reason.UNREACHABLE)


def test_what_the_caller_sent_is_not_repeated_even_where_the_server_repeats_it() -> None:
    text = "fail to get authorization from the md, authorization:[cm9vdDpNaWx2dXM=]"
    error = errors.from_status(_status(text))
    assert error.refusal.reason is Reason.AUTHORIZATION_OFF
    assert "cm9vdDpNaWx2dXM" not in error.refusal.message


def test_a_long_text_is_cut_to_one_short_line() -> None:
    error = errors.from_status(_status("long\n" * 1000))
    assert len(error.refusal.message) < MESSAGE_LIMIT
    assert "\n" not in error.refusal.message
