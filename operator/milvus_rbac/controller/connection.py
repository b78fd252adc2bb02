"""From a MilvusConnection to a client that is logged in: its address, its Secrets, what the server is.

The last good credentials stay in memory, because a namespace that is being deleted loses its Secrets first.
"""

import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from milvus_rbac.api.v1alpha1.milvusconnection import MilvusConnectionSpec, Mode
from milvus_rbac.api.v1alpha1.names import PasswordSecretRef
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.metrics import Audit, ConnectionMetrics
from milvus_rbac.controller.passwords import read_key, read_password
from milvus_rbac.domain import passwords
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.state import ROOT_USER
from milvus_rbac.kube.client import ClusterError
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.milvus.client import MilvusClient, bootstrap
from milvus_rbac.milvus.errors import MilvusRbacError, Refused, Unreachable
from milvus_rbac.milvus.port import Address, Capabilities, ClientCertificate, Credentials, Milvus, Password

USERNAME_KEY = "username"
CERTIFICATE_KEY, PRIVATE_KEY = "tls.crt", "tls.key"
TOKEN_KEY = "token"  # noqa: S105 - the name of the key
PASSWORD_KEY = "password"  # noqa: S105 - the name of the key


_PORTS = {"http": 19530, "https": 443}
_CLUSTER_SUFFIXES = (".svc.cluster.local", ".svc")

ASK_AGAIN = 3600.0
"""Seconds after which a server is asked again what it is, even if the connection never broke."""


@dataclass(frozen=True, slots=True)
class Link:
    """A client of a server that answered."""

    milvus: Milvus
    capabilities: Capabilities
    username: str
    address: Address


class Connector:
    """The way to one server; at most one channel at a time."""

    def __init__(self, cluster: Cluster, may_write: Callable[[], None], metrics: ConnectionMetrics) -> None:
        self._cluster = cluster
        self._may_write = may_write
        self._metrics = metrics
        self._means: tuple[Address, Credentials] | None = None
        self._good: tuple[Address, Credentials] | None = None
        self._client: MilvusClient | None = None
        self._link: Link | None = None
        self._asked_at = -ASK_AGAIN

    @property
    def should_ask_again(self) -> bool:
        """Whether another server may answer by now, or what is known of it is old or calls for a change."""
        if self._link is None or self._link.milvus.is_interrupted:
            return True
        found = self._link.capabilities
        if not found.authorization or found.missing_privileges or found.useful_privileges:
            return True  # its administrator may have mended that
        return time.monotonic() - self._asked_at > ASK_AGAIN

    async def link(self, entry: Entry, connection: MilvusConnectionSpec, uri: str, *, anew: bool) -> Link:
        """Return a client of a server that answered: the one from before, or with `anew` one that was asked again.

        Raises:
            MilvusRbacError: its refusal says why there is none.
        """
        if self._link is not None and not anew:
            return self._link
        means = await self._read_means(entry, connection, complete(uri, entry.name[0]))
        if means != self._means:
            await self.close()
            self._means = means
        self._link = await self._greet(entry, connection, *means)
        self._good, self._asked_at = means, time.monotonic()
        return self._link

    async def close(self) -> None:
        """Close the channel; the next link opens another one."""
        client, self._client, self._link = self._client, None, None
        if client is not None:
            await client.close()

    async def _greet(
        self, entry: Entry, connection: MilvusConnectionSpec, address: Address, credentials: Credentials
    ) -> Link:
        if self._client is None:
            self._client = MilvusClient(address, credentials, self._metrics)
        try:
            capabilities = await self._client.probe()
        except Unreachable as trouble:
            await self.close()
            may = connection.bootstrap and connection.mode is Mode.ENFORCE
            if trouble.refusal.reason is not Reason.CREDENTIALS_REJECTED or not may:
                raise
            await self._bootstrap(entry, address, credentials, trouble)
            self._client = MilvusClient(address, credentials, self._metrics)
            capabilities = await self._client.probe()
        return Link(self._client, capabilities, credentials.username, address)

    async def _bootstrap(
        self, entry: Entry, address: Address, credentials: Credentials, trouble: Unreachable
    ) -> None:
        """Set the password of a fresh server's root to the Secret's; any other refusal is about the Secret's password."""
        if credentials.username != ROOT_USER:
            message = f"spec.bootstrap sets the password of {ROOT_USER} only: write username {ROOT_USER} into the Secret."
            raise Unreachable(Reason.CREDENTIALS_REJECTED, message)
        audit = Audit({entry.uid: entry}, self._metrics)
        try:
            await bootstrap(address, credentials, self._may_write, self._metrics)
        except MilvusRbacError as error:
            if error.refusal.reason is Reason.CREDENTIALS_REJECTED:
                raise trouble from None  # not even tried: the first password is not root's any more
            audit.note_bootstrap(entry.uid, error)
            raise
        audit.note_bootstrap(entry.uid, None)

    async def _read_means(
        self, entry: Entry, connection: MilvusConnectionSpec, uri: str
    ) -> tuple[Address, Credentials]:
        try:
            return await self._read_address(entry, connection, uri), await self._read_credentials(
                entry, connection
            )
        except (MilvusRbacError, ClusterError) as error:
            if entry.deleting and self._good is not None:
                return self._good
            if isinstance(error, ClusterError):
                message = (
                    f"A Secret or ConfigMap of the connection can't be read by the operator: {error.message}"
                )
                raise Refused(Reason.WAITING_FOR_SECRET, message) from None
            raise

    async def _read_credentials(self, entry: Entry, connection: MilvusConnectionSpec) -> Credentials:
        namespace, name = entry.name[0], connection.credentials_secret_ref.name
        secret = await self._cluster.get_secret(namespace, name)
        token = read_key(secret or {}, TOKEN_KEY)
        if token is not None:
            return _parse_token(token, namespace, name)
        reading = read_password(secret, namespace, PasswordSecretRef(name=name, key=PASSWORD_KEY))
        username = read_key(secret or {}, USERNAME_KEY)
        refusal = reading.refusal
        if refusal is None or refusal.reason is not Reason.NOT_PERMITTED:
            refusal = _check_account(secret, namespace, name) or refusal
        if refusal is not None:
            raise Refused(refusal.reason, f"spec.credentialsSecretRef: {refusal.message}")
        assert reading.password is not None  # noqa: S101 - tells mypy what no refusal means
        assert username is not None  # noqa: S101 - the same
        return Credentials(username.decode(), reading.password)

    async def _read_address(self, entry: Entry, connection: MilvusConnectionSpec, uri: str) -> Address:
        tls = connection.tls
        if tls is None:
            return Address(uri)
        ca = await self._read_ca(entry.name[0], connection)
        client = await self._read_client(entry.name[0], connection)
        return Address(uri, ca, client, tls.server_name)

    async def _read_client(
        self, namespace: str, connection: MilvusConnectionSpec
    ) -> ClientCertificate | None:
        tls = connection.tls
        if tls is None or tls.client_cert_secret_ref is None:
            return None
        name = tls.client_cert_secret_ref.name
        where = f"spec.tls.clientCertSecretRef: Secret {namespace}/{name}"
        secret = await self._cluster.get_secret(namespace, name)
        chain, key = (
            _found(secret is not None, read_key(secret or {}, part), where, part)
            for part in (CERTIFICATE_KEY, PRIVATE_KEY)
        )
        return ClientCertificate(chain, key)

    async def _read_ca(self, namespace: str, connection: MilvusConnectionSpec) -> bytes | None:
        tls = connection.tls
        if tls is not None and tls.ca_secret_ref is not None:
            ref, field = tls.ca_secret_ref, "spec.tls.caSecretRef: Secret"
            secret = await self._cluster.get_secret(namespace, ref.name)
            value = None if secret is None else read_key(secret, ref.key)
            return _found(secret is not None, value, f"{field} {namespace}/{ref.name}", ref.key)
        if tls is not None and tls.ca_config_map_ref is not None:
            map_ref, field = tls.ca_config_map_ref, "spec.tls.caConfigMapRef: ConfigMap"
            config = await self._cluster.get_config_map(namespace, map_ref.name)
            text = (config or {}).get("data", {}).get(map_ref.key)
            value = None if text is None else str(text).encode()
            return _found(config is not None, value, f"{field} {namespace}/{map_ref.name}", map_ref.key)
        return None


def _parse_token(token: bytes, namespace: str, name: str) -> Credentials:
    refusal = passwords.check_text(token, f"Key {TOKEN_KEY} of Secret {namespace}/{name}")
    if refusal is not None:
        raise Refused(refusal.reason, f"spec.credentialsSecretRef: {refusal.message}")
    # With a colon it is a user and its password, as pymilvus takes it; without, an API key.
    first, colon, rest = token.decode().partition(":")
    return Credentials(first, Password(rest)) if colon else Credentials("", Password(first))


def _check_account(secret: Mapping[str, Any] | None, namespace: str, name: str) -> Refusal | None:
    """Return what is wrong with a Secret, apart from its password."""
    where = f"Secret {namespace}/{name}"
    if secret is None:
        message = f"{where} is not there yet; create it with the keys {USERNAME_KEY} and {PASSWORD_KEY}."
        return Refusal(Reason.WAITING_FOR_SECRET, message)
    for key in (USERNAME_KEY, PASSWORD_KEY):
        if read_key(secret, key) is None:
            return Refusal(Reason.SECRET_KEY_MISSING, f"{where} has no key {key}: add it.")
    return passwords.check_text(read_key(secret, USERNAME_KEY) or b"", f"Key {USERNAME_KEY} of {where}")


async def look_up(cluster: Cluster, entry: Entry, connection: MilvusConnectionSpec) -> str | None:
    """Return where the Milvus of a milvusRef is; None without one, and for a connection that goes, perhaps after its Milvus.

    Raises:
        Unreachable: it is not there, or does not say where.
    """
    ref = connection.milvus_ref
    if ref is None or entry.deleting:
        return None
    namespace = ref.namespace or entry.name[0]
    where = f"spec.milvusRef: Milvus {namespace}/{ref.name}"
    try:
        found = await cluster.get_milvus(namespace, ref.name)
    except ClusterError as error:
        raise Unreachable(
            Reason.UNREACHABLE, f"{where} can't be read by the operator: {error.message}"
        ) from None
    if found is None:
        raise Unreachable(Reason.UNREACHABLE, f"{where} is not there: create it, or correct the name.")
    served = (found.get("status") or {}).get("endpoint")
    if not served:
        message = (
            f"{where} has no status.endpoint yet: wait for Milvus Operator, or write its address as spec.uri."
        )
        raise Unreachable(Reason.UNREACHABLE, message)
    return f"{connection.scheme}://{served}"


def _found(exists: bool, value: bytes | None, where: str, key: str) -> bytes:
    if not exists:
        raise Refused(Reason.WAITING_FOR_SECRET, f"{where} is not there yet; create it with the key {key}.")
    if value is None:
        raise Refused(Reason.SECRET_KEY_MISSING, f"{where} has no key {key}: add it, or name another key.")
    return value


def endpoint(uri: str, namespace: str) -> str:
    """Return the identity of the server that a URI means, host and port whatever the scheme.

    In-cluster short names are completed with the connection's namespace.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port or _PORTS.get(parts.scheme, 19530)
    except ValueError:
        # A port beyond 65535, brackets around what is no address: nothing answers there, and connecting says so.
        return uri.lower()
    host = (parts.hostname or "").rstrip(".").lower()
    if ":" in host:
        return f"[{host}]:{port}"
    suffix = next(
        (one for one in _CLUSTER_SUFFIXES if host.endswith(one) and "." in host.removesuffix(one)), ""
    )
    host = host.removesuffix(suffix)
    if _is_short(host):
        host = f"{host}.{namespace}"
    return f"{host}:{port}"


def complete(uri: str, namespace: str) -> str:
    """Return the address to dial and to hand out: a Service's short name is that of the connection's namespace, wherever it is used."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return uri
    if not host or not _is_short(host):
        return uri
    netloc = f"{host}.{namespace}.svc" + (f":{port}" if port is not None else "")
    return urlunsplit((parts.scheme, netloc, "", "", ""))


def _is_short(host: str) -> bool:
    """Return whether a host is the name of a Service without its namespace."""
    return "." not in host and host != "localhost" and not _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
