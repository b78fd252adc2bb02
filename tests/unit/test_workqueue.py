"""Which claim is reconciled first: namespaces in rotation, deletions before the rest, and none waits for ever."""

import pytest

from milvus_rbac.controller.workqueue import AGING, MOST_CLAIMS, MOST_WEIGHT, Item, Urgency, Workqueue


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Workqueue:
    return Workqueue(clock)


def add(queue: Workqueue, *uids: str, **fields: object) -> None:
    for uid in uids:
        queue.add(Item(uid, **{"namespace": "ns", **fields}))  # type: ignore[arg-type]  # of the field's type


def test_within_a_namespace_what_is_urgent_comes_first_then_what_is_older(queue: Workqueue) -> None:
    add(queue, "rest")
    add(queue, "new", "newer", urgency=Urgency.NEW)
    add(queue, "rotated", urgency=Urgency.PASSWORD)
    add(queue, "deleted", urgency=Urgency.DELETION)
    assert queue.take() == ["deleted", "rotated", "new", "newer", "rest"]
    assert len(queue) == 0


def test_namespaces_are_served_in_rotation(queue: Workqueue) -> None:
    add(queue, *(f"a{number}" for number in range(3)), namespace="a")
    add(queue, "b0", "b1", namespace="b")
    assert queue.take() == ["a0", "b0", "a1", "b1", "a2"]


def test_a_namespace_with_very_much_leaves_the_others_their_share_of_a_turn(queue: Workqueue) -> None:
    add(queue, *(f"a{number}" for number in range(3 * MOST_CLAIMS)), namespace="a")
    add(queue, "b0", namespace="b")
    first = queue.take()
    assert len(first) == MOST_CLAIMS
    assert "b0" in first[:2]


def test_what_waits_long_goes_before_all(queue: Workqueue, clock: Clock) -> None:
    add(queue, "old")
    clock.now += AGING + 1
    add(queue, "deleted", urgency=Urgency.DELETION)
    assert queue.take() == ["old", "deleted"]


def test_waiting_counts_from_the_first_time_even_if_it_becomes_urgent(queue: Workqueue, clock: Clock) -> None:
    add(queue, "one")
    clock.now += AGING + 1
    add(queue, "one", urgency=Urgency.PASSWORD)
    add(queue, "deleted", urgency=Urgency.DELETION)
    assert queue.take() == ["one", "deleted"]


def test_a_turn_takes_no_more_weight_than_it_can_plan(queue: Workqueue) -> None:
    add(queue, "a", "b", "c", weight=MOST_WEIGHT // 2)
    assert queue.take() == ["a", "b"]
    assert queue.take() == ["c"]
    add(queue, "huge", weight=10 * MOST_WEIGHT)
    assert queue.take() == ["huge"]


def test_what_takes_long_is_taken_apart_and_in_every_other_turn_at_most(queue: Workqueue) -> None:
    add(queue, "big", weight=MOST_WEIGHT, is_apart=True)
    add(queue, "small", "other")
    turns = [queue.take()]
    add(queue, "big", weight=MOST_WEIGHT, is_apart=True)
    turns += [queue.take(), queue.take(), queue.take()]
    assert turns == [["big"], ["small", "other"], ["big"], []]


def test_what_is_added_for_later_comes_when_it_is_due(queue: Workqueue, clock: Clock) -> None:
    queue.add_after(Item("one", "ns"), 30.0)
    queue.add_after(Item("one", "ns"), 60.0)
    assert (len(queue), queue.seconds_to_next()) == (0, 30.0)
    clock.now += 30
    assert queue.take() == ["one"]
    assert queue.seconds_to_next() is None


def test_what_is_added_now_needs_no_timer_any_more(queue: Workqueue) -> None:
    queue.add_after(Item("one", "ns"), 30.0)
    add(queue, "one")
    assert queue.seconds_to_next() is None
    queue.add_after(Item("one", "ns"), 30.0)
    assert queue.seconds_to_next() is None


def test_what_is_held_comes_after_its_release(queue: Workqueue) -> None:
    add(queue, "one")
    queue.hold("one")
    add(queue, "one")
    assert queue.take() == []
    queue.release("one")
    assert queue.take() == ["one"]
    queue.hold("one")
    queue.release("one")
    assert queue.take() == []


def test_nothing_is_kept_of_what_is_forgotten(queue: Workqueue) -> None:
    add(queue, "ready")
    queue.add_after(Item("later", "ns"), 30.0)
    queue.hold("held")
    add(queue, "held")
    for uid in ("ready", "later", "held", "unknown"):
        queue.forget(uid)
    queue.release("held")
    assert queue.is_empty
    assert queue.take() == []


def test_what_is_added_wakes(queue: Workqueue) -> None:
    assert not queue.wake.is_set()
    add(queue, "one")
    assert queue.wake.is_set()
    queue.discard({"one", "unknown"})
    assert queue.uids() == frozenset()


def test_when_the_newest_of_a_turn_was_queued_is_known(queue: Workqueue, clock: Clock) -> None:
    add(queue, "old")
    clock.now += 5
    add(queue, "new")
    clock.now += 5
    queue.take()
    assert clock.now - queue.newest_taken == 5


@pytest.mark.parametrize(
    ("taken", "comes", "presses", "reason"),
    [
        ({}, {}, False, "it would not have been sooner in this turn"),
        ({}, {"urgency": Urgency.PASSWORD}, True, "a rotation goes before what is new"),
        ({"urgency": Urgency.DELETION}, {"urgency": Urgency.PASSWORD}, False, "a deletion goes first"),
        ({}, {"namespace": "other"}, True, "another namespace has its share"),
        ({}, {"namespace": "other", "is_apart": True}, False, "what takes long may wait"),
        ({"is_apart": True}, {}, True, "nobody waits for what takes long"),
        ({"is_apart": True}, {"is_apart": True}, False, "it takes as long"),
        ({"is_apart": True}, {"is_apart": True, "namespace": "other"}, True, "another namespace, as above"),
    ],
)
def test_a_turn_is_cut_short_only_for_what_would_have_gone_first(
    queue: Workqueue, taken: dict[str, object], comes: dict[str, object], presses: bool, reason: str
) -> None:
    add(queue, "taken", **{"urgency": Urgency.NEW, **taken})
    assert queue.take() == ["taken"]
    assert not queue.is_pressing
    add(queue, "comes", **{"urgency": Urgency.NEW, **comes})
    assert queue.is_pressing is presses, reason


def test_what_a_turn_leaves_in_the_queue_presses_only_where_nothing_of_its_namespace_was_taken(
    queue: Workqueue,
) -> None:
    add(queue, "a0", "a1", namespace="a")
    assert queue.take(1) == ["a0"]
    assert not queue.is_pressing
    add(queue, "a2", namespace="a")
    add(queue, "b0", namespace="b")
    assert queue.take(1) == ["a1"]
    assert queue.is_pressing
