"""MilvusConnection: how one Milvus is reached, with whose credentials, and how it is treated."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, StringConstraints, WrapValidator

from milvus_rbac.api.v1alpha1.delegation import Delegation
from milvus_rbac.api.v1alpha1.names import (
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
    READY,
    REASON,
    Column,
    Reason,
    Resource,
    Rule,
    Shape,
    Status,
    salvage,
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
    """How the server's certificate is checked."""

    model_config = ConfigDict(
        json_schema_extra=validated_by(
            Rule(
                "!(has(self.caSecretRef) && has(self.caConfigMapRef))",
                "name either caSecretRef or caConfigMapRef: remove one of them",
            ),
        ),
    )

    ca_secret_ref: CaSecretRef | None = None
    """Which key of which Secret holds the certificates of the authorities to trust."""
    ca_config_map_ref: CaConfigMapRef | None = None
    """Which key of which ConfigMap holds the certificates of the authorities to trust."""
    client_cert_secret_ref: SecretRef | None = None
    """The Secret, of type kubernetes.io/tls, with the certificate (`tls.crt`) and its key (`tls.key`) that the operator shows to a
    server which asks for one."""
    server_name: HostName | None = None
    """The name that the server's certificate carries, if it is not the host of uri."""


class MilvusConnectionSpec(Shape):
    """One Milvus, and how it is treated."""

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
    """Address of the Milvus: `http://` or `https://`, a host and perhaps a port, no path. Without a port it is 19530 for
    http and 443 for https. Host and port are the server's identity; see formerUris before changing them. Either this or
    milvusRef."""
    milvus_ref: MilvusRef | None = None
    """A Milvus that Milvus Operator runs: its status.endpoint is the address, with https if tls is given. Either this or uri."""
    credentials_secret_ref: SecretRef
    """The Secret with the account that the operator works with: keys `username` and `password`, as in a Secret of type
    kubernetes.io/basic-auth, or `token` with an API key of Zilliz Cloud. The account must be allowed to manage users and
    roles."""
    bootstrap: bool = False
    """True for a server that was never set up: if root still has the password Milvus is installed with, it is changed to
    the Secret's. The Secret's username must be root."""
    tls: Tls | None = None
    """How the certificate of an https server is checked; without it, by the authorities that the operator's image trusts."""
    mode: Mode = Mode.ENFORCE
    """Enforce makes Milvus agree with the resources. Observe writes nothing to Milvus; what would be changed is in the
    resources' status.plan."""
    interval: Annotated[
        str,
        StringConstraints(max_length=16, pattern=r"^([0-9]{1,6}[hms])+$"),
        Field(
            json_schema_extra=validated_by(
                Rule(
                    "duration(self) >= duration('10s') && duration(self) <= duration('24h')",
                    "write an interval from 10s to 24h, for example 5m",
                )
            )
        ),
    ] = "5m"
    """How often Milvus is compared with the resources to find what was changed by hand, for example 30s, 5m or 1h30m; from
    10s to 24h."""
    password_update: PasswordUpdate = PasswordUpdate.AUTO
    """How a password is changed if its old text is not known and the operator's account is no superuser of the server.
    Auto drops the user, creates it with the new password and binds its roles again; InPlace leaves it alone and reports
    OldPasswordUnknown."""
    former_uris: Annotated[tuple[ServerUri, ...], Field(max_length=MAX_FORMER_URIS)] = ()
    """Other addresses under which this same server was reached. What is owned under them stays owned."""
    delegations: Annotated[tuple[Delegation, ...], Field(max_length=MAX_DELEGATIONS)] = ()
    """What resources of other namespaces may claim on this Milvus: the first entry that matches a resource's namespace and
    the name it claims decides. Without one, nothing."""
    suspend: bool = False
    """True stops all work on this Milvus and on everything that uses this connection."""

    @property
    def scheme(self) -> str:
        """How the Milvus of a milvusRef is spoken to."""
        return "https" if self.tls else "http"

    @property
    def interval_length(self) -> timedelta:
        """The interval as a length of time."""
        parts = re.findall(r"([0-9]+)([hms])", self.interval)
        return sum((timedelta(**{_UNITS[unit]: int(count)}) for count, unit in parts), timedelta())


class Intent(Shape):
    """Something that is about to be created in Milvus."""

    endpoint: Endpoint
    """On which server: host and port."""

    uid: Uid
    """UID of the resource that asks for it."""
    kind: Annotated[str, Field(max_length=63)]
    """Kind of that resource."""
    name: MilvusName
    """The name in Milvus."""


class Server(Shape):
    """The Milvus that answers at the connection's uri."""

    endpoint: Endpoint
    """The server's identity: host and port."""
    version: Annotated[str, Field(max_length=128)] | None = None
    """The version that the server reports."""
    dialect: Annotated[str, Field(max_length=63)] | None = None
    """Which of Milvus' ways to grant a privilege is used."""


class Warning(Shape):  # noqa: A001 - the word of the API; nobody needs the builtin in this module
    """Something that works now and deserves attention."""

    reason: Reason
    """One word for what it is about."""
    message: Annotated[str, Field(max_length=MAX_WARNING_LENGTH)]
    """One sentence that says what is wrong and which setting changes it."""


class MilvusConnectionStatus(Status):
    """What the operator last found out about the server."""

    in_flight: Annotated[tuple[Intent, ...], Field(max_length=MAX_IN_FLIGHT)] = ()
    """What is about to be created: written before Milvus is asked to, so that after a crash the operator knows its own."""
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
    """What works and deserves attention nevertheless."""


class MilvusConnection(Resource):
    """How one Milvus is reached and treated. Whoever may create one decides what the operator sends its credentials to."""

    plural: ClassVar = "milvusconnections"
    short_name: ClassVar = "mconn"
    columns: ClassVar = (
        READY,
        REASON,
        Column("URI", ".spec.uri", "Address of the Milvus; empty for one of a milvusRef."),
        Column("Version", ".status.server.version", "The version that the server reports."),
        Column("Claims", ".status.claimCount", "How many resources use this connection.", type="integer"),
        AGE,
    )

    spec: MilvusConnectionSpec
    """What is wanted."""
    status: Annotated[MilvusConnectionStatus, WrapValidator(salvage)] = MilvusConnectionStatus()
    """What is; written by the operator only."""
