"""MilvusUser: a user of a Milvus, its password and its roles."""

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, ConfigDict, Field, WrapValidator

from milvus_rbac.api.v1alpha1.claimant import CONNECTION_REF_IS_IMMUTABLE, ClaimantSpec, ClaimantStatus
from milvus_rbac.api.v1alpha1.names import (
    DataKey,
    GeneratedPassword,
    MilvusName,
    PasswordSecretRef,
    SecretRef,
    Uid,
    UserName,
)
from milvus_rbac.api.v1alpha1.resource import (
    AGE,
    CONNECTION,
    READY,
    REASON,
    Column,
    Resource,
    Rule,
    Shape,
    immutable,
    salvage,
    validated_by,
)

MAX_ROLES = 64
MAX_OBSERVED_ROLES = 1000


class MilvusUserSpec(ClaimantSpec):
    """The user that is wanted."""

    model_config = ConfigDict(
        json_schema_extra=validated_by(
            CONNECTION_REF_IS_IMMUTABLE,
            Rule(
                "has(self.passwordSecretRef) != has(self.generatePassword)",
                "write either passwordSecretRef, for a password of your own, or generatePassword",
            ),
            Rule(
                "!has(self.connectionSecret) || "
                "(!has(self.generatePassword) || self.connectionSecret.name != self.generatePassword.secretName) && "
                "(!has(self.passwordSecretRef) || self.connectionSecret.name != self.passwordSecretRef.name)",
                "connectionSecret needs a Secret of its own: choose another name than that of the password's",
            ),
        ),
    )

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
    password_secret_ref: PasswordSecretRef | None = None
    """Which key of which Secret holds the password. When the Secret changes, the password in Milvus follows. Either this or
    generatePassword."""
    generate_password: GeneratedPassword | None = None
    """Have the operator choose the password and keep it in a Secret. The annotation rbac.milvus.io/rotate, with another value
    than before, makes it choose another one."""
    connection_secret: SecretRef | None = None
    """A Secret that the operator makes for the application, with everything that it needs to connect: the keys of a Service
    Binding of type milvus. It goes with this resource; one that somebody else made is never touched."""
    expires_at: AwareDatetime | None = None
    """From then on the user does not exist in Milvus, whatever deletionPolicy says. A later time brings it back."""
    roles: Annotated[
        tuple[MilvusName, ...],
        Field(max_length=MAX_ROLES, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """All roles that the user has, by their names in Milvus. A role that is bound to the user by hand is taken back."""
    description: Annotated[str, Field(max_length=1024)] | None = None
    """What is said of the user in Milvus, at most 1024 bytes. Kept from Milvus 2.6.19 on, left out before; without it, whatever is
    there stays."""

    @property
    def password_source(self) -> PasswordSecretRef:
        """Where the password is, whoever chose it."""
        if self.generate_password is not None:
            return PasswordSecretRef(name=self.generate_password.secret_name)
        # The API server takes no resource with neither; a name that no Secret has is waited for.
        return self.password_secret_ref or PasswordSecretRef(name="none")

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
    secret_key: DataKey | None = None
    """The key that the password is under."""
    hash_digest: Annotated[str, Field(max_length=64)] | None = None
    """SHA-256 of the password hash that Milvus keeps, where it shows it: with the same hash, the same password is in force."""


class Binding(Shape):
    """The Secret that an application connects with, where Service Bindings look for it."""

    name: Annotated[str, Field(max_length=253)]
    """Name of the Secret."""


class MilvusUserStatus(ClaimantStatus):
    """What the operator last found out about the user."""

    roles: Annotated[tuple[MilvusName, ...], Field(max_length=MAX_OBSERVED_ROLES)] = ()
    """The roles that the user has in Milvus."""
    role_count: int | None = None
    """How many roles the user has in Milvus."""
    password: PasswordVersion | None = None
    """Which version of the Secret holds the password that Milvus accepted last; whether it still does, PasswordSynced says."""
    binding: Binding | None = None
    """The Secret of spec.connectionSecret, once it holds what is in force."""


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
