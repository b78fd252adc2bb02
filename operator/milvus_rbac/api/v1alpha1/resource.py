"""What all kinds of custom resources share: how a model is declared, its rules, its status, its columns, how its spec is parsed."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, cast

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

GROUP = "rbac.milvus.io"
VERSION = "v1alpha1"
CATEGORY = "milvus-rbac"
"""The category that `kubectl get` takes for all kinds. Not `milvus`: that would hide Milvus Operator's kind of this name."""


class Shape(BaseModel):
    """An immutable value, camelCase in Kubernetes and snake_case in Python. Field docstrings become `kubectl explain`."""

    model_config = ConfigDict(
        frozen=True,
        # A newer CRD may have fields that this version of the operator does not know.
        extra="ignore",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    description: str
    type: str = "string"
    is_wide: bool = False
    """Whether `kubectl get` shows it with -o wide only."""


READY = Column(
    "Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether all is done that was asked for."
)
REASON = Column(
    "Reason",
    '.status.conditions[?(@.type=="Ready")].reason',
    "Why; Ready means that Milvus matches this resource.",
)
MESSAGE = Column(
    "Message",
    '.status.conditions[?(@.type=="Ready")].message',
    "What to do, in one sentence.",
    is_wide=True,
)
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
    def parse_spec(cls, body: Mapping[str, Any]) -> Shape:
        """Return the spec of the resource that the API server sends as `body`; the status is not looked at.

        Raises:
            pydantic.ValidationError: The spec is missing or invalid. The locations begin below `spec`.
        """
        model = cast("type[Shape]", cls.model_fields["spec"].annotation)
        return model.model_validate(body.get("spec"), by_alias=True, by_name=False)


# --- rules that the API server checks


VALIDATIONS = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL expression, the message if it is false, and the field that the message is about."""

    expression: str
    message: str
    field: str | None = None


def validated_by(*rules: Rule) -> JsonDict:
    """Return the part of a JSON schema with which the API server checks the rules."""
    return {VALIDATIONS: [_as_validation(rule) for rule in rules]}


def immutable(name: str, remedy: str, *others: Rule) -> JsonDict:
    """Return the schema of a required field that can't be changed, and that keeps other rules, too."""
    return validated_by(Rule("self == oldSelf", f"{name} is immutable: {remedy}"), *others)


def immutable_if_present(name: str, remedy: str) -> Rule:
    """Return the rule of an object whose optional field can't be changed, added or removed."""
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


# --- the status

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
    """One condition, in the form that all of Kubernetes uses."""

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
    """The metadata.generation for which this was observed."""
    last_transition_time: AwareDatetime
    """When status last changed."""
    reason: Reason
    """The reason in one word; the documentation lists all of them."""
    message: Annotated[str, Field(max_length=MAX_MESSAGE_LENGTH)]
    """Why, and what to do, in one sentence."""


class Status(Shape):
    """What the operator last observed. Only the operator writes it."""

    observed_generation: int = -1
    """The metadata.generation that this status describes; -1 until the operator has seen the resource."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=MAX_CONDITIONS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    """What is true now: always Ready; Reconciling and Stalled only while they are true."""
