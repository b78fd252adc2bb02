"""The syntax of names, addresses and references, and what is said where it is not kept.

Every pattern means the same in Go, with which the API server checks it, and in Rust, with which pydantic does.
"""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from milvus_rbac.api.v1alpha1.resource import Rule, Shape, validated_by

UNSEEN: Final = r"\x00-\x1f\x7f-\x9f\x{61c}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}"
"""Characters that no text may have: control characters, other ends of lines, and what changes the direction of writing."""

_USER: Final = r"^[A-Za-z][A-Za-z0-9_.-]*$"
_ROLE: Final = rf"^[^\s0-9{UNSEEN}]([^{UNSEEN}]*[^\s{UNSEEN}])?$"
_GROUP: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
_MILVUS: Final = rf"^[^\s{UNSEEN}]([^{UNSEEN}]*[^\s{UNSEEN}])?$"
_BEGINNING: Final = rf"^([^*\s{UNSEEN}]([^*{UNSEEN}]*[^*\s{UNSEEN}])?)?\*?$"
_TEXT: Final = rf"^[^{UNSEEN}]*$"
_URI: Final = r"^https?://([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?/?$"
_PORT: Final = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_OBJECT: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_NAMESPACE: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_KEY: Final = r"^[-._a-zA-Z0-9]+$"
_HOST: Final = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"
_LABEL: Final = r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$"
INTERVAL: Final = r"^([0-9]{1,6}[hms])+$"

_WITHOUT_UNSEEN: Final = "without spaces at its ends, line breaks and other control characters"


def _matches(pattern: str, message: str) -> tuple[Rule, ...]:
    return (Rule(f"self.matches(r'{pattern}')", message),)


RULES_OF_PATTERNS: Final[dict[str, tuple[Rule, ...]]] = {
    _USER: _matches(_USER, "write a letter first, then letters, digits, _, - and ."),
    _ROLE: _matches(_ROLE, f"write a name that does not begin with a digit, {_WITHOUT_UNSEEN}"),
    _GROUP: _matches(_GROUP, "write a letter or _ first, then letters, digits and _"),
    _MILVUS: _matches(_MILVUS, f"write a name {_WITHOUT_UNSEEN}"),
    _BEGINNING: _matches(
        _BEGINNING, f"write a name, or the beginning of names with one * at the end, {_WITHOUT_UNSEEN}"
    ),
    _URI: (
        Rule(
            "self.startsWith('http://') || self.startsWith('https://')",
            "write http:// or https:// first: files, sockets and other schemes can't be used",
        ),
        Rule("!self.contains('@')", "write no user or password here: they belong into the Secret"),
        Rule(
            "!self.matches('^https?://[^/@]*/.')",
            "write no path: a database is named where something is granted in it",
        ),
        Rule(
            f"!self.matches(r':[0-9]+/?$') || self.matches(r':{_PORT}/?$')",
            "write a port from 1 to 65535",
        ),
        Rule(
            f"!self.matches('^https?://[^/@]*/?$') || self.matches(r'{_URI}')",
            "write a host name or an IP address (IPv6 in brackets), and perhaps a port",
        ),
    ),
    _OBJECT: _matches(_OBJECT, "write the name of an object: lower case letters, digits, - and ."),
    _NAMESPACE: _matches(_NAMESPACE, "write the name of a namespace: lower case letters, digits and -"),
    _KEY: _matches(_KEY, "write a key: letters, digits, -, _ and ."),
    _HOST: _matches(_HOST, "write a host name: letters, digits, - and ."),
    _LABEL: _matches(_LABEL, "write the value of a label: letters, digits, -, _ and ."),
    INTERVAL: (),
}
"""By pattern, the rules that stand for it in the CRDs: they say in words what to write."""

ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=_OBJECT)]
"""The name of an object in Kubernetes."""

NamespaceName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=_NAMESPACE)]

DataKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=_KEY)]
"""A key of a Secret or a ConfigMap."""

LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=_LABEL)]
MAX_METADATA = 32

Uid = Annotated[str, StringConstraints(max_length=64)]

UserName = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=_USER)]
"""Servers before 2.6 take neither `-` nor `.`, but the CRD serves all versions."""

RoleName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=_ROLE),
]
"""Loose, because a server's proxy.roleNameValidation.allowedChars may allow more than letters, digits, `_` and `$`."""

MilvusName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=_MILVUS),
]
"""Any other name in Milvus. Only what no server takes is refused: white space at either end, and control characters."""

HostName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253, pattern=_HOST),
]

ServerUri = Annotated[
    str,
    StringConstraints(
        max_length=512,
        pattern=_URI,
    ),
]
"""Scheme, host and perhaps a port. No path, which excludes files of Milvus Lite; no user, which keeps passwords out."""

GroupName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_GROUP)]

NamePattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=_BEGINNING),
    Field(json_schema_extra={"maxLength": 64}),
]
"""A name, or the beginning of names with a `*` at the end. The API server takes 64 characters, so that it has time to say in words
what is wrong; longer ones that were stored before go on as they are."""

Description = Annotated[
    str,
    StringConstraints(max_length=1024),
    Field(
        json_schema_extra=validated_by(
            Rule(f"self.matches(r'{_TEXT}')", "write one line without control characters")
        )
    ),
]
"""Only the API server checks that it is one line: one that was stored before goes on as it is."""

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
