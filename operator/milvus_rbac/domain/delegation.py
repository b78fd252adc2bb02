"""What other namespaces than the MilvusConnection's own may claim on its Milvus; by default nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from milvus_rbac.domain.privileges import NOT_DELEGABLE
from milvus_rbac.domain.state import ADMIN_ROLE


class Operator(StrEnum):
    """The operators of label selectors in Kubernetes."""

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
        """Return whether labels match. NotIn also matches labels without the key."""
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
    """Selects namespaces by their labels; None selects none, an empty selector all."""
    user_names: tuple[str, ...] = ()
    """Literal names, or prefixes with a `*` at the end; the same for role_names."""
    role_names: tuple[str, ...] = ()
    databases: frozenset[str] = frozenset()
    """Database names; `*` stands for all databases and for the cluster itself."""
    privileges: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    may_adopt: bool = False
    may_retain: bool = False
    max_users: int | None = None
    max_roles: int | None = None
    accept_weak_isolation: bool = False

    def covers(self, namespace: str, labels: Mapping[str, str] | None) -> bool | None:
        """Return whether the entry is about a namespace; None if that depends on its labels and those are unknown (None)."""
        if namespace in self.namespaces:
            return True
        if self.selector is None:
            return False
        return None if labels is None else all(expression.matches(labels) for expression in self.selector)


@dataclass(frozen=True, slots=True)
class Permit:
    """What the entry that governs a claim lets it have; an empty permit allows nothing."""

    claims_name: bool = False
    is_known: bool = True
    """Whether the governing entry is known. If it depends on labels that could not be read, nothing is given or taken."""
    databases: frozenset[str] = frozenset()
    privileges: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    """Roles that a user may hold, beside those that its own namespace owns."""
    may_adopt: bool = False
    may_retain: bool = False
    patterns: tuple[str, ...] = ()
    """The names that the entry lets claim: of users for a user, of roles for a role."""
    limit: int | None = None
    """How many of them there may be in Milvus; None for any number."""
    accepts_weak_isolation: bool = False


NOTHING = Permit()
UNKNOWN = Permit(is_known=False)


def permit(
    delegations: Iterable[Delegation],
    namespace: str,
    labels: Mapping[str, str] | None,
    *,
    user_name: str | None = None,
    role_name: str | None = None,
) -> Permit:
    """Return what the first entry that matches a claim's namespace and name lets it have."""
    for entry in delegations:
        patterns, name, limit = (
            (entry.user_names, user_name, entry.max_users)
            if user_name is not None
            else (entry.role_names, role_name, entry.max_roles)
        )
        if name is None or not fits(name, patterns):
            continue
        is_covered = entry.covers(namespace, labels)
        if is_covered is None:
            return UNKNOWN
        if is_covered:
            return Permit(
                claims_name=True,
                databases=entry.databases,
                privileges=entry.privileges - NOT_DELEGABLE,
                roles=entry.roles - {ADMIN_ROLE},
                may_adopt=entry.may_adopt,
                may_retain=entry.may_retain,
                patterns=patterns,
                limit=limit,
                accepts_weak_isolation=entry.accept_weak_isolation,
            )
    return NOTHING


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name is one of these, or begins as one with a `*` does."""
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )
