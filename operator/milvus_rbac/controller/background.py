"""Requests about single claims, side by side: a claim whose request takes long is left behind, the turn goes on."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from milvus_rbac.controller.workqueue import Item, Workqueue

T = TypeVar("T")

STALL: Final = 1.0
"""Seconds without any answer after which a turn waits no longer for the requests that are left."""
MOST_REQUESTS: Final = 24
MOST_REQUESTS_OF_A_NAMESPACE: Final = 16
"""How many writes of one connection are under way at a time; more gain nothing from one API server."""


class Slots:
    """Limits the requests of one connection, so that a slow namespace leaves room for the others."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(MOST_REQUESTS)
        self._namespaces: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, namespace: str) -> AsyncIterator[None]:
        """Wait for room for one request about an object of this namespace."""
        own = self._namespaces.get(namespace)
        if own is None:
            own = self._namespaces[namespace] = asyncio.Semaphore(MOST_REQUESTS_OF_A_NAMESPACE)
        async with own, self._all:
            yield


class Background:
    """The requests of one connection that a turn did not wait for."""

    def __init__(self, queue: Workqueue) -> None:
        self._queue = queue
        self._late: set[asyncio.Task[None]] = set()

    async def gather(
        self, work: Mapping[str, tuple[Item, Coroutine[Any, Any, T]]], *, requeue: bool = True
    ) -> dict[str, T | Exception]:
        """Run all of the work, and return the results or errors of what has ended.

        What has not when nothing ends for a while goes on in the background. Until it has ended its claim is not taken
        from the queue; then, with `requeue`, it is reconciled again.

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

    async def close(self) -> None:
        """Cancel what is still under way."""
        await _cancel(self._late)

    def _leave(self, item: Item, task: asyncio.Task[T], *, requeue: bool) -> None:
        self._queue.hold(item.uid)

        async def watch() -> None:
            await asyncio.gather(task, return_exceptions=True)
            self._queue.release(item.uid)
            if requeue or task.cancelled() or task.exception() is not None:
                self._queue.add(item)

        late = asyncio.create_task(watch())
        self._late.add(late)
        late.add_done_callback(self._late.discard)


async def _wait_while_something_ends(pending: set[asyncio.Task[T]]) -> set[asyncio.Task[T]]:
    """Return the tasks that have not ended when none has ended for a while."""
    while pending:
        done, pending = await asyncio.wait(pending, timeout=STALL, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            break
    return pending


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    cancelled = list(tasks)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)
