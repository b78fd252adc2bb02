"""Which claims wait to be looked at, and which of them are looked at first. Knows neither why nor what for."""

import asyncio
import time
from collections.abc import Iterable

from milvus_rbac.controller.entry import Entry

BATCH = 500
"""How many claims one round looks at: ten thousand become a few dozen rounds."""
AGING = 60.0
"""Seconds after which a waiting claim goes before all newer ones, whatever they are."""


class Dirty:
    """The claims of one connection that are to be looked at, and since when."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self._since: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._since)

    def mark(self, uids: Iterable[str]) -> None:
        """Have these looked at, soon."""
        now = time.monotonic()
        for uid in uids:
            self._since.setdefault(uid, now)
        self.wake.set()

    def mark_later(self, uid: str, seconds: float) -> None:
        """Have this looked at after a while."""
        asyncio.get_running_loop().call_later(seconds, self.mark, (uid,))

    def uids(self) -> frozenset[str]:
        """Everything that waits."""
        return frozenset(self._since)

    def discard(self, uids: Iterable[str]) -> None:
        """Nothing is left to do for these."""
        for uid in uids:
            self._since.pop(uid, None)

    def choose(self, entries: Iterable[Entry]) -> list[Entry]:
        """Choose at most BATCH: deleted first, then never synced, then the rest; whoever waits long goes before."""
        now = time.monotonic()

        def rank(entry: Entry) -> tuple[bool, int, float]:
            since = self._since.get(entry.uid, now)
            urgency = 0 if entry.deleting else 1 if "claim" not in entry.status else 2
            return (now - since < AGING, urgency, since)

        return sorted(entries, key=rank)[:BATCH]
