"""Write the CustomResourceDefinitions from the models in kinds/. Knows JSON schemas and files, and no particular field."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override

from milvus_rbac.kinds import GROUP, KINDS, VERSION, Resource
from milvus_rbac.kinds.resource import CATEGORY, Column

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
DIRECTORIES = (ROOT / "crds", ROOT / "helm" / "milvus-rbac-operator" / "crds")
"""Helm installs what is in a chart's folder of this name before everything else, and never deletes it."""
HEADER = "# Generated from operator/milvus_rbac/kinds by `make generate`; changes here are overwritten.\n"
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


def definition(kind: type[Resource]) -> Json:
    """Describe a kind to the API server."""
    singular = kind.__name__.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.__name__,
                "listKind": f"{kind.__name__}List",
                "plural": kind.plural,
                "singular": singular,
                "shortNames": [kind.short_name],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [_version(kind)],
        },
    }


def render(kind: type[Resource]) -> str:
    """Write a kind's definition as a file's text."""
    text = yaml.safe_dump(definition(kind), sort_keys=False, width=110, allow_unicode=True)
    return HEADER + text


def files(directory: Path) -> dict[Path, str]:
    """Say which files belong into the directory, and with which text."""
    return {directory / f"{kind.plural}.yaml": render(kind) for kind in KINDS}


def stale(directory: Path) -> list[Path]:
    """List the files that are missing, differ or belong to no kind."""
    expected = files(directory)
    differing = [path for path, text in expected.items() if not path.exists() or path.read_text() != text]
    return differing + [path for path in sorted(directory.glob("*.yaml")) if path not in expected]


def write(directory: Path) -> None:
    """Write every file anew, and remove those that belong to no kind."""
    expected = files(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in expected.items():
        path.write_text(text)
    for path in stale(directory):
        path.unlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with --check only say which of them are stale."""
    parser = argparse.ArgumentParser(prog="milvus_rbac.crdgen", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is stale")
    parser.add_argument("--directory", type=Path, action="append", help="where the files are")
    options = parser.parse_args(arguments)
    directories = options.directory or DIRECTORIES
    if not options.check:
        for directory in directories:
            write(directory)
        return 0
    found = [path for directory in directories for path in stale(directory)]
    for path in found:
        sys.stderr.write(f"{path} is stale: run `make generate`\n")
    return 1 if found else 0


def _version(kind: type[Resource]) -> Json:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
    }


def _column(column: Column) -> Json:
    return {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "jsonPath": column.path,
    }


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


if __name__ == "__main__":
    sys.exit(main())
