"""Carry out a plan: all gives before all takes, in the order of the phases; a failure stops only what depends on it.

It knows neither Kubernetes nor why a change is made.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from milvus_rbac.controller.together import together
from milvus_rbac.domain.changes import (
    AddPrivileges,
    BindRole,
    Change,
    ClearProxies,
    CreateGroup,
    CreateRole,
    CreateUser,
    DescribeRole,
    DescribeUser,
    GrantPrivilege,
    Phase,
    RemovePrivileges,
    ReplacePrivileges,
    phase,
    takes,
)
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.milvus.errors import DatabaseMissing, InternalError, MilvusRbacError, Unreachable
from milvus_rbac.milvus.port import Milvus, PasswordTexts

HASHING_WIDTH = 4
"""Passwords are hashed in parallel on the server (50 ms each on 3.0); all other writes go one by one there."""
_HASHING = {Phase.USERS, Phase.PASSWORDS}

Step = tuple[str, Change]
"""A claim's uid and one of its changes."""


@dataclass(slots=True)
class Outcome:
    """What became of a plan."""

    done: defaultdict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))
    failed: defaultdict[str, list[tuple[Change, MilvusRbacError]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    waiting: defaultdict[str, list[Refusal]] = field(default_factory=lambda: defaultdict(list))
    """What was not tried because of a failure of another claim."""
    trouble: Unreachable | None = None
    """Why the rest was not tried; what the last change did is not known."""
    note: Callable[[str, Change, BaseException | None], None] = lambda *_: None
    """Told of each change as soon as it is over: whose, which, and why not."""

    def is_complete(self, plan: ClaimPlan) -> bool:
        """Tell whether everything planned for a claim is done."""
        return len(self.done[plan.claim.ref.uid]) == len(plan.changes)


async def apply_plans(
    plans: Sequence[ClaimPlan],
    milvus: Milvus,
    password_texts: PasswordTexts,
    may_write: Callable[[], None],
    outcome: Outcome,
) -> None:
    """Make every change of the plans once. Errors of Milvus end in the outcome; `may_write` may raise through."""
    steps = sorted(
        ((plan.claim.ref.uid, change) for plan in plans for change in plan.changes),
        key=lambda step: phase(step[1]),
    )

    async def perform(step: Step) -> None:
        uid, change = step
        if outcome.trouble is not None or _is_pointless(step, outcome):
            return
        error: MilvusRbacError | None = None
        try:
            await milvus.apply(change, password_texts, may_write)
        except MilvusRbacError as raised:
            error = raised
        except BaseException as broken_off:
            # A change may be several writes: nobody knows how far it got.
            outcome.note(uid, change, broken_off)
            raise
        if isinstance(error, DatabaseMissing) and isinstance(change, ClearProxies):
            # It stays written down, for a database of that name may come again, and is no fault of what the group asks for.
            return
        outcome.note(uid, change, error)
        if error is None:
            outcome.done[uid].append(change)
        elif isinstance(error, Unreachable):
            outcome.trouble = error
        else:
            outcome.failed[uid].append((change, error))

    for turn, group in groupby(steps, key=lambda step: phase(step[1])):
        width = HASHING_WIDTH if turn in _HASHING else 1
        await _in_order(perform, group, width)


async def _in_order(perform: Callable[[Step], Awaitable[None]], steps: Iterable[Step], width: int) -> None:
    if width == 1:
        for step in steps:
            await perform(step)
        return
    slots = asyncio.Semaphore(width)

    async def one(step: Step) -> None:
        async with slots:
            await perform(step)

    await together(one(step) for step in steps)


def _is_pointless(step: Step, outcome: Outcome) -> bool:
    """Tell whether something failed in this round without which the change makes no sense or is not safe."""
    uid, change = step
    own = [failed for failed, _ in outcome.failed[uid]]
    if (waits := _waits_for_another(change, outcome)) is not None:
        outcome.waiting[uid].append(waits)
        return True
    if isinstance(change, BindRole | GrantPrivilege | AddPrivileges | DescribeUser | DescribeRole) and any(
        isinstance(one, CreateUser | CreateRole | CreateGroup) for one in own
    ):
        return True
    # The proxies are told to forget only what the group does not give any more.
    if isinstance(change, ClearProxies) and any(isinstance(one, RemovePrivileges) for one in own):
        return True
    # A give that a bug or an unknown answer stopped may still succeed: do not take before. A refused one will not.
    unsure = any(
        isinstance(error, InternalError) and not takes(failed) for failed, error in outcome.failed[uid]
    )
    return unsure and takes(change)


def _waits_for_another(change: Change, outcome: Outcome) -> Refusal | None:
    """Say what another claim could not create and this change needs."""
    if isinstance(change, BindRole) and CreateRole(change.role) in _all_failed(outcome):
        message = (
            f"spec.roles: the role {change.role} could not be created; it is bound as soon as there is one."
        )
        return Refusal(Reason.WAITING_FOR_ROLE, message)
    if isinstance(change, GrantPrivilege) and any(
        isinstance(one, CreateGroup | AddPrivileges | ReplacePrivileges)
        and one.group == change.grant.privilege
        for one in _all_failed(outcome)
    ):
        message = f"spec.grants: the privilege group {change.grant.privilege} could not be filled; it is granted as soon as it is."
        return Refusal(Reason.WAITING_FOR_PRIVILEGE_GROUP, message)
    return None


def _all_failed(outcome: Outcome) -> Iterable[Change]:
    return (change for failures in outcome.failed.values() for change, _ in failures)
