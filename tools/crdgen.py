"""Writes the CustomResourceDefinitions from the models in api/v1alpha1."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from milvus_rbac.api.schema import Json, schema
from milvus_rbac.api.v1alpha1 import GROUP, KINDS, VERSION, Resource
from milvus_rbac.api.v1alpha1.resource import CATEGORY, Column

ROOT = Path(__file__).parents[1]
DIRECTORIES = (ROOT / "crds", ROOT / "helm" / "milvus-rbac-operator" / "crds")
"""Helm installs a chart's folder `crds` before everything else, and never deletes what is in it."""
HEADER = (
    "# Generated from operator/milvus_rbac/api/v1alpha1 by `make generate`; changes here are overwritten.\n"
)


def definition(kind: type[Resource]) -> Json:
    """Return the CustomResourceDefinition of a kind."""
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
    """Return the text of a kind's file."""
    text = yaml.safe_dump(definition(kind), sort_keys=False, width=110, allow_unicode=True)
    return HEADER + text


def files(directory: Path) -> dict[Path, str]:
    """Return the files that belong into the directory, with their texts."""
    return {directory / f"{kind.plural}.yaml": render(kind) for kind in KINDS}


def stale(directory: Path) -> list[Path]:
    """Return the files that are missing, differ or belong to no kind."""
    expected = files(directory)
    differing = [path for path, text in expected.items() if not path.exists() or path.read_text() != text]
    return differing + [path for path in sorted(directory.glob("*.yaml")) if path not in expected]


def write(directory: Path) -> None:
    """Write all files, and remove those that belong to no kind."""
    expected = files(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in expected.items():
        path.write_text(text)
    for path in stale(directory):
        path.unlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with --check only name the stale ones."""
    parser = argparse.ArgumentParser(prog="tools.crdgen", description=main.__doc__)
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
        **({"priority": 1} if column.is_wide else {}),
    }


if __name__ == "__main__":
    sys.exit(main())
