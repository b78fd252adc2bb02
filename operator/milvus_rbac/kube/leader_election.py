"""Leader election: a coordination.k8s.io Lease says which of several operators may write, and for how long it is ours.

Two operators are kept apart by time. Ours is measured from before the request that renewed the lease, so it ends before
any other candidate can have waited long enough; a candidate's waiting begins when it last saw the record change, so no
two clocks are ever compared. What is written under the lease is not known here.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from milvus_rbac.kube.client import Client, ClusterError, ClusterRefused, LeaseLost

DURATION = 60.0
"""Seconds for which a holder that has fallen silent is believed to be alive."""
RENEW_EVERY = 10.0
WATCH_EVERY = 5.0
"""How often a candidate looks whether the lease has become free."""
RELEASE_TIMEOUT = 5.0
LEASE_CONNECTIONS = 2
"""In a pool of the Lease's own: hundreds of other requests must not delay its renewal."""

_NOT_FOUND, _CONFLICT = 404, 409

logger = logging.getLogger(__name__)


def now_with_suspend() -> float:
    """Return seconds of a clock that also runs while the machine is suspended: a lease runs out meanwhile, too."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class LeaseName:
    """Where the Lease object is."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class _Record:
    """What the holder wrote into the lease; a change of it is a sign of life."""

    holder: str
    renewed: str
    transitions: int
    duration: float


class Lease:
    """One candidate. `run` competes and renews; the rest answers how it stands."""

    def __init__(
        self,
        client: Client,
        name: LeaseName,
        identity: str,
        duration: float = DURATION,
        clock: Callable[[], float] = now_with_suspend,
    ) -> None:
        self.identity = identity
        """Stable over a restart of the same Pod, which so takes the lease back at once."""
        self.held = asyncio.Event()
        """Set while the lease is believed to be ours; `remaining` is exact, this is for waiting."""
        self.lost = asyncio.Event()
        """The opposite of `held`."""
        self.lost.set()
        self._client = client
        self._name = name
        self._duration = duration
        self._clock = clock
        self._held_until = 0.0
        self._object: dict[str, Any] | None = None
        self._seen: _Record | None = None
        self._seen_at = 0.0
        self._trouble = ""
        self._waits_for = ""
        self._is_stopping = False

    @property
    def holder(self) -> str | None:
        """Who has the lease, as far as is known; None when it is free or was not read yet."""
        return (self._seen.holder or None) if self._seen else None

    @property
    def trouble(self) -> str | None:
        """Why the last attempt failed; None when the API server answered."""
        return self._trouble or None

    def remaining(self) -> float:
        """Return the seconds for which no other operator can have the lease; 0 when it is not ours."""
        return max(0.0, self._held_until - self._clock())

    def require(self, seconds: float) -> None:
        """Make sure that the lease outlasts a write that takes so many seconds.

        Raises:
            LeaseLost: it does not, or it is not ours.
        """
        remaining = self.remaining()
        if remaining < seconds:
            whose = (
                f"{self.holder} has it"
                if self.holder not in {None, self.identity}
                else "no other holder is known"
            )
            raise LeaseLost(
                f"The lease {self._name.namespace}/{self._name.name} is ours for {remaining:.0f} s more, "
                f"{seconds:.0f} s are needed; {whose}."
            )

    async def run(self) -> None:
        """Compete for the lease and keep it until cancelled; then give it back, so that a successor need not wait.

        Stop writing before cancelling this.
        """
        try:
            while True:
                await self.attempt()
                await asyncio.sleep(self._pause())
                self._settle()
        finally:
            await self._release()

    async def attempt(self) -> None:
        """Take or renew the lease if that is possible now; a failing API server only lets the time run down."""
        try:
            await self._take_or_renew()
        except ClusterError as problem:
            self._note_trouble(str(problem))
        else:
            self._note_trouble("")
        self._settle()

    async def _take_or_renew(self) -> None:
        if self._object is None or self.remaining() == 0:
            await self._read()
        for _ in range(2):
            if not self._may_take():
                self._held_until = 0.0
                self._note_holder()
                return
            try:
                await self._write()
            except ClusterRefused as refusal:
                if refusal.status not in {_CONFLICT, _NOT_FOUND}:
                    raise
                # It has changed, perhaps only an annotation, or our own write arrived without an answer.
                await self._read()
            else:
                return

    async def _read(self) -> None:
        try:
            self._remember(await self._client.request("GET", self._path()))
        except ClusterRefused as refusal:
            if refusal.status != _NOT_FOUND:
                raise
            self._object, self._seen = None, None

    async def _write(self) -> None:
        """Put our name and the time into the object as it was last seen; a 409 says that it has changed since."""
        asked_at = self._clock()
        wanted = self._renewed()
        if self._object is None:
            answer = await self._client.request("POST", self._path(""), body=wanted)
        else:
            answer = await self._client.request("PUT", self._path(), body=wanted)
        self._remember(answer)
        self._held_until = asked_at + self._duration

    async def _release(self) -> None:
        """Take our name out, if it is there; where that fails the lease runs out by itself."""
        self._is_stopping = True
        self._held_until = 0.0
        self._settle()
        with contextlib.suppress(ClusterError, TimeoutError):
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self._read()  # an interrupted write of ours may have arrived
                if self._object is None or self.holder != self.identity:
                    return
                spec = {key: value for key, value in self._object["spec"].items() if key != "holderIdentity"}
                await self._client.request("PUT", self._path(), body={**self._object, "spec": spec})
                logger.info("The lease %s/%s was given back.", self._name.namespace, self._name.name)

    def _may_take(self) -> bool:
        """Return whether the lease is free, ours, or of a holder that was silent for longer than its lease lasts."""
        seen = self._seen
        if seen is None or seen.holder in {"", self.identity}:
            return True
        return self._clock() - self._seen_at > seen.duration

    def _remember(self, lease: dict[str, Any]) -> None:
        record = _read_record(lease, self._duration)
        if record != self._seen:
            self._seen, self._seen_at = record, self._clock()
        self._object = lease

    def _renewed(self) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # for people: it is never compared
        found = self._object or {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self._name.namespace, "name": self._name.name},
        }
        spec = dict(found.get("spec") or {})
        if spec.get("holderIdentity") != self.identity:
            spec["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + bool(self._object)
            spec["acquireTime"] = now
        spec |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._duration)),
            "renewTime": now,
        }
        return {**found, "spec": spec}

    def _settle(self) -> None:
        """Set the events to what the clock says."""
        if self.remaining() > 0:
            if not self.held.is_set():
                logger.info("The lease is ours (%s).", self.identity)
            self._waits_for = ""
            self.lost.clear()
            self.held.set()
        else:
            if self.held.is_set() and not self._is_stopping:
                logger.warning("The lease is ours no more.")
            self.held.clear()
            self.lost.set()

    def _pause(self) -> float:
        """Return the time to the next attempt; a holder wakes up when its time is over even if that is sooner."""
        if self.held.is_set():
            return min(RENEW_EVERY, self._duration / 6, max(0.1, self.remaining()))
        return min(WATCH_EVERY, self._duration / 12)

    def _note_holder(self) -> None:
        """Log for whom we wait, once for each holder."""
        holder = self.holder or ""
        if holder != self._waits_for:
            name = f"{self._name.namespace}/{self._name.name}"
            logger.info("Another operator has the lease %s: %s. Waiting for it.", name, holder)
        self._waits_for = holder

    def _note_trouble(self, trouble: str) -> None:
        if trouble and not self._trouble:
            logger.warning("The lease can't be read or renewed: %s", trouble)
        elif self._trouble and not trouble:
            logger.info("The lease can be read and renewed again.")
        self._trouble = trouble

    def _path(self, name: str | None = None) -> str:
        base = f"/apis/coordination.k8s.io/v1/namespaces/{self._name.namespace}/leases"
        return base if name == "" else f"{base}/{self._name.name}"


def _read_record(lease: dict[str, Any], duration: float) -> _Record:
    spec = lease.get("spec") or {}
    return _Record(
        holder=spec.get("holderIdentity") or "",
        renewed=spec.get("renewTime") or "",
        transitions=spec.get("leaseTransitions") or 0,
        duration=float(spec.get("leaseDurationSeconds") or duration),
    )
