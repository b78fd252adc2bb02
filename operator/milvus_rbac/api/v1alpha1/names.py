"""The syntax of names. Knows nothing of what is reserved or exists.

Every pattern means the same to Go's and to Rust's regular expressions: the API server checks with the first, pydantic
with the second.
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

Uid = Annotated[str, StringConstraints(max_length=64)]

UserName = Annotated[
    str, StringConstraints(min_length=1, max_length=32, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")
]
"""Servers before 2.6 take neither `-` nor `.`; which one is asked is not known here."""

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
"""Anything else that has a name in Milvus; only what no server takes is refused: white space at an end, control characters."""

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
"""Scheme, host and perhaps a port. No path, so files of Milvus Lite don't fit; no user, so nobody writes a password there."""

Endpoint = Annotated[str, Field(max_length=512)]
"""A server's identity: its host in lower case and its port."""


class ConnectionRef(Shape):
    """Which MilvusConnection leads to the Milvus that is meant."""

    name: ObjectName
    """Name of the MilvusConnection."""
    namespace: NamespaceName | None = None
    """Namespace of the MilvusConnection; without it, the namespace of this resource."""


class MilvusRef(Shape):
    """A Milvus of Milvus Operator."""

    name: ObjectName
    """Name of the Milvus (milvus.io/v1beta1)."""
    namespace: NamespaceName | None = None
    """Namespace of the Milvus; without it, the namespace of this resource."""


class SecretRef(Shape):
    """A Secret in the namespace of the resource that names it."""

    name: ObjectName
    """Name of the Secret, in the same namespace as this resource."""


class PasswordSecretRef(SecretRef):
    """The key of a Secret that holds a password."""

    key: DataKey = "password"
    """Key under which the Secret holds the password."""


class GeneratedPassword(Shape):
    """A Secret that the operator makes, with a password that nobody chose."""

    secret_name: ObjectName
    """Name of the Secret, in the namespace of this resource; it goes with this resource. Its keys are `username` and
    `password`. One that somebody else made is never touched."""


class CaSecretRef(SecretRef):
    """The key of a Secret that holds certificates of authorities."""

    key: DataKey = "ca.crt"
    """Key under which the Secret holds the certificates, as PEM."""


class CaConfigMapRef(Shape):
    """The key of a ConfigMap that holds certificates of authorities."""

    name: ObjectName
    """Name of the ConfigMap, in the same namespace as this resource."""
    key: DataKey = "ca.crt"
    """Key under which the ConfigMap holds the certificates, as PEM."""
