"""What every status holds, and how one is read. Knows neither when a condition is true nor what its reasons mean."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError, ValidatorFunctionWrapHandler

from milvus_rbac.kinds.shape import Shape

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
