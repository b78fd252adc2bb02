"""A request that takes long is left behind: the turn goes on, and its claim comes again when it has ended."""

import asyncio

from milvus_rbac.controller.background import MOST_REQUESTS_OF_A_NAMESPACE, STALL, Background, Slots
from milvus_rbac.controller.workqueue import Item, Workqueue


async def answer(value: int, after: asyncio.Event | None = None) -> int:
    if after is not None:
        await after.wait()
    return value


async def failing() -> int:
    raise ValueError("no")


async def test_what_has_ended_is_returned_and_what_has_not_is_left_behind() -> None:
    queue, release = Workqueue(), asyncio.Event()
    background = Background(queue)
    results = await background.gather(
        {
            "quick": (Item("quick", "ns"), answer(1)),
            "late": (Item("late", "ns"), answer(2, release)),
            "bad": (Item("bad", "ns"), failing()),
        }
    )
    assert results["quick"] == 1
    assert isinstance(results["bad"], ValueError)
    assert "late" not in results
    queue.add(Item("late", "ns"))
    assert queue.take() == [], "it is held while its request is under way"
    release.set()
    async with asyncio.timeout(5):
        while not len(queue):
            await queue.wake.wait()
    assert queue.take() == ["late"]


async def test_what_is_started_is_not_waited_for_and_what_follows_it_comes_after_it() -> None:
    queue, release, ended = Workqueue(), asyncio.Event(), []
    background = Background(queue)

    async def first() -> None:
        await release.wait()
        ended.append("first")

    async def second() -> None:
        ended.append("second")

    background.start({"one": (Item("one", "ns"), first())})
    queue.add(Item("one", "ns"))
    assert queue.take() == [], "it is held until that has ended"
    asyncio.get_running_loop().call_later(STALL / 10, release.set)
    await background.settled()
    background.start({"two": (Item("two", "ns"), second())})
    assert ended == ["first"]
    assert queue.take() == ["one"]
    queue.wake.clear()
    async with asyncio.timeout(5):
        await queue.wake.wait()
    assert background.is_idle
    assert ended == ["first", "second"]


async def test_a_burst_is_waited_for_as_long_as_something_ends() -> None:
    slots, background = Slots(), Background(Workqueue())
    ended: list[int] = []

    async def one(number: int) -> int:
        async with slots.of("ns"):
            await asyncio.sleep(STALL / 10)
            ended.append(number)
        return number

    burst = 15 * MOST_REQUESTS_OF_A_NAMESPACE
    results = await background.gather({str(n): (Item(str(n), "ns"), one(n)) for n in range(burst)})
    assert len(results) == burst, "it took longer than a stall, but never stalled"


async def test_a_slow_namespace_leaves_room_for_another() -> None:
    slots, hold = Slots(), asyncio.Event()

    async def slow() -> None:
        async with slots.of("slow"):
            await hold.wait()

    tasks = [asyncio.create_task(slow()) for _ in range(100)]
    await asyncio.sleep(0)
    async with asyncio.timeout(1), slots.of("quick"):
        pass
    hold.set()
    await asyncio.gather(*tasks)


async def test_statuses_let_the_requests_of_their_namespace_go_first_that_a_turn_waits_for() -> None:
    first = Slots()
    statuses, ended = Slots(first), list[str]()

    async def one(slots: Slots, namespace: str, what: str, seconds: float = 0.0) -> None:
        async with slots.of(namespace):
            await asyncio.sleep(seconds)
            ended.append(what)

    turn = [one(first, "ns", "turn", 0.01) for _ in range(3 * MOST_REQUESTS_OF_A_NAMESPACE)]
    async with asyncio.TaskGroup() as group:
        for work in (*turn, one(statuses, "ns", "status"), one(statuses, "other", "elsewhere")):
            group.create_task(work)
    assert ended[0] == "elsewhere"
    assert ended.index("status") >= 2 * MOST_REQUESTS_OF_A_NAMESPACE


async def test_statuses_wait_for_no_request_that_hangs() -> None:
    first, hang = Slots(), asyncio.Event()
    statuses = Slots(first)

    async def hanging() -> None:
        async with first.of("ns"):
            await hang.wait()

    tasks = [asyncio.create_task(hanging()) for _ in range(100)]
    await asyncio.sleep(0)
    async with asyncio.timeout(2 * STALL), statuses.of("ns"):
        pass
    hang.set()
    await asyncio.gather(*tasks)


async def test_what_is_left_behind_ends_with_the_connection() -> None:
    background, never = Background(Workqueue()), asyncio.Event()
    await background.gather({"late": (Item("late", "ns"), answer(1, never))})
    async with asyncio.timeout(1):
        await background.close()
