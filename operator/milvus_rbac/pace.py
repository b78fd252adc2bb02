"""Long pieces of work that leave the event loop to others in between."""

import asyncio
import time
from typing import Final

_SLICE: Final = 0.004
"""Seconds of work after which other tasks get their turn."""


class Pace:
    """Keeps a long piece of work from blocking the event loop."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    async def rest(self) -> None:
        """Let other tasks run, if the work has taken a few milliseconds since it last did."""
        if time.perf_counter() - self._since > _SLICE:
            await asyncio.sleep(0)
            self._since = time.perf_counter()
