"""MilvusUser: a user of a Milvus, its password and its roles."""

from typing import Annotated, ClassVar

from pydantic import Field, WrapValidator

from milvus_rbac.kinds.claimant import ClaimantSpec, ClaimantStatus
from milvus_rbac.kinds.names import MilvusName, Uid, UserName
from milvus_rbac.kinds.references import PasswordSecretRef
from milvus_rbac.kinds.resource import AGE, CONNECTION, READY, REASON, Column, Resource
from milvus_rbac.kinds.rules import immutable
from milvus_rbac.kinds.shape import Shape
from milvus_rbac.kinds.status import salvage

MAX_ROLES = 64
MAX_OBSERVED_ROLES = 1000


class MilvusUserSpec(ClaimantSpec):
    """The user that is wanted."""

    user_name: Annotated[
        UserName,
        Field(
            json_schema_extra=immutable(
                "userName", "create another MilvusUser with the other name and delete this one"
            )
        ),
    ]
    """Name of the user in Milvus: a letter, then letters, digits, `_`, `-` and `.`, at most 32 in all. Milvus before 2.6
    takes neither `-` nor `.`. It can't be changed later."""
    password_secret_ref: PasswordSecretRef
    """Which key of which Secret holds the password. When the Secret changes, the password in Milvus follows."""
    roles: Annotated[
        tuple[MilvusName, ...],
        Field(max_length=MAX_ROLES, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """All roles that the user has, by their names in Milvus. A role that is bound to the user by hand is taken back."""

    @property
    def claimed_name(self) -> str:
        """The name in Milvus."""
        return self.user_name


class PasswordVersion(Shape):
    """Which version of the Secret is in force; never the password itself."""

    secret_uid: Uid
    """UID of the Secret whose password Milvus accepts."""
    secret_resource_version: Annotated[str, Field(max_length=64)]
    """The resourceVersion of that Secret."""
    hash_digest: Annotated[str, Field(max_length=64)] | None = None
    """SHA-256 of the password hash that Milvus keeps, where it shows it: with the same hash, the same password is in force."""


class MilvusUserStatus(ClaimantStatus):
    """What the operator last found out about the user."""

    roles: Annotated[tuple[MilvusName, ...], Field(max_length=MAX_OBSERVED_ROLES)] = ()
    """The roles that the user has in Milvus."""
    role_count: int | None = None
    """How many roles the user has in Milvus."""
    password: PasswordVersion | None = None
    """Which version of the Secret holds the password that Milvus accepts."""


class MilvusUser(Resource):
    """A user of a Milvus: its name, its password and its roles."""

    plural: ClassVar = "milvususers"
    short_name: ClassVar = "muser"
    columns: ClassVar = (
        READY,
        REASON,
        Column("User", ".spec.userName", "Name of the user in Milvus."),
        CONNECTION,
        Column("Roles", ".status.roleCount", "How many roles the user has in Milvus.", type="integer"),
        AGE,
    )

    spec: MilvusUserSpec
    """What is wanted."""
    status: Annotated[MilvusUserStatus, WrapValidator(salvage)] = MilvusUserStatus()
    """What is; written by the operator only."""
