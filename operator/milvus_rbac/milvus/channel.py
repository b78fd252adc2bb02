"""A gRPC channel to one Milvus: where it goes, the calls of one account on it, and what the failure of a call means.

Each session has connections of its own, so that one server's trouble is never another's. Knows neither the messages
(requests.py) nor what they are for.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from milvus_rbac.domain.conditions import Reason
from milvus_rbac.milvus import errors, wire
from milvus_rbac.milvus.errors import InternalError, MilvusRbacError, Refused, Unreachable, clip
from milvus_rbac.milvus.port import (
    NO_LISTENER,
    WRITE_SECONDS,
    Address,
    CallResult,
    ClientCertificate,
    Credentials,
    Listener,
)
from milvus_rbac.milvus.stubs import MilvusServiceStub, common_pb2, grpc, milvus_pb2

_DEFAULT_PORTS: Final = {"http": 19530, "https": 443}
_DIAGNOSIS_SECONDS: Final = 2.0

_OPTIONS: Final = (
    # Unless this is set, channels share connections, and with them the backoff after another channel's failures.
    ("grpc.use_local_subchannel_pool", 1),
    # Back within a second after an outage. The minimum is also how long one attempt to connect may take.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Notices a vanished server between calls too. Milvus accepts a ping every 5 s, with or without calls.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # One attempt per call: the controller decides whether to try again.
    ("grpc.enable_retries", 0),
    # A snapshot of 500 roles with 1,000 grants each has 40 MB; gRPC accepts 4 MiB by default.
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),
    # http_proxy is for traffic that leaves the cluster.
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a channel goes: an address whose URI is parsed."""

    host: str
    port: int
    secure: bool
    ca_pem: bytes | None
    client: ClientCertificate | None
    server_name: str | None

    @property
    def name(self) -> str:
        """Host and port, as messages name a server. The URI is never shown: it may hold credentials."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def of(cls, address: Address) -> "Endpoint":
        """Return the endpoint of an address, whose URI was checked with the resource."""
        try:
            parts = urlsplit(address.uri)
            port = parts.port
        except ValueError as error:
            raise Refused(Reason.UNREACHABLE, f"spec.uri is no address: {error}; correct it.") from None
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise InternalError("The URI of the connection is neither http:// nor https:// with a host.")
        port = port or _DEFAULT_PORTS[parts.scheme]
        secure = parts.scheme == "https"
        return cls(parts.hostname, port, secure, address.ca_pem, address.client, address.server_name)


def open_channel(endpoint: Endpoint) -> grpc.aio.Channel:
    """Return a new channel; it connects with the first call."""
    target = f"dns:///{endpoint.name}"
    if not endpoint.secure:
        return grpc.aio.insecure_channel(target, _OPTIONS)
    names: tuple[tuple[str, str], ...] = ()
    if endpoint.server_name is not None:
        names = (
            ("grpc.ssl_target_name_override", endpoint.server_name),
            ("grpc.default_authority", endpoint.server_name),
        )
    client = endpoint.client
    trust = grpc.ssl_channel_credentials(
        root_certificates=endpoint.ca_pem,
        private_key=client.key if client else None,
        certificate_chain=client.chain if client else None,
    )
    return grpc.aio.secure_channel(target, trust, (*_OPTIONS, *names))


async def wants_certificate(endpoint: Endpoint) -> bool:
    """Return whether a TLS port wants a client certificate: gRPC learns only that the connection was closed.

    Sends nothing but a handshake. With TLS 1.3 the refusal comes after it.
    """
    context = _without_verification()
    try:
        async with asyncio.timeout(_DIAGNOSIS_SECONDS):
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
            try:
                # A server that accepts the handshake sends its HTTP/2 settings, or waits for ours.
                await reader.read(1)
            finally:
                writer.transport.abort()
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error) or "BAD_CERTIFICATE" in str(error)
    except (OSError, TimeoutError, UnicodeError):
        return False
    return False


async def speaks_tls(endpoint: Endpoint) -> bool:
    """Return whether a port speaks TLS: a TLS port answers plaintext by hanging up, which can have many causes.

    Sends nothing but a handshake.
    """
    context = _without_verification()
    try:
        async with asyncio.timeout(_DIAGNOSIS_SECONDS):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
    except (OSError, TimeoutError, UnicodeError):  # the last is a host name that can't be one
        return False
    writer.transport.abort()
    return True


def _without_verification() -> ssl.SSLContext:
    """Return a context for a handshake after which nothing is sent, so that it does not matter who the server is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_PERMISSION: Final = re.compile(r"Privilege(?P<privilege>\w+): permission deny")
_HTTP_STATUS: Final = re.compile(r"Received http2 header with status: (?P<status>\d+)")
_LOST: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def from_rpc(code: grpc.StatusCode, details: str, endpoint: Endpoint) -> MilvusRbacError:
    """Return the error that a call without a reply stands for."""
    if (http := _HTTP_STATUS.search(details)) is not None:
        return _not_milvus(endpoint, http["status"])
    if code is grpc.StatusCode.UNAUTHENTICATED or _refuses_login(code, details):
        return Unreachable(
            Reason.CREDENTIALS_REJECTED,
            f"Milvus at {endpoint.name} rejects the user name or password of spec.credentialsSecretRef: correct the Secret.",
        )
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return _permission_denied(details)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Refused(Reason.UNSUPPORTED_BY_SERVER, f"This Milvus does not know the call: {clip(details)}")
    if code in _LOST or _is_broken_stream(details):
        return _tls_trouble(details, endpoint) or _unreachable(code, details, endpoint)
    return InternalError(f"Milvus at {endpoint.name} answered {code.name}: {clip(details)}")


def tls_wanted(endpoint: Endpoint) -> Unreachable:
    """Return the error of a plaintext connection to a TLS port."""
    return Unreachable(Reason.TLS_MISMATCH, f"{endpoint.name} speaks TLS: write https:// in spec.uri.")


def certificate_wanted(endpoint: Endpoint) -> Unreachable:
    """Return the error of a connection without the client certificate that the server wants."""
    message = f"{endpoint.name} wants to see a certificate: name the Secret with it in spec.tls.clientCertSecretRef."
    return Unreachable(Reason.TLS_MISMATCH, message)


def _refuses_login(code: grpc.StatusCode, details: str) -> bool:
    # 2.3.0 to 2.3.3 refuse a login with UNKNOWN (milvus#28437).
    return code is grpc.StatusCode.UNKNOWN and "auth check failure" in details


def _is_broken_stream(details: str) -> bool:
    """Return whether an INTERNAL or UNKNOWN stands for a broken stream, or for a proxy that has no cache yet."""
    signs = ("RST_STREAM", "Stream removed", "Connection reset", "Socket closed", "Proxy is not ready")
    return any(sign in details for sign in signs)


_OF_PROXIES: Final = ("502", "503", "504")
"""HTTP statuses with which a proxy reports that the server behind it can't be reached."""


def _not_milvus(endpoint: Endpoint, status: str) -> Unreachable:
    if status in _OF_PROXIES:
        message = f"The proxy at {endpoint.name} does not reach Milvus behind it (HTTP status {status}): check that Milvus runs."
    else:
        message = f"What answers at {endpoint.name} is no Milvus (HTTP status {status}): check spec.uri, and proxies on the way."
    return Unreachable(Reason.UNREACHABLE, message)


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
    (
        "WRONG_VERSION_NUMBER",
        "{endpoint.name} does not speak TLS: write http:// in spec.uri, and remove spec.tls if it is there.",
    ),
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
        what = f"{endpoint.name} did not answer in time"
    elif "resolving" in details or "Domain name not found" in details:
        what = f"The host of {endpoint.name} is not known to DNS"
    elif "Connection refused" in details:
        what = f"{endpoint.name} refuses connections"
    elif "Proxy is not ready" in details:
        what = f"Milvus at {endpoint.name} is starting"
    elif "http1.x server" in details:
        what = f"{endpoint.name} answers, but not with gRPC"
    else:
        what = f"The connection to {endpoint.name} broke"
    return Unreachable(Reason.UNREACHABLE, f"{what}: {check}")


LOGIN_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0

_SERVICE: Final = "/milvus.proto.milvus.MilvusService"


class Session:
    """One account's calls, on a channel of their own; to be closed."""

    def __init__(
        self, endpoint: Endpoint, credentials: Credentials, listener: Listener = NO_LISTENER
    ) -> None:
        self.endpoint = endpoint
        self.listener = listener
        self._metadata = (("authorization", encode(credentials.token)),)
        self.cloud = False
        """Whether the server is Zilliz Cloud, whose refusals are not documented."""
        self._channel = open_channel(endpoint)
        self._stub = MilvusServiceStub(self._channel)
        self._closed = False
        self._watch: asyncio.Task[None] | None = None
        self.interrupted = False
        """Whether the connection broke since `watch` was called: another server, or other settings, may be there now."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way end as unreachable."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        await self._channel.close()

    def watch(self) -> None:
        """Notice from now on when the connection breaks, even between calls."""
        self.interrupted = False
        if self._watch is None:
            self._watch = asyncio.create_task(self._notice_breaks(), name="milvus-rbac channel")

    async def _notice_breaks(self) -> None:
        while True:
            state = self._channel.get_state()
            await self._channel.wait_for_state_change(state)
            if state is grpc.ChannelConnectivity.READY:
                self.interrupted = True

    async def read(self, method: str, request: Any) -> Any:
        """Return the reply to a call that changes nothing."""
        return await self._call(method, self._stub_method(method), request, READ_SECONDS)

    async def read_raw(self, method: str, request: Any, seconds: float) -> bytes:
        """Return the reply as it came, for replies that are too large to parse at once."""
        call: Any = self._channel.unary_unary(
            f"{_SERVICE}/{method}", request_serializer=lambda message: message.SerializeToString()
        )
        reply: bytes = await self._call(method, call, request, seconds)
        return reply

    async def write(self, method: str, request: Any) -> None:
        """Make one attempt at a call that changes something."""
        await self._call(method, self._stub_method(method), request, WRITE_SECONDS)

    async def log_in(self) -> str:
        """Prove the credentials with GetVersion, which needs no privilege and no other part of Milvus; return the version."""
        try:
            request = milvus_pb2.GetVersionRequest()
            reply = await self._call("GetVersion", self._stub.GetVersion, request, LOGIN_SECONDS)
        except Unreachable as error:
            if error.refusal.reason is not Reason.UNREACHABLE:
                raise
            if not self.endpoint.secure and await speaks_tls(self.endpoint):
                raise tls_wanted(self.endpoint) from None
            if self.endpoint.secure and not self.endpoint.client and await wants_certificate(self.endpoint):
                raise certificate_wanted(self.endpoint) from None
            raise
        return str(reply.version)

    def _stub_method(self, method: str) -> Any:
        return getattr(self._stub, method)

    async def _call(self, method: str, call: Any, request: Any, timeout: float) -> Any:
        try:
            reply = await self._attempt(call, request, timeout)
        except Exception as error:  # a cancelled call says nothing about the server
            self.listener.called(method, _result(error))
            raise
        self.listener.called(method, "ok")
        return reply

    async def _attempt(self, call: Any, request: Any, timeout: float) -> Any:
        try:
            if self._closed:
                raise _closed(self.endpoint)
            reply = await call(request, metadata=self._metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            # Not chained: gRPC's own text repeats the details with noise.
            raise from_rpc(error.code(), error.details() or "", self.endpoint) from None
        except asyncio.CancelledError:
            # Closing a channel cancels the tasks that wait on it.
            if self._closed:
                raise _closed(self.endpoint) from None
            raise
        status = _status_of(reply)
        if status.error_code or status.code:
            refused = errors.from_status(status)
            if self.cloud and isinstance(refused, InternalError):
                raise errors.unsupported_by_cloud(status)
            raise refused
        return reply


def _status_of(reply: Any) -> Any:
    """Return the status of a reply; every reply of Milvus that has more than a status has it as its first field."""
    if not isinstance(reply, bytes):
        return getattr(reply, "status", reply)
    try:
        found = (reply[start:end] for number, _, start, end in wire.fields(reply) if number == 1)
        return common_pb2.Status.FromString(next(found, b""))
    except (ValueError, DecodeError) as error:
        raise InternalError(f"Milvus answered with what can't be read: {error}.") from None


def encode(text: str) -> str:
    """Return a text in the encoding in which Milvus wants passwords and tokens."""
    return base64.b64encode(text.encode()).decode()


def _result(error: Exception) -> CallResult:
    if isinstance(error, Refused):
        return "refused"
    return "unreachable" if isinstance(error, Unreachable) else "failed"


def _closed(endpoint: Endpoint) -> Unreachable:
    return Unreachable(Reason.UNREACHABLE, f"The operator closed its connection to {endpoint.name}.")


_WIDTH: Final = 4
"""Enough to hide the network; more gains nothing on any server that was measured."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


async def each(items: Iterable[_In], work: Callable[[_In], Awaitable[_Out]]) -> list[_Out]:
    """Return the results of the work for each item, done for a few at a time; the first failure ends the others."""
    waiting = enumerate(items)
    results: dict[int, _Out] = {}

    async def worker(waiting: Iterator[tuple[int, _In]]) -> None:
        for number, item in waiting:
            results[number] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_WIDTH):
                group.create_task(worker(waiting))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [results[number] for number in sorted(results)]
