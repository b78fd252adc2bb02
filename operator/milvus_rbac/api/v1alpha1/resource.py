"""How every part of a custom resource is modelled. Knows no particular field."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict


class Shape(BaseModel):
    """An immutable value, camelCase in Kubernetes and snake_case in Python; the docstrings of its fields are documentation."""

    model_config = ConfigDict(
        frozen=True,
        # A newer CRD may store fields that this version of the operator has not heard of.
        extra="ignore",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL expression, what is said when it is false, and the field to which the complaint belongs."""

    expression: str
    message: str
    field: str | None = None


def validated_by(*rules: Rule) -> JsonDict:
    """Put rules into a JSON schema, the way Kubernetes reads them."""
    return {"x-kubernetes-validations": [_as_validation(rule) for rule in rules]}


def immutable(name: str, remedy: str) -> JsonDict:
    """Refuse changes of a required field."""
    return validated_by(Rule("self == oldSelf", f"{name} is immutable: {remedy}"))


def immutable_if_present(name: str, remedy: str) -> Rule:
    """Refuse changes of an optional field of the object that carries the rule; adding and removing it are changes, too."""
    return Rule(
        f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
        f"{name} is immutable: {remedy}",
        field=name,
    )


def _as_validation(rule: Rule) -> JsonDict:
    validation: JsonDict = {"rule": rule.expression, "message": rule.message}
    if rule.field is not None:
        validation["fieldPath"] = f".{rule.field}"
    return validation


MAX_CONDITIONS = 16
MAX_MESSAGE_LENGTH = 32768

Reason = Annotated[
    str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
]


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Shape):
    """One thing that is true, false or unknown, in the form that all of Kubernetes uses."""

    type: Annotated[
        str,
        StringConstraints(
            min_length=1, max_length=316, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$"
        ),
    ]
    """What the condition is about: Ready, Reconciling, Stalled and so on."""
    status: ConditionStatus
    """True, False or Unknown."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The metadata.generation for which this was found out."""
    last_transition_time: AwareDatetime
    """When status last became what it is."""
    reason: Reason
    """One word for why; the documentation lists all of them."""
    message: Annotated[str, Field(max_length=MAX_MESSAGE_LENGTH)]
    """One sentence that says why and what to do."""


class Status(Shape):
    """What the operator last found out; written by the operator only."""

    observed_generation: int = -1
    """The metadata.generation that this status describes; -1 until the operator has looked for the first time."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=MAX_CONDITIONS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    """What is true now: Ready always, Reconciling and Stalled only while they hold."""


def salvage(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Read what can be read of a status: a damaged field is left out, and a status that is none is empty.

    The operator can write a status anew at any time, so a bad one must never keep it from working.
    """
    try:
        return handler(value)
    except ValidationError as error:
        damaged = {location[0] for location in (detail["loc"] for detail in error.errors()) if location}
    if not isinstance(value, dict):
        return handler({})
    return handler({name: part for name, part in value.items() if name not in damaged})


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
