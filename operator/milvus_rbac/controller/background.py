"""Requests about single claims, side by side: a claim whose request takes long is left behind, the turn goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from milvus_rbac.controller.workqueue import Item, Workqueue

T = TypeVar("T")

STALL: Final = 1.0
"""Seconds without any answer after which a turn waits no longer for the requests that are left."""
_LOOKS: Final = 5
"""How often it is looked within that time whether something has ended: waking for each of hundreds costs more than they do."""
MOST_REQUESTS: Final = 18
MOST_REQUESTS_OF_A_NAMESPACE: Final = 12
"""How many requests for one purpose of one connection are under way at a time; more gain nothing from one API server."""


class Slots:
    """Limits the requests for one purpose of one connection, so that a slow namespace leaves room for the others.

    Args:
        first: those whose requests of the same namespace go first, as long as they get on.
    """

    def __init__(self, first: "Slots | None" = None) -> None:
        self._first = first
        self._all = asyncio.Semaphore(MOST_REQUESTS)
        self._namespaces: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, namespace: str) -> AsyncIterator[None]:
        """Wait for room for one request about an object of this namespace."""
        own = self._namespaces.get(namespace)
        if own is None:
            own = self._namespaces[namespace] = asyncio.Semaphore(MOST_REQUESTS_OF_A_NAMESPACE)
        async with own:
            if self._first is not None:
                await self._first.drained(namespace)
            async with self._all:
                yield

    async def drained(self, namespace: str) -> None:
        """Wait for the requests that wait for room now, but not for long: they may hang."""
        own = self._namespaces.get(namespace)
        if own is not None and own.locked():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STALL), own:
                    pass


class Background:
    """Requests of one connection that turns do not wait for. Until they have ended, their claims are not taken from the queue."""

    def __init__(self, queue: Workqueue) -> None:
        self._queue = queue
        self._late: set[asyncio.Task[Any]] = set()
        self._started: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way. When that becomes true the queue wakes."""
        return not self._late

    async def gather(
        self, work: Mapping[str, tuple[Item, Coroutine[Any, Any, T]]], *, requeue: bool = True
    ) -> dict[str, T | Exception]:
        """Run all of the work, and return the results or errors of what has ended.

        What has not when nothing ends for a while goes on in the background; with `requeue` its claim is reconciled again
        when it has ended.

        Args:
            work: by claim uid.
            requeue: whether the claim has to be looked at once its work has ended.
        """
        tasks = {uid: asyncio.create_task(one) for uid, (_, one) in work.items()}
        pending = set(tasks.values())
        try:
            pending = await _wait_while_something_ends(pending)
        except BaseException:
            await _cancel(tasks.values())
            raise
        for uid, (item, _) in work.items():
            if tasks[uid] in pending:
                self._leave(item, tasks[uid], requeue=requeue)
        results: dict[str, T | Exception] = {}
        for uid, task in tasks.items():
            if task not in pending:
                try:
                    results[uid] = task.result()
                except Exception as error:  # noqa: BLE001 - the caller decides what it means
                    results[uid] = error
        return results

    async def settled(self) -> None:
        """Wait for what was started: until it has ended, or nothing of it ends for a while."""
        started, self._started = self._started, set()
        await _wait_while_something_ends(started)

    def start(self, work: Mapping[str, tuple[Item, Coroutine[Any, Any, None]]]) -> None:
        """Run the work in the background.

        Args:
            work: by claim uid; it deals with its own errors.
        """
        for item, one in work.values():
            task = asyncio.create_task(one)
            self._started.add(task)
            self._leave(item, task, requeue=False)

    async def close(self) -> None:
        """Cancel what is still under way."""
        await _cancel(self._late)

    def _leave(self, item: Item, task: asyncio.Task[Any], *, requeue: bool) -> None:
        self._queue.hold(item.uid)
        self._late.add(task)

        def end(_: object) -> None:
            self._late.discard(task)
            self._queue.release(item.uid)
            if requeue or task.cancelled() or task.exception() is not None:
                self._queue.add(item)
            if not self._late:
                self._queue.wake.set()

        task.add_done_callback(end)


async def _wait_while_something_ends(pending: set[asyncio.Task[T]]) -> set[asyncio.Task[T]]:
    """Return the tasks that have not ended when none has ended for a while."""
    quiet = 0
    while pending and quiet < _LOOKS:
        done, pending = await asyncio.wait(pending, timeout=STALL / _LOOKS)
        quiet = 0 if done else quiet + 1
    return pending


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    cancelled = list(tasks)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)
