"""Whose resources a connection serves, and what it lets each of them have: its own namespace's, and what it delegates."""

from collections.abc import Mapping
from functools import cached_property

from milvus_rbac.controller.entry import Entry, intents_of
from milvus_rbac.domain import delegation
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.delegation import Delegation, Permit

Labels = Mapping[str, Mapping[str, str]]
"""Of namespaces, by name; those that nobody could read are not in it."""


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

    @cached_property
    def _entries(self) -> tuple[Delegation, ...]:
        model = self._connection.connection
        return tuple(one.rule for one in model.spec.delegations) if model else ()

    @property
    def selects_by_label(self) -> bool:
        """Whether the labels of namespaces matter."""
        return any(one.selector is not None for one in self._entries)

    def serves(self, entry: Entry) -> bool:
        """Tell whether a resource that names the connection may be told of it.

        Who was served before still is: what it has is to be taken back, or dropped with it.
        """
        namespace = entry.name[0]
        if namespace == self._connection.name[0]:
            return True
        if any(one.covers(namespace, self._labels.get(namespace)) for one in self._entries):
            return True
        return "claim" in entry.status or entry.uid in intents_of(self._connection.status)

    def permit(self, entry: Entry) -> Permit | None:
        """Say what a resource may have; None: it is of the connection's own namespace, and not limited."""
        namespace, name = entry.name[0], entry.claimed_name
        if namespace == self._connection.name[0]:
            return None
        return delegation.permit(
            self._entries,
            namespace,
            self._labels.get(namespace),
            user_name=name if entry.kind == Kind.USER else None,
            role_name=name if entry.kind == Kind.ROLE else None,
        )
