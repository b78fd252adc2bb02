"""Events: how one is written, and which were posted lately. Pure, but for a memory; posting is the caller's."""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

COMPONENT = "milvus-rbac-operator"
REPEAT_AFTER = timedelta(minutes=10)
MEMORY = 4096
"""How many messages are remembered; the oldest is forgotten first, and may then be posted once more."""
MESSAGE_LIMIT = 1024
NAME_LIMIT = 57
"""The API server cuts a generateName at 58 characters."""

EventType = Literal["Normal", "Warning"]
EventKey = tuple[str, str, str]
"""uid, reason, message."""


def build_event(
    about: Mapping[str, Any], type_: EventType, reason: str, message: str, at: datetime
) -> dict[str, Any]:
    """Return an Event about an object, as `kubectl describe` shows it."""
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
    """The Events of the last minutes, in memory only: after a restart each may be posted once more."""

    def __init__(self) -> None:
        self._posted: OrderedDict[EventKey, datetime] = OrderedDict()

    def was_posted(self, key: EventKey, at: datetime) -> bool:
        """Return whether this Event is too recent to be posted again; if it is not, it counts as posted now."""
        before = self._posted.get(key)
        if before is not None and at - before < REPEAT_AFTER:
            return True
        self._posted[key] = at
        self._posted.move_to_end(key)
        if len(self._posted) > MEMORY:
            self._posted.popitem(last=False)
        return False

    def forget(self, key: EventKey) -> None:
        """Allow an Event again at once: it did not arrive."""
        self._posted.pop(key, None)
