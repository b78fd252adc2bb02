"""Who is looked at first: what goes, then what never was right, then the rest; and nobody waits for ever."""

from milvus_rbac.controller.dirty import AGING, BATCH, Dirty
from unit.resources import claimed, entry, user

GONE = entry(user("gone", claimed(), deletionTimestamp="2026-01-02T00:00:00Z"))
FRESH = entry(user("fresh"))
SETTLED = entry(user("settled", claimed()))


def marked(*names: str) -> Dirty:
    dirty = Dirty()
    for name in names:
        dirty.mark({f"uid-{name}"})
    return dirty


def test_what_goes_comes_first_then_what_is_new_then_the_rest() -> None:
    dirty = marked("settled", "fresh", "gone")
    assert dirty.choose([SETTLED, FRESH, GONE]) == [GONE, FRESH, SETTLED]


def test_among_equals_who_waits_longer_comes_first() -> None:
    dirty = marked("b", "a")
    one, other = entry(user("a")), entry(user("b"))
    dirty._since["uid-a"] += 1
    assert dirty.choose([one, other]) == [other, one]


def test_who_has_waited_too_long_comes_before_everybody() -> None:
    dirty = marked("settled", "fresh", "gone")
    dirty._since["uid-settled"] -= AGING + 1
    assert dirty.choose([GONE, FRESH, SETTLED]) == [SETTLED, GONE, FRESH]


def test_waiting_is_counted_from_the_first_mark() -> None:
    dirty = marked("fresh")
    dirty._since["uid-fresh"] -= AGING + 1
    dirty.mark({"uid-fresh", "uid-gone"})
    assert dirty.choose([GONE, FRESH]) == [FRESH, GONE]


def test_a_round_takes_no_more_than_a_batch() -> None:
    entries = [entry(user(f"u{number}")) for number in range(BATCH + 1)]
    dirty = Dirty()
    dirty.mark(one.uid for one in entries)
    assert len(dirty.choose(entries)) == BATCH
    assert len(dirty) == BATCH + 1, "choosing takes nothing off the list"


def test_who_was_never_marked_is_as_good_as_just_marked() -> None:
    assert Dirty().choose([FRESH]) == [FRESH]


def test_a_mark_wakes_and_a_discard_forgets() -> None:
    dirty = Dirty()
    assert not dirty.wake.is_set()
    dirty.mark({"a", "b"})
    assert dirty.wake.is_set()
    dirty.discard({"a", "unknown"})
    assert dirty.uids() == {"b"}
    assert len(dirty) == 1
