"""A client that keeps undoing a change is noticed after three snapshots, and the hold-off gets longer and longer."""

from collections.abc import Mapping
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from milvus_rbac.domain.changes import BindRole, Change, DropUser
from milvus_rbac.domain.contention import LONGEST_HOLD, SNAPSHOTS, Contention, Need, watch

UNDONE: Change = BindRole("ann", "reader")
NEED: Need = ("uid", UNDONE)
OTHER: Need = ("other", DropUser("bob", frozenset()))
intervals = st.floats(10.0, LONGEST_HOLD)


def contested(contentions: Mapping[Need, Contention], now: float) -> set[Need]:
    """The changes that are held off now."""
    return {need for need, contention in contentions.items() if contention.until > now}


def fight(interval: float, snapshots: int) -> list[tuple[float, bool]]:
    """Return when a change is needed that another client undoes before every snapshot, and whether it was held off then."""
    contentions: dict[Need, Contention] = {}
    told = []
    for turn in range(snapshots):
        now = turn * interval
        contentions = watch(contentions, {NEED}, interval, now)
        told.append((now, NEED in contested(contentions, now)))
    return told


@given(intervals)
def test_what_is_needed_three_times_running_is_held_and_not_before(interval: float) -> None:
    assert [held for _, held in fight(interval, SNAPSHOTS)] == [False] * (SNAPSHOTS - 1) + [True]


@given(intervals, st.lists(st.booleans(), max_size=30))
def test_what_is_never_needed_three_times_running_is_never_held(interval: float, needed: list[bool]) -> None:
    contentions: dict[Need, Contention] = {}
    running = 0
    for turn, wants in enumerate(needed):
        asked = wants and running < SNAPSHOTS - 1
        running = running + 1 if asked else 0
        contentions = watch(contentions, {NEED} if asked else set(), interval, turn * interval)
        assert not contested(contentions, turn * interval)


@given(intervals, st.integers(4, 60))
def test_after_each_hold_it_is_tried_once_more(interval: float, snapshots: int) -> None:
    held = [held for _, held in fight(interval, snapshots)]
    first = held.index(True)
    tries = "".join("h" if one else "t" for one in held[first:])
    assert "tt" not in tries


@given(intervals, st.sampled_from((1, 5, 20, 1100)))
def test_the_hold_off_doubles_up_to_a_day(interval: float, holds: int) -> None:
    now = 0.0
    lengths: list[float] = []
    contentions: dict[Need, Contention] = {}
    while len(lengths) < holds:
        contentions = watch(contentions, {NEED}, interval, now)
        if NEED in contested(contentions, now):
            lengths.append(contentions[NEED].until - now)
            now = contentions[NEED].until
        else:
            now += interval
    assert abs(lengths[0] - min(interval * SNAPSHOTS, LONGEST_HOLD)) < 0.01
    for before, after in pairwise(lengths):
        assert abs(after - min(2 * before, LONGEST_HOLD)) < 0.01


@given(intervals, st.integers(0, 2))
def test_a_hold_ends_where_it_says(interval: float, earlier: int) -> None:
    contention = {NEED: Contention(snapshots=2, holds=earlier)}
    held = watch(contention, {NEED}, interval, 100.0)
    until = held[NEED].until
    assert contested(held, until - 0.001) == {NEED}
    assert contested(held, until) == set()
    # Looking at it meanwhile neither lengthens nor counts it.
    assert watch(held, {NEED}, interval, until - 0.001) == held


@given(intervals)
def test_one_contention_has_nothing_to_do_with_another(interval: float) -> None:
    contentions = {NEED: Contention(until=interval), OTHER: Contention(until=interval)}
    assert watch(contentions, {OTHER}, interval, 0.0).keys() == {OTHER}
