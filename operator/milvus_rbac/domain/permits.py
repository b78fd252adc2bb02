"""Whether a role of another namespace may have what its rows ask for: by what the entry that governs it lets it have."""

from collections.abc import Collection

from milvus_rbac.domain import catalogue
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.delegation import GIVES_ACCESS, Permit
from milvus_rbac.domain.scopes import Vocabulary
from milvus_rbac.domain.state import ANY, Grant


def refuse_privilege(given: Permit, name: str, where: str, words: Vocabulary) -> Refusal | None:
    """Say why a privilege or group may not be granted at all. Comes first: nothing else is said of what is not permitted."""
    if name not in given.privileges:
        return _no(where, f"the privilege {name} is not delegated to this namespace")
    if not GIVES_ACCESS.isdisjoint(words.groups.get(name, ())):
        return _no(where, f"{name} holds privileges that give access to others, which can't be delegated")
    if name in words.levels and name not in words.groups and catalogue.find(name) is None:
        return _no(
            where, f"the operator does not know the privilege {name}, and delegates only what it knows"
        )
    return None


def may_hold(given: Permit, grant: Grant, words: Vocabulary, *, databases_are_boundaries: bool) -> bool:
    """Tell whether a role may have a grant, whether its resource asks for it or not."""
    refused = refuse_privilege(given, grant.privilege, "", words) or refuse_grants(
        given, (grant,), "", databases_are_boundaries=databases_are_boundaries
    )
    return refused is None


def refuse_grants(
    given: Permit, grants: Collection[Grant], where: str, *, databases_are_boundaries: bool
) -> Refusal | None:
    """Say why grants may not be given where they are asked for."""
    if ANY in given.databases:
        return None
    outside = sorted({grant.database for grant in grants} - given.databases)
    if ANY in outside:
        return _no(where, "it reaches beyond single databases, and only such are delegated to this namespace")
    if outside:
        return _no(where, f"the database {outside[0]} is not delegated to this namespace")
    if not databases_are_boundaries and not given.accepts_weak_isolation:
        return _no(
            where,
            "before Milvus 3.0 a database is no boundary (milvus#50678), and the delegation does not accept that "
            "(acceptWeakIsolation)",
        )
    return None


def _no(where: str, why: str) -> Refusal:
    message = f"{where}: {why}: take it out, or ask those who run the MilvusConnection."
    return Refusal(Reason.NOT_PERMITTED, message)
