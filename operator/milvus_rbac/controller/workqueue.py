"""Which claims of one connection are to be reconciled, in which order, and which of them later.

Between two turns namespaces are served in rotation; of each, deletions first, then password changes, then what was
never synced, then the rest. A claim that has waited long goes before all.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

MOST_CLAIMS: Final = 500
MOST_WEIGHT: Final = 5_000
"""How many claims one turn takes at most, and how many grants they may expand to together (one claim may have more)."""
AGING: Final = 60.0
"""Seconds after which a waiting claim goes before all newer ones, whatever they are."""


class Urgency(IntEnum):
    """What is reconciled first within a namespace."""

    DELETION = 0
    PASSWORD = 1
    NEW = 2
    REST = 3


@dataclass(frozen=True, slots=True)
class Item:
    """A claim to be reconciled."""

    uid: str
    namespace: str
    urgency: Urgency = Urgency.REST
    weight: int = 1
    is_apart: bool = False
    """It may take long or may not be answered at all, so it is not reconciled together with others."""


@dataclass(slots=True)
class _Lane:
    """Items in the order in which they are taken."""

    namespaces: dict[str, list[dict[str, None]]] = field(default_factory=dict)
    """By namespace, in rotation: its items by urgency, the oldest first."""

    def add(self, item: Item) -> None:
        if item.namespace not in self.namespaces:
            self.namespaces[item.namespace] = [{} for _ in Urgency]
        self.namespaces[item.namespace][item.urgency][item.uid] = None

    def remove(self, item: Item) -> None:
        items = self.namespaces[item.namespace]
        del items[item.urgency][item.uid]
        if not any(items):
            del self.namespaces[item.namespace]

    def fronts(self) -> Iterator[tuple[str, Urgency]]:
        """Yield each namespace with the urgency of its first item."""
        for namespace, items in self.namespaces.items():
            yield namespace, next(urgency for urgency in Urgency if items[urgency])

    def next(self) -> str | None:
        """Return the first item of the namespace whose turn it is, which then waits for the others' turns."""
        namespace = next(iter(self.namespaces), None)
        if namespace is None:
            return None
        items = self.namespaces[namespace] = self.namespaces.pop(namespace)
        return next(iter(next(one for one in items if one)))


class Workqueue:
    """The claims of one connection. A claim that is being worked on elsewhere (`hold`) is not taken."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.wake = asyncio.Event()
        """Set whenever there is something new to do."""
        self._clock = clock
        self._ready: dict[str, tuple[Item, float]] = {}
        self._together, self._apart = _Lane(), _Lane()
        self._later: dict[str, tuple[float, Item]] = {}
        self._held: dict[str, Item | None] = {}
        """By uid: what was added while the claim was held."""
        self._taken: dict[str, Urgency] = {}
        """By namespace: what is least urgent of what was taken last."""
        self._was_apart = False
        self.is_pressing = False
        """Whether a claim is due that goes before what was taken last, or is of a namespace of which nothing was taken."""
        self.newest_taken = 0.0
        """When, on the clock, the newest of the claims was queued that were taken last."""

    def __len__(self) -> int:
        """Return how many claims are to be reconciled now."""
        return len(self._ready)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept of any claim."""
        return not (self._ready or self._later or self._held)

    def add(self, item: Item) -> None:
        """Have a claim reconciled soon."""
        if item.uid in self._held:
            self._held[item.uid] = item
            return
        since = self._clock()
        if (known := self._ready.get(item.uid)) is not None:
            if known[0].is_apart == item.is_apart and known[0].urgency <= item.urgency:
                return
            since = known[1]
            self._lane(known[0]).remove(known[0])
        self._later.pop(item.uid, None)
        self._ready[item.uid] = item, since
        self._lane(item).add(item)
        self.is_pressing |= self._is_pressing(item.namespace, item.urgency, is_apart=item.is_apart)
        self.wake.set()

    def add_after(self, item: Item, seconds: float) -> None:
        """Have a claim reconciled after a while, or sooner if that was asked for before."""
        due = self._clock() + seconds
        if item.uid not in self._ready and self._later.get(item.uid, (due,))[0] >= due:
            self._later[item.uid] = due, item

    def is_scheduled(self, uid: str) -> bool:
        """Return whether a claim comes again, now or later, without anything else happening."""
        return uid in self._ready or uid in self._later or uid in self._held

    def hold(self, uid: str) -> None:
        """Keep a claim from being taken until `release`: a write about it is under way."""
        self._held[uid] = self._pop(uid)

    def release(self, uid: str) -> None:
        """Let a claim be taken again; what was asked for meanwhile is done now."""
        if (item := self._held.pop(uid, None)) is not None:
            self.add(item)

    def forget(self, uid: str) -> None:
        """Forget a claim whose resource is gone."""
        self._pop(uid)
        self._later.pop(uid, None)
        if uid in self._held:
            self._held[uid] = None

    def discard(self, uids: Iterable[str]) -> None:
        """Note that nothing is left to do now for these claims."""
        for uid in uids:
            self._pop(uid)

    def uids(self) -> frozenset[str]:
        """Return the claims that are to be reconciled now."""
        self._move_due()
        return frozenset(self._ready)

    def seconds_to_next(self) -> float | None:
        """Return the seconds until a claim that was added for later is due; None when there is none."""
        if not self._later:
            return None
        return max(0.0, min(due for due, _ in self._later.values()) - self._clock())

    def take(self, most: int = MOST_CLAIMS) -> list[str]:
        """Return the claims of the next turn, at most so many. They are no longer queued.

        Those that are reconciled apart are taken in every other turn at most, and only as many as MOST_WEIGHT allows.
        """
        self._move_due()
        lanes = [self._together, self._apart] if self._was_apart else [self._apart, self._together]
        lane = next((one for one in lanes if one.namespaces), None)
        if lane is None:
            return []
        self._was_apart, self._taken = lane is self._apart, {}
        self.newest_taken = 0.0
        taken = list(self._take_from(lane, most))
        self.is_pressing = any(
            self._is_pressing(namespace, urgency, is_apart=other is self._apart)
            for other in lanes
            for namespace, urgency in other.fronts()
        )
        return taken

    def _is_pressing(self, namespace: str, urgency: Urgency, *, is_apart: bool) -> bool:
        """Return whether such a claim should not wait until what was taken last is done with at leisure."""
        if is_apart != self._was_apart:
            return self._was_apart  # what takes long may wait for the others, and not they for it
        served = self._taken.get(namespace)
        return served is None or urgency < served

    def _take_from(self, lane: _Lane, most: int) -> Iterable[str]:
        weight = count = 0
        aged = self._aged(lane)
        while count < most and weight < MOST_WEIGHT:
            uid = next(aged, None) or lane.next()
            if uid is None:
                return
            item, since = self._ready[uid]
            if count and weight + item.weight > MOST_WEIGHT:
                return
            self._pop(uid)
            self._taken[item.namespace] = max(item.urgency, self._taken.get(item.namespace, item.urgency))
            count, weight = count + 1, weight + item.weight
            self.newest_taken = max(self.newest_taken, since)
            yield uid

    def _aged(self, lane: _Lane) -> Iterator[str]:
        """Yield what has waited for so long that its turn has come whatever it is."""
        now = self._clock()
        old = [uid for uid, (item, since) in self._ready.items() if now - since > AGING]
        return iter([uid for uid in old if self._lane(self._ready[uid][0]) is lane])

    def _move_due(self) -> None:
        now = self._clock()
        for uid in [uid for uid, (due, _) in self._later.items() if due <= now]:
            self.add(self._later.pop(uid)[1])

    def _lane(self, item: Item) -> _Lane:
        return self._apart if item.is_apart else self._together

    def _pop(self, uid: str) -> Item | None:
        item, _ = self._ready.pop(uid, (None, 0.0))
        if item is not None:
            self._lane(item).remove(item)
        return item
