"""The operator's own LISTs: everything before the first turn, and again from time to time and whenever the Lease was won.

A watch that was interrupted may have lost deletions, and a replica that takes over may lag behind what the leader wrote.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from milvus_rbac.api.schema import schema
from milvus_rbac.api.v1alpha1 import GROUP, KINDS, VERSION, Resource
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.entry import Name
from milvus_rbac.controller.marks import read_mark, secret_version
from milvus_rbac.controller.metrics import Metrics
from milvus_rbac.controller.tenancy import Labels, Tenancy
from milvus_rbac.kube.client import ClusterError
from milvus_rbac.kube.resources import Cluster

INTERVAL: Final = 600.0
"""Seconds between two resyncs."""
FIRST: Final = 30.0
"""Seconds until the first of them: what came between the first LIST and a watch that began late is found by then."""

logger = logging.getLogger(__name__)


class Resync:
    """Keeps the cache complete."""

    def __init__(self, cluster: Cluster, cache: Cache, metrics: Metrics, *, reads_definitions: bool) -> None:
        self._cluster = cluster
        self._cache = cache
        self._metrics = metrics
        self._reads_definitions = reads_definitions
        self._missing: dict[str, list[str]] = {}
        self.installed: set[str] = set()
        """The plurals of the kinds whose CRD was there at the last LIST."""
        self.unreadable: Mapping[str, str] = {}
        """Namespaces that could not be read at the last LIST, each with the API server's sentence."""

    async def read_everything(self) -> None:
        """Put everything there is into the cache; what was there before and is not listed any more is gone.

        Raises:
            ClusterError: it could not be read.
        """
        unreadable: dict[str, str] = {}
        known, listed = frozenset(self._cache.entries), set[str]()
        for kind in KINDS:
            listing = await self._cluster.list_all(kind.plural, self._take(kind, listed))
            if listing is None:
                self.installed.discard(kind.plural)
                continue
            self.installed.add(kind.plural)
            unreadable |= listing.unreadable
        await self._read_secrets(unreadable)
        for uid in known - listed:
            entry = self._cache.entries.get(uid)
            # What can't be seen may still be there.
            if entry is not None and entry.name[0] not in unreadable:
                self._cache.remove(uid)
        self._note_unreadable(unreadable)

    def _take(self, kind: type[Resource], listed: set[str]) -> Callable[[dict[str, Any]], None]:
        started = time.monotonic()

        def take(body: dict[str, Any]) -> None:
            # Items of a list carry neither kind nor apiVersion of their own everywhere.
            full = {**body, "kind": kind.__name__, "apiVersion": f"{GROUP}/{VERSION}"}
            listed.add(body["metadata"]["uid"])
            self._cache.put(full, listed_at=started)

        return take

    async def read_labels(self) -> frozenset[str]:
        """Read the labels of namespaces where a connection selects by them; return the namespaces whose labels changed.

        What can't be read now is as it was.
        """
        cache = self._cache
        if not any(Tenancy(one, {}).selects_by_label for one in cache.connections()):
            cache.labels, cache.labels_unreadable = {}, False
            return frozenset()
        try:
            found = await self._cluster.list_namespace_labels()
        except ClusterError as problem:
            logger.warning("The labels of namespaces can't be read: %s", problem)
            cache.labels_unreadable = True
            return frozenset()
        before: Labels = cache.labels
        cache.labels, cache.labels_unreadable = found, False
        return frozenset(name for name in before.keys() | found.keys() if before.get(name) != found.get(name))

    async def read_definitions(self) -> None:
        """Compare the CustomResourceDefinitions with those of this version, and log each difference once.

        Helm never changes those that it installed once, and the API server drops what an older one does not know.

        Raises:
            ClusterError: they could not be read.
        """
        if not self._reads_definitions:
            return
        for kind in KINDS:
            definition = await self._cluster.get_definition(kind.plural)
            missing = [] if definition is None else missing_fields(kind, definition)
            self._metrics.missing_fields.labels(kind.__name__).set(len(missing))
            if missing and missing != self._missing.get(kind.plural):
                logger.warning(
                    "The CustomResourceDefinition of %s is older than the operator and drops %s: apply those of this version.",
                    kind.plural,
                    ", ".join(missing),
                )
            self._missing[kind.plural] = missing

    async def _read_secrets(self, unreadable: dict[str, str]) -> None:
        before, seen = frozenset(self._cache.secret_names()), set[Name]()

        def take(body: dict[str, Any]) -> None:
            name = (body["metadata"]["namespace"], body["metadata"]["name"])
            seen.add(name)
            self._cache.put_secret(name, secret_version(body), read_mark(body))

        listing = await self._cluster.list_secret_metadata(take)
        unreadable |= listing.unreadable
        for name in before - seen:
            if name[0] not in unreadable:
                self._cache.put_secret(name, None)

    def _note_unreadable(self, unreadable: Mapping[str, str]) -> None:
        for namespace in unreadable.keys() - self.unreadable.keys():
            logger.warning(
                "Namespace %s can't be read, so nothing in it is served: %s", namespace, unreadable[namespace]
            )
        for namespace in self.unreadable.keys() - unreadable.keys():
            logger.info("Namespace %s can be read again.", namespace)
        self._metrics.note_unreadable(unreadable)
        self.unreadable = unreadable


def missing_fields(kind: type[Resource], definition: Mapping[str, Any]) -> list[str]:
    """Return the fields of a kind that its definition does not know; of what is missing whole only the uppermost."""
    served = (one for one in definition["spec"]["versions"] if one["name"] == VERSION)
    known: Mapping[str, Any] = next((one["schema"]["openAPIV3Schema"] for one in served), {})
    return sorted(_missing(_schema(kind), known, ""))


@cache
def _schema(kind: type[Resource]) -> Mapping[str, Any]:
    """Return the schema of a kind, made once: that takes as long as some requests, and nothing else runs meanwhile."""
    return schema(kind)


def _missing(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, field in ours.get("properties", {}).items():
        if name not in theirs.get("properties", {}):
            yield f"{path}{name}"
        else:
            yield from _missing(field, theirs["properties"][name], f"{path}{name}.")
    if "items" in ours:
        yield from _missing(ours["items"], theirs.get("items", {}), path)
