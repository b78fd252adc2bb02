"""The JSON Patches that are sent, as pure functions of the object they are for. Each begins with its guards.

A uid inside a merge patch is ignored by /status; a failed `test` of a JSON Patch refuses the whole write.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

FINALIZER = "rbac.milvus.io/finalizer"

Operations = list[dict[str, Any]]
"""Of one JSON Patch; none means that there is nothing to write."""


def claim_of(body: Mapping[str, Any]) -> Any:
    """Return the claim in an object's status; None without one."""
    return (body.get("status") or {}).get("claim")


def _same_status(body: Mapping[str, Any]) -> Operations:
    """Test what others may have written meanwhile; `null` passes for a missing member, but not below a missing one."""
    if body.get("status") is None:
        return [{"op": "test", "path": "/status", "value": None}]
    conditions = body["status"].get("conditions")
    return [
        {"op": "test", "path": "/status/conditions", "value": conditions},
        {"op": "test", "path": "/status/claim", "value": claim_of(body)},
    ]


def change_status(
    body: Mapping[str, Any],
    changed: Mapping[str, Any],
    removed: Collection[str],
    conditions: Sequence[Mapping[str, Any]],
    own_condition_types: Collection[str],
) -> Operations:
    """Set and remove fields of a status, and replace the operator's own conditions, as long as claim and conditions are as the body shows them."""
    status = body.get("status")
    before = (status or {}).get("conditions")
    foreign = [one for one in before or () if one["type"] not in own_condition_types]
    merged = sorted([*conditions, *foreign], key=lambda one: str(one["type"]))
    guards = [_same(body, "uid"), *_same_status(body)]
    if status is None:
        return [*guards, {"op": "add", "path": "/status", "value": {**changed, "conditions": merged}}]
    return [
        *guards,
        *({"op": "add", "path": f"/status/{key}", "value": value} for key, value in changed.items()),
        *({"op": "remove", "path": f"/status/{key}"} for key in removed),
        *([{"op": "add", "path": "/status/conditions", "value": merged}] if merged or before else []),
    ]


def add_finalizer(body: Mapping[str, Any]) -> Operations | None:
    """Add our finalizer; None when the object is being deleted, which the API server would refuse."""
    metadata = body["metadata"]
    present = metadata.get("finalizers") or []
    if FINALIZER in present:
        return []
    if metadata.get("deletionTimestamp"):
        return None
    addition = {"op": "add", "path": "/metadata/finalizers", "value": [*present, FINALIZER]}
    return [_same(body, "uid"), _same(body, "resourceVersion"), addition]


def remove_finalizer(body: Mapping[str, Any]) -> Operations:
    """Remove our finalizer and leave those of others."""
    present = body["metadata"].get("finalizers") or []
    if FINALIZER not in present:
        return []
    rest = [finalizer for finalizer in present if finalizer != FINALIZER]
    replacement = {"op": "replace", "path": "/metadata/finalizers", "value": rest}
    return [_same(body, "uid"), _same(body, "resourceVersion"), replacement]


def change_secret(
    body: Mapping[str, Any],
    owners: Sequence[Mapping[str, Any]],
    data: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Operations:
    """Replace a Secret's controllers and all its data, and add labels and annotations, as long as it is as the body shows it."""
    metadata = body["metadata"]
    others = [one for one in metadata.get("ownerReferences") or () if not one.get("controller")]
    added = {"labels": labels, "annotations": annotations}
    return [
        _same(body, "uid"),
        _same(body, "resourceVersion"),
        {"op": "add", "path": "/metadata/ownerReferences", "value": [*others, *map(dict, owners)]},
        *([] if data is None else [{"op": "add", "path": "/data", "value": dict(data)}]),
        *(
            {"op": "add", "path": f"/metadata/{field}", "value": {**(metadata.get(field) or {}), **more}}
            for field, more in added.items()
            if more
        ),
    ]


def _same(body: Mapping[str, Any], field: str) -> dict[str, Any]:
    return {"op": "test", "path": f"/metadata/{field}", "value": body["metadata"][field]}
