"""MilvusConnection: how to reach one Milvus, with which account, and how to manage it."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, StringConstraints

from milvus_rbac.api.v1alpha1.delegation import Delegation
from milvus_rbac.api.v1alpha1.names import (
    INTERVAL,
    CaConfigMapRef,
    CaSecretRef,
    Endpoint,
    HostName,
    MilvusName,
    MilvusRef,
    SecretRef,
    ServerUri,
    Uid,
)
from milvus_rbac.api.v1alpha1.resource import (
    AGE,
    MESSAGE,
    READY,
    REASON,
    Column,
    Reason,
    Resource,
    Rule,
    Shape,
    Status,
    validated_by,
)
from milvus_rbac.domain.desired import PasswordUpdate

MAX_FORMER_URIS = 16
MAX_IN_FLIGHT = 1000
MAX_DELEGATIONS = 64
MAX_WARNINGS = 100
MAX_WARNING_LENGTH = 2048

_UNITS = {"h": "hours", "m": "minutes", "s": "seconds"}


class Mode(StrEnum):
    """Whether differences are removed or only reported."""

    ENFORCE = "Enforce"
    OBSERVE = "Observe"


class Tls(Shape):
    """How the server's certificate is verified."""

    model_config = ConfigDict(
        json_schema_extra=validated_by(
            Rule(
                "!(has(self.caSecretRef) && has(self.caConfigMapRef))",
                "name either caSecretRef or caConfigMapRef: remove one of them",
            ),
        ),
    )

    ca_secret_ref: CaSecretRef | None = None
    """The key of a Secret with the CA certificates to trust."""
    ca_config_map_ref: CaConfigMapRef | None = None
    """The key of a ConfigMap with the CA certificates to trust."""
    client_cert_secret_ref: SecretRef | None = None
    """The Secret, of type kubernetes.io/tls, with the client certificate (`tls.crt`) and its key (`tls.key`), for a server that
    asks for one."""
    server_name: HostName | None = None
    """The name in the server's certificate, if it differs from the host of uri."""


class MilvusConnectionSpec(Shape):
    """One Milvus, and how it is managed."""

    model_config = ConfigDict(
        json_schema_extra=validated_by(
            Rule(
                "has(self.uri) != has(self.milvusRef)",
                "write either uri, an address, or milvusRef, a Milvus of Milvus Operator",
            ),
            Rule(
                "!has(self.tls) || !has(self.uri) || self.uri.startsWith('https://')",
                "tls needs an https uri: write https:// in uri, or remove tls",
                field="tls",
            ),
        ),
    )

    uri: (
        Annotated[
            ServerUri,
            Field(
                json_schema_extra=validated_by(
                    Rule(
                        "!self.contains('global-cluster')",
                        "the address of a global cluster leads to several servers: write the address of the primary cluster",
                    )
                )
            ),
        ]
        | None
    ) = None
    """Address of the Milvus: `http://` or `https://`, a host and perhaps a port, no path. The default port is 19530 for http
    and 443 for https. Host and port are the server's identity; read about formerUris before you change them. Write either
    this or milvusRef."""
    milvus_ref: MilvusRef | None = None
    """A Milvus that Milvus Operator runs: its status.endpoint is the address, with https if tls is set. Write either this or
    uri."""
    credentials_secret_ref: SecretRef
    """The Secret with the operator's account: keys `username` and `password`, as in a Secret of type kubernetes.io/basic-auth,
    or `token` with an API key of Zilliz Cloud. The account must be allowed to manage users and roles."""
    bootstrap: bool = False
    """True for a new server: if root still has the default password of Milvus, it is changed to that of the Secret. The Secret's
    username must be root."""
    tls: Tls | None = None
    """How the certificate of an https server is verified; without it, by the public CAs that gRPC brings along. Those of the image or
    the node are not looked at, so name a private CA here."""
    mode: Mode = Mode.ENFORCE
    """Enforce makes Milvus match the resources. Observe writes nothing to Milvus; status.plan of each resource lists what would
    be changed."""
    interval: Annotated[
        str,
        StringConstraints(max_length=16, pattern=INTERVAL),
        Field(
            json_schema_extra=validated_by(
                Rule(
                    f"self.matches(r'{INTERVAL}')",
                    "write whole hours, minutes and seconds, for example 5m or 1h30m",
                ),
                Rule(
                    f"!self.matches(r'{INTERVAL}') || duration(self) >= duration('10s') && duration(self) <= duration('24h')",
                    "write an interval from 10s to 24h, for example 5m",
                ),
            )
        ),
    ] = "5m"
    """How often Milvus is compared with the resources to find changes that others made, for example 30s, 5m or 1h30m; from 10s
    to 24h."""
    password_update: PasswordUpdate = PasswordUpdate.AUTO
    """How a password is changed if the old one is not known and the operator's account is no superuser of the server. Auto drops
    the user, creates it with the new password and binds its roles again; InPlace leaves it alone and reports
    OldPasswordUnknown."""
    former_uris: Annotated[tuple[ServerUri, ...], Field(max_length=MAX_FORMER_URIS)] = ()
    """Former addresses of this same server. What resources own under them stays theirs."""
    delegations: Annotated[tuple[Delegation, ...], Field(max_length=MAX_DELEGATIONS)] = ()
    """What resources of other namespaces may claim on this Milvus. The first entry that matches a resource's namespace and the
    name that it claims decides; without one, nothing is permitted."""
    suspend: bool = False
    """True suspends this connection and all resources that use it."""

    @property
    def scheme(self) -> str:
        """The scheme for the Milvus of a milvusRef."""
        return "https" if self.tls else "http"

    @property
    def interval_length(self) -> timedelta:
        """The interval as a timedelta."""
        parts = re.findall(r"([0-9]+)([hms])", self.interval)
        return sum((timedelta(**{_UNITS[unit]: int(count)}) for count, unit in parts), timedelta())


class Intent(Shape):
    """An object that is about to be created in Milvus."""

    endpoint: Endpoint
    """The server: host and port."""
    uid: Uid
    """UID of the resource that claims it."""
    kind: Annotated[str, Field(max_length=63)]
    """Kind of that resource."""
    name: MilvusName
    """The name in Milvus."""


class Server(Shape):
    """The Milvus that answers at the connection's address."""

    endpoint: Endpoint
    """The server's identity: host and port."""
    version: Annotated[str, Field(max_length=128)] | None = None
    """The version that the server reports."""
    dialect: Annotated[str, Field(max_length=63)] | None = None
    """Which of Milvus' APIs for grants is used."""


class Warning(Shape):  # noqa: A001 - the name in the API; the builtin is not used in this module
    """Something that works and needs attention."""

    reason: Reason
    """The reason in one word."""
    message: Annotated[str, Field(max_length=MAX_WARNING_LENGTH)]
    """What is wrong and which setting changes it, in one sentence."""


class MilvusConnectionStatus(Status):
    """What the operator last observed of the server."""

    in_flight: Annotated[tuple[Intent, ...], Field(max_length=MAX_IN_FLIGHT)] = ()
    """Objects that are about to be created, written before the calls to Milvus: after a crash the operator knows which are its
    own."""
    server: Server | None = None
    """The Milvus that answered last."""
    user_count: int | None = None
    """How many MilvusUsers use this connection."""
    role_count: int | None = None
    """How many MilvusRoles use this connection."""
    group_count: int | None = None
    """How many MilvusPrivilegeGroups use this connection."""
    claim_count: int | None = None
    """How many resources use this connection, of all kinds together."""
    warnings: Annotated[tuple[Warning, ...], Field(max_length=MAX_WARNINGS)] = ()
    """What works and needs attention nevertheless."""


class MilvusConnection(Resource):
    """How to reach and manage one Milvus. A user who may create one decides to which address the operator sends credentials."""

    plural: ClassVar = "milvusconnections"
    short_name: ClassVar = "mconn"
    columns: ClassVar = (
        READY,
        REASON,
        Column("URI", ".spec.uri", "Address of the Milvus; empty for one of a milvusRef."),
        Column("Version", ".status.server.version", "The version that the server reports."),
        Column("Claims", ".status.claimCount", "How many resources use this connection.", type="integer"),
        AGE,
        MESSAGE,
    )

    spec: MilvusConnectionSpec
    """The desired state."""
    status: MilvusConnectionStatus = MilvusConnectionStatus()
    """The observed state; only the operator writes it."""
