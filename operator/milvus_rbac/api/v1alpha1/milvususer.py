"""MilvusUser: a user of a Milvus, its password and its roles."""

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, ConfigDict, Field

from milvus_rbac.api.v1alpha1.claimant import CONNECTION_REF_IS_IMMUTABLE, ClaimantSpec, ClaimantStatus
from milvus_rbac.api.v1alpha1.names import (
    ConnectionSecret,
    DataKey,
    Description,
    GeneratedPassword,
    MilvusName,
    PasswordSecretRef,
    Uid,
    UserName,
)
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
from milvus_rbac.domain.state import ROOT_USER, ZILLIZ_ADMIN

MAX_ROLES = 64
MAX_OBSERVED_ROLES = 1000


class MilvusUserSpec(ClaimantSpec):
    """The desired user."""

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
                "connectionSecret needs a Secret of its own: choose another name than that of the password's Secret",
            ),
        ),
    )

    user_name: Annotated[
        UserName,
        Field(
            json_schema_extra=immutable(
                "userName",
                "create another MilvusUser with the other name and delete this one",
                Rule(
                    f"!(self in {[ROOT_USER, ZILLIZ_ADMIN]})",
                    "root and db_admin belong to the server, and no resource manages them: choose another name",
                ),
            )
        ),
    ]
    """Name of the user in Milvus: a letter, then letters, digits, `_`, `-` and `.`, at most 32 in all. Milvus before 2.6
    takes neither `-` nor `.`. It can't be changed later."""
    password_secret_ref: PasswordSecretRef | None = None
    """The key of a Secret with the password. When the Secret changes, the password in Milvus is changed, too. Write either
    this or generatePassword."""
    generate_password: GeneratedPassword | None = None
    """The operator generates the password and keeps it in a Secret. A new value of the annotation rbac.milvus.io/rotate makes
    it generate another one."""
    connection_secret: ConnectionSecret | None = None
    """A Secret that the operator creates for the application, with everything that it needs to connect: the keys of a Service
    Binding of type milvus. It is deleted with this resource, unless the user stays in Milvus. A Secret that exists and was not
    made for this user is never changed."""
    expires_at: (
        Annotated[
            AwareDatetime,
            Field(
                json_schema_extra=validated_by(
                    Rule(
                        "self.getFullYear() >= 2000",
                        "write a time of this century, for example 2027-01-01T00:00:00Z",
                    )
                )
            ),
        ]
        | None
    ) = None
    """The time from which on the user does not exist in Milvus, whatever deletionPolicy is. A later time brings it back."""
    roles: Annotated[
        tuple[MilvusName, ...],
        Field(
            max_length=MAX_ROLES,
            json_schema_extra={
                "x-kubernetes-list-type": "set",
                **validated_by(
                    Rule("!('public' in self)", "every user has the role public anyway: take it out")
                ),
            },
        ),
    ] = ()
    """All roles of the user, by their names in Milvus. A role that is bound to the user by hand is unbound again. While one of
    them is wrong, or is not there yet, the roles that the user had stay bound."""
    description: Description | None = None
    """The user's description in Milvus, at most 1024 bytes. Milvus before 2.6.19 has no descriptions, so it is left out there.
    Without this field, the description in Milvus stays as it is."""

    @property
    def password_source(self) -> PasswordSecretRef:
        """The key of the Secret with the password, given or generated."""
        if self.generate_password is not None:
            return PasswordSecretRef(name=self.generate_password.secret_name)
        # The API server refuses a resource with neither. If one exists all the same, it waits for a Secret.
        return self.password_secret_ref or PasswordSecretRef(name="none")

    @property
    def claimed_name(self) -> str:
        """The name in Milvus."""
        return self.user_name


class PasswordVersion(Shape):
    """The version of the Secret whose password is in force; never the password itself."""

    secret_uid: Uid
    """UID of the Secret whose password Milvus accepts."""
    secret_resource_version: Annotated[str, Field(max_length=64)]
    """The resourceVersion of that Secret."""
    secret_key: DataKey | None = None
    """The key of the Secret with the password."""
    hash_digest: Annotated[str, Field(max_length=64)] | None = None
    """SHA-256 of the password hash that Milvus keeps, if it shows it: with the same hash, the same password is in force."""


class Binding(Shape):
    """The Secret with which an application connects, where Service Bindings look for it."""

    name: Annotated[str, Field(max_length=253)]
    """Name of the Secret."""


class MilvusUserStatus(ClaimantStatus):
    """What the operator last observed of the user."""

    roles: Annotated[
        tuple[Annotated[str, Field(max_length=255)], ...], Field(max_length=MAX_OBSERVED_ROLES)
    ] = ()
    """The roles that the user has in Milvus."""
    role_count: int | None = None
    """How many roles the user has in Milvus."""
    password: PasswordVersion | None = None
    """The version of the Secret whose password Milvus accepted last. The condition PasswordSynced says whether it still does."""
    binding: Binding | None = None
    """The Secret of spec.connectionSecret, once it holds the password in force."""


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
        MESSAGE,
    )

    spec: MilvusUserSpec
    """The desired state."""
    status: MilvusUserStatus = MilvusUserStatus()
    """The observed state; only the operator writes it."""
