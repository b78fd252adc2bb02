"""MilvusPrivilegeGroup: privileges under one name, to be granted together."""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints, WrapValidator

from milvus_rbac.api.v1alpha1.claimant import ClaimantSpec, ClaimantStatus
from milvus_rbac.api.v1alpha1.names import MilvusName
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

MAX_MEMBERS = 200
MAX_PENDING = 1000

GroupName = Annotated[
    str, StringConstraints(min_length=1, max_length=255, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
]


class MilvusPrivilegeGroupSpec(ClaimantSpec):
    """The privilege group that is wanted."""

    group_name: Annotated[
        GroupName,
        Field(
            json_schema_extra=immutable(
                "groupName", "create another MilvusPrivilegeGroup with the other name and delete this one"
            )
        ),
    ]
    """Name of the group in Milvus: a letter or `_`, then letters, digits and `_`. Names of privileges and of the groups that
    Milvus brings along are taken. It can't be changed later."""
    privileges: Annotated[
        tuple[MilvusName, ...],
        Field(min_length=1, max_length=MAX_MEMBERS, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """Everything that the group holds, all of one level: cluster, database or collection. What is put into the group by
    hand is taken out. A privilege that is taken out is taken from the users too, wherever a MilvusRole holds the group."""

    @property
    def claimed_name(self) -> str:
        """The name in Milvus."""
        return self.group_name


class PendingRevoke(Shape):
    """A privilege that the group lost and that a role may still have, because Milvus' proxies were not told."""

    role: Annotated[str, Field(max_length=255)]
    """Name of the role in Milvus."""
    privilege: Annotated[str, Field(max_length=255)]
    """What was taken out of the group."""
    database: Annotated[str, Field(max_length=255)]
    """In which database the role holds the group; `*` means in all."""
    object_name: Annotated[str, Field(max_length=255)]
    """On which collection the role holds the group; `*` means on all."""


class MilvusPrivilegeGroupStatus(ClaimantStatus):
    """What the operator last found out about the privilege group."""

    privileges: Annotated[tuple[Annotated[str, Field(max_length=255)], ...], Field(max_length=1000)] = ()
    """What the group holds in Milvus."""
    privilege_count: int | None = None
    """How many privileges the group holds in Milvus."""
    pending_revokes: Annotated[tuple[PendingRevoke, ...], Field(max_length=MAX_PENDING)] = ()
    """What was taken out of the group and may still be in force for a role. Roles of a MilvusRole are dealt with by the
    operator; for others, revoke the privilege by hand, or restart Milvus' proxies."""


class MilvusPrivilegeGroup(Resource):
    """A privilege group of a Milvus and everything that it holds."""

    plural: ClassVar = "milvusprivilegegroups"
    short_name: ClassVar = "mgroup"
    columns: ClassVar = (
        READY,
        REASON,
        Column("Group", ".spec.groupName", "Name of the privilege group in Milvus."),
        CONNECTION,
        Column(
            "Privileges",
            ".status.privilegeCount",
            "How many privileges the group holds in Milvus.",
            type="integer",
        ),
        AGE,
    )

    spec: MilvusPrivilegeGroupSpec
    """What is wanted."""
    status: Annotated[MilvusPrivilegeGroupStatus, WrapValidator(salvage)] = MilvusPrivilegeGroupStatus()
    """What is; written by the operator only."""
