"""The JSON schema of a kind, in the dialect that the API server calls structural. Knows no particular field."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override

from milvus_rbac.api.v1alpha1.resource import Resource

Json = dict[str, Any]

NEVER_LOOKED = {"observedGeneration": -1}
"""The status of a new resource. Tools that compare generations see at once that nothing has been done yet."""


class StructuralSchema(GenerateJsonSchema):
    """JSON schema in the dialect that the API server calls structural."""

    @override
    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Leave null out: the API server treats a null as an absent field."""
        return self.generate_inner(schema["schema"])

    @override
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Leave out defaults that say nothing: null and the empty list."""
        generated = super().default_schema(schema)
        if generated.get("default") in (None, []):
            generated.pop("default", None)
        return generated

    @override
    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        """Say how large an integer may be."""
        return super().int_schema(schema) | {"format": "int64"}

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        """Give no field a title: it would only repeat the name."""
        return False


def schema(kind: type[Resource]) -> Json:
    """Describe what a resource of the kind may look like."""
    generated = kind.model_json_schema(schema_generator=StructuralSchema)
    definitions = cast("Json", generated.pop("$defs"))
    inlined = cast("Json", _inline(generated, definitions))
    inlined["properties"]["status"]["default"] = NEVER_LOOKED
    return inlined


def _inline(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Replace references by what they refer to; what stands beside a reference wins."""
    match node:
        case {"$ref": str(reference), **beside}:
            return _inline(definitions[reference.removeprefix("#/$defs/")] | beside, definitions)
        case dict():
            return dict(_plain(node, definitions))
        case list():
            return [_inline(item, definitions) for item in node]
        case _:
            return node


def _plain(node: Json, definitions: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if name == "properties":
            yield name, {field: _inline(inner, definitions) for field, inner in value.items()}
        elif name == "description":
            yield name, " ".join(value.split())
        elif name != "title":
            yield name, _inline(value, definitions)
