"""Whose resources a connection serves, and what it lets each of them have: its own namespace's, and what it delegates."""

from collections.abc import Mapping
from functools import cached_property

from milvus_rbac.controller.entry import Entry, Intents, intents_of
from milvus_rbac.domain import delegation
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.delegation import Delegation, Permit

Labels = Mapping[str, Mapping[str, str]]
"""Of namespaces, by name; those that could not be read are not in it."""

LABELS_UNKNOWN = Refusal(
    Reason.WAITING_FOR_CONNECTION,
    "spec.connectionRef: what is delegated to this namespace depends on its labels, which the operator could not read yet; what "
    "is in Milvus stays as it is.",
)


class Tenancy:
    """Of one connection as it is now."""

    def __init__(self, connection: Entry, labels: Labels) -> None:
        self._connection = connection
        self._labels = labels
        self._served: dict[str, bool] = {}

    @cached_property
    def _delegations(self) -> tuple[Delegation, ...]:
        spec = self._connection.connection
        return tuple(one.rule for one in spec.delegations) if spec else ()

    @cached_property
    def _intents(self) -> Intents:
        return intents_of(self._connection.status)

    @property
    def selects_by_label(self) -> bool:
        """Whether the labels of namespaces matter."""
        return any(one.selector is not None for one in self._delegations)

    def serves_namespace(self, namespace: str) -> bool:
        """Return whether every resource of a namespace that names the connection is served."""
        if namespace == self._connection.name[0]:
            return True
        if namespace not in self._served:
            labels = self._labels.get(namespace)
            self._served[namespace] = any(one.covers(namespace, labels) for one in self._delegations)
        return self._served[namespace]

    def serves(self, entry: Entry) -> bool:
        """Return whether a resource that names the connection may learn of it.

        A resource that was served before still is: what it has is to be taken back, or dropped with it.
        """
        return self.serves_namespace(entry.name[0]) or entry.has_claim or entry.uid in self._intents

    def permit(self, entry: Entry) -> Permit | None:
        """Return what a resource may have; None: it is of the connection's own namespace, and not limited."""
        namespace, name = entry.name[0], entry.claimed_name or None
        if namespace == self._connection.name[0]:
            return None
        return delegation.permit(
            self._delegations,
            namespace,
            self._labels.get(namespace),
            user_name=name if entry.kind == Kind.USER else None,
            role_name=name if entry.kind == Kind.ROLE else None,
        )
