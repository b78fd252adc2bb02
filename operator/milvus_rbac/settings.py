"""Every setting of the operator: an environment variable MILVUS_RBAC_*, which the command line offers as a flag, too.

The docstring of a field is the help of its flag. Nothing else reads the environment, but for the variables of
Kubernetes' own tools ($KUBECONFIG, $HTTPS_PROXY, $NO_PROXY). Here is what a value looks like, not what is done with it.
"""

import os
import re
import socket
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from milvus_rbac.kube.access import own_namespace

MAX_PORT = 65535

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_ENDPOINT = re.compile(r"[^\s:/]+:[^\s:/]+|\[[^\s/]+\]:[^\s:/]+")


class ObjectName(NamedTuple):
    """A name within a namespace, written namespace/name."""

    namespace: str
    name: str


class HttpAddress(NamedTuple):
    """Where to listen, written host:port; an empty host is every interface."""

    host: str
    port: int


def _split(value: object) -> object:
    """Read a list with commas; an empty one counts as absent."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Iterable):
        return parts
    return tuple(dict.fromkeys(text for part in parts if (text := str(part).strip()))) or None


def _split_namespaces(value: object) -> object:
    parts = _split(value)
    for part in parts if isinstance(parts, tuple) else ():
        if not _NAMESPACE.fullmatch(part):
            raise ValueError(f"{part!r} is not the name of a namespace")
    return parts


def _split_endpoints(value: object) -> object:
    parts = _split(value)
    if not isinstance(parts, tuple):
        return parts
    for part in parts:
        if not _ENDPOINT.fullmatch(part):
            raise ValueError(f"{part!r} is not a pattern of host:port, such as *.example.com:19530")
    return tuple(part.lower() for part in parts)


def _read_object_name(value: object) -> object:
    if not isinstance(value, str):
        return value
    namespace, slash, name = value.partition("/")
    if not (slash and _NAMESPACE.fullmatch(namespace) and name and "/" not in name):
        raise ValueError(f"{value!r} is not of the form namespace/name")
    return ObjectName(namespace, name)


def _read_address(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, _, port = value.rpartition(":")
    if ":" not in value or not port.isdecimal() or int(port) > MAX_PORT:
        raise ValueError(f"{value!r} is not of the form host:port")
    return HttpAddress(host.removeprefix("[").removesuffix("]"), int(port))


def _own_identity() -> str:
    return os.environ.get("POD_NAME") or socket.gethostname()


Namespaces = Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_split_namespaces)]
Endpoints = Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_split_endpoints)]


class Settings(BaseSettings):
    """All settings, checked. An empty variable counts as absent."""

    model_config = SettingsConfigDict(
        env_prefix="MILVUS_RBAC_",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    namespaces: Namespaces = None
    """Namespaces that are served, separated by commas. Absent: all."""

    default_connection: Annotated[ObjectName | None, NoDecode, BeforeValidator(_read_object_name)] = None
    """The MilvusConnection, as namespace/name, of resources without a connectionRef. Absent: they are refused."""

    connection_namespaces: Namespaces = None
    """Namespaces whose MilvusConnections count, separated by commas. Absent: all that are served."""

    allowed_endpoints: Endpoints = None
    """Patterns of host:port, separated by commas, that MilvusConnections may lead to; * is any text. Absent: all."""

    lease_namespace: str = Field(default_factory=own_namespace)
    """Namespace of the Lease that says which operator may write. Absent: the Pod's own, else default."""

    lease_name: str = "milvus-rbac-operator"
    """Name of that Lease. Operators that serve different namespaces of one cluster need different names."""

    identity: str = Field(default_factory=_own_identity, min_length=1)
    """Who holds the Lease; the same after a restart. Absent: $POD_NAME, else the host's name."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much is logged: DEBUG, INFO, WARNING or ERROR."""

    log_format: Literal["json", "text"] = "json"
    """How it is logged: json, one object a line, or text."""

    http_address: Annotated[HttpAddress, NoDecode, BeforeValidator(_read_address)] = HttpAddress("", 8080)
    """Where /healthz, /readyz and /metrics are served, as host:port. An empty host is every interface, port 0 a free one."""

    kubeconfig: str | None = None
    """Kubeconfig of the cluster. Absent: $KUBECONFIG, else the Pod's ServiceAccount."""

    def allows_connections_in(self, namespace: str) -> bool:
        """Return whether MilvusConnections of this namespace count."""
        return self.connection_namespaces is None or namespace in self.connection_namespaces

    def allows_endpoint(self, endpoint: str) -> bool:
        """Return whether a MilvusConnection may lead to this host:port."""
        if self.allowed_endpoints is None:
            return True
        patterns = (pattern.replace("[", "[[]") for pattern in self.allowed_endpoints)  # brackets are of IPv6
        return any(fnmatchcase(endpoint.lower(), pattern) for pattern in patterns)
