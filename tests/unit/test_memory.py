"""Only what was made can be undone, and only what is undone again and again is contested."""

from milvus_rbac.controller.memory import Memory
from milvus_rbac.domain.changes import BindRole, Change, GrantPrivilege
from milvus_rbac.domain.claims import Claim, Kind, Ref, WantedUser
from milvus_rbac.domain.desired import Desired
from milvus_rbac.domain.plan import Proposal
from milvus_rbac.domain.state import ANY, Grant

INTERVAL = 1000.0
BIND = BindRole("app", "reader")
GRANT = GrantPrivilege("reader", Grant("Global", "ListDatabases", ANY, ANY))


def proposed(*changes: Change, uid: str = "u") -> list[Proposal]:
    claim = Claim(Ref(Kind.USER, "ns", "app", uid), "app", WantedUser(frozenset()), "")
    return [Proposal(Desired(claim, None), changes)]


def undo(memory: Memory, times: int, *changes: Change, uid: str = "u") -> list[bool]:
    """Make changes and have them undone before each interval's snapshot; tell when that was contested."""
    told = []
    for _ in range(times):
        memory.note_made({uid: changes})
        contested = memory.contested(proposed(*changes, uid=uid), {uid}, INTERVAL)
        told.append({(uid, change) for change in changes} <= contested)
    return told


def test_what_was_undone_three_times_running_is_contested() -> None:
    memory = Memory()
    assert undo(memory, 4, BIND, GRANT) == [False, False, True, True]


def test_only_snapshots_of_the_interval_count() -> None:
    memory = Memory()
    for _ in range(5):
        memory.note_made({"u": [BIND]})
        assert not memory.contested(proposed(BIND), (), INTERVAL)
    undo(memory, 3, BIND)
    assert memory.contested(proposed(BIND), (), INTERVAL) == {("u", BIND)}, "held off in every turn"


def test_what_was_never_made_was_never_undone() -> None:
    memory = Memory()
    memory.note_made({"u": [], "other": [BIND]})
    for _ in range(5):
        assert not memory.contested(proposed(BIND), {"u"}, INTERVAL)


def test_what_was_not_made_again_since_was_not_undone_again() -> None:
    """A binding that waits for its role is needed on every snapshot; it must be made when the role comes."""
    memory = Memory()
    memory.note_made({"u": [BIND]})
    for _ in range(6):
        assert not memory.contested(proposed(BIND), {"u"}, INTERVAL)


def test_a_snapshot_without_the_need_ends_the_contention() -> None:
    memory = Memory()
    undo(memory, 2, BIND)
    assert not memory.contested(proposed(), {"u"}, INTERVAL)
    assert undo(memory, 3, BIND) == [False, False, True]


def test_a_hold_lasts_over_snapshots_in_which_nothing_is_made() -> None:
    memory = Memory()
    undo(memory, 3, BIND)
    for _ in range(3):
        assert memory.contested(proposed(BIND), {"u"}, INTERVAL) == {("u", BIND)}


def test_after_the_hold_it_is_made_once_more_and_then_held_again() -> None:
    memory = Memory()
    tiny = 1e-9  # the hold is over before the next look
    told = []
    for _ in range(6):
        memory.note_made({"u": [BIND]})
        memory.contested(proposed(BIND), {"u"}, tiny)
        told.append(memory.of("u").contentions[BIND].holds)
    assert told == [0, 0, 1, 1, 2, 2]


def test_who_is_changed_starts_afresh_and_nobody_else() -> None:
    memory = Memory()
    undo(memory, 3, BIND)
    undo(memory, 3, GRANT, uid="other")
    memory.renew("u")
    memory.renew("unknown")
    assert memory.contested([*proposed(BIND), *proposed(GRANT, uid="other")], (), INTERVAL) == {
        ("other", GRANT)
    }
    assert undo(memory, 3, BIND) == [False, False, True]


def test_one_batch_of_a_snapshot_leaves_the_contention_of_another_alone() -> None:
    memory = Memory()
    undo(memory, 2, BIND)
    undo(memory, 2, GRANT, uid="other")
    assert undo(memory, 1, BIND) == [True]
    assert undo(memory, 1, GRANT, uid="other") == [True]
    assert memory.contested([*proposed(BIND), *proposed(GRANT, uid="other")], (), INTERVAL) == {
        ("u", BIND),
        ("other", GRANT),
    }
