"""Apply a plan to Milvus: all gives before all takes, in the order of the phases, as far as the budget of the turn goes.

A failure stops only what depends on it. Knows neither Kubernetes nor why a change is made.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

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
from milvus_rbac.domain.mistakes import TAKES, find_mistake
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.milvus.errors import DatabaseMissing, MilvusRbacError, Unreachable
from milvus_rbac.milvus.port import Milvus, PasswordTexts

HASHING_WIDTH = 4
"""Passwords are hashed in parallel on the server (50 ms each on 3.0); all other writes go one by one there.

Binding roles meanwhile makes a thousand users take half as long again (measured on 2.3.5).
"""
_HASHING = {Phase.USERS, Phase.PASSWORDS, Phase.RECREATE}

Step = tuple[str, Change]
"""A claim's uid and one of its changes."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a turn may apply changes. It ends between two changes: what has to be adjacent is one change."""

    others_wait: Callable[[], bool] = lambda: False
    """Whether claims are due that should not wait for this turn."""
    shared: float = 0.5
    """Seconds where such claims are due."""
    alone: float = 5.0
    """Seconds where none is."""

    def is_over(self, started: float) -> bool:
        """Return whether a turn that began to apply at this time, on the monotonic clock, stops here."""
        spent = time.monotonic() - started
        return spent >= self.alone or (spent >= self.shared and self.others_wait())


@dataclass(slots=True)
class Outcome:
    """What became of a plan."""

    done: defaultdict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))
    failed: defaultdict[str, list[tuple[Change, MilvusRbacError]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    missing_roles: set[str] = field(default_factory=set)
    """Roles that could not be created."""
    unfilled_groups: set[str] = field(default_factory=set)
    """Privilege groups that could not be created, or not be given what they should hold."""
    waiting: defaultdict[str, list[Refusal]] = field(default_factory=lambda: defaultdict(list))
    """What was not tried because of a failure of another claim."""
    held_back: defaultdict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))
    """What a claim keeps because something that it asks for could not be given."""
    skipped: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How many changes of a claim made no sense any more after a failure."""
    unanswered: dict[str, Unreachable] = field(default_factory=dict)
    """Claims (uids) with a change that was not answered although the server answers others: what it did is not known."""
    trouble: Unreachable | None = None
    """Why the rest was not tried: the server does not answer any more; what the last change did is not known."""
    note: Callable[[str, Change, BaseException | None], None] = lambda *_: None
    """Called with each change as soon as it is over: whose, which, and why it failed."""

    def is_complete(self, plan: ClaimPlan) -> bool:
        """Return whether everything planned for a claim is done."""
        return len(self.done[plan.claim.ref.uid]) == len(plan.changes)

    def fail(self, uid: str, change: Change, error: MilvusRbacError) -> None:
        """Note that Milvus refused a change of a claim."""
        self.failed[uid].append((change, error))
        if isinstance(change, CreateRole):
            self.missing_roles.add(change.role)
        elif isinstance(change, CreateGroup | AddPrivileges | ReplacePrivileges):
            self.unfilled_groups.add(change.group)

    def left(self, plan: ClaimPlan) -> int:
        """Return how many changes of a claim were not tried."""
        uid = plan.claim.ref.uid
        tried = len(self.done[uid]) + len(self.failed[uid]) + self.skipped[uid]
        return len(plan.changes) - tried


async def apply_plans(
    plans: Sequence[ClaimPlan],
    milvus: Milvus,
    texts: PasswordTexts,
    may_write: Callable[[], None],
    outcome: Outcome,
    budget: Budget | None = None,
) -> None:
    """Make every change of the plans once, as far as the budget goes. Errors of Milvus end in the outcome.

    Raises:
        LeaseLost: `may_write` forbids the next write.
    """
    firm = {plan.claim.ref.uid: plan.firm for plan in plans if plan.firm}
    applying = _Applying(milvus, texts, may_write, outcome, budget or Budget(), time.monotonic(), firm)
    steps = sorted(
        ((plan.claim.ref.uid, change) for plan in plans for change in plan.changes),
        key=lambda step: phase(step[1]),
    )
    for turn, group in groupby(steps, key=lambda step: phase(step[1])):
        await _in_order(applying.step, group, HASHING_WIDTH if turn in _HASHING else 1)


@dataclass(slots=True)
class _Applying:
    """One run of `apply_plans`."""

    milvus: Milvus
    texts: PasswordTexts
    may_write: Callable[[], None]
    outcome: Outcome
    budget: Budget
    started: float
    firm: Mapping[str, frozenset[Change]]
    """By claim (uid): what is taken whatever could not be given."""

    async def step(self, step: Step) -> None:
        uid, change = step
        outcome = self.outcome
        if outcome.trouble is not None or uid in outcome.unanswered or self.budget.is_over(self.started):
            return
        if _is_pointless(step, outcome):
            outcome.skipped[uid] += 1
            return
        if isinstance(change, TAKES) and change not in self.firm.get(uid, ()) and _has_mistake(uid, outcome):
            outcome.skipped[uid] += 1
            outcome.held_back[uid].append(change)
            return
        error = await self._apply(step)
        if isinstance(error, DatabaseMissing) and isinstance(change, ClearProxies):
            # It stays written down, for a database of that name may come again, and is no fault of what the group asks for.
            outcome.skipped[uid] += 1
            return
        outcome.note(uid, change, error)
        if error is None:
            outcome.done[uid].append(change)
        elif isinstance(error, Unreachable):
            await self._judge(uid, error)
        else:
            outcome.fail(uid, change, error)

    async def _apply(self, step: Step) -> MilvusRbacError | None:
        uid, change = step
        try:
            await self.milvus.apply(change, self.texts, self.may_write)
        except MilvusRbacError as error:
            return error
        except BaseException as broken_off:
            # A change may be several writes: how far it got is not known.
            self.outcome.note(uid, change, broken_off)
            raise
        return None

    async def _judge(self, uid: str, error: Unreachable) -> None:
        """Decide whether a change that was not answered is that claim's trouble alone: the server answers a probe.

        A second one in the same turn ends the turn: each may have taken as long as a write may.
        """
        if self.outcome.unanswered or error.refusal.reason is not Reason.UNREACHABLE:
            self.outcome.trouble = error
            return
        try:
            await self.milvus.probe()
        except MilvusRbacError:
            self.outcome.trouble = error
        else:
            self.outcome.unanswered[uid] = error


async def _in_order(perform: Callable[[Step], Awaitable[None]], steps: Iterable[Step], width: int) -> None:
    if width == 1:
        for step in steps:
            await perform(step)
        return
    slots = asyncio.Semaphore(width)

    async def one(step: Step) -> None:
        async with slots:
            await perform(step)

    results = await asyncio.gather(*(one(step) for step in steps), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _is_pointless(step: Step, outcome: Outcome) -> bool:
    """Return whether something failed in this turn without which the change makes no sense or is not safe."""
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
    kept = (*own, *outcome.held_back[uid])
    return isinstance(change, ClearProxies) and any(isinstance(one, RemovePrivileges) for one in kept)


def _has_mistake(uid: str, outcome: Outcome) -> bool:
    """Return whether something that the claim asks for could not be given in this turn, and might be in another one."""
    refused = (error.refusal for failed, error in outcome.failed[uid] if not takes(failed))
    return find_mistake((*refused, *outcome.waiting[uid])) is not None


def _waits_for_another(change: Change, outcome: Outcome) -> Refusal | None:
    """Return why a change has to wait for what another claim could not create."""
    if isinstance(change, BindRole) and change.role in outcome.missing_roles:
        after = " could not be created; it is bound as soon as there is one."
        return Refusal.naming(Reason.WAITING_FOR_ROLE, "spec.roles: the role ", change.role, after)
    if isinstance(change, GrantPrivilege) and change.grant.privilege in outcome.unfilled_groups:
        message = f"spec.grants: the privilege group {change.grant.privilege} could not be filled; it is granted as soon as it is."
        return Refusal(Reason.WAITING_FOR_PRIVILEGE_GROUP, message)
    return None
