"""Who owns a name in Milvus, and who is served at an endpoint."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from milvus_rbac.domain import privileges
from milvus_rbac.domain.claims import Claim, Kind, Origin
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.state import BUILTIN_ROLES, ROOT_USER, ZILLIZ_ADMIN


def check(kind: Kind, name: str, operator_account: str) -> Refusal | None:
    """Return why no resource can claim the name: it is reserved. `operator_account` is the user of the MilvusConnection.

    The API server has checked the syntax.
    """
    if name != name.strip():
        return Refusal(Reason.INVALID_NAME, f"The name {name!r} begins or ends with a space: remove it.")
    match kind:
        case Kind.USER if name in {ROOT_USER, ZILLIZ_ADMIN, operator_account}:
            message = f"spec.userName: {name} is the operator's own account or the server's first user, which no resource can manage: choose another name."
            return Refusal(Reason.RESERVED_NAME, message)
        case Kind.ROLE if name in BUILTIN_ROLES:
            message = f"spec.roleName: {name} is built into Milvus; choose another name."
            return Refusal(Reason.RESERVED_NAME, message)
        case Kind.GROUP if privileges.find(name) is not None:
            message = f"spec.groupName: {name} is the name of a privilege or of a built-in group of Milvus; choose another name."
            return Refusal(Reason.RESERVED_NAME, message)
        case Kind.USER | Kind.ROLE | Kind.GROUP:
            return None


def not_permitted(claim: Claim) -> Refusal:
    """Return the refusal of a name that the claim's namespace may not have; it does not reveal what exists."""
    if claim.ref.kind is Kind.GROUP:
        why = "privilege groups can only be made in the namespace of the MilvusConnection"
    else:
        why = f"no entry of the MilvusConnection's delegations lets this namespace claim the {claim.ref.kind.noun} {claim.object_name}"
    message = f"spec.connectionRef: {why}: ask the owner of the MilvusConnection."
    return Refusal(Reason.NOT_PERMITTED, message)


# --- one owner for each name


def assemble(claims: Iterable[Claim], dirty: Collection[str]) -> tuple[tuple[Claim, Refusal | None], ...]:
    """Return the dirty claims (by uid), each with the refusal that says why it does not own its name, if it does not.

    `claims` are the dirty ones and all others on the same names of the same Milvus. If the owner of a name is being
    deleted and its namespace has another claim on the name, that one inherits the object as it is.
    """
    answers: list[tuple[Claim, Refusal | None]] = []
    for contenders in _by_key(claims).values():
        if not any(claim.ref.uid in dirty for claim in contenders):
            continue
        settled = _with_heir(contenders)
        owner = elect(settled)
        answers += [(claim, _standing(claim, owner)) for claim in settled if claim.ref.uid in dirty]
    return tuple(answers)


def elect(contenders: Iterable[Claim]) -> Claim | None:
    """Return the owner of a name: the incumbent, else the oldest claim that is valid and permitted."""
    valid = [
        claim
        for claim in contenders
        if claim.refusal is None and (claim.is_ours or (claim.is_permitted and not claim.deleting))
    ]
    return min(
        valid,
        key=lambda claim: (
            bool(claim.heir),
            claim.origin is None,
            not claim.intended,
            claim.deleting,
            claim.created_at,
            claim.ref.uid,
        ),
        default=None,
    )


def owners(claims: Iterable[Claim], kind: Kind) -> dict[str, Claim]:
    """Return the owner of each name of a kind that is claimed, whether the object exists or not."""
    elected = (elect(contenders) for key, contenders in _by_key(claims).items() if key[0] is kind)
    return {owner.object_name: owner for owner in elected if owner is not None}


def _by_key(claims: Iterable[Claim]) -> Mapping[tuple[Kind, str], list[Claim]]:
    by_key: defaultdict[tuple[Kind, str], list[Claim]] = defaultdict(list)
    for claim in claims:
        by_key[claim.key].append(claim)
    return by_key


def _with_heir(contenders: list[Claim]) -> list[Claim]:
    """Return the claims on one name; the deleted owner and its heir, if there is one, know of each other."""
    leaving = [claim for claim in contenders if claim.deleting and claim.is_ours and claim.refusal is None]
    if not leaving or len(contenders) == 1:
        return contenders
    owner = elect(contenders)
    if owner is None or owner not in leaving:
        # The heir's claim is in its status already, but the former owner still has its finalizer.
        successor = owner.ref.uid if owner is not None else ""
        return [
            replace(claim, heir=successor) if claim in leaving and successor else claim
            for claim in contenders
        ]
    rest = [
        claim
        for claim in contenders
        if claim.ref.namespace == owner.ref.namespace and not (claim.deleting or claim.expired)
    ]
    heir = elect(rest)
    if heir is None:
        return contenders
    inherited = replace(heir, origin=owner.origin or Origin.CREATED, former=owner.ref.uid)
    changed = {heir.ref.uid: inherited, owner.ref.uid: replace(owner, heir=heir.ref.uid)}
    return [changed.get(claim.ref.uid, claim) for claim in contenders]


def _standing(claim: Claim, owner: Claim | None) -> Refusal | None:
    """Return why a claim does not own its name; None if it does."""
    if claim.refusal is not None:
        return claim.refusal
    if not claim.is_permitted and not claim.is_ours:
        return not_permitted(claim)
    if owner is None or owner.ref.uid == claim.ref.uid:
        return None
    # Messages to one namespace never name resources of another.
    winner = (
        f"{owner.ref.kind} {owner.ref.name}"
        if owner.ref.namespace == claim.ref.namespace
        else "a resource in another namespace"
    )
    return Refusal(
        Reason.CONFLICT,
        f"The {claim.ref.kind.noun} {claim.object_name} is already claimed by {winner}: delete one of the two resources.",
    )


# --- one connection for each endpoint


@dataclass(frozen=True, slots=True)
class EndpointCandidate:
    """A MilvusConnection, as far as it matters for which one is served at an endpoint."""

    uid: str
    created_at: str
    """Kubernetes' creationTimestamp: RFC 3339 in UTC, so that sorting as text sorts by time."""
    is_out: bool = False
    """Whether it is suspended or being deleted."""
    has_worked: bool = False
    """Whether its server has ever answered it."""
    was_tried: bool = False

    @property
    def order(self) -> tuple[bool, str, str]:
        """Return what orders candidates: those that have worked first, then by age."""
        return (not self.has_worked, self.created_at, self.uid)


def address_holder(own: EndpointCandidate, others: Iterable[EndpointCandidate]) -> EndpointCandidate | None:
    """Return the other connection that holds the address of a server against this one; None when this one is served.

    The oldest that has worked holds it, whether its server answers now or not. One that is suspended or being deleted, or
    was tried and has never worked, holds nothing; one that was not tried yet has its chance before younger ones.
    """
    rivals = [one for one in others if not one.is_out and (one.has_worked or not one.was_tried)]
    first = min(rivals, key=lambda one: one.order, default=None)
    return first if first is not None and first.order < own.order else None
