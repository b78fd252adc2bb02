"""The double in a thread of its own, for tests that do not run in an event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Self, TypeVar

from support.double.server import Double
from support.double.settings import ServerSettings

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds for anything that is asked of the thread."""


class DoubleThread:
    """A double that serves while the test does something else."""

    def __init__(self, dress: str, settings: ServerSettings | None = None) -> None:
        self._double = Double(dress, settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"milvus {dress}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._double.start(), self._loop).result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._double.stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._double.port

    def ask(self, question: Callable[[Double], T]) -> T:
        """Look at the double, or change it, between two calls."""

        async def answer() -> T:
            return question(self._double)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(PATIENCE)
