"""What the outcome of a turn says about a claim beyond its status: which password is in force, and what can't be taken."""

from collections.abc import Mapping

from milvus_rbac.controller.memory import ClaimMemory
from milvus_rbac.controller.reconcile import Result
from milvus_rbac.domain.changes import CreateUser, PasswordMeans, RecreateUser, UpdatePassword, describe
from milvus_rbac.domain.mistakes import TAKES
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.state import PasswordVerdict
from milvus_rbac.milvus.errors import OldPasswordRefused
from milvus_rbac.milvus.port import Password


def learn_password(
    plan: ClaimPlan,
    result: Result,
    record: ClaimMemory,
    text: Password | None,
    old: Mapping[str, Password],
) -> bool | None:
    """Note which password of a user is in force, and which is not.

    Args:
        plan: of the user.
        result: of the turn.
        record: what is remembered about the user.
        text: the password of its Secret.
        old: by user name, the passwords that were believed to be in force.

    Returns:
        Whether the operator's account changes passwords without the old one; None if that was not found out.
    """
    uid, name, superuser = plan.claim.ref.uid, plan.claim.object_name, None
    for change in result.outcome.done[uid]:
        if isinstance(change, UpdatePassword) and change.means is PasswordMeans.SUPERUSER:
            superuser = True
        if text is not None and isinstance(change, CreateUser | UpdatePassword | RecreateUser):
            record.remember(text)
    for change, error in result.outcome.failed[uid]:
        if not isinstance(change, UpdatePassword) or not isinstance(error, OldPasswordRefused):
            continue
        if change.means is PasswordMeans.SUPERUSER:
            superuser = False
        elif name in old:
            record.not_in_force.add(old[name])
    user = result.observed.users.get(name)
    if text is not None and user is not None and user.password is PasswordVerdict.IN_FORCE:
        record.remember(text)
    return superuser


def note_stuck(plan: ClaimPlan, result: Result, record: ClaimMemory) -> bool:
    """Note what a namespace may not have any more and Milvus refuses to take; return whether that is new."""
    claim = plan.claim
    refused = [
        (change, error)
        for change, error in result.outcome.failed[claim.ref.uid]
        if claim.permit is not None and isinstance(change, TAKES) and change in plan.firm
    ]
    before, record.stuck = record.stuck, ""
    if refused:
        change, error = refused[0]
        record.stuck = (
            f"{claim.ref.kind} {claim.ref.namespace}/{claim.ref.name} keeps what is not delegated to its namespace, because Milvus "
            f"refuses to {describe(change)}: {error.refusal.message} Take it by hand."
        )
    return bool(refused) and record.stuck != before
