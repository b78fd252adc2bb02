"""The JSON Patches that are sent, as pure functions of the object they are for. Each begins with its guards.

A uid inside a merge patch is ignored by /status; a failed `test` of a JSON Patch refuses the whole write.
"""

from collections.abc import Collection, Mapping
from typing import Any

FINALIZER = "rbac.milvus.io/finalizer"

Operations = list[dict[str, Any]]
"""Of one JSON Patch; none means that there is nothing to write."""


def replace_status(
    body: Mapping[str, Any], status: Mapping[str, Any], own_condition_types: Collection[str]
) -> Operations:
    """Replace the status, with the conditions of others kept, as long as conditions and claim are as the body has them."""
    before = (body.get("status") or {}).get("conditions")
    foreign = [condition for condition in before or () if condition["type"] not in own_condition_types]
    own = list(status.get("conditions") or ())
    conditions = sorted(own + foreign, key=lambda condition: str(condition["type"]))
    wanted = {**status, "conditions": conditions} if conditions else dict(status)
    return [_same(body, "uid"), *_same_status(body), {"op": "add", "path": "/status", "value": wanted}]


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
    body: Mapping[str, Any], data: Mapping[str, str], annotations: Mapping[str, str]
) -> Operations:
    """Replace all data of a Secret and add annotations, as long as it is as the body shows it."""
    metadata = body["metadata"]
    kept = {**(metadata.get("annotations") or {}), **annotations}
    return [
        _same(body, "uid"),
        _same(body, "resourceVersion"),
        {"op": "add", "path": "/data", "value": dict(data)},
        *([{"op": "add", "path": "/metadata/annotations", "value": kept}] if annotations else []),
    ]


def _same(body: Mapping[str, Any], field: str) -> dict[str, Any]:
    return {"op": "test", "path": f"/metadata/{field}", "value": body["metadata"][field]}
