"""One MilvusConnection and everything claimed on it: when a round is due, and who may be served at all.

What a round does is round.py's, reaching the server connecting.py's, what is said telling.py's, what follows
aftermath.py's, choosing among connections the scheduler's.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Literal

from milvus_rbac import logs
from milvus_rbac.api.v1alpha1 import MilvusConnection
from milvus_rbac.api.v1alpha1.milvusconnection import Mode
from milvus_rbac.controller.aftermath import Aftermath, Played, lost_claims, refused_creates
from milvus_rbac.controller.audit import Audit
from milvus_rbac.controller.backoff import Backoff, jittered
from milvus_rbac.controller.batch import gather_batch, site_of, terms_of, worth_looking_at
from milvus_rbac.controller.books import ConnectionBooks
from milvus_rbac.controller.clock import Clock
from milvus_rbac.controller.connecting import Connector, Link, look_up
from milvus_rbac.controller.connection_report import lacking_privileges
from milvus_rbac.controller.contentions import ContentionMemory
from milvus_rbac.controller.dirty import Dirty
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.farewell import Farewell
from milvus_rbac.controller.metrics import ConnectionMetrics
from milvus_rbac.controller.own_secrets import OwnSecrets
from milvus_rbac.controller.performing import Outcome
from milvus_rbac.controller.round import Round, run_round
from milvus_rbac.controller.telling import Teller
from milvus_rbac.controller.tools import GATHER, Tools
from milvus_rbac.controller.vault import Vault
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError, LeaseLost
from milvus_rbac.milvus.errors import MilvusRbacError
from milvus_rbac.milvus.port import WRITE_SECONDS

STAND_STILL = 120.0
"""Seconds between two looks at a connection that must not be served."""
SAME_PICTURE = 10.0
"""Seconds for which a picture of the server serves the rounds of one interval."""
BREATH = 0.05
"""Seconds between two rounds when there is more to do at once."""

logger = logging.getLogger(__name__)


class Corridor:
    """One task per MilvusConnection."""

    def __init__(self, connection: Entry, tools: Tools) -> None:
        self.uid = connection.uid
        self._name = connection.name
        self._tools = tools
        self._dirty = Dirty()
        self._vault = Vault(tools.cluster)
        self._metrics = ConnectionMetrics(tools.metrics, self.label)
        self._connector = Connector(tools.cluster, self._may_write, self._metrics)
        self._quarrels = ContentionMemory()
        self._teller = Teller(connection, tools, self._dirty, self._metrics)
        self._own_secrets = OwnSecrets(tools.cluster, self._may_write)
        self._aftermath = Aftermath(
            tools, self._vault, self._dirty, self._teller, self._own_secrets, self._metrics
        )
        self._clock = Clock()
        self._withdrawn: set[str] = set()
        self._anew = True
        self._trouble: Refusal | None = None
        self._refused: Refusal | None = None
        self._backoff = Backoff()
        self._farewell = Farewell(self.uid, tools, self._dirty)

    # --- what others tell

    def mark(self, uids: Iterable[str]) -> None:
        """Somebody changed these resources, or what they read."""
        uids = frozenset(uids)
        self._quarrels.forget(uids)
        self._dirty.mark(uids)

    def touch(self) -> None:
        """The connection itself changed, or a Secret that it reads: ask the server anew, at once."""
        self._anew = True
        self._backoff.reset()
        self.mark(entry.uid for entry in self._claimants())

    def wake(self) -> None:
        """Another connection came, changed or went: it may be this one's turn on their common server."""
        self._dirty.wake.set()

    def forget(self, uid: str) -> None:
        """A resource is gone."""
        self._vault.forget(uid)
        self._own_secrets.forget(uid)
        self._quarrels.forget({uid})
        self._teller.forget(uid)
        self._dirty.discard({uid})
        self._dirty.wake.set()

    # --- the loop

    async def run(self) -> None:
        """Serve the connection until it is gone or the task is cancelled."""
        logs.about(connection=self.label)
        self._dirty.mark(entry.uid for entry in self._claimants())
        try:
            while self._entry() is not None:
                await self._tools.lease.held.wait()
                await self._turn()
                await self._sleep()
        finally:
            if self._tools.store.find(MilvusConnection.__name__, self._name) is None:  # nor a namesake
                self._metrics.forget()
            await self._connector.close()

    async def _turn(self) -> None:
        try:
            await self._serve()
        except LeaseLost as lost:
            logger.warning("Stopped before a write: %s", lost)
            self._anew = True  # another operator may be at work
            self._dirty.mark(entry.uid for entry in self._claimants())
            await asyncio.sleep(1)
        except ClusterError as problem:
            logger.warning("Kubernetes did not do what connection %s needed: %s", self.label, problem)
            await self._pause(1.0)
        except Exception:
            logger.exception("A round of connection %s failed; it is tried again.", self.label)
            await self._pause(6.0)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(jittered(seconds))
        self._dirty.wake.set()

    async def _sleep(self) -> None:
        """Wait for something to do, then a moment longer: one round serves whatever comes in together."""
        idle = self._trouble is not None or self._refused is not None
        if self._dirty and not idle:
            # What came while the last round ran has been gathered by that; a pause for others all the same.
            await asyncio.sleep(BREATH)
            self._dirty.wake.clear()
            return
        is_probing = self._trouble is not None and self._refused is None
        due = self._backoff.due if is_probing else self._clock.look_at
        wait = min(due - time.monotonic(), self._farewell.look_again_in)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, wait)):
                await self._dirty.wake.wait()
        await asyncio.sleep(GATHER)
        self._dirty.wake.clear()

    async def _serve(self) -> None:
        entry = self._entry()
        if entry is None:
            return
        if entry.deleting and not entry.has_finalizer:
            # We have let it go, and somebody else's finalizer holds it: to those that name it, it is gone.
            await self._farewell.release_all()
            return
        try:
            refusal = self._refusal(entry)
            if refusal is not None:
                await self._stand_still(refusal)
            elif self._refused is not None:
                self._refused = None
                self.touch()
            elif self._trouble is None or self._backoff.is_due:
                await self._work(entry)
            else:
                await self._tell_pending(self._trouble)
        finally:
            await self._farewell.say(self._claimants())

    def _refusal(self, entry: Entry) -> Refusal | None:
        """Say why nothing may be done on this server, whatever it says."""
        if entry.connection is None:
            message = f"The spec does not fit the schema any more ({entry.problem}); correct it."
            return Refusal(Reason.INTERNAL_ERROR, message)
        if entry.connection.spec.suspend:
            return Refusal(
                Reason.SUSPENDED, "The connection is suspended: set spec.suspend to false to go on."
            )
        return self._tools.gate(entry)

    async def _stand_still(self, refusal: Refusal) -> None:
        self._refused = refusal
        self._clock.look_in(STAND_STILL)
        await self._connector.close()
        await self._teller.tell_connection(None, None, refusal)
        await self._tell_pending(refusal)

    async def _work(self, entry: Entry) -> None:
        connection = entry.connection
        if connection is None:
            return
        self._may_write()  # or all that is read would be read in vain
        if not entry.deleting and not await self._tools.ledger.hold([entry]):
            message = (
                "Kubernetes does not take the finalizer of this connection; the operator's log says why."
            )
            await self._stumble(Refusal(Reason.INTERNAL_ERROR, message))
            return
        self._mark_by_clock(connection)
        link: Link | None = None
        try:
            if self._anew and (uri := await look_up(self._tools.cluster, entry, connection)) is not None:
                self._tools.store.uris[entry.uid] = uri
            if (refusal := self._refusal(entry)) is not None:
                await self._stand_still(refusal)
                return
            link = await self._link(entry, connection)
            await self._round(connection, link)
        except MilvusRbacError as error:
            lacking = lacking_privileges(link.capabilities) if link else None
            missing = error.refusal.reason is Reason.MISSING_PRIVILEGES
            await self._stumble(lacking if missing and lacking else error.refusal)
            return
        healed, self._trouble = self._trouble is not None, None
        self._backoff.reset()
        if healed:
            logger.info("Connection %s works again.", self.label)
        self._metrics.went_well(time.time())
        # With more to do at once, the next round's intents tell the counts in the same write.
        if not self._anew and (healed or not self._dirty):
            await self._teller.tell_connection(link, None)

    async def _link(self, entry: Entry, connection: MilvusConnection) -> Link:
        """Reach the server; what is said meanwhile about the connection counts for the next turn."""
        anew, self._anew = self._anew, False
        try:
            uri = self._tools.store.uri(entry)
            link = await self._connector.link(entry, connection, uri, anew=anew)
        except BaseException:
            self._anew = True
            raise
        if anew and self._aftermath.superuser is False:
            self._aftermath.superuser = None  # the server may have been restarted with other superUsers
        return link

    async def _stumble(self, refusal: Refusal) -> None:
        """The server can't be worked with: say so once, and look again later."""
        if refusal != self._trouble:
            logger.warning(
                "Connection %s can't be worked with (%s): %s", self.label, refusal.reason, refusal.message
            )
        self._trouble, self._anew = refusal, True
        self._backoff.put_off()
        await self._connector.close()
        await self._teller.tell_connection(None, None, refusal)
        await self._tell_pending(refusal)

    async def _tell_pending(self, refusal: Refusal) -> None:
        """Nothing can be done for anybody now; but what stays in Milvus needs none to be let go."""
        await self._farewell.release_untouched(self._tools.store.known(self._dirty.uids()))
        await self._teller.tell_pending(self._dirty.uids(), refusal)

    # --- one round

    async def _round(self, connection: MilvusConnection, link: Link) -> None:
        """Serve a batch of what is dirty."""
        useful = worth_looking_at(self._tools.store, self._entry(), self._dirty.uids())
        self._dirty.discard(self._dirty.uids() - {one.uid for one in useful})
        chosen = self._dirty.choose(useful)
        if not chosen:
            return
        self._dirty.discard({entry.uid for entry in chosen})
        started = time.perf_counter()
        result: Literal["ok", "trouble"] = "trouble"
        try:
            if rest := await self._farewell.release_untouched(chosen):
                await self._run(connection, link, rest)
            result = "ok"
        except BaseException:
            self._dirty.mark(entry.uid for entry in chosen)
            raise
        finally:
            self._metrics.ended(result, time.perf_counter() - started)

    async def _run(self, connection: MilvusConnection, link: Link, chosen: Sequence[Entry]) -> None:
        tools = self._tools
        site = site_of(tools.store.entries[self.uid], connection, link, self._withdrawn)
        books = ConnectionBooks(
            tools.store, tools.ledger, site, lambda intents: self._teller.tell_connection(link, intents)
        )
        await self._withdraw(link, books)
        own = self._own_secrets if connection.spec.mode is Mode.ENFORCE else None
        batch = await gather_batch(chosen, self._claimants(), site, tools.store, self._vault, own)
        by_clock = self._clock.take({entry.uid for entry in chosen})
        interval = connection.spec.interval_length.total_seconds()
        work = Round(
            batch.assembled,
            batch.password_texts,
            terms_of(connection, link, batch, self._aftermath.superuser),
            batch.databases,
            batch.role_owners,
            # One picture serves all rounds of an interval in which nothing changes.
            SAME_PICTURE if batch.entries.keys() <= by_clock else 0.0,
            lambda proposals: self._quarrels.contested(proposals, by_clock, interval),
            Outcome(note=Audit(batch.entries, self._metrics).note),
        )
        try:
            result = await run_round(work, link.milvus, books, self._may_write)
            self._withdrawn |= lost_claims(result, work.server, site.intents)
            await self._withdraw(link, books)
            await self._aftermath.settle(Played(result, batch, work.server, site))
        finally:
            self._withdrawn |= refused_creates(work.outcome, site.intents)
            self._quarrels.note(work.outcome.done)
        await self._withdraw(link, books)
        if work.outcome.trouble is not None:
            raise work.outcome.trouble

    async def _withdraw(self, link: Link, books: ConnectionBooks) -> None:
        """Take back in writing what was going to be created and was refused: what has the name now is somebody's."""
        if self._withdrawn:
            await self._teller.tell_connection(link, books.outstanding(without=self._withdrawn))
            self._withdrawn.clear()

    def _mark_by_clock(self, connection: MilvusConnection) -> None:
        """Look at everything when the interval is over; where the server may be another one by now, it is asked what it is."""
        if not self._clock.is_due(connection.spec.interval_length.total_seconds()):
            return
        claimants = frozenset(entry.uid for entry in self._claimants())
        if self._clock.turn(claimants):
            self._anew |= self._connector.should_ask_again
        self._dirty.mark(claimants)

    # --- where things are

    @property
    def label(self) -> str:
        """Namespace and name of the connection, as logs and metrics have it."""
        return "/".join(self._name)

    @property
    def dirty(self) -> int:
        """How many resources wait to be looked at."""
        return len(self._dirty)

    def _entry(self) -> Entry | None:
        return self._tools.store.entries.get(self.uid)

    def _claimants(self) -> list[Entry]:
        return self._tools.store.claimants(self._name)

    def _may_write(self) -> None:
        self._tools.lease.require(WRITE_SECONDS)
