"""Which of the resources that are being deleted leave Milvus as it is."""

from typing import Any

import pytest

from milvus_rbac.controller.finalizers import sort_leaving
from milvus_rbac.controller.tenancy import Tenancy
from unit.resources import Json, claimed, connection, entry, user

GOING: dict[str, Any] = {
    "deletionTimestamp": "2026-01-02T00:00:00Z",
    "finalizers": ["rbac.milvus.io/finalizer"],
}
RETAINED = {"deletionPolicy": "Retain"}
NAMED = {"delegations": [{"namespaces": {"names": ["ns"]}, "userNames": ["app"]}]}
SELECTED = {"delegations": [{"namespaces": {"selector": {"matchLabels": {"a": "b"}}}, "userNames": ["app"]}]}


@pytest.mark.parametrize(
    ("home", "spec", "doomed", "expected", "reason"),
    [
        ({}, {}, frozenset(), "dropped", "Delete is the default"),
        ({}, RETAINED, frozenset(), "untouched", "as written"),
        ({"spec": {"suspend": True}}, {}, frozenset(), "untouched", "its connection is suspended"),
        ({"spec": {"mode": "Observe"}}, {}, frozenset(), "untouched", "its connection only observes"),
        ({}, {}, frozenset({"MilvusUser"}), "untouched", "its CRD goes"),
        ({}, {}, frozenset({"MilvusRole"}), "dropped", "the CRD of another kind goes"),
        (
            {"namespace": "far", "spec": NAMED},
            RETAINED,
            frozenset(),
            "dropped",
            "a turn looks at what is delegated",
        ),
        ({"namespace": "far", "spec": SELECTED}, {}, frozenset(), "unsure", "the labels are not known"),
        ({"namespace": "far", "spec": SELECTED}, RETAINED, frozenset(), "untouched", "it stays in any case"),
    ],
)
def test_what_is_deleted_is_dropped_or_let_go_or_waits(
    home: Json, spec: Json, doomed: frozenset[str], expected: str, reason: str
) -> None:
    milvus = entry(connection(**home))
    one = entry(user(status=claimed(), spec=spec, **GOING))
    found = sort_leaving(milvus, Tenancy(milvus, {}), [one], doomed)
    became = "untouched" if one in found.untouched else "unsure" if one in found.unsure else "dropped"
    assert became == expected, reason
