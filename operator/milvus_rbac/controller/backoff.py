"""When a server that does not answer is asked again: at growing distances, and not all connections at once."""

import random
import time

FIRST, LONGEST = 1.0, 60.0
"""Seconds between two probes; doubled each time, jittered."""


class Backoff:
    """Of one connection."""

    def __init__(self) -> None:
        self.due = 0.0
        """On the monotonic clock."""
        self._pause = FIRST

    @property
    def is_due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self.due

    def put_off(self) -> None:
        """Nothing came of it: later, and longer each time."""
        self.due = time.monotonic() + jittered(self._pause)
        self._pause = min(self._pause * 2, LONGEST)

    def reset(self) -> None:
        """Something changed, or it answered: at once, and from the beginning."""
        self.due, self._pause = 0.0, FIRST


def jittered(seconds: float) -> float:
    """Give about so many seconds."""
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, not a secret
