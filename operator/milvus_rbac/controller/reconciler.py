"""The loop of one MilvusConnection: what state it is in, when a turn is due and for whom.

What a turn does is turn.py's, how the server is reached connection.py's, which connection serves a resource the manager's.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
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
from milvus_rbac.controller.entry import CONNECTION, Entry, Intents
from milvus_rbac.controller.events import EventRecorder
from milvus_rbac.controller.finalizers import Finalizers
from milvus_rbac.controller.made_secrets import MadeSecrets
from milvus_rbac.controller.memory import Backoff, Memory
from milvus_rbac.controller.metrics import ConnectionMetrics, Metrics
from milvus_rbac.controller.pending import LEAVING_INTERVAL, Pending
from milvus_rbac.controller.schedule import LONGEST_PROBE, Probe, Schedule
from milvus_rbac.controller.serving import refuse_connection
from milvus_rbac.controller.status import pending_report
from milvus_rbac.controller.status_writer import StatusWriter, log_failure
from milvus_rbac.controller.turn import TurnRunner
from milvus_rbac.controller.workqueue import Item, Urgency, Workqueue
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError, ClusterUnavailable, LeaseLost
from milvus_rbac.kube.leader_election import Lease
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.milvus.errors import MilvusRbacError
from milvus_rbac.milvus.port import WRITE_SECONDS
from milvus_rbac.pace import Pace
from milvus_rbac.settings import Settings

REFUSED_INTERVAL: Final = 10.0
"""Seconds between two looks at a connection that must not be served: nothing is asked, only compared."""
GATHER: Final = 0.01
"""Seconds after the first event in which what belongs to it comes in, too."""
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
        self._all_due = True
        """Every claim is to be queued before the next turn."""
        self._failures = Backoff()
        """How often running a step failed as a whole, for reasons of Kubernetes."""
        self._unwritten = Backoff()
        """How often running the connection's own status could not be written."""
        self._pending = Pending(
            connection,
            cache=self._cache,
            queue=self.queue,
            memory=self.memory,
            background=self._background,
            writer=self._writer,
            finalizers=self._finalizers,
        )

    def _build(self, services: Services) -> tuple[StatusWriter, Finalizers, TurnRunner]:
        cluster, cache, may_write = services.cluster, services.cache, services.may_write
        slots, secrets = Slots(), MadeSecrets(cluster, cache, may_write, services.recorder)
        writer = StatusWriter(cluster, cache, Slots(first=slots), may_write, services.recorder)
        finalizers = Finalizers(secrets, slots, services.metrics)
        runner = TurnRunner(
            connection_uid=self.uid,
            cache=cache,
            queue=self.queue,
            memory=self.memory,
            background=self._background,
            collector=Collector(cache, self.memory, secrets, self._background, slots),
            secrets=secrets,
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
            if urgency is not None and entry.has_claim and urgency < item.urgency:
                item = Item(item.uid, item.namespace, urgency, item.weight, is_apart=item.is_apart)
            self.queue.add(item)

    def renew(self) -> None:
        """Ask the server what it is, at once: the connection itself has changed, or a Secret that it reads."""
        self._probe.reset()
        self._begin_anew()

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
        try:
            while self._entry() is not None:
                await self._services.leading.wait()
                self.queue.wake.clear()
                await self._step()
                if _is_cancelled():
                    return  # gRPC loses a cancellation that comes together with the answer to a call
                await self._sleep()
        finally:
            await self._background.close()
            if self._cache.find(CONNECTION, self._name) is None:  # nor a namesake
                self._metrics.forget()
            await self._connector.close()

    async def _step(self) -> None:
        try:
            if self._all_due:
                self._all_due = False
                await self._queue_all(list(self._claimants()), renewed=True)
            await self._serve()
        except LeaseLost as lost:
            logger.warning("Stopped before a write: %s", lost)
            self._begin_anew()  # another operator may be at work
            await asyncio.sleep(KUBERNETES_RETRY)
        except ClusterError as problem:
            logger.warning("Kubernetes did not do what connection %s needed: %s", self.label, problem)
            await self._pause(problem)
        except Exception:
            logger.exception("Connection %s could not be looked at; it is tried again.", self.label)
            await self._pause()
        else:
            self._failures.failures = 0

    def _begin_anew(self) -> None:
        self._anew = self._all_due = True
        self.queue.wake.set()

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
        if self._pending.is_leaving:
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
            await self._pending.release_all()
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
                await self._pending.report(self._trouble)
        finally:
            await self._pending.leave_when_done()

    async def _refuse(self, entry: Entry, refusal: Refusal) -> None:
        self._refused = refusal
        self._schedule.look_in(REFUSED_INTERVAL)
        await self._connector.close()
        await self._report_connection(entry, None, refusal)
        await self._pending.report(refusal)

    async def _work(self, entry: Entry) -> None:
        spec = entry.connection
        if spec is None:
            return
        self._services.may_write()  # or all that is read would be read in vain
        if not entry.deleting and not await self._hold_connection(entry):
            return
        await self._queue_by_interval(spec)
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
        is_done = not len(self.queue) and self._background.is_idle
        if not self._anew and (healed or is_done):
            ownership = self._runner.ownership
            intents = ownership.outstanding(self.memory.withdrawn()) if ownership else None
            await self._report_connection(entry, link, intents=intents)

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
        await self._pending.report(refusal)

    # --- turns

    async def _turn(self, spec: MilvusConnectionSpec, link: Link) -> None:
        """Reconcile what is due, as much of it as one turn takes."""
        taken = self._cache.known(self.queue.take(self._runner.most))
        chosen = self._useful(taken)
        await self._refuse_new(taken)
        if not chosen:
            return
        by_interval = self._schedule.take({entry.uid for entry in chosen})
        started = time.perf_counter()
        result: Literal["ok", "trouble"] = "trouble"
        try:
            if rest := await self._pending.release_untouched(chosen):
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

    async def _refuse_new(self, entries: Iterable[Entry]) -> None:
        """Report to resources that came after their connection was deleted that it begins nothing new."""
        connection = self._entry()
        if connection is None or not connection.deleting:
            return
        late = [one for one in entries if not one.deleting and not one.has_finalizer]
        message = "it is being deleted, and begins nothing new: create it again, or name another one."
        await self._pending.tell(late, Refusal(Reason.DELETING, message))

    async def _queue_by_interval(self, spec: MilvusConnectionSpec) -> None:
        """Queue everything when the interval is over; a server that may be another one by now is asked what it is."""
        if not self._schedule.is_due(spec.interval_length.total_seconds()):
            return
        claimants = list(self._claimants())
        if self._schedule.begin(frozenset(entry.uid for entry in claimants)):
            self._anew |= self._connector.should_ask_again
        await self._queue_all(claimants)

    async def _queue_all(self, claimants: Sequence[Entry], *, renewed: bool = False) -> None:
        """Queue these claims. Ten thousand at once would hold up everything else."""
        pace = Pace()
        for entry in claimants:
            await pace.rest()
            if entry.uid not in self._cache.entries:
                continue  # it went meanwhile
            if renewed:
                self.memory.renew(entry.uid)
            self.queue.add(item_of(entry))

    # --- where things are

    async def _report_connection(
        self, entry: Entry, link: Link | None, *refusals: Refusal, intents: Intents | None = None
    ) -> None:
        """Write what is true of the connection. Where that fails its claims are served all the same."""
        if entry.deleting:
            leaving = self._pending.leaving(entry)
            message = " ".join((leaving.message, *(one.message for one in refusals)))
            refusals = (Refusal(Reason.DELETING, message),)
        try:
            await self._writer.report_connection(entry, link, intents, self._runner.crowd, *refusals)
        except ClusterError as error:
            log_failure(entry, "written", error)
            pause = min(self._unwritten.backoff(), LONGEST_PROBE)
            asyncio.get_running_loop().call_later(pause, self.queue.wake.set)
        else:
            self._unwritten.failures = 0

    def _entry(self) -> Entry | None:
        return self._cache.entries.get(self.uid)

    def _claimants(self) -> Iterable[Entry]:
        return self._cache.claimants(self._name)


def _is_cancelled() -> bool:
    """Return whether somebody wants this task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
