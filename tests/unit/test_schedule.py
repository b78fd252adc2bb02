"""When a connection is looked at again, and which claims are looked at because of that."""

from milvus_rbac.controller.schedule import FIRST_PROBE, LONGEST_PROBE, Probe, Schedule


class Clock:
    """Time that passes when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_claim_is_looked_at_because_of_an_interval_once_and_not_in_the_first() -> None:
    clock = Clock()
    schedule = Schedule(clock)
    assert schedule.is_due(60.0)
    assert not schedule.begin(frozenset({"a", "b"})), "of the first look nothing can be concluded"
    assert schedule.take({"a"}) == frozenset()
    assert not schedule.is_due(60.0)
    clock.now += 67
    assert schedule.is_due(60.0)
    assert schedule.begin(frozenset({"a", "b"}))
    assert schedule.take({"a", "c"}) == {"a"}
    assert schedule.take({"a"}) == frozenset()
    assert schedule.take({"b"}) == {"b"}


def test_a_shorter_interval_counts_at_once() -> None:
    clock = Clock()
    schedule = Schedule(clock)
    schedule.is_due(3600.0)
    schedule.begin(frozenset())
    clock.now += 60
    assert not schedule.is_due(3600.0)
    schedule.is_due(10.0)
    clock.now += 12
    assert schedule.is_due(10.0)


def test_a_server_that_does_not_answer_is_probed_at_growing_distances() -> None:
    probe, pauses = Probe(), []
    for _ in range(12):
        before = probe._pause
        probe.put_off()
        assert not probe.is_due
        pauses.append(before)
    assert pauses[0] == FIRST_PROBE
    assert pauses[-1] == LONGEST_PROBE
    probe.reset()
    assert probe.is_due
