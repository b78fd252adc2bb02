"""The syntax of names, addresses and references. Whether a name is reserved or exists is decided elsewhere.

Every pattern means the same in Go, with which the API server checks it, and in Rust, with which pydantic does.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from milvus_rbac.api.v1alpha1.resource import Shape

ObjectName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
"""The name of an object in Kubernetes."""

NamespaceName = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]

DataKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""A key of a Secret or a ConfigMap."""

LabelValue = Annotated[
    str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$")
]
MAX_METADATA = 32

Uid = Annotated[str, StringConstraints(max_length=64)]

UserName = Annotated[
    str, StringConstraints(min_length=1, max_length=32, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")
]
"""Servers before 2.6 take neither `-` nor `.`, but the CRD serves all versions."""

RoleName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=255, pattern=r"^[^\s0-9\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
    ),
]
"""Loose, because a server's proxy.roleNameValidation.allowedChars may allow more than letters, digits, `_` and `$`."""

MilvusName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=255, pattern=r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
    ),
]
"""Any other name in Milvus. Only what no server takes is refused: white space at either end, and control characters."""

HostName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"),
]

ServerUri = Annotated[
    str,
    StringConstraints(
        max_length=512,
        pattern=r"^https?://([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$",
    ),
]
"""Scheme, host and perhaps a port. No path, which excludes files of Milvus Lite; no user, which keeps passwords out."""

Endpoint = Annotated[str, Field(max_length=512)]
"""The identity of a server: its host in lower case, and its port."""


class ConnectionRef(Shape):
    """The MilvusConnection to use."""

    name: ObjectName
    """Name of the MilvusConnection."""
    namespace: NamespaceName | None = None
    """Namespace of the MilvusConnection; by default the namespace of this resource."""


class MilvusRef(Shape):
    """A Milvus that Milvus Operator runs."""

    name: ObjectName
    """Name of the Milvus (milvus.io/v1beta1)."""
    namespace: NamespaceName | None = None
    """Namespace of the Milvus; by default the namespace of this resource."""


class SecretRef(Shape):
    """A Secret in the namespace of this resource."""

    name: ObjectName
    """Name of the Secret, in the same namespace as this resource."""


class PasswordSecretRef(SecretRef):
    """The key of a Secret that holds a password."""

    key: DataKey = "password"
    """Key of the Secret with the password."""


class SecretMetadata(Shape):
    """What a Secret that the operator creates carries beside what the operator writes."""

    labels: Annotated[dict[str, LabelValue], Field(max_length=MAX_METADATA)] | None = None
    """Labels of the Secret."""
    annotations: (
        Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=MAX_METADATA)] | None
    ) = None
    """Annotations of the Secret."""


class ConnectionSecret(SecretRef):
    """A Secret that the operator creates with all that an application needs."""

    metadata: SecretMetadata | None = None
    """Labels and annotations of the Secret, beside the operator's own."""


class GeneratedPassword(Shape):
    """A Secret that the operator creates with a random password."""

    secret_name: ObjectName
    """Name of the Secret, in the same namespace as this resource. Its keys are `username` and `password`. It is deleted with this
    resource, unless the user stays in Milvus. A Secret that exists and was not made for this user is never changed."""
    metadata: SecretMetadata | None = None
    """Labels and annotations of the Secret, beside the operator's own."""


class CaSecretRef(SecretRef):
    """The key of a Secret that holds CA certificates."""

    key: DataKey = "ca.crt"
    """Key of the Secret with the certificates, as PEM."""


class CaConfigMapRef(Shape):
    """The key of a ConfigMap that holds CA certificates."""

    name: ObjectName
    """Name of the ConfigMap, in the same namespace as this resource."""
    key: DataKey = "ca.crt"
    """Key of the ConfigMap with the certificates, as PEM."""
