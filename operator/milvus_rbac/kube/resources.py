"""What the controller asks of Kubernetes: read the resources and Secrets, write status, finalizers and Events.

It decides nothing. Every write is guarded so that it cannot land on a namesake that was created meanwhile, and takes
nothing away that others wrote.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from milvus_rbac.kube import patches
from milvus_rbac.kube.access import find_access
from milvus_rbac.kube.client import (
    JSON,
    JSON_PATCH,
    MERGE_PATCH,
    METADATA_LIST,
    TIMEOUT,
    Client,
    ClusterError,
    ClusterRefused,
    Count,
    Outdated,
)
from milvus_rbac.kube.events import (
    COMPONENT,
    INSTANCE_LIMIT,
    EventMemory,
    EventType,
    build_event,
    build_series,
)
from milvus_rbac.kube.patches import FINALIZER, Operations
from milvus_rbac.pace import Pace

__all__ = ["FINALIZER", "GROUP_VERSION", "Cluster", "Listing"]

GROUP_VERSION = "rbac.milvus.io/v1alpha1"
PAGE = 500
SMALL_PAGE = 50
"""Of whole resources: a role with 1,000 grants in its status is 150 KB, and nothing else runs while a page is parsed."""
DISCOVERY_LAG = 1.0
"""Seconds by which the API server may list a kind as it was, after it began to delete the resources of that kind."""
ATTEMPTS = 3
"""How often a guarded write is tried while others write the same object."""
EVENT_CONNECTIONS = 4
"""Events wait for each other, and nothing else waits for them."""

_FORBIDDEN, _NOT_FOUND, _CONFLICT, _GONE, _UNPROCESSABLE = 403, 404, 409, 410, 422

Take = Callable[[dict[str, Any]], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listing:
    """What is there of one kind, as far as it can be read."""

    items: list[dict[str, Any]]
    unreadable: Mapping[str, str]
    """By namespace, why it can't be read: forbidden, or gone. Empty when all namespaces are watched."""


class Cluster:
    """The Kubernetes API as the controller sees it. Objects are the API's JSON as plain dictionaries.

    Every method makes one attempt per request (15 s) and raises ClusterUnavailable or ClusterRefused; where it returns
    None, the object is gone or another one has its name now.
    """

    def __init__(
        self,
        client: Client,
        namespaces: Sequence[str] | None = None,
        events: Client | None = None,
        instance: str = COMPONENT,
    ) -> None:
        """Use these connections.

        Args:
            client: for all calls.
            namespaces: what lists cover; None is the whole cluster.
            events: for Events, so that a burst of them delays no other call; the client of all calls by default.
            instance: the replica, as Events name it.
        """
        self.client = client
        self._events = events or client
        self._namespaces = None if namespaces is None else tuple(dict.fromkeys(namespaces))
        self._instance = instance[:INSTANCE_LIMIT]
        self._posted = EventMemory()
        self._labels: dict[str, dict[str, str]] = {}

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
            count: called with how each request ended.

        Raises:
            NoAccess: neither a usable kubeconfig nor a ServiceAccount is there.
        """
        access = await find_access(kubeconfig)
        events = Client(access, EVENT_CONNECTIONS, timeout, count)
        return cls(Client(access, timeout=timeout, count=count), namespaces, events)

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()
        await self._events.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- reading

    async def list_all(self, plural: str, take: Take | None = None) -> Listing | None:
        """List all resources of one of our kinds within the scope; None when the CRD is not installed.

        With `take` each resource is passed to it as soon as its page is read, perhaps twice, and none is in the listing:
        thousands of them need not be in memory at the same time.
        """
        try:
            return await self._list_scope(_OURS, plural, JSON, take)
        except ClusterRefused as refusal:
            if refusal.status == _NOT_FOUND:
                return None
            raise

    async def list_secret_metadata(self, take: Take | None = None) -> Listing:
        """List all Secrets within the scope by their metadata; their data is not sent. `take` is as in `list_all`."""
        return await self._list_scope(_CORE, "secrets", METADATA_LIST, take)

    async def list_namespace_labels(self) -> dict[str, dict[str, str]]:
        """Return the labels of all namespaces within the scope, by their names; one that is gone is left out.

        Of a namespace that may not be read any more, the labels are those that were read last. Where none may be read,
        the refusal is raised: a right is missing then, not a namespace.
        """
        if self._namespaces is None:
            found = await self._list(f"{_CORE}/namespaces", METADATA_LIST)
            return {one["metadata"]["name"]: _labels(one) for one in found}
        before, self._labels = self._labels, {}
        refusals = []
        for namespace in self._namespaces:
            try:
                one = await self._get(f"{_CORE}/namespaces/{namespace}")
            except ClusterRefused as refusal:
                refusals.append(refusal)
                if namespace in before:
                    self._labels[namespace] = before[namespace]
            else:
                if one is not None:
                    self._labels[namespace] = _labels(one)
        if refusals and len(refusals) == len(self._namespaces):
            raise refusals[0]
        return dict(self._labels)

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
        """Return whether the definition of one of our kinds is being deleted, and every resource with it."""
        try:
            crd = await self.get_definition(plural)
        except ClusterRefused as refusal:
            if refusal.status == _FORBIDDEN:
                return await self._has_lost_create(plural)
            raise
        return crd is None or "deletionTimestamp" in crd["metadata"]

    # --- writing

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
                    message = f"{body['kind']} {body['metadata']['name']} was just claimed otherwise."
                    raise Outdated(message, _CONFLICT, dict(current))
                gone = [key for key in removed if key in there]
            return patches.change_status(current, changed, gone, conditions, own)

        return await self._patch(body, build, "/status")

    async def add_finalizer(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Add FINALIZER; a body that has it is returned without a request.

        None also when the object is being deleted without it: nothing may be begun for it any more.
        """
        return await self._patch(body, patches.add_finalizer)

    async def remove_finalizer(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Remove FINALIZER and no other; a body that does not have it is returned without a request."""
        return await self._patch(body, patches.remove_finalizer)

    async def create_secret(self, secret: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create a Secret; None when there is one of that name."""
        path = _path(_CORE, "secrets", secret["metadata"]["namespace"])
        try:
            return await self.client.request("POST", path, body=secret)
        except ClusterRefused as refusal:
            if refusal.status == _CONFLICT:
                return None
            raise

    async def change_secret(
        self,
        secret: Mapping[str, Any],
        *,
        owners: Sequence[Mapping[str, Any]],
        data: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> dict[str, Any] | None:
        """Change a Secret as `patches.change_secret` says; None when it is not as it was read any more. `data` is base64."""
        metadata = secret["metadata"]
        path = _path(_CORE, "secrets", metadata["namespace"], metadata["name"])
        operations = patches.change_secret(secret, owners, data, labels, annotations)
        try:
            return await self.client.request("PATCH", path, body=operations, content_type=JSON_PATCH)
        except ClusterRefused as refusal:
            if refusal.status in {_NOT_FOUND, _CONFLICT, _UNPROCESSABLE}:
                return None
            raise

    async def delete_secret(self, secret: Mapping[str, Any]) -> None:
        """Delete a Secret, unless it was changed since it was read; one that is gone or another one by now is left alone."""
        metadata = secret["metadata"]
        path = _path(_CORE, "secrets", metadata["namespace"], metadata["name"])
        guards = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": guards}
        try:
            await self.client.request("DELETE", path, body=body)
        except ClusterRefused as refusal:
            if refusal.status not in {_NOT_FOUND, _CONFLICT}:
                raise

    async def post_event(
        self, about: Mapping[str, Any], type_: EventType, reason: str, message: str, at: datetime
    ) -> None:
        """Post an Event about an object, in its namespace; the same Event again within ten minutes raises its series.

        Never raises a ClusterError: a namespace that is being deleted takes no Events, and nothing depends on one.
        """
        key = (about["metadata"]["uid"], reason, message)
        series = self._posted.count(key, at)
        if series.is_being_told:
            return  # what tells it tells this one, too: of two requests at once the older count could be the last
        series.is_being_told = True
        path = _path(_EVENTS, "events", about["metadata"]["namespace"])
        try:
            if not series.name:
                body = build_event(about, type_, reason, message, at, self._instance)
                series.name = (await self._events.request("POST", path, body=body))["metadata"]["name"]
                series.told = 1
            while series.told < series.count:
                series.told = series.count
                body = build_series(series.told, series.last)
                await self._events.request(
                    "PATCH", f"{path}/{series.name}", body=body, content_type=MERGE_PATCH
                )
        except ClusterError as problem:
            self._posted.forget(key)
            logger.debug("An Event was not posted: %s", problem)
        finally:
            series.is_being_told = False

    # --- requests

    async def _has_lost_create(self, plural: str) -> bool:
        """Ask discovery, which every account may read, what an operator for some namespaces may not read itself.

        A kind that is being deleted is still served, and lists every verb but those that would add to it
        (apiextensions-apiserver 1.37, customresource_discovery_controller.go).
        """
        for pause in (0.0, DISCOVERY_LAG):
            await asyncio.sleep(pause)
            served = (await self._get(f"/apis/{GROUP_VERSION}") or {}).get("resources", ())
            verbs = next((one["verbs"] for one in served if one["name"] == plural), None)
            if verbs is not None and "create" not in verbs:
                return True
        return False

    async def _list_scope(self, root: str, plural: str, accept: str, take: Take | None = None) -> Listing:
        """List all that is watched; a namespace that is gone or forbidden takes nothing away from the others.

        Raises:
            ClusterRefused: with 404 the kind is not served at all.
        """
        if self._namespaces is None:
            return Listing(await self._list(f"{root}/{plural}", accept, take), {})
        items: list[dict[str, Any]] = []
        unreadable: dict[str, str] = {}
        absent: ClusterRefused | None = None
        for namespace in self._namespaces:
            try:
                items += await self._list(_path(root, plural, namespace), accept, take)
            except ClusterRefused as refusal:
                if refusal.status not in {_FORBIDDEN, _NOT_FOUND}:
                    raise
                unreadable[namespace] = refusal.reason
                absent = refusal if refusal.status == _NOT_FOUND else absent
        if absent is not None and len(unreadable) == len(self._namespaces):
            raise absent
        return Listing(items, unreadable)

    async def _get(self, path: str) -> dict[str, Any] | None:
        try:
            return await self.client.request("GET", path)
        except ClusterRefused as refusal:
            if refusal.status == _NOT_FOUND:
                return None
            raise

    async def _list(self, path: str, accept: str, take: Take | None = None) -> list[dict[str, Any]]:
        page = PAGE if accept == METADATA_LIST else SMALL_PAGE
        try:
            return await self._list_pages(path, accept, page, take)
        except ClusterRefused as refusal:
            if refusal.status != _GONE:
                raise
        # etcd was compacted between two pages: one large answer cannot be torn.
        return await self._list_pages(path, accept, None, take)

    async def _list_pages(
        self, path: str, accept: str, page: int | None, take: Take | None
    ) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            query: dict[str, str | int] = {"limit": page} if page else {}
            if token:
                query["continue"] = token
            answer = await self.client.request("GET", path, query=query, accept=accept)
            found = answer.get("items") or []  # an empty list of metadata comes as null
            if take is None:
                items += found
            else:
                await _pass_on(found, take)
            token = answer.get("metadata", {}).get("continue", "")
            if not token:
                return items

    async def _patch(
        self,
        body: Mapping[str, Any],
        build: Callable[[Mapping[str, Any]], Operations | None],
        subresource: str = "",
    ) -> dict[str, Any] | None:
        """Send what `build` makes of the object; when a guard fails, build it again from the object as it is now."""
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
                return await self.client.request(
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


async def _pass_on(items: list[dict[str, Any]], take: Take) -> None:
    pace = Pace()
    for item in items:
        take(item)
        await pace.rest()


_CORE = "/api/v1"
_EVENTS = "/apis/events.k8s.io/v1"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_OURS = f"/apis/{GROUP_VERSION}"


def _path(root: str, plural: str, namespace: str, name: str = "") -> str:
    return f"{root}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def _identify(body: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return plural, namespace and name of an object of ours; the plurals of all our kinds are regular."""
    return f"{body['kind'].lower()}s", body["metadata"]["namespace"], body["metadata"]["name"]


def _uid(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["uid"])


def _version(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["resourceVersion"])


def _labels(body: Mapping[str, Any]) -> dict[str, str]:
    return body["metadata"].get("labels") or {}
