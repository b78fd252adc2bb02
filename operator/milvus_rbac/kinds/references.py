"""How one object names another. Knows nothing of what is found there."""

from milvus_rbac.kinds.names import DataKey, NamespaceName, ObjectName
from milvus_rbac.kinds.shape import Shape


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
