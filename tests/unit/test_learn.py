"""What a turn's outcome says about passwords, and about what can't be taken from a namespace."""

import pytest

from milvus_rbac.controller.apply import Outcome
from milvus_rbac.controller.learn import learn_password, note_stuck
from milvus_rbac.controller.memory import ClaimMemory, Reading
from milvus_rbac.controller.reconcile import Result
from milvus_rbac.domain.changes import PasswordMeans, RevokePrivilege, UpdatePassword
from milvus_rbac.domain.claims import Claim, Kind, Ref, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.delegation import NOTHING
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.state import Grant, State
from milvus_rbac.milvus.errors import OldPasswordRefused, Refused
from milvus_rbac.milvus.port import Password

USER = ClaimPlan(Claim(Ref(Kind.USER, "ns", "app", "u"), "app", WantedUser(frozenset()), ""))
NEW, OLD = Password("new-password"), Password("old-password")


@pytest.mark.parametrize(
    ("means", "works", "superuser", "not_in_force"),
    [
        (PasswordMeans.SUPERUSER, True, True, set()),
        (PasswordMeans.SUPERUSER, False, False, set()),
        (PasswordMeans.KNOWN_TEXT, True, None, set()),
        (PasswordMeans.KNOWN_TEXT, False, None, {OLD}),
    ],
)
def test_a_change_of_a_password_teaches_what_the_account_may_do_and_which_text_is_in_force(
    means: PasswordMeans, works: bool, superuser: bool | None, not_in_force: set[Password]
) -> None:
    outcome, record, change = Outcome(), ClaimMemory(), UpdatePassword("app", means)
    if works:
        outcome.done["u"].append(change)
    else:
        outcome.failed["u"].append((change, OldPasswordRefused("no")))
    found = learn_password(USER, Result(State(), (USER,), outcome), record, NEW, {"app": OLD})
    assert found is superuser
    assert record.not_in_force == not_in_force
    assert record.is_in_force(Reading(password=NEW)) is works


def test_what_milvus_refuses_to_take_is_told_once_and_forgotten_when_it_is_taken() -> None:
    grant = Grant("Global", "finders", "a", "*")
    change = RevokePrivilege("reader", grant)
    claim = Claim(Ref(Kind.ROLE, "team", "r", "r"), "reader", WantedRole(()), "", permit=NOTHING)
    plan = ClaimPlan(claim, (change,), firm=frozenset({change}))
    stuck, record = Outcome(), ClaimMemory()
    stuck.failed["r"].append((change, Refused(Reason.INVALID_SCOPE, "Milvus refuses.")))
    assert note_stuck(plan, Result(State(), (plan,), stuck), record)
    assert "MilvusRole team/r keeps what is not delegated" in record.stuck
    assert not note_stuck(plan, Result(State(), (plan,), stuck), record)
    assert not note_stuck(plan, Result(State(), (plan,), Outcome()), record)
    assert record.stuck == ""
