"""Run one turn for some of the resources of a connection, and draw the conclusions: what is remembered, written and requeued.

What a turn does to Milvus is reconcile.py's; when there is one, and for whom, the reconciler's.
"""

import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from milvus_rbac.api.v1alpha1.milvusconnection import MilvusConnectionSpec
from milvus_rbac.controller.apply import Budget, Outcome
from milvus_rbac.controller.background import Background
from milvus_rbac.controller.batch import Batch, Collector, item_of, server_facts
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.claims import Site, site_of
from milvus_rbac.controller.connection import Link
from milvus_rbac.controller.connection_status import Crowd
from milvus_rbac.controller.entry import Entry, Intents, intents_of
from milvus_rbac.controller.events import Event
from milvus_rbac.controller.finalizers import Finalizers, not_let_go
from milvus_rbac.controller.learn import learn_password, note_stuck
from milvus_rbac.controller.made_secrets import MadeSecrets
from milvus_rbac.controller.memory import ClaimMemory, Memory
from milvus_rbac.controller.metrics import Audit, ConnectionMetrics
from milvus_rbac.controller.ownership import OwnershipRecord, lost_claims, refused_creates
from milvus_rbac.controller.reconcile import Result, Turn, reconcile_once
from milvus_rbac.controller.requeue import wake_and_wait
from milvus_rbac.controller.status import (
    UNVERIFIED,
    Report,
    as_pending,
    held_now,
    pending_report,
    report,
    should_decide_again,
)
from milvus_rbac.controller.status_writer import StatusWriter, log_failure
from milvus_rbac.controller.workqueue import MOST_CLAIMS, Item, Workqueue
from milvus_rbac.domain.changes import (
    CreateRole,
    RecreateUser,
)
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import ServerFacts
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.state import PasswordVerdict, User
from milvus_rbac.kube.client import ClusterError, ClusterRefused, ClusterUnavailable, LeaseLost, Outdated
from milvus_rbac.milvus.errors import (
    InternalError,
)

logger = logging.getLogger(__name__)

RETRY: Final = 30.0
"""Seconds until a claim is reconciled again whose password Milvus gave no verdict on, or whose rotation was put off."""
SECRET_RETRY: Final = 60.0
"""Seconds after which a Secret that could not be read or written is tried again at the latest: a quota may have been raised."""
LONGEST_TIMER: Final = timedelta(days=2)
"""Further away, an expiry is found by one of the looks in between: an interval is a day at most."""
MOST_DECISIONS: Final = 3
"""How often running a claim is decided anew at once because the world was not as observed."""
PROGRESS: Final = 10.0
"""Seconds between two statuses that say how many changes of a claim are left."""
TURN_SECONDS: Final = 4.0
"""How long the claims of a turn should take to be applied: less than it may take where nobody waits."""
FEW_CLAIMS: Final = 20
"""So many are taken at least."""
SAME_SNAPSHOT: Final = 10.0
"""Seconds for which a snapshot of the server serves the turns of one interval."""


@dataclass(frozen=True, slots=True)
class Played:
    """A turn that is over, with all that it knew."""

    result: Result
    batch: Batch
    server: ServerFacts
    site: Site


@dataclass(slots=True)
class TurnRunner:
    """The turns of one connection."""

    connection_uid: str
    cache: Cache
    queue: Workqueue
    memory: Memory
    background: Background
    collector: Collector
    secrets: MadeSecrets
    finalizers: Finalizers
    writer: StatusWriter
    metrics: ConnectionMetrics
    may_write: Callable[[], None]
    superuser: bool | None = None
    """Whether the operator's account changes passwords without the old one; None: not tried yet."""
    ownership: OwnershipRecord | None = None
    """What the last turn wrote down before it touched Milvus."""
    crowd: Crowd | None = None
    """How many users and roles the last turn saw."""
    reading: float = 0.0
    """Seconds that reading Milvus took, when the last turn read it."""
    most: int = MOST_CLAIMS
    """How many claims the next turn should take, so that it ends before its time is over: each turn that is cut reads anew."""

    async def run(
        self,
        spec: MilvusConnectionSpec,
        link: Link,
        chosen: Sequence[Entry],
        by_interval: frozenset[str],
    ) -> None:
        """Reconcile these resources.

        Args:
            spec: of the connection.
            link: its server.
            chosen: resources that the connection serves.
            by_interval: those of them (uids) that are looked at because the interval is over.

        Raises:
            Unreachable: the server does not answer; what was not done is queued again.
            LeaseLost: another operator may be at work.
            ClusterError: what has to be written before could not be; Milvus was not touched.
        """
        site = site_of(self.cache.entries[self.connection_uid], spec, link, self.memory.withdrawn())
        ownership = self.ownership = OwnershipRecord(
            self.cache, site, self._hold, self._note_stale, lambda intents: self._write_intents(link, intents)
        )
        await self._withdraw(link, ownership)
        batch = await self.collector.collect(chosen, site, spec.mode)
        interval = spec.interval_length.total_seconds()
        turn = Turn(
            batch,
            server_facts(spec, link, batch, superuser=self.superuser),
            self._oldest_snapshot(batch, by_interval),
            lambda proposals: self.memory.contested(proposals, by_interval, interval),
            Outcome(note=Audit(batch.entries, self.metrics).note),
            Budget(others_wait=lambda: self.queue.is_pressing),
        )
        try:
            result = await reconcile_once(turn, link.milvus, ownership, self.may_write)
            played = Played(result, batch, turn.server, site)
            self.memory.withdraw(lost_claims(result, turn.server, site.intents))
            await self._withdraw(link, ownership)
            await self._settle(played)
        finally:
            self.memory.withdraw(refused_creates(turn.outcome, site.intents))
            self.memory.note_made(turn.outcome.done)
        await self._withdraw(link, ownership)
        if turn.outcome.trouble is not None:
            raise turn.outcome.trouble

    def _oldest_snapshot(self, batch: Batch, by_interval: frozenset[str]) -> float:
        """Return how many seconds old the snapshot of a turn may be, as long as nothing was changed since.

        One serves all turns of an interval. Where reading takes long it also serves what was queued before it was taken:
        what is asked for now is always decided from what is there now.
        """
        if batch.entries.keys() <= by_interval:
            return SAME_SNAPSHOT
        waited = time.monotonic() - self.queue.newest_taken
        return min(SAME_SNAPSHOT, 2 * self.reading, waited)

    # --- what is written before Milvus is touched

    async def _hold(self, uids: Sequence[str]) -> frozenset[str]:
        """Put finalizers on resources; return those that have it. Where that fails the others go on without it."""
        entries = self.cache.known(uids)
        results = await self.background.gather(
            {entry.uid: (item_of(entry), self.finalizers.add(entry)) for entry in entries}
        )
        failed: dict[str, ClusterError] = {}
        for uid, result in results.items():
            if isinstance(result, ClusterError):
                failed[uid] = result
            elif isinstance(result, Exception):
                raise result
        await self._report_unheld(failed)
        return frozenset(uid for uid, result in results.items() if result is True)

    async def _report_unheld(self, failed: Mapping[str, ClusterError]) -> None:
        work = {}
        for entry in self.cache.known(failed):
            self._fail(entry, "given its finalizer", failed[entry.uid])
            message = f"Kubernetes does not take the operator's finalizer: {failed[entry.uid].message}"
            told = pending_report(entry, Refusal(Reason.INTERNAL_ERROR, message))
            work[entry.uid] = item_of(entry), self._write(entry, told, self.memory.of(entry.uid))
        await self.background.gather(work, requeue=False)

    async def _note_stale(self, plans: Sequence[ClaimPlan]) -> frozenset[str]:
        """Write what groups are about to lose where roles hold them; return the claims for which that failed."""
        failed = set()
        for plan in plans:
            entry = self.cache.entries.get(plan.claim.ref.uid)
            if entry is None:
                continue
            status = {**entry.status, "pendingRevokes": as_pending(plan.stale)}
            try:
                await self.writer.write(entry, status, entry.own_conditions)
            except ClusterError as error:
                self._fail(entry, "written", error)
                failed.add(entry.uid)
        return frozenset(failed)

    async def _write_intents(self, link: Link, intents: Intents) -> None:
        """Write intents; where that fails what they are for is not created, and the others go on."""
        connection = self.cache.entries[self.connection_uid]
        try:
            await self.writer.report_connection(connection, link, intents, self.crowd)
        except ClusterError as error:
            log_failure(connection, "written", error)

    async def _withdraw(self, link: Link, ownership: OwnershipRecord) -> None:
        """Take out the intents of what was refused: what has the name now is another client's."""
        if withdrawn := self.memory.withdrawn():
            await self._write_intents(link, ownership.outstanding(without=withdrawn))
            connection = self.cache.entries.get(self.connection_uid)
            left = intents_of(connection.status).keys() if connection else set[str]()
            self.memory.withdrawal_is_written(withdrawn - left)

    # --- what follows

    async def _settle(self, played: Played) -> None:
        result, batch = played.result, played.batch
        self.metrics.saw(result.observed, result.reading)
        # A turn that used the snapshot before took no time.
        self.reading = max(result.reading, 0.9 * self.reading)
        self.most = _most_claims(result)
        for plan in result.plans:
            record, reading = self.memory.of(plan.claim.ref.uid), batch.readings.get(plan.claim.ref.uid)
            if reading is not None:
                learned = learn_password(plan, result, record, reading.password, batch.texts.old)
                self.superuser = self.superuser if learned is None else learned
            if plan.claim.ref.uid in result.missing:
                record.looked_up = batch.entries[plan.claim.ref.uid].generation
            if note_stuck(plan, result, record):
                event = Event("Warning", Reason.NOT_PERMITTED, record.stuck)
                self.secrets.recorder.record(self.cache.entries[self.connection_uid], [event])
        self.crowd = Crowd(len(result.observed.users), len(result.observed.roles), self.memory.stuck())
        await self._report_troubled(result)
        for entry in self.cache.known(batch.entries.keys() - {plan.claim.ref.uid for plan in result.plans}):
            # It has no finalizer yet, or its intent could not be written.
            if not self.queue.is_scheduled(entry.uid):
                self.queue.add_after(item_of(entry), self.memory.of(entry.uid).backoff())
        self._requeue(self.cache.known(wake_and_wait(self.memory, self.cache, result, played.site)))
        # What the next turn decides may depend on the statuses of roles and groups, but not on those of users.
        users = [plan for plan in result.plans if plan.claim.ref.kind is Kind.USER]
        others = [plan for plan in result.plans if plan.claim.ref.kind is not Kind.USER]
        await self.background.gather(self._conclusions(others, played), requeue=False)
        await self.background.settled()
        self.background.start(self._conclusions(users, played))

    def _conclusions(
        self, plans: Iterable[ClaimPlan], played: Played
    ) -> dict[str, tuple[Item, Coroutine[Any, Any, None]]]:
        by_uid = {plan.claim.ref.uid: plan for plan in plans}
        entries = played.batch.entries
        return {uid: (item_of(entries[uid]), self._conclude(plan, played)) for uid, plan in by_uid.items()}

    async def _report_troubled(self, result: Result) -> None:
        """Report the claims of which something could not be read in Milvus, and read it again later."""
        work = {}
        for entry in self.cache.known(result.troubled):
            record = self.memory.of(entry.uid)
            self.queue.add_after(item_of(entry), record.backoff())
            told = pending_report(entry, result.troubled[entry.uid])
            work[entry.uid] = item_of(entry), self._write(entry, told, record)
        await self.background.gather(work, requeue=False)

    async def _conclude(self, plan: ClaimPlan, played: Played) -> None:
        """Report one claim, or let it go. What fails concerns it alone, and is tried again."""
        entry = self.cache.entries.get(plan.claim.ref.uid)
        if entry is None:
            return
        before = played.batch.entries[entry.uid]
        if (entry.trigger, entry.status.get("claim")) != (before.trigger, before.status.get("claim")):
            # It was changed while the turn ran: the next one reports. What was created is in the intents.
            self._requeue([entry])
            return
        try:
            if await self._report(entry, plan, played):
                self.memory.of(entry.uid).failures = 0
        except Outdated as error:
            # Another operator has claimed it, or let it go: decide again from what is there.
            self.cache.put(error.current)
            self._requeue([entry])
        except LeaseLost:
            self._requeue([entry])
        except Exception as error:  # noqa: BLE001 - of whatever kind it is
            self._fail(entry, "concluded", error)

    async def _report(self, entry: Entry, plan: ClaimPlan, played: Played) -> bool:
        """Report one claim; return whether nothing about it failed."""
        uid, outcome, record = entry.uid, played.result.outcome, self.memory.of(entry.uid)
        if (unanswered := outcome.unanswered.get(uid)) is not None:
            return await self._report_unanswered(entry, record, unanswered.refusal)
        if outcome.trouble is not None and not outcome.is_complete(plan):
            self._requeue([entry])
            return False
        if should_decide_again(outcome, uid) and record.decided_again < MOST_DECISIONS:
            record.decided_again += 1
            self._requeue([entry])
            return False
        if (left := outcome.left(plan)) > 0:
            await self._report_progress(entry, left)
            return True
        if plan.claim.deleting:
            return await self._conclude_deletion(entry, plan, played)
        record.decided_again, record.is_suspect = 0, False
        self._wake_at_expiry(entry, plan)
        refusal = await self._hand_out(entry, plan, played)
        told = report(entry, plan, played.result, played.server, played.site.endpoint, refusal)
        self.metrics.repaired(told.repairs)
        await self._write(entry, told, record)
        if UNVERIFIED in told.refusals or record.is_rotation_put_off:
            self.queue.add_after(item_of(entry), RETRY)
        if (former := self.cache.entries.get(plan.claim.former)) is not None:
            self._requeue([former])
        return self._look_again_if_unsure(entry, plan, played, refusal)

    async def _write(self, entry: Entry, told: Report, record: ClaimMemory) -> None:
        left = await self.writer.report(entry, told, record, self.metrics)
        if left is not None:
            self.queue.add_after(item_of(entry), left)

    def _look_again_if_unsure(
        self, entry: Entry, plan: ClaimPlan, played: Played, refusal: Refusal | None
    ) -> bool:
        """Requeue a claim of which it is not known what became of it, or what was there before; return whether it is known."""
        uid, record = entry.uid, self.memory.of(entry.uid)
        failed = played.result.outcome.failed[uid]
        if plan.claim.permit is not None and any(
            isinstance(change, CreateRole) for change in played.result.outcome.done[uid]
        ):
            # Grants can be there before their role: of one that was dropped by hand (2.3), or by RestoreRBAC.
            self._requeue([entry])
        reading = played.batch.readings.get(uid)
        secret_failed = reading is not None and reading.refusal is not None and reading.version is None
        unsure = any(isinstance(error, InternalError) for _, error in failed) or any(
            isinstance(change, RecreateUser) for change, _ in failed
        )
        waits = refusal is not None and refusal.reason is Reason.WAITING_FOR_SECRET
        is_missing = secret_failed and self._is_absent(entry)
        if unsure or waits or (secret_failed and not is_missing):
            pause = record.backoff()
            self.queue.add_after(
                self._item(entry), min(pause, SECRET_RETRY) if secret_failed or waits else pause
            )
            return False
        return True

    def _is_absent(self, entry: Entry) -> bool:
        """Return whether a user's Secret is not there, and others are to create it: that wakes the claim."""
        spec = entry.user
        if spec is None or spec.generate_password is not None:
            return spec is None
        return self.cache.secret((entry.name[0], spec.password_source.name)) is None

    async def _report_unanswered(self, entry: Entry, record: ClaimMemory, refusal: Refusal) -> bool:
        """Report that Milvus did not answer one change, and try it again behind the others, alone."""
        record.is_suspect = True
        message = f"Milvus gave no answer to a change that this resource asks for: {refusal.message}"
        await self._write(entry, pending_report(entry, Refusal(Reason.UNREACHABLE, message)), record)
        self.queue.add_after(self._item(entry), record.backoff())
        return False

    async def _report_progress(self, entry: Entry, left: int) -> None:
        """Requeue a claim for whose changes the turn was too short, and say from time to time how many are left."""
        record, now = self.memory.of(entry.uid), time.monotonic()
        if entry.is_heavy and now - record.progress_told_at > PROGRESS:
            record.progress_told_at = now
            message = f"Milvus is being changed: {left} changes are left."
            await self._write(entry, pending_report(entry, Refusal(Reason.PENDING, message)), record)
        self._requeue([entry])

    async def _conclude_deletion(self, entry: Entry, plan: ClaimPlan, played: Played) -> bool:
        result, record = played.result, self.memory.of(entry.uid)
        if plan.withheld:
            await self._write(entry, pending_report(entry, plan.refusals[0]), record)
            return True
        is_there = held_now(plan, result, played.server) is not None
        heir = self.cache.entries.get(plan.claim.heir) if plan.claim.heir else None
        if heir is not None and is_there and not heir.has_claim:
            return True  # it wakes this one as soon as it is written down that the object is its own
        if result.outcome.is_complete(plan):
            try:
                await self.finalizers.remove(entry, stays=bool(plan.claim.heir), left_behind=plan.left_behind)
            except ClusterRefused as refused:
                await self._write(entry, pending_report(entry, not_let_go(refused)), record)
                raise
            return True
        _, error = result.outcome.failed[entry.uid][0]
        message = f"Milvus refused to drop it: {error.refusal.message}"
        await self._write(entry, pending_report(entry, Refusal(Reason.DELETION_BLOCKED, message)), record)
        self.queue.add_after(item_of(entry), record.backoff())
        return False

    async def _hand_out(self, entry: Entry, plan: ClaimPlan, played: Played) -> Refusal | None:
        """Write the application's Secret with what is in force, and delete what is not named any more; return why that was not possible."""
        if entry.user is None or played.server.observe_only:
            return None
        held = held_now(plan, played.result, played.server)
        reading = played.batch.readings.get(entry.uid)
        is_in_force = isinstance(held, User) and held.password is PasswordVerdict.IN_FORCE
        if reading is None or reading.password is None or not is_in_force:
            return None
        if plan.origin is None or plan.claim.suspended:
            return None
        record = self.memory.of(entry.uid)
        refusal = await self.secrets.hand_out(entry, record, played.site.address, reading.password)
        return refusal or await self.secrets.delete_unnamed(entry)

    def _wake_at_expiry(self, entry: Entry, plan: ClaimPlan) -> None:
        """Have a user looked at when it expires, at once if that was while the turn ran."""
        if entry.expires_at is None or plan.claim.expired:
            return
        left = entry.expires_at - datetime.now(UTC)
        if left < LONGEST_TIMER:
            self.queue.add_after(item_of(entry), max(0.0, left.total_seconds()))

    def _fail(self, entry: Entry, what: str, error: Exception) -> None:
        """Note that something about one resource could not be done in Kubernetes: it comes again, the others go on."""
        record = self.memory.of(entry.uid)
        asked = error.retry_after if isinstance(error, ClusterUnavailable) else None
        if isinstance(error, ClusterError):
            log_failure(entry, what, error)
        else:
            logger.error("%s could not be %s; it is tried again.", entry, what, exc_info=error)
        self.queue.add_after(item_of(entry), record.backoff(asked))

    def _requeue(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.queue.add(self._item(entry))

    def _item(self, entry: Entry) -> Item:
        return item_of(entry, is_suspect=self.memory.of(entry.uid).is_suspect)


def _most_claims(result: Result) -> int:
    """Return how many claims like those of a turn can be applied while a turn lasts."""
    made = sum(map(len, result.outcome.done.values()))
    planned = sum(len(plan.changes) for plan in result.plans)
    if not made or len(result.plans) < FEW_CLAIMS:
        return MOST_CLAIMS
    seconds_each = result.applying / made * planned / len(result.plans)
    return min(MOST_CLAIMS, max(FEW_CLAIMS, int(TURN_SECONDS / seconds_each)))
