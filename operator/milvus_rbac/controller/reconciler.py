"""The loop of one MilvusConnection: what state it is in, when a turn is due and for whom.

What a turn does is turn.py's, how the server is reached connection.py's, which connection serves a resource the manager's.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from milvus_rbac import logs
from milvus_rbac.api.v1alpha1.milvusconnection import MilvusConnectionSpec
from milvus_rbac.controller.background import Background, Slots
from milvus_rbac.controller.batch import Collector, item_of
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.connection import Connector, Link, look_up
from milvus_rbac.controller.connection_status import lacking_privileges
from milvus_rbac.controller.entry import CLASSES, CONNECTION, Entry
from milvus_rbac.controller.events import EventRecorder
from milvus_rbac.controller.finalizers import Finalizers, Leaving, sort_leaving
from milvus_rbac.controller.memory import ClaimMemory, Memory, jittered
from milvus_rbac.controller.metrics import ConnectionMetrics, Metrics
from milvus_rbac.controller.passwords import Passwords
from milvus_rbac.controller.serving import refuse_connection
from milvus_rbac.controller.status import is_pending, pending_report
from milvus_rbac.controller.status_writer import StatusWriter, log_failure
from milvus_rbac.controller.turn import TurnRunner
from milvus_rbac.controller.workqueue import Item, Urgency, Workqueue
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError, ClusterUnavailable, LeaseLost
from milvus_rbac.kube.leader_election import Lease
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.milvus.errors import MilvusRbacError
from milvus_rbac.milvus.port import WRITE_SECONDS
from milvus_rbac.settings import Settings

REFUSED_INTERVAL: Final = 10.0
"""Seconds between two looks at a connection that must not be served: nothing is asked, only compared."""
FIRST_PROBE: Final = 1.0
LONGEST_PROBE: Final = 60.0
"""Seconds between two probes of a server that does not answer; doubled each time, jittered."""
GATHER: Final = 0.01
"""Seconds after the first event in which what belongs to it comes in, too."""
LONGEST_LEAVING: Final = 120.0
"""Seconds without progress after which a deleted connection stops waiting for its claims."""
LEAVING_INTERVAL: Final = 10.0
"""Seconds after which a deleted connection looks whether its claims are gone."""
KUBERNETES_RETRY: Final = 1.0
"""Seconds until a turn is tried again for which Kubernetes did not do what the connection as a whole needs."""

logger = logging.getLogger(__name__)


class State(StrEnum):
    """What a reconciler does with its connection."""

    PROBING = "Probing"
    """The server is asked what it is, at growing distances while it does not answer."""
    SERVING = "Serving"
    """The server answers; claims are reconciled."""
    REFUSED = "Refused"
    """The connection must not be served, so the server is left alone."""
    LEAVING = "Leaving"
    """The connection is being deleted: it stays until its claims are gone, and begins nothing new."""


@dataclass(frozen=True, slots=True)
class Services:
    """What all reconcilers share."""

    cluster: Cluster
    cache: Cache
    settings: Settings
    lease: Lease
    leading: asyncio.Event
    """Set while this process has the Lease and has read everything since it got it."""
    metrics: Metrics
    recorder: EventRecorder

    def may_write(self) -> None:
        """Raise LeaseLost unless the Lease outlasts a write."""
        self.lease.require(WRITE_SECONDS)


class Reconciler:
    """One task per MilvusConnection."""

    def __init__(self, connection: Entry, services: Services) -> None:
        self.uid = connection.uid
        self.queue = Workqueue()
        self.memory = Memory()
        self._name = connection.name
        self._services = services
        self._cache: Cache = services.cache
        self._metrics = ConnectionMetrics(services.metrics, self.label)
        self._connector = Connector(services.cluster, services.may_write, self._metrics)
        self._background = Background(self.queue)
        self._writer, self._finalizers, self._runner = self._build(services)
        self._schedule = Schedule()
        self._refused: Refusal | None = None
        """Why the connection is not served, whatever its server says."""
        self._trouble: Refusal | None = None
        """Why the server can't be worked with."""
        self._probe = Probe()
        self._anew = True
        """The server is to be asked what it is before the next turn."""
        self._failures = ClaimMemory()
        """How often running a step failed as a whole, for reasons of Kubernetes."""
        self._progress: tuple[int, float] | None = None
        """Of a connection that is being deleted: how many claims were left when their number last fell, and when."""

    def _build(self, services: Services) -> tuple[StatusWriter, Finalizers, TurnRunner]:
        cluster, cache, may_write = services.cluster, services.cache, services.may_write
        slots, passwords = Slots(), Passwords(services.cluster, services.may_write)
        writer = StatusWriter(cluster, cache, slots, may_write, services.recorder)
        finalizers = Finalizers(cluster, cache, slots, may_write, services.recorder, services.metrics)
        runner = TurnRunner(
            connection_uid=self.uid,
            cache=cache,
            queue=self.queue,
            memory=self.memory,
            background=self._background,
            collector=Collector(cache, self.memory, passwords, self._background, slots),
            passwords=passwords,
            finalizers=finalizers,
            writer=writer,
            metrics=self._metrics,
            may_write=may_write,
        )
        return writer, finalizers, runner

    @property
    def label(self) -> str:
        """Namespace and name of the connection, as logs and metrics have it."""
        return "/".join(self._name)

    @property
    def state(self) -> State:
        """What is done with the connection now."""
        entry = self._cache.entries.get(self.uid)
        if entry is not None and entry.deleting:
            return State.LEAVING
        if self._refused is not None:
            return State.REFUSED
        return State.PROBING if self._trouble is not None or self._anew else State.SERVING

    # --- what the manager tells

    def add(self, entries: Iterable[Entry], *, urgency: Urgency | None = None) -> None:
        """Have these resources reconciled: they, or what they read, have changed."""
        for entry in entries:
            self.memory.renew(entry.uid)
            item = item_of(entry)
            if urgency is not None and urgency < item.urgency:
                item = Item(item.uid, item.namespace, urgency, item.weight, is_apart=item.is_apart)
            self.queue.add(item)

    def renew(self) -> None:
        """Ask the server what it is, at once: the connection itself has changed, or a Secret that it reads."""
        self._anew = True
        self._probe.reset()
        self.add(self._claimants())
        self.queue.wake.set()

    def wake(self) -> None:
        """Look again whether the connection may be served: another one came, changed or went."""
        self.queue.wake.set()

    def forget(self, uid: str) -> None:
        """Forget a resource that is gone."""
        self.queue.forget(uid)
        self.memory.forget(uid)
        self.queue.wake.set()

    # --- the loop

    async def run(self) -> None:
        """Serve the connection until it is gone or the task is cancelled."""
        logs.about(connection=self.label)
        self.add(self._claimants())
        try:
            while self._entry() is not None:
                await self._services.leading.wait()
                self.queue.wake.clear()
                await self._step()
                await self._sleep()
        finally:
            await self._background.close()
            if self._cache.find(CONNECTION, self._name) is None:  # nor a namesake
                self._metrics.forget()
            await self._connector.close()

    async def _step(self) -> None:
        try:
            await self._serve()
        except LeaseLost as lost:
            logger.warning("Stopped before a write: %s", lost)
            self._anew = True  # another operator may be at work
            self.add(self._claimants())
            await asyncio.sleep(KUBERNETES_RETRY)
        except ClusterError as problem:
            logger.warning("Kubernetes did not do what connection %s needed: %s", self.label, problem)
            await self._pause(problem)
        except Exception:
            logger.exception("Connection %s could not be looked at; it is tried again.", self.label)
            await self._pause()
        else:
            self._failures.failures = 0

    async def _pause(self, problem: ClusterError | None = None) -> None:
        asked = problem.retry_after if isinstance(problem, ClusterUnavailable) else None
        await asyncio.sleep(min(self._failures.backoff(asked), LONGEST_PROBE))
        self.queue.wake.set()

    async def _sleep(self) -> None:
        """Wait for something to do. What comes in while a turn runs is gathered for the next one."""
        is_idle = self._trouble is not None or self._refused is not None
        if len(self.queue) and not is_idle:
            await asyncio.sleep(0)
            return
        is_probing = self._trouble is not None and self._refused is None
        due = [self._probe.due if is_probing else self._schedule.look_at]
        if self._progress is not None:
            due.append(time.monotonic() + LEAVING_INTERVAL)
        if (soon := self.queue.seconds_to_next()) is not None:
            due.append(time.monotonic() + soon)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(due) - time.monotonic())):
                await self.queue.wake.wait()
        await asyncio.sleep(GATHER)

    async def _serve(self) -> None:
        entry = self._entry()
        if entry is None:
            return
        if entry.deleting and not entry.has_finalizer:
            # It was let go, and another finalizer holds it: to those that name it, it is gone.
            await self._release_all()
            return
        try:
            refusal = refuse_connection(entry, self._cache, self._services.settings)
            if refusal is not None:
                await self._refuse(entry, refusal)
            elif self._refused is not None:
                self._refused = None
                self.renew()
            elif self._trouble is None or self._probe.is_due:
                await self._work(entry)
            else:
                await self._report_pending(self._trouble)
        finally:
            await self._leave_when_done()

    async def _refuse(self, entry: Entry, refusal: Refusal) -> None:
        self._refused = refusal
        self._schedule.look_in(REFUSED_INTERVAL)
        await self._connector.close()
        await self._report_connection(entry, None, refusal)
        await self._report_pending(refusal)

    async def _work(self, entry: Entry) -> None:
        spec = entry.connection
        if spec is None:
            return
        self._services.may_write()  # or all that is read would be read in vain
        if not entry.deleting and not await self._hold_connection(entry):
            return
        self._queue_by_interval(spec)
        link: Link | None = None
        try:
            if self._anew and (uri := await look_up(self._services.cluster, entry, spec)) is not None:
                self._cache.addresses[entry.uid] = uri
                if (refusal := refuse_connection(entry, self._cache, self._services.settings)) is not None:
                    await self._refuse(entry, refusal)
                    return
            link = await self._link(entry, spec)
            await self._turn(spec, link)
        except MilvusRbacError as error:
            lacking = lacking_privileges(link.capabilities) if link else None
            is_missing = error.refusal.reason is Reason.MISSING_PRIVILEGES
            await self._stumble(entry, lacking if is_missing and lacking else error.refusal)
            return
        healed, self._trouble = self._trouble is not None, None
        self._probe.reset()
        if healed:
            logger.info("Connection %s works again.", self.label)
        self._metrics.went_well(time.time())
        # With more to do at once, the next turn's intents write the counts in the same request.
        if not self._anew and (healed or not len(self.queue)):
            await self._report_connection(entry, link)

    async def _hold_connection(self, entry: Entry) -> bool:
        try:
            if await self._finalizers.add(entry):
                return True
            why = "it is being deleted"
        except ClusterError as error:
            log_failure(entry, "given its finalizer", error)
            why = error.message
        message = f"Kubernetes does not take the finalizer of this connection: {why}"
        await self._stumble(entry, Refusal(Reason.INTERNAL_ERROR, message))
        return False

    async def _link(self, entry: Entry, spec: MilvusConnectionSpec) -> Link:
        """Reach the server; what changes about the connection meanwhile counts for the next step."""
        anew, self._anew = self._anew, False
        try:
            link = await self._connector.link(entry, spec, self._cache.uri(entry), anew=anew)
        except BaseException:
            self._anew = True
            raise
        if anew and self._runner.superuser is False:
            self._runner.superuser = None  # the server may have been restarted with other superUsers
        return link

    async def _stumble(self, entry: Entry, refusal: Refusal) -> None:
        """The server can't be worked with: say so once, and probe again later."""
        if refusal != self._trouble:
            logger.warning(
                "Connection %s can't be worked with (%s): %s", self.label, refusal.reason, refusal.message
            )
        self._trouble, self._anew = refusal, True
        self._probe.put_off()
        await self._connector.close()
        await self._report_connection(entry, None, refusal)
        await self._report_pending(refusal)

    # --- turns

    async def _turn(self, spec: MilvusConnectionSpec, link: Link) -> None:
        """Reconcile what is due, as much of it as one turn takes."""
        chosen = self._useful(self._cache.known(self.queue.take()))
        if not chosen:
            return
        by_interval = self._schedule.take({entry.uid for entry in chosen})
        started = time.perf_counter()
        result: Literal["ok", "trouble"] = "trouble"
        try:
            if rest := await self._release_untouched(chosen):
                await self._run(spec, link, rest, by_interval)
            result = "ok"
        except BaseException:
            for entry in chosen:
                self.queue.add(item_of(entry))
            raise
        finally:
            self._metrics.ended(result, time.perf_counter() - started)
            for entry in chosen:
                if entry.uid not in self._cache.entries:  # it went while the turn ran
                    self.forget(entry.uid)

    async def _run(
        self,
        spec: MilvusConnectionSpec,
        link: Link,
        entries: Sequence[Entry],
        by_interval: frozenset[str],
    ) -> None:
        """Run a turn. When it fails for an unknown reason it is halved until the claim is found that makes it fail."""
        try:
            await self._runner.run(spec, link, entries, by_interval)
        except (MilvusRbacError, ClusterError, LeaseLost):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns one claim: that one is looked for
            if len(entries) == 1:
                await self._give_up(entries[0], error)
                return
            middle = len(entries) // 2
            for half in (entries[:middle], entries[middle:]):
                await self._run(spec, link, self._cache.known(one.uid for one in half), by_interval)

    async def _give_up(self, entry: Entry, error: Exception) -> None:
        logger.error("%s could not be reconciled.", entry, exc_info=error, extra=entry.log_fields)
        record = self.memory.of(entry.uid)
        message = "The operator failed at this resource; its log has the details. It is tried again."
        told = pending_report(entry, Refusal(Reason.INTERNAL_ERROR, message))
        await self._background.gather(
            {entry.uid: (item_of(entry), self._writer.report(entry, told, record))}, requeue=False
        )
        self.queue.add_after(item_of(entry), record.backoff())

    def _useful(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return the resources that a turn can do something for, while their connection is as it is."""
        connection = self._entry()
        tenancy = self._cache.tenancy(self._name)
        if connection is None or tenancy is None:
            return []
        served = [one for one in entries if tenancy.serves(one)]
        # What is being deleted without our finalizer was never ours; a connection that goes begins nothing new.
        return [one for one in served if (one.has_finalizer if one.deleting else not connection.deleting)]

    def _queue_by_interval(self, spec: MilvusConnectionSpec) -> None:
        """Queue everything when the interval is over; a server that may be another one by now is asked what it is."""
        if not self._schedule.is_due(spec.interval_length.total_seconds()):
            return
        claimants = list(self._claimants())
        if self._schedule.begin(frozenset(entry.uid for entry in claimants)):
            self._anew |= self._connector.should_ask_again
        for entry in claimants:
            self.queue.add(item_of(entry))

    # --- what waits, and what goes

    async def _report_pending(self, refusal: Refusal) -> None:
        """Report that nothing can be done now; but what stays in Milvus needs no server to be let go."""
        rest = await self._release_untouched(self._cache.known(self.queue.uids()))
        work = {}
        for entry in rest:
            if (why := self._pending_refusal(entry, refusal)) is not None:
                work[entry.uid] = item_of(entry), self._report_one(entry, why)
        await self._background.gather(work, requeue=False)

    async def _report_connection(self, entry: Entry, link: Link | None, *refusals: Refusal) -> None:
        """Write what is true of the connection. Where that fails its claims are served all the same."""
        try:
            await self._writer.report_connection(entry, link, None, self._runner.crowd, *refusals)
        except ClusterError as error:
            log_failure(entry, "written", error)
            pause = min(self._failures.backoff(), LONGEST_PROBE)
            asyncio.get_running_loop().call_later(pause, self.queue.wake.set)

    async def _report_one(self, entry: Entry, refusal: Refusal) -> None:
        record = self.memory.of(entry.uid)
        try:
            left = await self._writer.report(entry, pending_report(entry, refusal), record)
        except ClusterError as error:
            log_failure(entry, "written", error)
            left = record.backoff()
        if left is not None:
            self.queue.add_after(item_of(entry), left)
            asyncio.get_running_loop().call_later(left, self.queue.wake.set)

    def _pending_refusal(self, entry: Entry, refusal: Refusal) -> Refusal | None:
        """Return what to report of a resource while its connection can't be used; None leaves its last known truth."""
        why = self._explain(entry, refusal)
        if entry.deleting and entry.has_finalizer:
            message = (
                f"It can't be taken out of Milvus now: {why} To let it go and "
                "leave Milvus as it is, annotate it with rbac.milvus.io/force-retain=true."
            )
            return Refusal(Reason.DELETION_BLOCKED, message)
        if entry.deleting or not is_pending(entry):
            return None
        suspended = refusal.reason is Reason.SUSPENDED
        reason = Reason.SUSPENDED if suspended else Reason.WAITING_FOR_CONNECTION
        return Refusal(reason, f"Waits for {why}")

    def _explain(self, entry: Entry, refusal: Refusal) -> str:
        """Return what is wrong with the connection; Secrets, hosts and accounts are for its own namespace only."""
        namespace, name = self._name
        if entry.name[0] == namespace:
            return f"MilvusConnection {name}: {refusal.message}"
        return f"MilvusConnection {name}: {refusal.reason.value}; those who run it can see why."

    async def _release_untouched(self, entries: Sequence[Entry]) -> list[Entry]:
        """Let go of what is being deleted and leaves Milvus as it is; return the rest."""
        connection = self._entry()
        leaving = [entry for entry in entries if entry.deleting and entry.has_finalizer]
        if connection is None or not leaving:
            return list(entries)
        try:
            doomed = await self._finalizers.doomed_kinds(leaving)
            found = sort_leaving(connection, self._cache.tenancy(self._name), leaving, doomed)
        except ClusterError as error:
            logger.warning("Whether a CustomResourceDefinition is being deleted can't be read: %s", error)
            found = Leaving((), tuple(leaving))
        await self._release(found.untouched)
        for entry in found.unsure:
            self.queue.discard({entry.uid})
            self.queue.add_after(item_of(entry), self.memory.of(entry.uid).backoff())
        gone = {entry.uid for entry in (*found.untouched, *found.unsure)}
        return [entry for entry in entries if entry.uid not in gone]

    async def _release_all(self) -> None:
        """Let go of everything that is being deleted, and name it; no connection is left that could take it out of Milvus."""
        waiting = self._cache.known(self.queue.uids())
        leaving = [entry for entry in waiting if entry.deleting and entry.has_finalizer]
        self.queue.discard(self.queue.uids() - {entry.uid for entry in leaving})
        await self._release(leaving)

    async def _release(self, entries: Sequence[Entry]) -> None:
        results = await self._background.gather(
            {
                entry.uid: (item_of(entry), self._finalizers.remove(entry, left_behind=entry.has_claim))
                for entry in entries
            }
        )
        for entry in entries:
            match results.get(entry.uid):
                case ClusterError() as error:
                    log_failure(entry, "let go", error)
                    self.queue.discard({entry.uid})
                    self.queue.add_after(item_of(entry), self.memory.of(entry.uid).backoff())
                case Exception() as error:
                    raise error
                case _:
                    self.queue.discard({entry.uid})

    async def _leave_when_done(self) -> None:
        """Let a deleted connection go when no claim needs it, or none gets on any more."""
        entry = self._entry()
        if entry is None or not entry.deleting or not entry.has_finalizer:
            return
        left = sum(one.has_finalizer for one in self._claimants())
        if self._progress is None or left < self._progress[0]:
            self._progress = (left, time.monotonic())
        is_late = time.monotonic() >= self._progress[1] + LONGEST_LEAVING
        is_doomed = left and await self._services.cluster.is_crd_deleting(CLASSES[CONNECTION].plural)
        if not left or is_late or is_doomed:
            await self._finalizers.remove(entry)

    def _entry(self) -> Entry | None:
        return self._cache.entries.get(self.uid)

    def _claimants(self) -> Iterable[Entry]:
        return self._cache.claimants(self._name)


class Probe:
    """When a server that does not answer is asked again."""

    def __init__(self) -> None:
        self.due = 0.0
        """On the monotonic clock."""
        self._pause = FIRST_PROBE

    @property
    def is_due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self.due

    def put_off(self) -> None:
        """Ask again later, and later each time."""
        self.due = time.monotonic() + jittered(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PROBE)

    def reset(self) -> None:
        """Ask at once: something has changed, or the server answered."""
        self.due, self._pause = 0.0, FIRST_PROBE


class Schedule:
    """When the interval of a connection is over, and which claims are still to be looked at because of that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.look_at = 0.0
        """When everything is looked at again, on the clock; 0 before the first time."""
        self._clock = clock
        self._interval = 0.0
        self._waiting: frozenset[str] = frozenset()

    def is_due(self, interval: float) -> bool:
        """Return whether it is time; `interval` is in seconds, and a shorter one than before counts at once."""
        self._interval = interval
        self.look_at = min(self.look_at, self._clock() + 1.1 * interval)
        return self._clock() >= self.look_at

    def begin(self, claims: frozenset[str]) -> bool:
        """Begin an interval with these claims; return False for the first one, of which nothing can be concluded."""
        again = bool(self.look_at)
        if again:
            self._waiting = claims
        self.look_at = self._clock() + self._interval * random.uniform(0.9, 1.1)  # noqa: S311 - jitter, not a secret
        return again

    def take(self, chosen: set[str]) -> frozenset[str]:
        """Return which of the chosen claims are looked at because of the interval; each once in an interval."""
        taken = self._waiting & chosen
        self._waiting -= taken
        return taken

    def look_in(self, seconds: float) -> None:
        """Look again after so many seconds, whatever the interval."""
        self.look_at = self._clock() + seconds
