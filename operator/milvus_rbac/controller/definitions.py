"""Whether the CustomResourceDefinitions in the cluster know every field that this operator knows.

Helm never changes those that it installed once. What an older one does not know, the API server drops without a word.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from milvus_rbac.api.schema import schema
from milvus_rbac.api.v1alpha1 import KINDS, VERSION, Resource
from milvus_rbac.controller.metrics import Metrics
from milvus_rbac.kube.resources import Cluster

logger = logging.getLogger(__name__)


class Definitions:
    """What was found missing, told once."""

    def __init__(self, cluster: Cluster, metrics: Metrics) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._told: dict[str, list[str]] = {}

    async def look(self) -> None:
        """Compare the definitions with those of this version. Raises ClusterError when they can't be read."""
        for kind in KINDS:
            definition = await self._cluster.get_definition(kind.plural)
            missing = [] if definition is None else missing_fields(kind, definition)
            self._metrics.missing_fields.labels(kind.__name__).set(len(missing))
            if missing and missing != self._told.get(kind.plural):
                logger.warning(
                    "The CustomResourceDefinition of %s is older than the operator and drops %s: apply those of this version.",
                    kind.plural,
                    ", ".join(missing),
                )
            self._told[kind.plural] = missing


def missing_fields(kind: type[Resource], definition: Mapping[str, Any]) -> list[str]:
    """Name the fields of a kind that its definition does not know; of what is missing whole only the uppermost."""
    served = (one for one in definition["spec"]["versions"] if one["name"] == VERSION)
    known: Mapping[str, Any] = next((one["schema"]["openAPIV3Schema"] for one in served), {})
    return sorted(_missing(schema(kind), known, ""))


def _missing(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, field in ours.get("properties", {}).items():
        if name not in theirs.get("properties", {}):
            yield f"{path}{name}"
        else:
            yield from _missing(field, theirs["properties"][name], f"{path}{name}.")
    if "items" in ours:
        yield from _missing(ours["items"], theirs.get("items", {}), path)
