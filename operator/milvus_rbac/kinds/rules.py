"""Rules for the API server that types can't express, in CEL. Each says to the user what to do instead."""

from dataclasses import dataclass

from pydantic.config import JsonDict


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
