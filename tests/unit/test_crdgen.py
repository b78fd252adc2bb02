"""The generated definitions: fresh, documented, and within what the API server takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools import crdgen

from milvus_rbac.api.schema import NEVER_LOOKED, schema
from milvus_rbac.api.v1alpha1 import KINDS, Resource

PAGES = Path(__file__).parents[2] / "docs"

Json = dict[str, Any]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every schema inside a schema, with the path of its field; items of lists end with []."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def paths(kind: type[Resource], **facts: Any) -> list[str]:
    """The paths of all schemas in which these keywords have these values."""
    return [
        path
        for path, node in nodes(schema(kind))
        if all(node.get(keyword) == value for keyword, value in facts.items())
    ]


def test_the_committed_files_are_fresh() -> None:
    assert [path for directory in crdgen.DIRECTORIES for path in crdgen.stale(directory)] == []


@every_kind
def test_every_field_is_documented(kind: type[Resource]) -> None:
    undocumented = [path for path in paths(kind, description=None) if not path.endswith("[]")]
    assert undocumented == []


@every_kind
def test_every_description_is_a_sentence_on_one_line(kind: type[Resource]) -> None:
    for path, node in nodes(schema(kind)):
        description = node.get("description", ".")
        assert description.endswith("."), path
        assert "\n" not in description, path


@every_kind
def test_every_string_is_bounded(kind: type[Resource]) -> None:
    unbounded = [
        path
        for path, node in nodes(schema(kind))
        if node["type"] == "string" and not {"maxLength", "enum"} & node.keys() and node.get("format") is None
    ]
    assert unbounded == []


@every_kind
def test_every_list_is_bounded(kind: type[Resource]) -> None:
    assert paths(kind, type="array", maxItems=None) == []


@every_kind
def test_nothing_inside_a_list_has_a_default(kind: type[Resource]) -> None:
    defaulted = [path for path, node in nodes(schema(kind)) if "[]" in path and "default" in node]
    assert defaulted == []


@every_kind
def test_no_default_is_null_or_empty(kind: type[Resource]) -> None:
    for path, node in nodes(schema(kind)):
        assert node.get("default", "something") not in (None, [], {}), path


@every_kind
def test_only_structural_keywords_are_used(kind: type[Resource]) -> None:
    for path, node in nodes(schema(kind)):
        assert not node.keys() & {
            "$ref",
            "$defs",
            "anyOf",
            "allOf",
            "const",
            "title",
        }, path
        assert node.get("additionalProperties", {}) is not False, path


@every_kind
def test_every_rule_says_what_to_do(kind: type[Resource]) -> None:
    for path, node in nodes(schema(kind)):
        for rule in node.get("x-kubernetes-validations", []):
            assert rule["message"], path


@every_kind
def test_a_new_resource_shows_that_nothing_was_done_yet(kind: type[Resource]) -> None:
    found = schema(kind)
    assert found["properties"]["status"]["default"] == NEVER_LOOKED
    assert "required" not in found["properties"]["status"]
    assert found["required"] == ["spec"]


@every_kind
def test_conditions_are_merged_by_their_type(kind: type[Resource]) -> None:
    assert paths(kind, **{"x-kubernetes-list-map-keys": ["type"]}) == [".status.conditions"]


@every_kind
def test_the_columns_show_readiness_first_and_age_last(kind: type[Resource]) -> None:
    columns = [column.name for column in kind.columns]
    assert columns[:2] == ["Ready", "Reason"]
    assert columns[-2:] == ["Age", "Message"], "the message is long, and so for -o wide"


@every_kind
def test_every_column_shows_a_field_that_exists(kind: type[Resource]) -> None:
    known = {path for path, _ in nodes(schema(kind))} | {".metadata.creationTimestamp"}
    for column in kind.columns:
        assert column.path.partition("[?")[0] in known


def test_generating_twice_gives_the_same(tmp_path: Path) -> None:
    assert crdgen.main(["--directory", str(tmp_path / "new")]) == 0
    assert crdgen.main(["--directory", str(tmp_path / "new"), "--check"]) == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"{kind.plural}.yaml" for kind in KINDS}


def test_a_file_says_that_it_is_generated_and_is_yaml() -> None:
    text = crdgen.render(KINDS[0])
    assert "make generate" in text.splitlines()[0]
    assert yaml.safe_load(text) == crdgen.definition(KINDS[0])


@pytest.mark.parametrize("spoil", ["changed", "missing", "foreign"])
def test_a_stale_file_is_named(spoil: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crdgen.write(tmp_path)
    spoilt = tmp_path / ("milvusgadgets.yaml" if spoil == "foreign" else "milvususers.yaml")
    if spoil == "missing":
        spoilt.unlink()
    else:
        spoilt.write_text("kind: Other\n")
    assert crdgen.main(["--directory", str(tmp_path), "--check"]) == 1
    complaints = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 1)[0] for line in complaints] == [str(spoilt)]
    crdgen.write(tmp_path)
    assert crdgen.stale(tmp_path) == []


@every_kind
def test_every_field_of_a_spec_and_a_status_is_on_the_page_of_its_kind(kind: type[Resource]) -> None:
    page = (PAGES / f"{kind.__name__.lower()}.md").read_text()
    properties = schema(kind)["properties"]
    assert [field for field in properties["spec"]["properties"] if f"\n### {field}\n" not in page] == []
    assert [field for field in properties["status"]["properties"] if f"`{field}`" not in page] == []
