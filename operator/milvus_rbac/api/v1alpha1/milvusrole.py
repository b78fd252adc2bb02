"""MilvusRole: a role of a Milvus and what it grants."""

from typing import Annotated, ClassVar

from pydantic import Field, WrapValidator

from milvus_rbac.api.v1alpha1.claimant import ClaimantSpec, ClaimantStatus
from milvus_rbac.api.v1alpha1.names import MilvusName, RoleName
from milvus_rbac.api.v1alpha1.resource import (
    AGE,
    CONNECTION,
    READY,
    REASON,
    Column,
    Resource,
    Shape,
    immutable,
    salvage,
)

MAX_ROWS = 500
MAX_PRIVILEGES = 100
MAX_COLLECTIONS = 256
MAX_OBSERVED_GRANTS = 1000


class GrantRow(Shape):
    """Some privileges in some place."""

    privileges: Annotated[tuple[MilvusName, ...], Field(min_length=1, max_length=MAX_PRIVILEGES)]
    """What is allowed, in Milvus' words: Search, Query, Insert and so on, without the prefix Privilege."""
    database: MilvusName | None = None
    """In which database; without it, the one named default. A privilege of the whole cluster takes none."""
    collections: Annotated[tuple[MilvusName, ...], Field(min_length=1, max_length=MAX_COLLECTIONS)] | None = (
        None
    )
    """On which collections; without it, on all of them. A privilege that acts on a whole database takes none."""


class MilvusRoleSpec(ClaimantSpec):
    """The role that is wanted."""

    role_name: Annotated[
        RoleName,
        Field(
            json_schema_extra=immutable(
                "roleName", "create another MilvusRole with the other name and delete this one"
            )
        ),
    ]
    """Name of the role in Milvus: a letter or `_`, then letters, digits, `_` and `$`, and what the server's settings
    allow besides. It can't be changed later."""
    grants: Annotated[tuple[GrantRow, ...], Field(max_length=MAX_ROWS)] = ()
    """Everything that the role grants. What is granted to the role by hand is taken back."""
    description: Annotated[str, Field(max_length=1024)] | None = None
    """What is said of the role in Milvus, at most 1024 bytes. Kept from Milvus 2.6.19 on, left out before; without it, whatever is
    there stays."""

    @property
    def claimed_name(self) -> str:
        """The name in Milvus."""
        return self.role_name


class ObservedGrant(Shape):
    """One grant of the role, the way Milvus stores it."""

    object_type: Annotated[str, Field(max_length=64)]
    """Under which type Milvus keeps the grant: Collection, Global or User."""
    privilege: Annotated[str, Field(max_length=255)]
    """What is allowed."""
    database: Annotated[str, Field(max_length=255)]
    """In which database; `*` means in all."""
    object_name: Annotated[str, Field(max_length=255)]
    """On which object; `*` means on all."""


class MilvusRoleStatus(ClaimantStatus):
    """What the operator last found out about the role."""

    grants: Annotated[tuple[ObservedGrant, ...], Field(max_length=MAX_OBSERVED_GRANTS)] = ()
    """What the role grants in Milvus; the first 1000 if there are more."""
    grant_count: int | None = None
    """How many grants the role has in Milvus."""


class MilvusRole(Resource):
    """A role of a Milvus and everything that it grants."""

    plural: ClassVar = "milvusroles"
    short_name: ClassVar = "mrole"
    columns: ClassVar = (
        READY,
        REASON,
        Column("Role", ".spec.roleName", "Name of the role in Milvus."),
        CONNECTION,
        Column("Grants", ".status.grantCount", "How many grants the role has in Milvus.", type="integer"),
        AGE,
    )

    spec: MilvusRoleSpec
    """What is wanted."""
    status: Annotated[MilvusRoleStatus, WrapValidator(salvage)] = MilvusRoleStatus()
    """What is; written by the operator only."""
