"""Whether an object that was in Milvus before its resource may be adopted: only if nothing is lost, or with adoption Always."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from milvus_rbac.domain.changes import (
    CREATES,
    Change,
    RecreateUser,
    RevokePrivilege,
    UpdatePassword,
    describe,
    takes,
)
from milvus_rbac.domain.claims import Adoption, Claim, Kind, Origin, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import Desired, DesiredRole
from milvus_rbac.domain.state import ANY, Grant, PasswordVerdict, State
from milvus_rbac.domain.text import MOST_NAMED


@dataclass(frozen=True, slots=True)
class Candidate:
    """An object that exists and is not ours, and the claim on it."""

    desired: Desired
    changes: Sequence[Change]
    """What would make the object match the claim."""
    authorization: bool
    """Whether the server checks passwords; if not, no password proves anything."""
    keeps_password: bool
    """Whether the object is no user, or the Secret's password is in force."""
    holds_more: bool
    """Whether the object holds what the claim's namespace may not have."""

    @property
    def losses(self) -> tuple[Change, ...]:
        """The changes by which users would lose something."""
        # The roles that hold a group gain and lose with it, so only an equal group is safe to take over.
        is_group = self.desired.claim.ref.kind is Kind.GROUP
        lost = (one for one in self.changes if is_group or takes(one))
        return tuple(one for one in lost if not _is_covered(one, self.desired))

    @property
    def loses_nothing(self) -> bool:
        """Whether users keep all that they have, their passwords included."""
        return not self.losses and self.keeps_password


def _is_covered(change: Change, desired: Desired) -> bool:
    """Return whether a revoked grant is within a wider one of the same privilege that the role is given or keeps."""
    if not isinstance(change, RevokePrivilege) or not isinstance(desired.state, DesiredRole):
        return False
    lost = change.grant
    names = ((lost.database, ANY), (ANY, ANY))
    wider = {Grant(lost.object_type, lost.privilege, *name) for name in names} - {lost}
    return not wider.isdisjoint(desired.state.grants)


def exists(claim: Claim, observed: State) -> bool:
    """Return whether the claimed object is in Milvus, owned by this claim or not."""
    match claim.ref.kind:
        case Kind.USER:
            return claim.object_name in observed.users
        case Kind.ROLE:
            return claim.object_name in observed.roles
        case Kind.GROUP:
            return claim.object_name in observed.groups


def refuse_adoption(candidate: Candidate) -> Refusal | None:
    """Return why a claim may not take over an object that was there before."""
    why = _why_not(candidate)
    if why is None:
        return None
    claim = candidate.desired.claim
    existing = (
        f"The {claim.ref.kind.noun} {claim.object_name} exists in Milvus and was not made by this resource"
    )
    return Refusal(Reason.CONFLICT, f"{existing}{why}")


def _why_not(candidate: Candidate) -> str | None:
    claim = candidate.desired.claim
    if not candidate.authorization:
        return "; with authorization off nothing can be taken over: turn common.security.authorizationEnabled on."
    if candidate.holds_more:
        return (
            "; it has what is not delegated to this namespace, so it is not taken over: choose another name, or ask the owner "
            "of the MilvusConnection."
        )
    if claim.adoption is Adoption.NEVER:
        return " (adoption: Never): choose another name, or drop it by hand."
    if candidate.loses_nothing or (claim.may_adopt and claim.adoption is Adoption.ALWAYS):
        return None
    if not claim.may_adopt:
        return (
            "; the delegation lets this namespace take over only what is exactly as its resource asks (mayAdopt): choose another "
            "name, or ask the owner of the MilvusConnection."
        )
    return f"; taking it over would {_describe_losses(candidate)}: set spec.adoption to Always to do that."


def _describe_losses(candidate: Candidate) -> str:
    changes = (one for one in candidate.losses if not isinstance(one, UpdatePassword | RecreateUser))
    lines = [describe(one) for one in changes]
    if not candidate.keeps_password:
        lines = ["set its password to the Secret's", *lines]
    more = [f"make {len(lines) - MOST_NAMED} more changes"] if len(lines) > MOST_NAMED else []
    *first, last = [*lines[:MOST_NAMED], *more]
    return f"{', '.join(first)} and {last}" if first else last


def origin_after(claim: Claim, changes: Iterable[Change], observed: State) -> Origin | None:
    """Return how the object is ours once the changes are made; None if it is not.

    Args:
        claim: the claim on the object, which it owns or may adopt.
        changes: what will be done.
        observed: what the server holds.
    """
    is_there = exists(claim, observed)
    creates = any(isinstance(change, CREATES) for change in changes)
    if creates or (is_there and claim.intended and claim.origin is None):
        return Origin.CREATED
    if is_there and claim.origin is None:
        return Origin.CREATED if _is_made_by_us(claim, observed) else Origin.ADOPTED
    return claim.origin


def _is_made_by_us(claim: Claim, observed: State) -> bool:
    """Return whether a user has a password that the operator generated, and so was made with it."""
    wanted = claim.wanted
    is_generated = isinstance(wanted, WantedUser) and wanted.is_generated
    return is_generated and is_proven(observed, claim.object_name)


def is_proven(observed: State, name: str) -> bool:
    """Return whether a user exists and accepts the password of the Secret."""
    user = observed.users.get(name)
    return user is not None and user.password is PasswordVerdict.IN_FORCE
