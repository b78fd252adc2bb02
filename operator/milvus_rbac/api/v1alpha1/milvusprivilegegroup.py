"""MilvusPrivilegeGroup: privileges under one name, to be granted together."""

from typing import Annotated, ClassVar

from pydantic import Field

from milvus_rbac.api.v1alpha1.claimant import ClaimantSpec, ClaimantStatus
from milvus_rbac.api.v1alpha1.names import GroupName, MilvusName
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
)
from milvus_rbac.domain.privileges import CATALOGUE

MAX_MEMBERS = 200
MAX_PENDING = 1000


class MilvusPrivilegeGroupSpec(ClaimantSpec):
    """The desired privilege group."""

    group_name: Annotated[
        GroupName,
        Field(
            json_schema_extra=immutable(
                "groupName",
                "create another MilvusPrivilegeGroup with the other name and delete this one",
                Rule(
                    f"!(self in {sorted(row.name for row in CATALOGUE if row.name.isalpha())})",
                    "this is the name of a privilege or of a built-in group: choose another name",
                ),
            )
        ),
    ]
    """Name of the group in Milvus: a letter or `_`, then letters, digits and `_`. Names of privileges and of built-in groups
    are reserved. It can't be changed later."""
    privileges: Annotated[
        tuple[MilvusName, ...],
        Field(min_length=1, max_length=MAX_MEMBERS, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """All privileges that the group holds, of one level: cluster, database or collection. A privilege that is added to the group
    by hand is removed again. A removed privilege is taken from users, too, wherever a MilvusRole holds the group."""

    @property
    def claimed_name(self) -> str:
        """The name in Milvus."""
        return self.group_name


class PendingRevoke(Shape):
    """A privilege that the group has lost and that a role may still have, because Milvus' proxies did not notice."""

    role: Annotated[str, Field(max_length=255)]
    """Name of the role in Milvus."""
    privilege: Annotated[str, Field(max_length=255)]
    """The privilege that was removed from the group."""
    database: Annotated[str, Field(max_length=255)]
    """The database in which the role holds the group; `*` means all of them."""
    object_name: Annotated[str, Field(max_length=255)]
    """The collection on which the role holds the group; `*` means all of them."""


class MilvusPrivilegeGroupStatus(ClaimantStatus):
    """What the operator last observed of the privilege group."""

    privileges: Annotated[tuple[Annotated[str, Field(max_length=255)], ...], Field(max_length=1000)] = ()
    """The privileges that the group holds in Milvus."""
    privilege_count: int | None = None
    """How many privileges the group holds in Milvus."""
    pending_revokes: Annotated[tuple[PendingRevoke, ...], Field(max_length=MAX_PENDING)] = ()
    """Privileges that were removed from the group and that a role may still have. The operator takes them from roles of a
    MilvusRole; from others, revoke the privilege by hand, or restart Milvus' proxies."""


class MilvusPrivilegeGroup(Resource):
    """A privilege group of a Milvus and all its privileges."""

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
        MESSAGE,
    )

    spec: MilvusPrivilegeGroupSpec
    """The desired state."""
    status: MilvusPrivilegeGroupStatus = MilvusPrivilegeGroupStatus()
    """The observed state; only the operator writes it."""
