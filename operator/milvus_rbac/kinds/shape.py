"""How every part of a custom resource is modelled. Knows no particular field."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


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
