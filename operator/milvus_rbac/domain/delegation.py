"""What namespaces other than the connection's own may claim on its Milvus. Its owner says so; by default it is nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from milvus_rbac.domain.state import ADMIN_ROLE, ANY

GIVES_ACCESS: Final = frozenset(
    {
        "BackupRBAC",
        "CreateOwnership",
        "CreatePrivilegeGroup",
        "DropOwnership",
        "DropPrivilegeGroup",
        "ManageOwnership",
        "OperatePrivilegeGroup",
        "RestoreRBAC",
        "UpdateUser",
    }
)
"""Whoever has one of these gives himself the rest, or reads everybody's password hash: no entry can delegate them."""
GIVES_EVERYTHING: Final = frozenset({ANY, "All", "Admin", "ClusterAdmin"})
"""Names that stand for all privileges; nor can an entry delegate these."""


class Operator(StrEnum):
    """How an expression of a label selector compares, in Kubernetes' words."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression of a label selector."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels fit. Without the key, NotIn does."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Delegation:
    """One entry of spec.delegations."""

    namespaces: frozenset[str] = frozenset()
    selector: tuple[Expression, ...] | None = None
    """Namespaces by their labels; None selects none, an empty one selects all."""
    user_names: tuple[str, ...] = ()
    """Literal, or with one `*` at the end. So are role_names."""
    role_names: tuple[str, ...] = ()
    databases: frozenset[str] = frozenset()
    """By name; `*` is all of them and the cluster itself."""
    privileges: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    may_adopt: bool = False
    accept_weak_isolation: bool = False

    def covers(self, namespace: str, labels: Mapping[str, str] | None) -> bool | None:
        """Tell whether the entry is about a namespace; None where that depends on labels that nobody knows (None)."""
        if namespace in self.namespaces:
            return True
        if self.selector is None:
            return False
        return None if labels is None else all(expression.matches(labels) for expression in self.selector)


@dataclass(frozen=True, slots=True)
class Permit:
    """What the entry that governs a claim lets it have; the empty one: nothing."""

    claims_name: bool = False
    is_known: bool = True
    """False: it depends on labels that nobody could read. Nothing is given, and nothing is taken back."""
    databases: frozenset[str] = frozenset()
    privileges: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    """Roles of others that a user may hold."""
    may_adopt: bool = False
    accepts_weak_isolation: bool = False


NOTHING: Final = Permit()
UNKNOWN: Final = Permit(is_known=False)


def permit(
    delegations: Iterable[Delegation],
    namespace: str,
    labels: Mapping[str, str] | None,
    *,
    user_name: str | None = None,
    role_name: str | None = None,
) -> Permit:
    """Find what the first entry that matches a claim's namespace and name lets it have."""
    for entry in delegations:
        patterns, name = (
            (entry.user_names, user_name) if user_name is not None else (entry.role_names, role_name)
        )
        if name is None or not _fits(name, patterns):
            continue
        is_covered = entry.covers(namespace, labels)
        if is_covered is None:
            return UNKNOWN
        if is_covered:
            return Permit(
                claims_name=True,
                databases=entry.databases,
                privileges=entry.privileges - GIVES_ACCESS - GIVES_EVERYTHING,
                roles=entry.roles - {ADMIN_ROLE},
                may_adopt=entry.may_adopt,
                accepts_weak_isolation=entry.accept_weak_isolation,
            )
    return NOTHING


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )
