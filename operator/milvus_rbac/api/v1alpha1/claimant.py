"""What MilvusUser, MilvusRole and MilvusPrivilegeGroup share: each claims an object in a Milvus by its name."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from milvus_rbac.api.v1alpha1.names import ConnectionRef, Endpoint, MilvusName
from milvus_rbac.api.v1alpha1.resource import Shape, Status, immutable_if_present, validated_by
from milvus_rbac.domain.claims import Adoption, Origin

MAX_PLAN = 500
MAX_PLAN_LINE_LENGTH = 1024


class DeletionPolicy(StrEnum):
    """What happens to the object in Milvus when its resource is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"


CONNECTION_REF_IS_IMMUTABLE = immutable_if_present(
    "connectionRef",
    "delete this resource (with deletionPolicy Retain if what it made is to stay) and create it again with the other connectionRef, or "
    "without one",
)


class ClaimantSpec(Shape):
    """On which Milvus an object is claimed, and how it is managed."""

    model_config = ConfigDict(json_schema_extra=validated_by(CONNECTION_REF_IS_IMMUTABLE))

    connection_ref: ConnectionRef | None = None
    """The MilvusConnection to use; without it, the operator's default connection. It can't be changed, added or removed
    later."""
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    """What happens in Milvus when this resource is deleted. Delete drops what the operator created, or took over with
    adoption Always; Retain leaves it in Milvus."""
    adoption: Adoption = Adoption.SAFE
    """What to do if the name exists in Milvus already and no resource owns it. Safe takes it over only if no user loses
    anything by it, Always takes it over and makes it match this spec, Never leaves it alone and reports Conflict."""
    suspend: bool = False
    """True suspends this resource: nothing is written to Milvus, and deleting it leaves Milvus as it is."""


class Claim(Shape):
    """What a resource owns in Milvus, and how it came to own it."""

    endpoint: Endpoint
    """The server: host and port."""
    name: MilvusName
    """The name in Milvus."""
    origin: Origin
    """Created if the operator created it, Adopted if it existed before and was taken over."""


class ClaimantStatus(Status):
    """What a resource owns, and what would be changed."""

    claim: Claim | None = None
    """What this resource owns in Milvus; absent until it owns something."""
    plan: Annotated[
        tuple[Annotated[str, Field(max_length=MAX_PLAN_LINE_LENGTH)], ...], Field(max_length=MAX_PLAN)
    ] = ()
    """What would be changed, one change a line, while the mode of the MilvusConnection is Observe."""
