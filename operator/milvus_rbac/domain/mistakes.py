"""A mistake takes nothing away: while something that a claim asks for can't be given, what it had stays.

Taken all the same is what its namespace may not have, and what others gave a role or a user by hand since the last status.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from milvus_rbac.domain.changes import Change, RemovePrivileges, RevokePrivilege, UnbindRole
from milvus_rbac.domain.claims import Claim
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.record import grant_item
from milvus_rbac.domain.text import listed

TAKES: Final = (RevokePrivilege, UnbindRole, RemovePrivileges)
"""The changes that a mistake holds back."""
_MISTAKES: Final = frozenset(
    {
        Reason.CONFLICT,
        Reason.INTERNAL_ERROR,
        Reason.INVALID_NAME,
        Reason.INVALID_SCOPE,
        Reason.LIMIT_REACHED,
        Reason.MISSING_PRIVILEGES,
        Reason.NOT_PERMITTED,
        Reason.RESERVED_NAME,
        Reason.UNKNOWN_PRIVILEGE,
        Reason.WAITING_FOR_PRIVILEGE_GROUP,
        Reason.WAITING_FOR_ROLE,
    }
)


def find_mistake(refusals: Iterable[Refusal]) -> Refusal | None:
    """Return the first refusal of something that could be given if the resource, or another one, were corrected."""
    return next((one for one in refusals if one.reason in _MISTAKES), None)


def firm_changes(
    claim: Claim, changes: Iterable[Change], may_keep: Callable[[Change], bool]
) -> frozenset[Change]:
    """Return the changes that take something and that no mistake holds back.

    Args:
        claim: whose changes they are.
        changes: what will be done for it.
        may_keep: whether the claim's namespace may have what a change takes.
    """
    taking = [change for change in changes if isinstance(change, TAKES)]
    if not taking:
        return frozenset()
    seen = None if claim.record is None else claim.record.hashes
    return frozenset(one for one in taking if not may_keep(one) or (seen is not None and not _had(one, seen)))


def _had(change: Change, seen: frozenset[int]) -> bool:
    """Return whether the claim had what a change takes when its status was written."""
    match change:
        case RevokePrivilege(_, grant):
            return hash(grant_item(grant)) in seen
        case UnbindRole(_, role):
            return hash(role) in seen
        case _:
            return True


def kept_until_mended(claim: Claim, mistake: Refusal, held_back: Sequence[Change]) -> Refusal:
    """Return the sentence that says what a claim keeps because of a mistake."""
    names = [name for change in held_back for name in _taken(change)]
    message = f"Until that is mended, the {claim.ref.kind.noun} keeps what it had beside: {listed(names)}."
    return Refusal(mistake.reason, message)


def _taken(change: Change) -> Iterable[str]:
    if isinstance(change, RevokePrivilege):
        return [str(change.grant)]
    if isinstance(change, UnbindRole):
        return [change.role]
    return sorted(change.privileges) if isinstance(change, RemovePrivileges) else []
