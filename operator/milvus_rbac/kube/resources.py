"""What the engine asks of Kubernetes: read the resources and Secrets, write status, finalizers and Events.

It decides nothing. Every write is guarded so that it cannot land on a namesake that was created meanwhile, and takes
nothing away that others wrote.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from milvus_rbac.kube import patches
from milvus_rbac.kube.client import (
    JSON,
    JSON_PATCH,
    METADATA_LIST,
    TIMEOUT,
    Api,
    ClusterError,
    ClusterRefused,
    Count,
    Outdated,
)
from milvus_rbac.kube.patches import FINALIZER, Operations

__all__ = ["FINALIZER", "GROUP_VERSION", "Cluster"]

GROUP_VERSION = "rbac.milvus.io/v1alpha1"
PAGE = 500
DISCOVERY_LAG = 1.0
"""Seconds by which the API server may list a kind as it was, after it began to delete the resources of that kind."""
ATTEMPTS = 3
"""How often a guarded write is tried while others write the same object."""

_FORBIDDEN, _NOT_FOUND, _CONFLICT, _GONE, _UNPROCESSABLE = 403, 404, 409, 410, 422

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class Listing:
    """What a LIST over the namespaces in scope found."""

    items: list[dict[str, Any]]
    unreadable: Mapping[str, str] = field(default_factory=dict)


class Cluster:
    """The Kubernetes API as the engine sees it. Objects are the API's JSON as plain dictionaries.

    Every method makes one attempt per request (15 s) and raises ClusterUnavailable or ClusterRefused; where it says
    None, the object is gone or another one has its name now.
    """

    def __init__(self, api: Api, namespaces: Sequence[str] | None = None) -> None:
        self.api = api
        """The requests below this class, for the Lease."""
        self._namespaces = None if namespaces is None else tuple(dict.fromkeys(namespaces))
        self._said = EventMemory()

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None = None,
        namespaces: Sequence[str] | None = None,
        timeout: float = TIMEOUT,
        count: Count = lambda *_: None,
    ) -> Self:
        """Find the API server: the given kubeconfig, else $KUBECONFIG, else the Pod's ServiceAccount.

        Args:
            kubeconfig: a file.
            namespaces: what lists cover; None is the whole cluster.
            timeout: seconds for one request.
            count: told how each request ended.

        Raises:
            NoAccess: neither a usable kubeconfig nor a ServiceAccount is there.
        """
        return cls(await Api.connect(kubeconfig, timeout, count), namespaces)

    async def close(self) -> None:
        """Close all connections."""
        await self.api.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- reading

    async def list_all(self, plural: str) -> Listing | None:
        """List all resources of one of our kinds within the scope; None when the CRD is not installed."""
        try:
            return Listing(
                [item for path in self._scoped(_OURS, plural) for item in await self._list(path, JSON)]
            )
        except ClusterRefused as refusal:
            if refusal.status == _NOT_FOUND:
                return None
            raise

    async def list_secret_metadata(self) -> Listing:
        """List all Secrets within the scope by their metadata; their data is not sent."""
        paths = self._scoped(_CORE, "secrets")
        return Listing([item for path in paths for item in await self._list(path, METADATA_LIST)])

    async def list_namespace_labels(self) -> dict[str, dict[str, str]]:
        """Read the labels of all namespaces within the scope, by their names."""
        root = f"{_CORE}/namespaces"
        if self._namespaces is None:
            found = await self._list(root, METADATA_LIST)
        else:
            each = [await self._get(f"{root}/{namespace}") for namespace in self._namespaces]
            found = [one for one in each if one is not None]
        return {one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in found}

    async def get(self, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Read one resource of our kinds as it is now."""
        return await self._get(_path(_OURS, plural, namespace, name))

    async def get_secret(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Read one Secret with its data (base64, as the API has it)."""
        return await self._get(_path(_CORE, "secrets", namespace, name))

    async def get_config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Read one ConfigMap."""
        return await self._get(_path(_CORE, "configmaps", namespace, name))

    async def get_milvus(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Read a Milvus of Milvus Operator; None also where that is not installed."""
        return await self._get(_path("/apis/milvus.io/v1beta1", "milvuses", namespace, name))

    async def get_definition(self, plural: str) -> dict[str, Any] | None:
        """Read the CustomResourceDefinition of one of our kinds."""
        return await self._get(f"{_CRDS}/{plural}.{GROUP_VERSION.partition('/')[0]}")

    async def is_crd_deleting(self, plural: str) -> bool:
        """Tell whether the definition of one of our kinds is on its way out, and every resource with it."""
        try:
            crd = await self.get_definition(plural)
        except ClusterRefused as refusal:
            if refusal.status == _FORBIDDEN:
                return await self._has_lost_create(plural)
            raise
        return crd is None or "deletionTimestamp" in crd["metadata"]

    # --- writing

    async def replace_status(
        self, body: Mapping[str, Any], status: Mapping[str, Any], own_condition_types: Collection[str]
    ) -> dict[str, Any] | None:
        """Make this the status of the object with the body's uid, and give the object as it is then.

        Conditions of types that are not in own_condition_types belong to others: they stay as the server has them, even
        where the body is older than they are. A body that has this status already is given back without a request.
        """

        def build(current: Mapping[str, Any]) -> Operations:
            return patches.replace_status(current, status, frozenset(own_condition_types))

        return await self._patch(body, build, "/status")

    async def change_status(
        self,
        body: Mapping[str, Any],
        changed: Mapping[str, Any],
        removed: Collection[str],
        conditions: Sequence[Mapping[str, Any]],
        own_condition_types: Collection[str],
    ) -> dict[str, Any] | None:
        """Set and remove fields of the status of the object with the body's uid, and return the object as it is then.

        Conditions of types that are not in own_condition_types are other writers': they stay as the server has them.

        Raises:
            Outdated: its status.claim is another one than that of the body.
        """
        own = frozenset(own_condition_types)

        def build(current: Mapping[str, Any]) -> Operations:
            gone = list(removed)
            if current is not body:
                there = current.get("status") or {}
                if there.get("claim") != (body.get("status") or {}).get("claim"):
                    raise Outdated(
                        f"{body['kind']} {body['metadata']['name']} was just claimed otherwise.", current
                    )
                gone = [key for key in removed if key in there]
            return patches.change_status(current, changed, gone, conditions, own)

        return await self._patch(body, build, "/status")

    async def add_finalizer(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Add FINALIZER; a body that has it is given back without a request.

        None also when the object is being deleted without it: nothing may be begun for it any more.
        """
        return await self._patch(body, patches.add_finalizer)

    async def remove_finalizer(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Remove FINALIZER and no other; a body that does not have it is given back without a request."""
        return await self._patch(body, patches.remove_finalizer)

    async def create_secret(self, secret: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create a Secret; None when there is one of that name."""
        path = _path(_CORE, "secrets", secret["metadata"]["namespace"])
        try:
            return await self.api.request("POST", path, body=secret)
        except ClusterRefused as refusal:
            if refusal.status == _CONFLICT:
                return None
            raise

    async def change_secret(
        self, secret: Mapping[str, Any], data: Mapping[str, str], annotations: Mapping[str, str]
    ) -> dict[str, Any] | None:
        """Give a Secret this data (base64) and add annotations; None when it is not as it was read any more."""
        metadata = secret["metadata"]
        path = _path(_CORE, "secrets", metadata["namespace"], metadata["name"])
        operations = patches.change_secret(secret, data, annotations)
        try:
            return await self.api.request("PATCH", path, body=operations, content_type=JSON_PATCH)
        except ClusterRefused as refusal:
            if refusal.status in {_NOT_FOUND, _CONFLICT, _UNPROCESSABLE}:
                return None
            raise

    async def post_event(
        self, about: Mapping[str, Any], type_: EventType, reason: str, message: str, at: datetime
    ) -> None:
        """Say something about an object, in its namespace; the same words again only after ten minutes.

        Never raises a ClusterError: a namespace that is being deleted takes no Events, and nothing depends on one.
        """
        key = (about["metadata"]["uid"], reason, message)
        if self._said.was_said(key, at):
            return
        path = _path(_CORE, "events", about["metadata"]["namespace"])
        try:
            await self.api.request("POST", path, body=build_event(about, type_, reason, message, at))
        except ClusterError as problem:
            self._said.forget(key)
            logger.debug("An Event was not posted: %s", problem)

    # --- how

    async def _has_lost_create(self, plural: str) -> bool:
        """Ask discovery, which everybody may read, what an operator for some namespaces may not read itself.

        A kind that is on its way out is still served, and lists every verb but those that would add to it
        (apiextensions-apiserver 1.37, customresource_discovery_controller.go).
        """
        for pause in (0.0, DISCOVERY_LAG):
            await asyncio.sleep(pause)
            served = (await self._get(f"/apis/{GROUP_VERSION}") or {}).get("resources", ())
            verbs = next((one["verbs"] for one in served if one["name"] == plural), None)
            if verbs is not None and "create" not in verbs:
                return True
        return False

    def _scoped(self, root: str, plural: str) -> Iterator[str]:
        if self._namespaces is None:
            yield f"{root}/{plural}"
            return
        for namespace in self._namespaces:
            yield _path(root, plural, namespace)

    async def _get(self, path: str) -> dict[str, Any] | None:
        try:
            return await self.api.request("GET", path)
        except ClusterRefused as refusal:
            if refusal.status == _NOT_FOUND:
                return None
            raise

    async def _list(self, path: str, accept: str) -> list[dict[str, Any]]:
        try:
            return await self._list_pages(path, accept, PAGE)
        except ClusterRefused as refusal:
            if refusal.status != _GONE:
                raise
        # etcd was compacted between two pages: one large answer cannot be torn.
        return await self._list_pages(path, accept, None)

    async def _list_pages(self, path: str, accept: str, page: int | None) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            query: dict[str, str | int] = {"limit": page} if page else {}
            if token:
                query["continue"] = token
            answer = await self.api.request("GET", path, query=query, accept=accept)
            items += answer.get("items") or []  # an empty list of metadata comes as null
            token = answer.get("metadata", {}).get("continue", "")
            if not token:
                return items

    async def _patch(
        self,
        body: Mapping[str, Any],
        build: Callable[[Mapping[str, Any]], Operations | None],
        subresource: str = "",
    ) -> dict[str, Any] | None:
        """Send what `build` makes of the object; when a guard fails, do it again with the object as it is now."""
        plural, namespace, name = _identify(body)
        path = _path(_OURS, plural, namespace, name)
        current: Mapping[str, Any] = body
        for attempt in range(1, ATTEMPTS + 1):
            operations = build(current)
            if operations is None:
                return None
            if not operations:
                return dict(current)
            try:
                return await self.api.request(
                    "PATCH", path + subresource, body=operations, content_type=JSON_PATCH
                )
            except ClusterRefused as refusal:
                if refusal.status == _NOT_FOUND:
                    return None
                if refusal.status not in {_CONFLICT, _UNPROCESSABLE} or attempt == ATTEMPTS:
                    raise
                fresh = await self.get(plural, namespace, name)
                if fresh is None or _uid(fresh) != _uid(body):
                    return None
                if _version(fresh) == _version(current) and refusal.status == _UNPROCESSABLE:
                    raise  # no guard failed: the API server does not take what is written
                current = fresh
        raise AssertionError("unreachable")


_CORE = "/api/v1"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_OURS = f"/apis/{GROUP_VERSION}"


def _path(root: str, plural: str, namespace: str, name: str = "") -> str:
    return f"{root}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def _identify(body: Mapping[str, Any]) -> tuple[str, str, str]:
    """Say where an object of ours lives; the plurals of all our kinds are regular."""
    return f"{body['kind'].lower()}s", body["metadata"]["namespace"], body["metadata"]["name"]


def _uid(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["uid"])


def _version(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["resourceVersion"])
