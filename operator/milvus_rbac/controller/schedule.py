"""When a connection is looked at again: a server that does not answer, and everything at the end of an interval."""

import random
import time
from collections.abc import Callable
from typing import Final

from milvus_rbac.controller.memory import jittered

FIRST_PROBE: Final = 1.0
LONGEST_PROBE: Final = 60.0
"""Seconds between two probes of a server that does not answer; doubled each time, jittered."""


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
