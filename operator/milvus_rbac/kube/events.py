"""Events: how one is written, and which were posted lately. Pure, but for a memory; posting is the caller's."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from milvus_rbac.domain.text import cut

COMPONENT = "milvus-rbac-operator"
SERIES_ENDS_AFTER = timedelta(minutes=10)
"""The same Event after a longer pause is a new one."""
MEMORY = 4096
"""How many series are remembered; the oldest is forgotten first."""
NOTE_LIMIT = 1024
"""Bytes, which events.k8s.io checks."""
NAME_LIMIT = 57
"""The API server cuts a generateName at 58 characters."""

INSTANCE_LIMIT = 128

EventType = Literal["Normal", "Warning"]
EventKey = tuple[str, str, str]
"""uid, reason, message."""


def build_event(
    about: Mapping[str, Any], type_: EventType, reason: str, message: str, at: datetime, instance: str
) -> dict[str, Any]:
    """Return an Event about an object (events.k8s.io/v1); `instance` is the replica that reports it."""
    metadata = about["metadata"]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "namespace": metadata["namespace"],
            "generateName": f"{metadata['name'][:NAME_LIMIT]}-",
        },
        "regarding": {
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
        "note": cut(message, NOTE_LIMIT),
        "eventTime": _stamp(at),
        "reportingController": COMPONENT,
        "reportingInstance": instance,
    }


def build_series(count: int, at: datetime) -> dict[str, Any]:
    """Return the merge patch that says how often an Event has happened."""
    return {"series": {"count": count, "lastObservedTime": _stamp(at)}}


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(slots=True)
class Series:
    """The same Event, once or several times."""

    last: datetime
    count: int = 1
    name: str = ""
    """Of the object in Kubernetes; empty until it is posted."""
    told: int = 0
    """The count that Kubernetes was last told."""
    is_being_told: bool = False
    """A request about it is under way."""


class EventMemory:
    """The Events of the last minutes, in memory only: after a restart each begins anew."""

    def __init__(self) -> None:
        self._series: OrderedDict[EventKey, Series] = OrderedDict()

    def count(self, key: EventKey, at: datetime) -> Series:
        """Count an Event and return its series."""
        known = self._series.get(key)
        if known is not None and at - known.last < SERIES_ENDS_AFTER:
            known.count += 1
            known.last = at
        else:
            known = self._series[key] = Series(at)
        self._series.move_to_end(key)
        if len(self._series) > MEMORY:
            self._series.popitem(last=False)
        return known

    def forget(self, key: EventKey) -> None:
        """Have the next such Event begin a new series: this one did not arrive."""
        self._series.pop(key, None)
