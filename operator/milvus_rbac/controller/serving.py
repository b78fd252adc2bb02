"""Whether a MilvusConnection is served at all, whatever its server says: the operator's settings, one connection per endpoint."""

from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.claims import unreadable_spec
from milvus_rbac.controller.connection import endpoint
from milvus_rbac.controller.entry import Entry
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.ownership import EndpointCandidate, address_holder
from milvus_rbac.settings import Settings


def refuse_connection(entry: Entry, cache: Cache, settings: Settings) -> Refusal | None:
    """Return why a connection may not be served; None when it may."""
    namespace, uri = entry.name[0], cache.uri(entry)
    if entry.connection is None:
        return unreadable_spec(entry)
    if entry.connection.suspend:
        return Refusal(Reason.SUSPENDED, "The connection is suspended: set spec.suspend to false to go on.")
    if not settings.allows_connections_in(namespace):
        message = (
            f"The operator takes no MilvusConnection from namespace {namespace}: ask those who run it to add that to "
            "MILVUS_RBAC_CONNECTION_NAMESPACES, or use a connection of theirs."
        )
        return Refusal(Reason.NOT_PERMITTED, message)
    # Without an address it was not looked up yet.
    return _refuse_address(entry, endpoint(uri, namespace), cache, settings) if uri else None


def _refuse_address(entry: Entry, server: str, cache: Cache, settings: Settings) -> Refusal | None:
    namespace = entry.name[0]
    if not settings.allows_endpoint(server):
        message = (
            f"spec.uri: the operator does not connect to {server}: ask those who run it to add that to "
            "MILVUS_RBAC_ALLOWED_ENDPOINTS, or write another address."
        )
        return Refusal(Reason.NOT_PERMITTED, message)
    holder = _holder(entry, server, cache, settings)
    if holder is None:
        return None
    where = holder.name[1] if holder.name[0] == namespace else "another namespace"
    message = f"spec.uri: {server} is served by MilvusConnection {where} already: delete one of the two."
    return Refusal(Reason.CONFLICT, message)


def _holder(entry: Entry, server: str, cache: Cache, settings: Settings) -> Entry | None:
    """Return the other connection that holds the address of a server."""
    others = {
        other.uid: other
        for other in cache.connections()
        if other.uid != entry.uid
        and settings.allows_connections_in(other.name[0])
        and endpoint(cache.uri(other), other.name[0]) == server
    }
    holder = address_holder(_candidate(entry), (_candidate(other) for other in others.values()))
    return others[holder.uid] if holder else None


def _candidate(entry: Entry) -> EndpointCandidate:
    spec = entry.connection
    return EndpointCandidate(
        entry.uid,
        entry.created_at,
        is_out=entry.deleting or spec is None or spec.suspend,
        has_worked="server" in entry.status,
        was_tried=entry.ready is not None,
    )
