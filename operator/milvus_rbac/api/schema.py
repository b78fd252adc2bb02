"""The JSON schema of a kind, as Kubernetes wants it: a structural schema."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override

from milvus_rbac.api.v1alpha1.names import RULES_OF_PATTERNS
from milvus_rbac.api.v1alpha1.resource import VALIDATIONS, Resource, validated_by

Json = dict[str, Any]

NEVER_LOOKED = {
    "observedGeneration": -1,
    "conditions": [
        {
            "type": "Ready",
            "status": "Unknown",
            "reason": "Pending",
            "message": "The operator has not looked at it yet. If that lasts, it does not run, or does not serve this namespace.",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }
    ],
}
"""The status of a new resource, which shows people, and tools that compare generations, that nothing has been done yet."""
MOST_WORK = 100_000_000
"""The most that a rule may have to do: how often it may apply in one object, times the longest text, times the length of its
pattern. The API server of Kubernetes 1.37 takes about twice as much."""


class StructuralSchema(GenerateJsonSchema):
    """Generates structural schemas from pydantic models."""

    @override
    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Return the schema without null, which the API server treats as an absent field."""
        return self.generate_inner(schema["schema"])

    @override
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema without meaningless defaults: null and the empty list."""
        generated = super().default_schema(schema)
        if generated.get("default") in (None, []):
            generated.pop("default", None)
        return generated

    @override
    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        """Return the schema with the format of integers."""
        return super().int_schema(schema) | {"format": "int64"}

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: a title would only repeat the name of its field."""
        return False


def schema(kind: type[Resource]) -> Json:
    """Return the schema of a kind."""
    generated = kind.model_json_schema(schema_generator=StructuralSchema)
    definitions = cast("Json", generated.pop("$defs"))
    inlined = cast("Json", _inline(generated, definitions))
    inlined["properties"]["status"]["default"] = NEVER_LOOKED
    return inlined


def _inline(node: Any, definitions: Mapping[str, Any], times: int = 1) -> Any:
    """Return the schema with references replaced by what they refer to; keys beside a reference win.

    `times` is how often the value may occur in one object.
    """
    match node:
        case {"$ref": str(reference), **beside}:
            return _inline(definitions[reference.removeprefix("#/$defs/")] | beside, definitions, times)
        case dict():
            return dict(_plain(_with_rules(node, times), definitions, times * _most(node)))
        case list():
            return [_inline(item, definitions, times) for item in node]
        case _:
            return node


def _most(node: Json) -> int:
    """Return how many values a list or a map has at most; 1 for anything else."""
    return cast("int", node.get("maxItems", node.get("maxProperties", 1)))


def _with_rules(node: Json, times: int) -> Json:
    """Return a node whose pattern is replaced by rules that say what to write, where the API server has time for rules."""
    pattern = node.get("pattern", "")
    rules = RULES_OF_PATTERNS.get(pattern)
    if rules is None or times * node["maxLength"] * len(pattern) > MOST_WORK:
        return node
    kept = {name: value for name, value in node.items() if name != "pattern"}
    found = [*validated_by(*rules)[VALIDATIONS], *kept.get(VALIDATIONS, ())]  # type: ignore[misc]  # a list of ours
    return {**kept, VALIDATIONS: found} if found else kept


def _plain(node: Json, definitions: Mapping[str, Any], times: int) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if name == "properties":
            yield name, {field: _inline(inner, definitions, times) for field, inner in value.items()}
        elif name == "description":
            yield name, " ".join(value.split())
        elif name != "title":
            yield name, _inline(value, definitions, times)
