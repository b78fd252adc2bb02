"""Kubernetes as a dictionary: one API server's answers to what the controller asks, with faults for single objects.

It stands where the HTTP client stands, so everything above it is the product's. What a real API server does beyond this, the
integration tests show.
"""

import asyncio
import itertools
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from milvus_rbac.api.schema import NEVER_LOOKED
from milvus_rbac.kube.client import ClusterRefused, ClusterUnavailable

Json = dict[str, Any]
OnEvent = Callable[[str, str, Json], None]
"""Takes plural, type and object."""

_PATH = re.compile(
    r"/(?:api|apis/[^/]+)/[^/]+(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>status))?"
)
KINDS = {
    "milvusconnections": "MilvusConnection",
    "milvususers": "MilvusUser",
    "milvusroles": "MilvusRole",
    "milvusprivilegegroups": "MilvusPrivilegeGroup",
}


@dataclass(slots=True)
class KubernetesFault:
    """What becomes of the requests that match: `METHOD path` by a regular expression."""

    pattern: re.Pattern[str]
    status: int | None = None
    """The HTTP status to answer with; 0 breaks the connection, None answers as usual."""
    message: str = "Internal error"
    hangs: bool = False
    """No answer comes within the time that the client waits, which is 3 s here."""
    delay: float = 0.0
    is_answer_lost: bool = False
    """The request is done, and nobody hears of it."""
    times: int = 1_000_000
    retry_after: float | None = None
    loses_cancellation: bool = False
    """A request that is cancelled while it is delayed ends as if it had not been."""
    most_delayed: int = 0
    """How many requests it has delayed at the same time, at most."""
    _delayed: int = 0

    async def hold(self) -> None:
        """Let a request wait as long as it says."""
        self._delayed += 1
        self.most_delayed = max(self.most_delayed, self._delayed)
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            if not self.loses_cancellation:
                raise
        finally:
            self._delayed -= 1


class Kubernetes:
    """The objects, by plural, namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.faults: list[KubernetesFault] = []
        self.requests: Counter[str] = Counter()
        """How often each `METHOD plural[/status]` was asked for."""
        self.log: list[str] = []
        """`METHOD path` of every request, in order."""
        self.on_event: OnEvent | None = None
        self.latency = 0.0
        self.is_crd_going = False
        """The definitions of our kinds are being deleted."""
        self._versions = itertools.count(1000)

    def fail(self, pattern: str, **fault: Any) -> KubernetesFault:
        """Have requests meet a fault from now on."""
        made = KubernetesFault(re.compile(pattern), **fault)
        self.faults.append(made)
        return made

    def mend(self, fault: KubernetesFault) -> None:
        """End a fault."""
        self.faults.remove(fault)

    # --- what people do

    def apply(self, plural: str, namespace: str, name: str, body: Json) -> Json:
        """Create an object, or change its spec or data."""
        known = self.objects.get((plural, namespace, name))
        if known is None:
            metadata = {
                "uid": str(uuid.uuid4()),
                "namespace": namespace,
                "name": name,
                "generation": 1,
                "creationTimestamp": f"2026-01-01T00:{len(self.objects) // 60 % 60:02}:{len(self.objects) % 60:02}Z",
            }
            known = {**_copy(body), "metadata": {**_copy(body.get("metadata", {})), **metadata}}
            if plural in KINDS:
                known |= {
                    "apiVersion": "rbac.milvus.io/v1alpha1",
                    "kind": KINDS[plural],
                    "status": _copy(NEVER_LOOKED),
                }
            self.objects[plural, namespace, name] = known
            return self._store(plural, known, "ADDED")
        if "spec" in body and body["spec"] != known.get("spec"):
            known["metadata"]["generation"] += 1
        known |= _copy(body)
        return self._store(plural, known, "MODIFIED")

    def annotate(self, plural: str, namespace: str, name: str, **annotations: str) -> None:
        """Set annotations of an object."""
        known = self.objects[plural, namespace, name]
        known["metadata"].setdefault("annotations", {}).update(annotations)
        self._store(plural, known, "MODIFIED")

    def label(self, plural: str, namespace: str, name: str, **labels: str) -> None:
        """Set labels of an object."""
        known = self.objects[plural, namespace, name]
        known["metadata"].setdefault("labels", {}).update(labels)
        self._store(plural, known, "MODIFIED")

    def touch(self, plural: str, namespace: str, name: str) -> None:
        """Give an object that was changed in place its next version."""
        self._store(plural, self.objects[plural, namespace, name], "MODIFIED")

    def delete(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object: at once, or when its finalizers are gone."""
        known = self.objects[plural, namespace, name]
        known["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
        known["metadata"]["generation"] = known["metadata"].get("generation", 0) + 1
        self._store(plural, known, "MODIFIED")

    def get(self, plural: str, namespace: str, name: str) -> Json | None:
        """Return an object as it is now."""
        return self.objects.get((plural, namespace, name))

    # --- what the controller asks

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        """Answer a request as an API server does, or as the faults say."""
        del query, content_type, accept
        found = _PATH.fullmatch(path)
        if found is None:
            raise ClusterRefused(f"{method} {path}: not found", 404)
        plural, sub = found["plural"], found["sub"]
        self.requests[f"{method} {plural}{'/status' if sub else ''}"] += 1
        self.log.append(f"{method} {path}")
        fault = await self._meet(f"{method} {path}")
        answer = self._answer(method, plural, found["namespace"], found["name"], sub, body)
        if self.latency:
            await asyncio.sleep(self.latency)
        if fault is not None and fault.is_answer_lost:
            raise ClusterUnavailable(f"{method} {path}: connection reset")
        return _copy(answer)

    async def close(self) -> None:
        """Keep no connections."""

    async def _meet(self, what: str) -> KubernetesFault | None:
        fault = next((one for one in self.faults if one.pattern.search(what)), None)
        if fault is None:
            return None
        fault.times -= 1
        if fault.times <= 0:
            self.faults.remove(fault)
        if fault.delay:
            await fault.hold()
        if fault.hangs:
            await asyncio.sleep(3)
            raise ClusterUnavailable(f"{what}: no answer within 3 s.")
        if fault.status == 0:
            raise ClusterUnavailable(f"{what}: connection refused")
        if fault.status is not None and (fault.status >= 500 or fault.status == 429):
            raise ClusterUnavailable(f"{what}: {fault.message}", fault.status, fault.retry_after)
        if fault.status is not None:
            raise ClusterRefused(f"{what}: {fault.message}", fault.status)
        return fault

    def _answer(
        self, method: str, plural: str, namespace: str | None, name: str | None, sub: str | None, body: Any
    ) -> Json:
        if plural == "customresourcedefinitions":
            going = {"deletionTimestamp": "2026-01-02T00:00:00Z"} if self.is_crd_going else {}
            return {"metadata": {"name": name, **going}, "spec": {"versions": []}}
        if method == "GET" and name is None:
            return self._list(plural, namespace)
        if method == "POST":
            return self._create(plural, namespace or "", body)
        known = self.objects.get((plural, namespace or "", name or ""))
        if known is None:
            raise ClusterRefused(f"{plural} {name!r} not found", 404)
        match method:
            case "GET":
                return known
            case "PUT":
                if body["metadata"].get("resourceVersion") != known["metadata"]["resourceVersion"]:
                    raise ClusterRefused("the object has been modified", 409)
                known |= _copy(body)
            case "PATCH":
                _patch(known, body, only="status" if sub else None)
            case "DELETE":
                known["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
            case _:
                raise AssertionError(method)
        return self._store(plural, known, "MODIFIED")

    def _list(self, plural: str, namespace: str | None) -> Json:
        items = [
            one
            for (kind, where, _), one in self.objects.items()
            if kind == plural and namespace in {None, where}
        ]
        return {"items": items, "metadata": {"resourceVersion": str(next(self._versions))}}

    def _create(self, plural: str, namespace: str, body: Json) -> Json:
        name = body["metadata"].get("name") or body["metadata"]["generateName"] + uuid.uuid4().hex[:8]
        if (plural, namespace, name) in self.objects:
            raise ClusterRefused(f"{plural} {name!r} already exists", 409)
        made = _copy(body)
        made["metadata"] |= {"uid": str(uuid.uuid4()), "namespace": namespace, "name": name}
        self.objects[plural, namespace, name] = made
        return self._store(plural, made, "ADDED")

    def _store(self, plural: str, known: Json, event: str) -> Json:
        metadata = known["metadata"]
        metadata["resourceVersion"] = str(next(self._versions))
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            del self.objects[plural, metadata["namespace"], metadata["name"]]
            event = "DELETED"
            self._collect_garbage(metadata["uid"])
        if self.on_event is not None:
            self.on_event(plural, event, _copy(known))
        return known

    def _collect_garbage(self, uid: str) -> None:
        """Delete what belongs to an object that is gone, as the garbage collector does."""
        for (plural, namespace, name), one in list(self.objects.items()):
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences") or ()):
                self.delete(plural, namespace, name)


def _copy(body: Json) -> Json:
    copied: Json = orjson.loads(orjson.dumps(body))
    return copied


def _patch(known: Json, operations: list[Json] | Json, only: str | None) -> None:
    """Apply a JSON Patch, of which a failed test refuses all; or a merge patch of whole fields."""
    made = _copy(known)
    if isinstance(operations, dict):
        known |= operations
        return
    for operation in operations:
        *parents, last = operation["path"].removeprefix("/").split("/")
        where: Any = made
        for parent in parents:
            where = where.get(parent) if isinstance(where, dict) else None
        if operation["op"] == "test":
            if not isinstance(where, dict) or where.get(last) != operation["value"]:
                raise ClusterRefused(f"testing {operation['path']} failed", 422)
        elif operation["op"] == "remove":
            if not isinstance(where, dict) or last not in where:
                raise ClusterRefused(f"removing {operation['path']} failed", 422)
            del where[last]
        else:
            where[last] = _copy(operation["value"])
    if only is not None:
        known[only] = made[only]
    else:
        status = known.get("status")
        known.clear()
        known |= made if status is None else {**made, "status": status}
