"""Saying the same thing twice moves nothing: no write, no timestamp, no Event."""

from hypothesis import given
from hypothesis import strategies as st

from milvus_rbac.domain.conditions import (
    MESSAGE_LIMIT,
    Condition,
    Patience,
    Reason,
    Refusal,
    patience,
    settle,
    summarize_drift,
    summarize_password,
    summarize_ready,
)

EARLY, NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"

refusals = st.builds(Refusal, st.sampled_from(Reason), st.text(max_size=2000))
generations = st.integers(0, 3)
summaries = st.one_of(
    st.builds(summarize_ready, st.lists(refusals, max_size=4), st.just("All is well."), generations),
    st.builds(lambda *args: (summarize_password(*args),), st.none() | refusals, generations),
    st.builds(lambda *args: (summarize_drift(*args),), st.lists(st.just("bind"), max_size=2), generations),
)


@st.composite
def wanted(draw: st.DrawFn) -> tuple[Condition, ...]:
    """Conditions as a turn sums them up, each type once."""
    conditions = [one for some in draw(st.lists(summaries, max_size=3)) for one in some]
    return tuple({one.type: one for one in conditions}.values())


@given(wanted(), wanted())
def test_settling_twice_moves_no_timestamp(before: tuple[Condition, ...], now: tuple[Condition, ...]) -> None:
    previous = settle((), before, EARLY)
    settled = settle(previous, now, NOW)
    assert settle(settled, now, LATER) == settled


@given(wanted(), wanted())
def test_a_time_moves_exactly_where_a_status_does(
    before: tuple[Condition, ...], now: tuple[Condition, ...]
) -> None:
    previous = {one.type: one for one in settle((), before, EARLY)}
    settled = settle(previous.values(), now, NOW)
    assert [one.type for one in settled] == sorted(one.type for one in now)
    for one in settled:
        same = one.type in previous and previous[one.type].status == one.status
        assert one.last_transition_time == (EARLY if same else NOW)


@given(st.lists(refusals, max_size=5), generations)
def test_ready_comes_with_at_most_one_of_stalled_and_reconciling(
    refused: list[Refusal], generation: int
) -> None:
    ready, *beside = summarize_ready(refused, "All is well.", generation)
    assert (ready.type, ready.observed_generation) == ("Ready", generation)
    kinds = {patience(one.reason) for one in refused}
    is_done = not refused or (Patience.QUIET in kinds and Patience.STALLED not in kinds)
    assert (ready.status == "True") == is_done
    if Patience.STALLED in kinds:
        assert [one.type for one in beside] == ["Stalled"]
    elif is_done:
        assert beside == []
    assert len(beside) <= 1
    assert all(one.status == "True" and one.reason == ready.reason for one in beside)


@given(st.lists(refusals, min_size=1, max_size=5))
def test_no_message_is_longer_than_what_a_status_takes(refused: list[Refusal]) -> None:
    for one in summarize_ready(refused, "", 1):
        assert len(one.message) <= MESSAGE_LIMIT
