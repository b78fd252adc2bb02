"""MilvusRole: a role of a Milvus and its grants."""

from typing import Annotated, ClassVar

from pydantic import Field

from milvus_rbac.api.v1alpha1.claimant import ClaimantSpec, ClaimantStatus
from milvus_rbac.api.v1alpha1.names import Description, MilvusName, RoleName
from milvus_rbac.api.v1alpha1.resource import (
    AGE,
    CONNECTION,
    MESSAGE,
    READY,
    REASON,
    Column,
    Resource,
    Rule,
    Shape,
    immutable,
    validated_by,
)
from milvus_rbac.domain.state import BUILTIN_ROLES

MAX_ROWS = 500
MAX_PRIVILEGES = 100
MAX_COLLECTIONS = 256
MAX_OBSERVED_GRANTS = 1000
MAX_NOT_FOUND = 100


class GrantRow(Shape):
    """Privileges, and where they are granted."""

    privileges: Annotated[tuple[MilvusName, ...], Field(min_length=1, max_length=MAX_PRIVILEGES)]
    """Names of privileges or privilege groups: Search, Query, Insert and so on, without the prefix Privilege."""
    database: MilvusName | None = None
    """The database; without it, the one named default. A privilege about the whole cluster takes none."""
    collections: (
        Annotated[
            tuple[MilvusName, ...],
            Field(
                min_length=1,
                max_length=MAX_COLLECTIONS,
                json_schema_extra=validated_by(
                    Rule(
                        "size(self) == 1 || !('*' in self)",
                        "* stands for all collections: write it alone, or name collections",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """The collections, by name; `*` alone stands for all of them, those to come included. Privileges about collections need it;
    a privilege about a whole database or the cluster takes none."""


class MilvusRoleSpec(ClaimantSpec):
    """The desired role."""

    role_name: Annotated[
        RoleName,
        Field(
            json_schema_extra=immutable(
                "roleName",
                "create another MilvusRole with the other name and delete this one",
                Rule(
                    f"!(self in {sorted(BUILTIN_ROLES)})",
                    "admin and public are built into Milvus: choose another name",
                ),
            )
        ),
    ]
    """Name of the role in Milvus: a letter or `_`, then letters, digits, `_` and `$`, and further characters if the server's
    settings allow them. It can't be changed later."""
    grants: Annotated[tuple[GrantRow, ...], Field(max_length=MAX_ROWS)]
    """All grants of the role, at most 10,000: each privilege on each collection; `[]` for none. A privilege that is granted to
    the role by hand is revoked again. While a row is wrong, or waits for something, what the role had stays."""
    description: Description | None = None
    """The role's description in Milvus, at most 1024 bytes. Milvus before 2.6.19 has no descriptions, so it is left out there.
    Without this field, the description in Milvus stays as it is."""

    @property
    def claimed_name(self) -> str:
        """The name in Milvus."""
        return self.role_name


class ObservedGrant(Shape):
    """One grant of the role, as Milvus stores it."""

    object_type: Annotated[str, Field(max_length=64)]
    """The object type under which Milvus stores the grant: Collection, Global or User."""
    privilege: Annotated[str, Field(max_length=255)]
    """The privilege or privilege group."""
    database: Annotated[str, Field(max_length=255)]
    """The database; `*` means all of them."""
    object_name: Annotated[str, Field(max_length=255)]
    """The object; `*` means all of them."""


class MilvusRoleStatus(ClaimantStatus):
    """What the operator last observed of the role."""

    grants: Annotated[tuple[ObservedGrant, ...], Field(max_length=MAX_OBSERVED_GRANTS)] = ()
    """The grants of the role in Milvus; the first 1000 if there are more."""
    grant_count: int | None = None
    """How many grants the role has in Milvus."""
    not_found: Annotated[
        tuple[Annotated[str, Field(max_length=511)], ...], Field(max_length=MAX_NOT_FOUND)
    ] = ()
    """Collections, as database.collection, and databases that the grants name and that Milvus does not have: they are mistyped, or
    somebody makes them later. The first hundred names are looked for when the spec changes, and as long as one is missing."""


class MilvusRole(Resource):
    """A role of a Milvus and all its grants."""

    plural: ClassVar = "milvusroles"
    short_name: ClassVar = "mrole"
    columns: ClassVar = (
        READY,
        REASON,
        Column("Role", ".spec.roleName", "Name of the role in Milvus."),
        CONNECTION,
        Column("Grants", ".status.grantCount", "How many grants the role has in Milvus.", type="integer"),
        AGE,
        MESSAGE,
    )

    spec: MilvusRoleSpec
    """The desired state."""
    status: MilvusRoleStatus = MilvusRoleStatus()
    """The observed state; only the operator writes it."""
