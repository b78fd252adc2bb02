"""Kubernetes Events as dictionaries, and the memory that keeps one sentence from being posted again and again."""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

COMPONENT = "milvus-rbac-operator"
REPEAT_AFTER = timedelta(minutes=10)
MEMORY = 4096
"""So many sentences are remembered; the oldest is forgotten first, and may then be posted once more."""
MESSAGE_LIMIT = 1024
NAME_LIMIT = 57
"""The API server cuts a generateName at 58 characters."""

EventType = Literal["Normal", "Warning"]
EventKey = tuple[str, str, str]
"""uid, reason, message."""


def build_event(
    about: Mapping[str, Any], type_: EventType, reason: str, message: str, at: datetime
) -> dict[str, Any]:
    """Say something about an object, as `kubectl describe` shows it."""
    metadata = about["metadata"]
    stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "namespace": metadata["namespace"],
            "generateName": f"{metadata['name'][:NAME_LIMIT]}.",
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": type_,
        "reason": reason,
        "action": reason,
        "message": message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


class EventMemory:
    """What was said lately, in memory only: after a restart everything may be said once more."""

    def __init__(self) -> None:
        self._said: OrderedDict[EventKey, datetime] = OrderedDict()

    def was_said(self, key: EventKey, at: datetime) -> bool:
        """Say whether these words are to be held back; if not, they count as said from now on."""
        before = self._said.get(key)
        if before is not None and at - before < REPEAT_AFTER:
            return True
        self._said[key] = at
        self._said.move_to_end(key)
        if len(self._said) > MEMORY:
            self._said.popitem(last=False)
        return False

    def forget(self, key: EventKey) -> None:
        """Let the words be said again at once: they did not arrive."""
        self._said.pop(key, None)
