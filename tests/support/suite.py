"""What holds for a whole test session.

Users and roles made by hand before it are as they were, no process is left, and no server can be reached from elsewhere.
"""

import os
import secrets
import time
from collections.abc import Iterator
from typing import Final

from typing_extensions import override

from support.handmade import Handmade
from support.listeners import Listeners
from testbed.bed import TestBed
from testbed.milvus import STANDARD, MilvusServer, Profile
from testbed.processes import processes_with

_MARK: Final = "TEST_SESSION"
_GRACE: Final = 10.0
"""Seconds in which the processes of a session may end after their servers."""


class SuiteBed(TestBed):
    """The shared servers. Before the first test reaches the Milvus of most tests, somebody made something on it by hand."""

    def __init__(self) -> None:
        super().__init__()
        self._handmade: Handmade | None = None
        # Everything that is started from here on has the mark in its environment, whoever starts it.
        os.environ[_MARK] = self._mark = secrets.token_hex(8)

    @override
    def milvus(self, profile: Profile) -> MilvusServer:
        server = super().milvus(profile)
        if profile == STANDARD and self._handmade is None:
            self._handmade = Handmade(server.facts)
        return server

    def end(self) -> list[str]:
        """End everything; return what is not as it should be."""
        return [*self._exposed(), *self._changed(), *self._left()]

    def _exposed(self) -> Iterator[str]:
        listeners = Listeners(lambda: [int(one.split()[0]) for one in self._started()])
        yield from (f"It listens beyond the loopback interface: {one}" for one in listeners.exposed())

    def _changed(self) -> Iterator[str]:
        try:
            if self._handmade is not None:
                self._handmade.must_be_the_same()
        except AssertionError as difference:
            yield f"What was made by hand before the tests is not the same after them: {difference}"
        finally:
            self._handmade = None
            self.close()

    def _left(self) -> Iterator[str]:
        deadline = time.monotonic() + _GRACE
        while (left := self._started()) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield from (f"A process was left running: {process}" for process in left)

    def _started(self) -> list[str]:
        return processes_with(f"{_MARK}={self._mark}")
