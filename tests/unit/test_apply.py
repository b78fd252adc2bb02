"""Carrying out a plan: order, width, and what a failure stops."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from milvus_rbac.controller.apply import HASHING_WIDTH, Budget, Outcome, apply_plans
from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DropRole,
    GrantPrivilege,
    RevokePrivilege,
    UnbindRole,
)
from milvus_rbac.domain.claims import Claim, Kind, Ref, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.state import Grant
from milvus_rbac.milvus.errors import InternalError, MilvusRbacError, Refused, Unreachable
from milvus_rbac.milvus.port import PasswordTexts

QUERY, SEARCH, INSERT = (Grant("Collection", name, "default", "*") for name in ("Query", "Search", "Insert"))
REFUSED = Refused(Reason.UNKNOWN_PRIVILEGE, "no such privilege")
STRANGE = InternalError("an answer that nobody knows")
LOST = Unreachable(Reason.UNREACHABLE, "nobody answers")


class Recorder:
    """Does what it is told and remembers it; some changes fail."""

    def __init__(
        self, failing: dict[Change, MilvusRbacError] | None = None, *, is_down: bool = False
    ) -> None:
        self._failing = failing or {}
        self._is_down = is_down
        self.made: list[Change] = []
        self.at_once = self.most_at_once = 0

    async def apply(self, change: Change, _: PasswordTexts, may_write: Callable[[], None]) -> None:
        may_write()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if change in self._failing:
            raise self._failing[change]
        self.made.append(change)

    async def probe(self) -> Any:
        if self._is_down:
            raise LOST

    is_interrupted = False
    confirm: Any = None
    observe: Any = None
    resolve: Any = None
    missing: Any = None
    close: Any = None


def role_plan(name: str, *changes: Change) -> ClaimPlan:
    claim = Claim(Ref(Kind.ROLE, "ns", name, f"uid-{name}"), name, WantedRole(()), "2026-01-01T00:00:00Z")
    return ClaimPlan(claim, changes)


def user_plan(name: str, *changes: Change) -> ClaimPlan:
    ref = Ref(Kind.USER, "ns", name, f"uid-{name}")
    return ClaimPlan(Claim(ref, name, WantedUser(frozenset()), "2026-01-01T00:00:00Z"), changes)


def run(milvus: Recorder, plans: Sequence[ClaimPlan]) -> Outcome:
    outcome = Outcome()
    asyncio.run(apply_plans(plans, milvus, PasswordTexts(), lambda: None, outcome))
    return outcome


def test_all_gives_of_all_claims_come_before_all_takes() -> None:
    milvus = Recorder()
    swap = role_plan("a", RevokePrivilege("a", QUERY), GrantPrivilege("a", SEARCH))
    other = role_plan("b", RevokePrivilege("b", QUERY), GrantPrivilege("b", INSERT))
    run(milvus, [swap, other])
    kinds = [type(change) for change in milvus.made]
    assert kinds == [GrantPrivilege, GrantPrivilege, RevokePrivilege, RevokePrivilege]


def test_a_give_that_milvus_refuses_holds_back_what_its_claim_had_and_nothing_else() -> None:
    milvus = Recorder({GrantPrivilege("a", SEARCH): REFUSED})
    had, by_hand = RevokePrivilege("a", QUERY), RevokePrivilege("a", INSERT)
    mistaken = role_plan("a", GrantPrivilege("a", SEARCH), had, by_hand)
    outcome = run(milvus, [replace(mistaken, firm=frozenset({by_hand}))])
    assert milvus.made == [by_hand]
    assert [error for _, error in outcome.failed["uid-a"]] == [REFUSED]
    assert outcome.held_back["uid-a"] == [had]


def test_a_give_that_may_still_succeed_holds_the_takes_of_its_own_claim_back() -> None:
    milvus = Recorder({GrantPrivilege("a", SEARCH): STRANGE})
    unsure = role_plan("a", GrantPrivilege("a", SEARCH), RevokePrivilege("a", QUERY))
    other = role_plan("b", RevokePrivilege("b", QUERY))
    outcome = run(milvus, [unsure, other])
    assert milvus.made == [RevokePrivilege("b", QUERY)]
    assert not outcome.is_complete(unsure)
    assert outcome.is_complete(other)


def test_what_needs_a_role_that_could_not_be_created_waits_for_it_and_says_so() -> None:
    milvus = Recorder({CreateRole("a"): REFUSED})
    role = role_plan("a", CreateRole("a"), GrantPrivilege("a", QUERY))
    user = user_plan("u", CreateUser("u"), BindRole("u", "a"), UnbindRole("u", "old"))
    outcome = run(milvus, [role, user])
    assert milvus.made == [CreateUser("u")]
    assert outcome.held_back["uid-u"] == [UnbindRole("u", "old")]
    assert [refusal.reason for refusal in outcome.waiting["uid-u"]] == [Reason.WAITING_FOR_ROLE]
    assert not outcome.waiting["uid-a"]


def test_when_the_server_does_not_answer_any_more_nothing_more_is_tried() -> None:
    milvus = Recorder({GrantPrivilege("a", QUERY): LOST}, is_down=True)
    plans = [role_plan("a", GrantPrivilege("a", QUERY)), role_plan("b", DropRole("b"))]
    outcome = run(milvus, plans)
    assert milvus.made == []
    assert outcome.trouble is LOST
    assert not any(outcome.is_complete(plan) for plan in plans)


def test_a_change_that_alone_is_not_answered_stops_only_its_own_claim() -> None:
    milvus = Recorder({GrantPrivilege("a", QUERY): LOST})
    plans = [
        role_plan("a", GrantPrivilege("a", QUERY), GrantPrivilege("a", SEARCH)),
        role_plan("b", GrantPrivilege("b", QUERY)),
    ]
    outcome = run(milvus, plans)
    assert milvus.made == [GrantPrivilege("b", QUERY)]
    assert outcome.unanswered == {"uid-a": LOST}
    assert outcome.trouble is None


def test_a_second_change_that_is_not_answered_ends_the_turn() -> None:
    """Each may have taken as long as a write may take."""
    milvus = Recorder({GrantPrivilege(name, QUERY): LOST for name in "ab"})
    outcome = run(milvus, [role_plan(name, GrantPrivilege(name, QUERY)) for name in "abc"])
    assert milvus.made == []
    assert outcome.trouble is LOST


def test_a_turn_ends_between_two_changes_when_its_time_is_over_and_others_wait() -> None:
    milvus = Recorder()
    plan = role_plan("a", GrantPrivilege("a", QUERY), GrantPrivilege("a", SEARCH))
    for others_wait, made in ((False, 2), (True, 0)):
        outcome, budget = Outcome(), Budget(lambda wait=others_wait: wait, shared=0.0)  # type: ignore[misc]  # bound now
        asyncio.run(apply_plans([plan], milvus, PasswordTexts(), lambda: None, outcome, budget))
        assert (len(outcome.done["uid-a"]), outcome.left(plan)) == (made, 2 - made)


def test_only_what_is_hashed_is_made_side_by_side() -> None:
    users, roles = Recorder(), Recorder()
    run(users, [user_plan(f"u{number}", CreateUser(f"u{number}")) for number in range(20)])
    run(roles, [role_plan(f"r{number}", CreateRole(f"r{number}")) for number in range(20)])
    assert users.most_at_once == HASHING_WIDTH
    assert roles.most_at_once == 1
