"""Turn resources into claims: what Kubernetes says, in the words of the domain. Decides nothing about Milvus."""

from collections.abc import Collection
from datetime import datetime

from milvus_rbac.api.v1alpha1 import Claimant, MilvusPrivilegeGroup, MilvusRole, MilvusUser
from milvus_rbac.api.v1alpha1.claimant import DeletionPolicy
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.tenancy import LABELS_UNKNOWN, Tenancy
from milvus_rbac.controller.vault import Reading
from milvus_rbac.domain import ownership
from milvus_rbac.domain.claims import (
    Claim,
    GrantRow,
    Kind,
    Ref,
    SecretVersion,
    StaleGrant,
    WantedGroup,
    WantedRole,
    WantedUser,
)
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.delegation import Permit
from milvus_rbac.domain.privileges import stored_type
from milvus_rbac.domain.state import Grant


def claim_of(
    entry: Entry,
    endpoints: Collection[str],
    operator_account: str,
    intents: Collection[str] = (),
    now: datetime | None = None,
    tenancy: Tenancy | None = None,
) -> Claim:
    """Say what a resource claims.

    Args:
        entry: a resource that claims something.
        endpoints: the server's identity and its former ones; a claim recorded under another one is void.
        operator_account: the connection's own user, which no resource may claim.
        intents: uids for which a create was about to be sent.
        now: what time it is; without it, nothing is expired.
        tenancy: what the connection lets whom have; without it, nobody is limited.
    """
    kind = Kind(entry.kind)
    permit = tenancy.permit(entry) if tenancy else None
    unsure = LABELS_UNKNOWN if permit is not None and not permit.is_known else None
    ref = Ref(kind, *entry.name, entry.uid)
    created_at = str(entry.metadata["creationTimestamp"])
    model = entry.claimant
    if model is None:
        message = f"The spec does not fit the schema any more ({entry.problem}); correct it."
        refusal = Refusal(Reason.INTERNAL_ERROR, message)
        return Claim(
            ref, "", WantedRole(()), created_at, deleting=entry.deleting, retain=True, refusal=refusal
        )
    name = model.spec.claimed_name
    recorded, let_go = model.status.claim, entry.deleting and not entry.has_finalizer
    reserved = ownership.check(kind, name, operator_account)
    valid = recorded is not None and recorded.name == name and recorded.endpoint in endpoints
    return Claim(
        ref,
        name,
        _wanted(model),
        created_at,
        adoption=model.spec.adoption,
        # What is deleted and was let go is nothing to us, however long somebody else's finalizer keeps the resource.
        origin=recorded.origin if recorded and valid and not let_go else None,
        intended=entry.uid in intents and not let_go,
        deleting=entry.deleting,
        # What has become reserved since, such as the operator's own account, is not dropped with its resource.
        retain=keeps_on_deletion(entry, permit) or reserved is not None,
        suspended=model.spec.suspend,
        permit=permit,
        expired=now is not None and (at := expiry(entry)) is not None and at <= now,
        refusal=None if entry.deleting else reserved or unsure,
    )


def keeps_on_deletion(entry: Entry, permit: Permit | None = None) -> bool:
    """Tell whether the resource itself says that Milvus is to stay as it is when it goes.

    Nobody can say so of what its namespace may not claim any more: it would be kept for ever.
    """
    if entry.claimant is None:
        return True
    if permit is not None and permit.is_known and not permit.claims_name:
        return False
    spec = entry.claimant.spec
    return entry.retain_forced or spec.suspend or spec.deletion_policy is DeletionPolicy.RETAIN


def expiry(entry: Entry) -> datetime | None:
    """Give the time from which on a user is not to exist."""
    return entry.model.spec.expires_at if isinstance(entry.model, MilvusUser) else None


def granted_databases(entry: Entry) -> frozenset[str]:
    """Name the databases in which a role's grants are or should be: old servers list them only one by one."""
    if not isinstance(entry.model, MilvusRole):
        return frozenset()
    wanted = {row.database for row in entry.model.spec.grants if row.database}
    return frozenset(wanted | {grant.database for grant in entry.model.status.grants})


def password_in_force(entry: Entry) -> SecretVersion | None:
    """Give the version of the Secret that the status says is in force."""
    if not isinstance(entry.model, MilvusUser) or entry.model.status.password is None:
        return None
    password = entry.model.status.password
    return SecretVersion(password.secret_uid, password.secret_resource_version, password.secret_key or "")


def rotated(entry: Entry, reading: Reading) -> bool:
    """Tell whether another version of the Secret, or another key, is asked for than the status says is in force."""
    known = password_in_force(entry)
    return known is not None and reading.version is not None and known != reading.version


def known_digest(entry: Entry, reading: Reading, *, same_text: bool) -> str:
    """Give the digest of the server's hash under which the Secret's password was last seen in force.

    `same_text` says that the Secret's text is the one that was, whatever its version.
    """
    if not isinstance(entry.model, MilvusUser) or entry.model.status.password is None:
        return ""
    is_known = same_text or reading.version == password_in_force(entry)
    return entry.model.status.password.hash_digest or "" if is_known else ""


def _wanted(model: Claimant) -> WantedUser | WantedRole | WantedGroup:
    match model:
        case MilvusUser():
            return WantedUser(frozenset(model.spec.roles), description=model.spec.description)
        case MilvusRole():
            rows = model.spec.grants
            return WantedRole(
                tuple(GrantRow(row.privileges, row.database, row.collections or ()) for row in rows),
                model.spec.description,
            )
        case MilvusPrivilegeGroup():
            pending = model.status.pending_revokes
            stale = (
                StaleGrant(
                    one.role, Grant(stored_type(one.privilege), one.privilege, one.database, one.object_name)
                )
                for one in pending
            )
            return WantedGroup(frozenset(model.spec.privileges), frozenset(stale))
