"""When the interval of a connection is over, and who is still to be looked at because of that. Marks nobody itself."""

import random
import time
from collections.abc import Collection


class Clock:
    """Of one connection."""

    def __init__(self) -> None:
        self.look_at = 0.0
        """When everything is looked at again, by the monotonic clock; 0 before the first time."""
        self._interval = 0.0
        self._waiting: frozenset[str] = frozenset()

    def is_due(self, interval: float) -> bool:
        """Tell whether it is time; `interval` is in seconds, and a shorter one than before counts at once."""
        self._interval = interval
        self.look_at = min(self.look_at, time.monotonic() + 1.1 * interval)
        return time.monotonic() >= self.look_at

    def turn(self, claims: frozenset[str]) -> bool:
        """Begin a new interval with these to look at; tell whether it is the first, of which nothing can be learned."""
        again = bool(self.look_at)
        if again:
            self._waiting = claims
        self.look_at = time.monotonic() + self._interval * random.uniform(0.9, 1.1)  # noqa: S311 - jitter, not a secret
        return again

    def take(self, chosen: Collection[str]) -> frozenset[str]:
        """Give those of the chosen that are looked at because of the clock; each once in an interval."""
        taken = self._waiting & frozenset(chosen)
        self._waiting -= taken
        return taken

    def look_in(self, seconds: float) -> None:
        """Look again after so many seconds, whatever the interval."""
        self.look_at = time.monotonic() + seconds
