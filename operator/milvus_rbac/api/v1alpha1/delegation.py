"""spec.delegations of a MilvusConnection: what other namespaces may claim on its Milvus."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from milvus_rbac.api.v1alpha1.names import LabelValue, MilvusName, NamePattern, NamespaceName
from milvus_rbac.api.v1alpha1.resource import Rule, Shape, validated_by
from milvus_rbac.domain import delegation
from milvus_rbac.domain.privileges import NOT_DELEGABLE

MAX_NAMES = 64
MAX_VALUES = 32

LabelKey = Annotated[
    str,
    StringConstraints(min_length=1, max_length=317, pattern=r"^[A-Za-z0-9]([A-Za-z0-9./_-]*[A-Za-z0-9])?$"),
]


class Expression(Shape):
    """One requirement on labels."""

    model_config = ConfigDict(
        json_schema_extra=validated_by(
            Rule(
                "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values)",
                "In and NotIn need values; Exists and DoesNotExist take none",
            ),
        ),
    )

    key: LabelKey
    """The label."""
    operator: delegation.Operator
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=MAX_VALUES)] | None = None
    """The values for In and NotIn."""


class Selector(Shape):
    """Namespaces by their labels; an empty selector selects all."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=MAX_VALUES)] | None = None
    """Labels that a namespace must carry."""
    match_expressions: Annotated[tuple[Expression, ...], Field(max_length=MAX_VALUES)] | None = None
    """Requirements that the labels of a namespace must meet."""

    @property
    def expressions(self) -> tuple[delegation.Expression, ...]:
        """All requirements of the selector."""
        pairs = (self.match_labels or {}).items()
        equal = (
            delegation.Expression(key, delegation.Operator.IN, frozenset({value})) for key, value in pairs
        )
        others = (
            delegation.Expression(one.key, one.operator, frozenset(one.values or ()))
            for one in self.match_expressions or ()
        )
        return (*equal, *others)


class Namespaces(Shape):
    """The namespaces that an entry is about."""

    model_config = ConfigDict(
        json_schema_extra=validated_by(
            Rule("has(self.names) || has(self.selector)", "write names, or a selector, or both"),
        ),
    )

    names: Annotated[tuple[NamespaceName, ...], Field(max_length=MAX_NAMES)] | None = None
    """Namespaces by name."""
    selector: Selector | None = None
    """Namespaces by their labels, in addition to names. Labels are read every 30 seconds."""


class Delegation(Shape):
    """What resources of other namespaces may claim. What a list does not name is not permitted."""

    namespaces: Namespaces
    """The namespaces that this entry is about."""
    user_names: Annotated[tuple[NamePattern, ...], Field(max_length=MAX_NAMES)] = ()
    """Names that MilvusUsers may claim: literal, or the beginning of names with a `*` at the end."""
    role_names: Annotated[tuple[NamePattern, ...], Field(max_length=MAX_NAMES)] = ()
    """Names that MilvusRoles may claim: literal, or the beginning of names with a `*` at the end."""
    databases: Annotated[tuple[MilvusName, ...], Field(max_length=MAX_NAMES)] = ()
    """Databases in which privileges may be granted, by name. `*` stands for all databases and for the cluster itself, which
    privileges of cluster level need."""
    privileges: Annotated[
        tuple[MilvusName, ...],
        Field(
            max_length=MAX_NAMES,
            json_schema_extra=validated_by(
                Rule(
                    f"self.all(one, !(one in {sorted(NOT_DELEGABLE)}))",
                    "privileges that reach beyond single databases can't be delegated (only ListDatabases can): name other privileges",
                )
            ),
        ),
    ] = ()
    """Privileges and privilege groups that may be granted: exactly these names. Only what stays within databases can be
    delegated, and ListDatabases."""
    roles: Annotated[
        tuple[MilvusName, ...],
        Field(
            max_length=MAX_NAMES,
            json_schema_extra=validated_by(
                Rule("!('admin' in self)", "admin can't be delegated: name other roles")
            ),
        ),
    ] = ()
    """Further roles that MilvusUsers may hold, by name, as long as such a role holds only what can be delegated; they may always
    hold roles that MilvusRoles of their own namespace own."""
    may_adopt: bool | None = None
    """True lets the namespaces take over users and roles that differ from their resource, as spec.adoption of the resource says.
    What is exactly as its resource asks needs no leave, and what holds more than is delegated is never taken over."""
    may_retain: bool | None = None
    """True lets the namespaces leave users and roles in Milvus when their resources go: deletionPolicy Retain, suspend and the
    annotation rbac.milvus.io/force-retain. Without it, what is deleted is dropped."""
    max_users: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """How many users under userNames there may be in Milvus; without it, any number."""
    max_roles: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """How many roles under roleNames there may be in Milvus; without it, any number."""
    accept_weak_isolation: bool | None = None
    """True accepts that on servers before 3.0 a privilege in one database can be used in others. Without it, nothing is granted
    in single databases there."""

    @property
    def rule(self) -> delegation.Delegation:
        """The entry as a value of the domain."""
        selector = self.namespaces.selector
        return delegation.Delegation(
            frozenset(self.namespaces.names or ()),
            None if selector is None else selector.expressions,
            self.user_names,
            self.role_names,
            frozenset(self.databases),
            frozenset(self.privileges),
            frozenset(self.roles),
            may_adopt=bool(self.may_adopt),
            may_retain=bool(self.may_retain),
            max_users=self.max_users,
            max_roles=self.max_roles,
            accept_weak_isolation=bool(self.accept_weak_isolation),
        )
