"""What a CustomResourceDefinition of another version does not know."""

from typing import Any

import pytest
from tools.crdgen import definition

from milvus_rbac.api.v1alpha1 import KINDS, MilvusConnection, MilvusRole, Resource
from milvus_rbac.controller.resync import missing_fields


def properties(of: dict[str, Any], *path: str) -> dict[str, Any]:
    schema: dict[str, Any] = of["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in path:
        schema = schema["properties"][name]
        schema = schema.get("items", schema)
    found: dict[str, Any] = schema["properties"]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_missing_in_the_definition_of_this_version(kind: type[Resource]) -> None:
    assert missing_fields(kind, definition(kind)) == []


def test_what_a_newer_definition_knows_beside_is_no_trouble() -> None:
    newer = definition(MilvusRole)
    properties(newer, "spec")["later"] = {"type": "string"}
    assert missing_fields(MilvusRole, newer) == []


def test_each_field_that_an_older_definition_lacks_is_named_by_its_path() -> None:
    older = definition(MilvusConnection)
    del properties(older, "spec")["tls"]
    del properties(older, "spec", "delegations")["mayAdopt"]
    del properties(older, "status", "conditions")["reason"]
    assert missing_fields(MilvusConnection, older) == [
        "spec.delegations.mayAdopt",
        "spec.tls",
        "status.conditions.reason",
    ]


def test_a_definition_without_this_version_knows_nothing() -> None:
    other = definition(MilvusRole)
    other["spec"]["versions"][0]["name"] = "v9"
    assert {"spec", "status"} <= set(missing_fields(MilvusRole, other))
