"""Reasons become conditions: what a person must change comes first, and no time moves without need."""

import pytest

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

CONFLICT = Refusal(Reason.CONFLICT, "Taken.")
WAITING = Refusal(Reason.WAITING_FOR_ROLE, "No role yet.")
SECRET = Refusal(Reason.WAITING_FOR_SECRET, "No Secret yet.")
SUSPENDED = Refusal(Reason.SUSPENDED, "Suspended.")


def test_every_reason_waits_for_something_or_nothing() -> None:
    assert {reason for reason in Reason if patience(reason) is Patience.QUIET} == {
        Reason.READY,
        Reason.SUSPENDED,
        Reason.EXPIRED,
        Reason.OBSERVED,
    }
    assert {reason for reason in Reason if patience(reason) is Patience.WAITING} == {
        Reason.PENDING,
        Reason.WAITING_FOR_SECRET,
        Reason.WAITING_FOR_ROLE,
        Reason.WAITING_FOR_PRIVILEGE_GROUP,
        Reason.WAITING_FOR_CONNECTION,
        Reason.UNREACHABLE,
        Reason.DELETING,
        Reason.DELETION_BLOCKED,
        Reason.INTERNAL_ERROR,
        Reason.PENDING,
    }


@pytest.mark.parametrize(
    ("refusals", "reason", "message", "beside"),
    [
        pytest.param([], Reason.READY, "Well.", [], id="nothing refused is ready"),
        pytest.param([CONFLICT], Reason.CONFLICT, "Taken.", ["Stalled"], id="a person has to do something"),
        pytest.param(
            [WAITING], Reason.WAITING_FOR_ROLE, "No role yet.", ["Reconciling"], id="it may heal by itself"
        ),
        pytest.param([SUSPENDED], Reason.SUSPENDED, "Suspended.", [], id="it is what the spec asks for"),
        pytest.param(
            [WAITING, CONFLICT],
            Reason.CONFLICT,
            "Taken. No role yet.",
            ["Stalled"],
            id="what a person must change comes first",
        ),
        pytest.param(
            [SECRET, WAITING],
            Reason.WAITING_FOR_SECRET,
            "No Secret yet. No role yet.",
            ["Reconciling"],
            id="else the first comes first",
        ),
        pytest.param(
            [WAITING, WAITING],
            Reason.WAITING_FOR_ROLE,
            "No role yet.",
            ["Reconciling"],
            id="nothing is said twice",
        ),
    ],
)
def test_ready_says_what_is_in_the_way(
    refusals: list[Refusal], reason: Reason, message: str, beside: list[str]
) -> None:
    ready, *others = summarize_ready(refusals, "Well.", 4)
    assert (ready.type, ready.status) == ("Ready", "False" if beside else "True")
    assert ready.matches_milvus == (not refusals)
    assert (ready.reason, ready.message, ready.observed_generation) == (reason, message, 4)
    assert [(one.type, one.status, one.reason, one.message) for one in others] == [
        (kind, "True", reason, message) for kind in beside
    ]


@pytest.mark.parametrize(
    ("refusals", "message"),
    [
        (
            [
                Refusal(
                    Reason.UNKNOWN_PRIVILEGE,
                    f"spec.grants[{row}]: Milvus has no privilege Serch; write Search.",
                )
                for row in range(500)
            ],
            "spec.grants[0], spec.grants[1], spec.grants[2] and 497 more: Milvus has no privilege Serch; write Search.",
        ),
        (
            [Refusal.naming(Reason.WAITING_FOR_ROLE, "No role ", name, " yet.") for name in "abcde"],
            "No role a, b, c and 2 more yet.",
        ),
        (
            [
                Refusal(Reason.UNKNOWN_PRIVILEGE, "spec.grants[0]: No privilege A."),
                Refusal(Reason.UNKNOWN_PRIVILEGE, "spec.grants[0]: No privilege B."),
            ],
            "spec.grants[0]: No privilege A. spec.grants[0]: No privilege B.",
        ),
    ],
)
def test_the_same_trouble_of_many_is_one_sentence_with_a_count(refusals: list[Refusal], message: str) -> None:
    ready, *_ = summarize_ready(refusals, "", 1)
    assert ready.message == message


@pytest.mark.parametrize(
    "name", ["a\u009b31m", "a\u0085b", "a\u2028b", "a\u202eb", "a\nb", "a\x1b[31m", "a\u2066b"]
)
def test_a_name_can_not_forge_what_is_shown(name: str) -> None:
    ready, *_ = summarize_ready([Refusal(Reason.CONFLICT, f"Role {name} is taken.")], "", 1)
    assert ready.message == f"Role a\\u{ord(name[1]):04x}{name[2:]} is taken."


@pytest.mark.parametrize(
    ("length", "said"),
    [(MESSAGE_LIMIT, MESSAGE_LIMIT), (MESSAGE_LIMIT + 1, MESSAGE_LIMIT), (10_000, MESSAGE_LIMIT)],
)
def test_a_message_is_cut_to_what_a_status_takes(length: int, said: int) -> None:
    (ready,) = summarize_ready((), "x" * length, 1)
    assert len(ready.message) == said
    assert ready.message.endswith("…") == (length > said)


def test_the_password_is_in_force_or_says_why_not() -> None:
    good, bad = summarize_password(None, 2), summarize_password(CONFLICT, 2)
    assert (good.type, good.status, good.reason) == ("PasswordSynced", "True", "Ready")
    assert (bad.type, bad.status, bad.reason, bad.message) == (
        "PasswordSynced",
        "False",
        "Conflict",
        "Taken.",
    )


def test_drift_is_counted() -> None:
    none, some = summarize_drift((), 2), summarize_drift(["a", "b"], 2)
    assert (none.type, none.status, none.reason) == ("Drifted", "False", "Observed")
    assert (some.status, some.reason) == ("True", "Observed")
    assert some.message.startswith("2 ")


EARLY, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def condition(status: str, reason: str = "Ready", time: str = "", kind: str = "Ready") -> Condition:
    return Condition(kind, status, reason, "", 1, time)


@pytest.mark.parametrize(
    ("before", "wanted", "time", "reason"),
    [
        ([], condition("True"), NOW, "the first time"),
        ([condition("True", time=EARLY)], condition("True"), EARLY, "nothing moved"),
        (
            [condition("False", "Conflict", EARLY)],
            condition("False", "Contested"),
            EARLY,
            "another reason is no transition",
        ),
        ([condition("False", "Conflict", EARLY)], condition("True"), NOW, "the status moved"),
        (
            [condition("True", kind="Stalled", time=EARLY)],
            condition("True"),
            NOW,
            "another condition's time is not its own",
        ),
        ([condition("True")], condition("True"), NOW, "one without a time never had one"),
    ],
)
def test_the_time_moves_where_the_status_does(
    before: list[Condition], wanted: Condition, time: str, reason: str
) -> None:
    (settled,) = settle(before, [wanted], NOW)
    assert settled.last_transition_time == time, reason
    assert (settled.status, settled.reason) == (wanted.status, wanted.reason)


def test_conditions_come_in_the_order_of_their_names_and_no_longer_true_ones_go() -> None:
    before = [condition("True", "Conflict", EARLY, "Stalled")]
    wanted = [condition("True"), condition("True", kind="PasswordSynced")]
    assert [one.type for one in settle(before, wanted, NOW)] == ["PasswordSynced", "Ready"]
