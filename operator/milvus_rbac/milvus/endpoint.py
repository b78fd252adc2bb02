"""From an address to a gRPC channel. Knows neither accounts nor Milvus' calls."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from milvus_rbac.domain.conditions import Reason
from milvus_rbac.errors import InternalError, Refused
from milvus_rbac.milvus.port import Address, ClientCertificate
from milvus_rbac.milvus.stubs import grpc

_DEFAULT_PORTS: Final = {"http": 19530, "https": 443}
_DIAGNOSIS_SECONDS: Final = 2.0

_OPTIONS: Final = (
    # Channels share subchannels, and with them the backoff of others' failures, unless told not to.
    ("grpc.use_local_subchannel_pool", 1),
    # Back within a second after an outage. The minimum is also how long one attempt to connect may take.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A connection whose other end vanished is noticed between rounds. Milvus takes pings every 5 s, calls or not.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # One attempt per call: whether to try again is the round's decision.
    ("grpc.enable_retries", 0),
    # A snapshot of ten thousand users is larger than the 4 MiB that gRPC takes by itself.
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),
    # http_proxy is for the way out of a cluster.
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a channel goes, taken apart once."""

    host: str
    port: int
    secure: bool
    ca_pem: bytes | None
    client: ClientCertificate | None
    server_name: str | None

    @property
    def name(self) -> str:
        """Host and port, as messages name a server; never the URI, which may hold what should not be shown."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def of(cls, address: Address) -> "Endpoint":
        """Take an address apart; its URI was checked when the resource was."""
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
    """Make a channel of its own; it connects with the first call."""
    target = f"dns:///{endpoint.name}"
    if not endpoint.secure:
        return grpc.aio.insecure_channel(target, _OPTIONS)
    names: tuple[tuple[str, str], ...] = ()
    if endpoint.server_name is not None:
        names = (
            ("grpc.ssl_target_name_override", endpoint.server_name),
            ("grpc.default_authority", endpoint.server_name),
        )
    shown = endpoint.client
    trust = grpc.ssl_channel_credentials(
        root_certificates=endpoint.ca_pem,
        private_key=shown.key if shown else None,
        certificate_chain=shown.chain if shown else None,
    )
    return grpc.aio.secure_channel(target, trust, (*_OPTIONS, *names))


async def wants_certificate(endpoint: Endpoint) -> bool:
    """Ask a TLS port whether it wants to see a certificate: gRPC only learns that the connection was closed.

    Sends nothing but a handshake; with TLS 1.3 the refusal comes after it.
    """
    context = _trusting_anybody()
    try:
        async with asyncio.timeout(_DIAGNOSIS_SECONDS):
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
            try:
                # A server that is content says which HTTP/2 settings it has, or waits for ours.
                await reader.read(1)
            finally:
                writer.transport.abort()
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error) or "BAD_CERTIFICATE" in str(error)
    except (OSError, TimeoutError, UnicodeError):
        return False
    return False


async def speaks_tls(endpoint: Endpoint) -> bool:
    """Ask the port itself whether it wants TLS: without it, a TLS port only hangs up, like many other troubles.

    Trusts nobody and sends nothing but a handshake.
    """
    context = _trusting_anybody()
    try:
        async with asyncio.timeout(_DIAGNOSIS_SECONDS):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
    except (OSError, TimeoutError, UnicodeError):  # the last is a host name that can't be one
        return False
    writer.transport.abort()
    return True


def _trusting_anybody() -> ssl.SSLContext:
    """For a handshake that only shows what the other side wants: nothing is sent to whoever it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
