"""Promises about what does not happen: the only place where a test waits for time to pass."""

import time
from collections.abc import Callable


def watch_for(seconds: float, holds: Callable[[], bool], see: Callable[[], object] = str) -> None:
    """See that something holds all the time for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert holds(), f"{seconds - (end - time.monotonic()):.1f} s went well, then: {see()}"
        time.sleep(0.05)
