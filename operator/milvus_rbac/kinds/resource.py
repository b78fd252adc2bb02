"""What every custom resource has: names in the API, columns, a spec and a status. Knows no particular kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from milvus_rbac.kinds.shape import Shape

GROUP = "rbac.milvus.io"
VERSION = "v1alpha1"
CATEGORY = "milvus-rbac"
"""What `kubectl get` finds all kinds by. Not `milvus`: that would hide the kind of this name that Milvus Operator has."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    description: str
    type: str = "string"


READY = Column(
    "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether Milvus is as this resource says."
)
REASON = Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready or not.")
CONNECTION = Column(
    "Connection", ".spec.connectionRef.name", "The MilvusConnection; empty means the operator's default."
)
AGE = Column("Age", ".metadata.creationTimestamp", "How long this resource has existed.", type="date")


class Resource(Shape):
    """A custom resource; every kind adds `spec` and `status`, and its class has the kind's name."""

    plural: ClassVar[str]
    short_name: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]]

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Read a resource as the API server sends it.

        Raises:
            pydantic.ValidationError: The spec does not fit; a status that does not fit is forgiven.
        """
        # Only the names that Kubernetes uses: a snake_case field is an unknown one.
        parts = {"spec": body.get("spec"), "status": body.get("status")}
        return cls.model_validate(parts, by_alias=True, by_name=False)
