"""From resources to claims: what Kubernetes says, for the domain to compare with Milvus. Decides nothing about Milvus."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from milvus_rbac.api.v1alpha1.claimant import ClaimantSpec, DeletionPolicy
from milvus_rbac.api.v1alpha1.milvusconnection import MilvusConnectionSpec
from milvus_rbac.api.v1alpha1.milvusprivilegegroup import MilvusPrivilegeGroupSpec
from milvus_rbac.api.v1alpha1.milvusrole import MilvusRoleSpec
from milvus_rbac.api.v1alpha1.milvususer import MilvusUserSpec
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.connection import Link, endpoint
from milvus_rbac.controller.entry import Entry, Name, intents_of
from milvus_rbac.controller.tenancy import LABELS_UNKNOWN, Tenancy
from milvus_rbac.domain import ownership
from milvus_rbac.domain.claims import (
    Claim,
    GrantRow,
    Kind,
    Origin,
    Ref,
    StaleGrant,
    WantedGroup,
    WantedRole,
    WantedUser,
)
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.delegation import Permit
from milvus_rbac.domain.privileges import stored_type
from milvus_rbac.domain.state import Grant
from milvus_rbac.milvus.port import Address


@dataclass(frozen=True, slots=True)
class Site:
    """One server as claims see it."""

    connection: Name
    connection_uid: str
    endpoint: str
    endpoints: Collection[str]
    """Its identity and its former ones: a claim recorded under another one is void."""
    operator_account: str
    """The connection's own user, which no resource may claim."""
    address: Address
    intents: Collection[str]
    """The claims (uids) for which a create was about to be sent."""


def site_of(entry: Entry, spec: MilvusConnectionSpec, link: Link, withdrawn: Collection[str]) -> Site:
    """Return how claims see the server of a connection; the intents of the `withdrawn` claims mean nothing any more."""
    own, *former = (endpoint(uri, entry.name[0]) for uri in (link.address.uri, *spec.former_uris))
    endpoints = {own, *former}
    intents = {
        uid
        for uid, one in intents_of(entry.status).items()
        if one.get("endpoint") in endpoints and uid not in withdrawn
    }
    return Site(entry.name, entry.uid, own, endpoints, link.username, link.address, intents)


def with_rivals(cache: Cache, site: Site, chosen: Iterable[Entry]) -> list[Entry]:
    """Return these resources and those that claim the same names, each once, as far as the connection serves them."""
    tenancy = cache.tenancy(site.connection)
    found = {entry.uid: entry for entry in chosen}
    for entry in list(found.values()):
        for rival in cache.claiming(site.connection, entry.kind, entry.claimed_name):
            if rival.uid not in found and (tenancy is None or tenancy.serves(rival)):
                found[rival.uid] = rival
    return list(found.values())


def claims_of(cache: Cache, site: Site, entries: Iterable[Entry]) -> list[Claim]:
    """Return what these resources claim on a server."""
    tenancy, now = cache.tenancy(site.connection), datetime.now(UTC)
    claims = []
    for entry in entries:
        claim = claim_of(entry, site.endpoints, site.operator_account, site.intents, now, tenancy)
        wanted = claim.wanted
        if isinstance(wanted, WantedUser) and (meant := _meant_roles(cache, entry, wanted.roles)):
            claim = replace(claim, wanted=replace(wanted, meant_roles=meant))
        claims.append(claim)
    return claims


def _meant_roles(cache: Cache, entry: Entry, roles: Iterable[str]) -> dict[str, str]:
    """Return the roles that are named by their MilvusRole of the same namespace instead of their roleName, with that."""
    found = ((role, cache.find(Kind.ROLE, (entry.name[0], role))) for role in roles)
    return {role: one.claimed_name for role, one in found if one is not None and one.claimed_name != role}


def claim_of(
    entry: Entry,
    endpoints: Collection[str],
    operator_account: str,
    intents: Collection[str] = (),
    now: datetime | None = None,
    tenancy: Tenancy | None = None,
) -> Claim:
    """Return what a resource claims.

    Args:
        entry: a resource that claims something.
        endpoints: the server's identity and its former ones.
        operator_account: the connection's own user.
        intents: uids for which a create was about to be sent.
        now: what time it is; without it, nothing is expired.
        tenancy: what the connection lets whom have; without it, no namespace is limited.
    """
    kind = Kind(entry.kind)
    permit = tenancy.permit(entry) if tenancy else None
    unsure = LABELS_UNKNOWN if permit is not None and not permit.is_known else None
    ref = Ref(kind, *entry.name, entry.uid)
    spec = entry.claimant
    if spec is None:
        refusal = unreadable_spec(entry)
        return Claim(
            ref, "", WantedRole(()), entry.created_at, deleting=entry.deleting, retain=True, refusal=refusal
        )
    name = entry.claimed_name
    reserved = ownership.check(kind, name, operator_account)
    # What is deleted and was let go is not the operator's, however long another finalizer keeps the resource.
    let_go = entry.deleting and not entry.has_finalizer
    origin = None if let_go else _origin(entry, endpoints)
    return Claim(
        ref,
        name,
        _wanted(entry, spec),
        entry.created_at,
        adoption=spec.adoption,
        origin=origin,
        record=entry.record if origin is not None else None,
        intended=entry.uid in intents and not let_go,
        deleting=entry.deleting,
        # What has become reserved since, such as the operator's own account, is not dropped with its resource.
        retain=keeps_on_deletion(entry, permit) or reserved is not None,
        suspended=spec.suspend,
        asks_to_stay=spec.deletion_policy is DeletionPolicy.RETAIN,
        permit=permit,
        expired=now is not None and entry.expires_at is not None and entry.expires_at <= now,
        refusal=None if entry.deleting else reserved or unsure,
    )


def unreadable_spec(entry: Entry) -> Refusal:
    """Return why nothing can be done for a resource whose spec can't be read."""
    message = f"The resource was written for another version of its CRD, so all stays as it is in Milvus until it is corrected: {entry.problem}."
    return Refusal(Reason.INVALID_SPEC, message)


def keeps_on_deletion(entry: Entry, permit: Permit | None = None) -> bool:
    """Return whether the resource itself asks that Milvus stays as it is when it goes.

    Other namespaces can't ask that without leave, nor for what they may not claim any more: it would be kept for ever.
    """
    if entry.claimant is None:
        return True
    if permit is not None and permit.is_known and not permit.may_retain:
        return False
    spec = entry.claimant
    return entry.retain_forced or spec.suspend or spec.deletion_policy is DeletionPolicy.RETAIN


def granted_databases(entry: Entry) -> frozenset[str]:
    """Return the databases in which a role's grants are or should be: old servers list them only one by one."""
    if not isinstance(entry.spec, MilvusRoleSpec):
        return frozenset()
    return frozenset({row.database for row in entry.spec.grants if row.database} | entry.databases)


def _origin(entry: Entry, endpoints: Collection[str]) -> Origin | None:
    recorded = entry.status.get("claim") or {}
    if recorded.get("name") != entry.claimed_name or recorded.get("endpoint") not in endpoints:
        return None
    return Origin(recorded["origin"]) if recorded.get("origin") in set(Origin) else None


def _wanted(entry: Entry, spec: ClaimantSpec) -> WantedUser | WantedRole | WantedGroup:
    match spec:
        case MilvusUserSpec():
            return WantedUser(frozenset(spec.roles), description=spec.description)
        case MilvusRoleSpec():
            rows = (GrantRow(row.privileges, row.database, row.collections or ()) for row in spec.grants)
            return WantedRole(tuple(rows), spec.description)
        case MilvusPrivilegeGroupSpec():
            pending = entry.status.get("pendingRevokes") or ()
            stale = (
                StaleGrant(
                    one["role"],
                    Grant(
                        stored_type(one["privilege"]), one["privilege"], one["database"], one["objectName"]
                    ),
                )
                for one in pending
            )
            return WantedGroup(frozenset(spec.privileges), frozenset(stale))
        case _:
            raise TypeError(f"{entry.kind} claims nothing")
