"""One status per resource says what is true after a round, and no more."""

from typing import Any

import pytest

from milvus_rbac.controller.apply import Outcome
from milvus_rbac.controller.claims import claim_of
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.events import EventReason
from milvus_rbac.controller.reconcile import Result
from milvus_rbac.controller.status import (
    MOST_GRANTS,
    MOST_PLAN_LINES,
    Report,
    pending_report,
    report,
    should_decide_again,
)
from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DropUser,
    GrantPrivilege,
    PasswordMeans,
    RecreateUser,
    RevokePrivilege,
    UpdatePassword,
)
from milvus_rbac.domain.claims import Claim, Origin, SecretVersion, WantedUser, stale_of
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import ServerFacts
from milvus_rbac.domain.guard import EXPIRED, OBSERVED, SUSPENDED
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.state import ANY, Grant, ObjectType, PasswordVerdict, Role, State, User
from milvus_rbac.milvus.errors import (
    AlreadyExists,
    InternalError,
    MilvusRbacError,
    NotFound,
    OldPasswordRefused,
    Refused,
)
from unit.resources import HERE, Json, body, claimed, entry, role, user

SERVER_FACTS = ServerFacts()
OBSERVE = ServerFacts(observe_only=True)
OPEN = ServerFacts(authorization=False)
QUERY = Grant(ObjectType.COLLECTION, "Query", "default", ANY)
VERSION = SecretVersion("s", "8")
CONFLICT = Refusal(Reason.CONFLICT, "Taken.")
WAITING_FOR_ROLE = Refusal(Reason.WAITING_FOR_ROLE, "No role.")
IN_FORCE, REFUSED, UNKNOWN = PasswordVerdict.IN_FORCE, PasswordVerdict.REFUSED, PasswordVerdict.UNKNOWN
UPDATE = UpdatePassword("app", PasswordMeans.SUPERUSER)
RECREATE = RecreateUser("app", frozenset())


def claim(one: Entry, refusal: Refusal | None = None) -> Claim:
    made = claim_of(one, {HERE}, "root")
    if not isinstance(made.wanted, WantedUser):
        return made
    wanted = WantedUser(made.wanted.roles, None if refusal else VERSION, password_refusal=refusal)
    return Claim(made.ref, made.object_name, wanted, "", origin=made.origin)


def tell(
    body: Json,
    observed: State,
    *,
    outcome: Outcome | None = None,
    server: ServerFacts = SERVER_FACTS,
    password_refusal: Refusal | None = None,
    **plan: Any,
) -> Report:
    """Report on a resource whose object is ours, unless `plan` says otherwise."""
    one = entry(body)
    made = ClaimPlan(claim(one, password_refusal), **({"origin": Origin.CREATED} | plan))
    return report(one, made, Result(observed, (made,), outcome or Outcome()), server, HERE)


def done(*changes: Change, uid: str = "uid-app") -> Outcome:
    """All of it was made."""
    outcome = Outcome()
    outcome.done[uid] += changes
    return outcome


def failed(
    *failures: tuple[Change, MilvusRbacError], waiting: tuple[Refusal, ...] = (), uid: str = "uid-app"
) -> Outcome:
    """Some of it was refused, and some waits because of that."""
    outcome = Outcome()
    outcome.failed[uid] += failures
    outcome.waiting[uid] += waiting
    return outcome


def held(*roles: str, verdict: PasswordVerdict = IN_FORCE) -> State:
    return State(users={"app": User(frozenset(roles), verdict)})


def said(one: Report) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in one.conditions}


class TestStatus:
    def test_a_user_is_told_as_it_is_now(self) -> None:
        one = tell(
            user(generation=3),
            State(),
            outcome=done(CreateUser("app"), BindRole("app", "b"), BindRole("app", "a")),
        )
        assert one.status == {
            "observedGeneration": 3,
            "claim": {"endpoint": HERE, "name": "app", "origin": "Created"},
            "roles": ["a", "b"],
            "roleCount": 2,
            "password": {"secretUid": "s", "secretResourceVersion": "8"},
        }
        assert said(one) == {"Ready": ("True", "Ready"), "PasswordSynced": ("True", "Ready")}
        assert all(condition.observed_generation == 3 for condition in one.conditions)

    def test_a_role_is_told_as_it_is_now(self) -> None:
        observed = State(roles={"reader": Role(frozenset({QUERY}))})
        extra = Grant("Global", "ListDatabases", ANY, ANY)
        made = done(GrantPrivilege("reader", extra), RevokePrivilege("reader", QUERY), uid="uid-reader")
        one = tell(role(), observed, outcome=made)
        grant = {"objectType": "Global", "privilege": "ListDatabases", "database": "*", "objectName": "*"}
        assert one.status["grants"] == [grant]
        assert one.status["grantCount"] == 1
        assert said(one) == {"Ready": ("True", "Ready")}

    def test_of_very_many_grants_the_first_are_told_and_all_are_counted(self) -> None:
        many = {Grant("Collection", "Query", "default", f"c{number:04}") for number in range(MOST_GRANTS + 5)}
        one = tell(role(), State(roles={"reader": Role(frozenset(many))}))
        assert len(one.status["grants"]) == MOST_GRANTS
        assert one.status["grants"][0]["objectName"] == "c0000"
        assert one.status["grantCount"] == MOST_GRANTS + 5

    def test_of_a_role_that_nobody_read_no_grants_are_told(self) -> None:
        one = tell(role(), State(roles={"reader": Role(None)}), origin=None, refusals=(CONFLICT,))
        assert one.status == {"observedGeneration": 1}

    def test_what_is_not_there_is_not_claimed(self) -> None:
        limit = Refused(Reason.LIMIT_REACHED, "Full.")
        for one_body, change in ((user(), CreateUser("app")), (role(), CreateRole("reader"))):
            outcome = failed((change, limit), uid=one_body["metadata"]["uid"])
            one = tell(one_body, State(), outcome=outcome)
            assert one.status == {"observedGeneration": 1}
            assert said(one) == {"Ready": ("False", "LimitReached"), "Stalled": ("True", "LimitReached")}

    def test_what_is_not_ours_is_not_claimed(self) -> None:
        one = tell(user(), held("a"), origin=None, refusals=(CONFLICT,))
        assert "claim" not in one.status

    @pytest.mark.parametrize(
        ("verdict", "expected", "reason"),
        [
            (IN_FORCE, "8", "the Secret's version, as just proven"),
            (UNKNOWN, "7", "nobody asked: what was proven before"),
            (REFUSED, "7", "proven wrong: what was accepted last, which a rotation must not lose"),
        ],
    )
    def test_the_version_in_force_is_the_one_that_was_proven(
        self, verdict: PasswordVerdict, expected: str | None, reason: str
    ) -> None:
        before = claimed() | {"password": {"secretUid": "s", "secretResourceVersion": "7"}}
        version = tell(user(status=before), held(verdict=verdict)).status.get("password")
        assert (version["secretResourceVersion"] if version else None) == expected, reason

    def test_a_version_that_was_never_proven_is_not_told(self) -> None:
        assert "password" not in tell(user(), held(verdict=UNKNOWN)).status


class TestReady:
    def test_all_that_is_in_the_way_is_said(self) -> None:
        one = tell(
            user(),
            held(),
            refusals=(WAITING_FOR_ROLE,),
            outcome=failed(
                (BindRole("app", "x"), Refused(Reason.MISSING_PRIVILEGES, "Not allowed.")),
                waiting=(Refusal(Reason.WAITING_FOR_ROLE, "Not created."),),
            ),
        )
        assert one.conditions[0].message == "Not allowed. No role. Not created."
        assert said(one)["Ready"] == ("False", "MissingPrivileges")

    @pytest.mark.parametrize(
        ("change", "reason", "message"),
        [
            (CreateUser("app"), Reason.INVALID_NAME, "spec.userName: No."),
            (CreateUser("app"), Reason.PASSWORD_TOO_SHORT, "spec.passwordSecretRef: No."),
            (UPDATE, Reason.PASSWORD_TOO_LONG, "spec.passwordSecretRef: No."),
            (BindRole("app", "x"), Reason.INVALID_NAME, "spec.roles: No."),
            (CreateUser("app"), Reason.LIMIT_REACHED, "No."),
        ],
    )
    def test_what_is_wrong_in_the_spec_names_its_field(
        self, change: Change, reason: Reason, message: str
    ) -> None:
        one = tell(user(), held(), outcome=failed((change, Refused(reason, "No."))))
        assert (one.conditions[0].reason, one.conditions[0].message) == (reason, message)

    def test_a_password_that_nobody_could_try_is_ready_only_if_it_was_in_force_before(self) -> None:
        assert said(tell(user(), held(verdict=UNKNOWN)))["Ready"] == ("False", "Unreachable")
        known = {"secretUid": VERSION.uid, "secretResourceVersion": VERSION.resource_version}
        one = tell(user(status=claimed() | {"password": known}), held(verdict=UNKNOWN))
        assert said(one)["Ready"] == ("True", "Ready")
        foreign = tell(user(), held(verdict=UNKNOWN), origin=None, refusals=(CONFLICT,))
        assert said(foreign)["Ready"] == ("False", "Conflict")

    def test_with_authorization_off_no_user_is_ready_but_roles_are(self) -> None:
        one = tell(user(), held(verdict=UNKNOWN), server=OPEN)
        assert said(one) == {
            "Ready": ("False", "AuthorizationOff"),
            "Stalled": ("True", "AuthorizationOff"),
            "PasswordSynced": ("False", "AuthorizationOff"),
        }
        assert said(tell(role(), State(roles={"reader": Role()}), server=OPEN)) == {
            "Ready": ("True", "Ready")
        }

    @pytest.mark.parametrize(
        ("refusals", "waits", "reason"),
        [
            ((), False, "there is nothing to wait for"),
            ((WAITING_FOR_ROLE,), True, "it may come in a moment"),
            ((WAITING_FOR_ROLE, CONFLICT), False, "somebody has to do something besides"),
        ],
    )
    def test_a_wait_is_told_from_what_needs_somebody(
        self, refusals: tuple[Refusal, ...], waits: bool, reason: str
    ) -> None:
        assert tell(user(), held(), refusals=refusals).only_waits is waits, reason


class TestPassword:
    OLD_UNKNOWN = Refusal(Reason.OLD_PASSWORD_UNKNOWN, "Which was it?")

    def test_the_password_condition_tells_why_the_password_was_left_alone(self) -> None:
        one = tell(
            user(),
            held(verdict=REFUSED),
            withheld=(RECREATE, BindRole("app", "x")),
            refusals=(Refusal(Reason.RESERVED_NAME, "public."), self.OLD_UNKNOWN, WAITING_FOR_ROLE),
        )
        assert said(one)["PasswordSynced"] == ("False", "OldPasswordUnknown")

    @pytest.mark.parametrize("change", [UPDATE, RECREATE])
    def test_a_change_that_was_refused_says_what_the_server_said(self, change: Change) -> None:
        bind = (BindRole("app", "x"), NotFound("gone"))
        outcome = failed(bind, (change, OldPasswordRefused("No.")))
        one = tell(user(), held(verdict=REFUSED), outcome=outcome)
        assert said(one)["PasswordSynced"] == ("False", "OldPasswordUnknown")

    def test_what_is_wrong_with_the_secret_comes_first(self) -> None:
        empty = Refusal(Reason.SECRET_EMPTY, "Empty.")
        one = tell(
            user(), held(verdict=UNKNOWN), password_refusal=empty, refusals=(empty,), withheld=(UPDATE,)
        )
        assert said(one)["PasswordSynced"] == ("False", "SecretEmpty")

    def test_nothing_is_said_of_a_password_that_nobody_tried(self) -> None:
        one = tell(user(), held(verdict=UNKNOWN), refusals=(SUSPENDED,))
        assert said(one) == {"Ready": ("True", "Suspended")}

    def test_a_refusal_that_is_about_something_else_is_not_the_passwords(self) -> None:
        one = tell(
            user(), held(verdict=IN_FORCE), withheld=(BindRole("app", "x"),), refusals=(WAITING_FOR_ROLE,)
        )
        assert said(one)["PasswordSynced"] == ("True", "Ready")


class TestObserve:
    def test_the_plan_is_told_and_drift_with_it(self) -> None:
        one = tell(
            user(),
            held("a"),
            server=OBSERVE,
            withheld=(BindRole("app", "b"), UPDATE),
            refusals=(OBSERVED,),
            origin=None,
        )
        assert one.status["plan"] == ["bind role b to user app", "update the password of user app"]
        assert said(one)["Drifted"] == ("True", "Observed")
        assert said(one)["Ready"] == ("True", "Observed")
        assert one.status["roles"] == ["a"]

    def test_without_drift_there_is_no_plan(self) -> None:
        one = tell(role(), State(roles={"reader": Role()}), server=OBSERVE)
        assert "plan" not in one.status
        assert said(one) == {"Ready": ("True", "Ready"), "Drifted": ("False", "Observed")}

    def test_a_long_plan_is_cut(self) -> None:
        changes = tuple(BindRole("app", f"r{number}") for number in range(MOST_PLAN_LINES + 1))
        one = tell(user(), held(), server=OBSERVE, withheld=changes, refusals=(OBSERVED,))
        assert len(one.status["plan"]) == MOST_PLAN_LINES
        drifted = next(condition for condition in one.conditions if condition.type == "Drifted")
        assert drifted.message.startswith(f"{MOST_PLAN_LINES + 1} ")


def condition(status: str, reason: str, generation: int = 1) -> Json:
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def after(status: str, reason: str, generation: int = 1) -> Json:
    return user(status=claimed() | {"conditions": [condition(status, reason, generation)]})


class TestEvents:
    @pytest.mark.parametrize(
        ("body", "refusals", "turns", "why"),
        [
            (user(), (), [], "the first Ready is no news"),
            (user(), (WAITING_FOR_ROLE,), [], "to wait at first is no news"),
            (user(), (CONFLICT,), [("Warning", "Conflict")], "trouble is"),
            (after("True", "Ready"), (), [], "still Ready"),
            (after("False", "Conflict"), (), [("Normal", EventReason.RECOVERED)], "out of trouble"),
            (after("True", "Ready"), (CONFLICT,), [("Warning", "Conflict")], "into trouble"),
            (after("False", "Conflict"), (CONFLICT,), [], "the same trouble"),
            (after("False", "Contested"), (CONFLICT,), [("Warning", "Conflict")], "another trouble"),
            (
                after("True", "Ready"),
                (SUSPENDED,),
                [("Normal", "Suspended")],
                "what was wished is no trouble",
            ),
        ],
    )
    def test_a_turn_of_ready_is_told(
        self, body: Json, refusals: tuple[Refusal, ...], turns: list[tuple[str, str]], why: str
    ) -> None:
        one = tell(body, held(), refusals=refusals)
        assert [(news.type, news.reason) for news in one.transitions] == turns, why

    @pytest.mark.parametrize(
        ("body", "changes", "told", "why"),
        [
            (
                after("True", "Ready"),
                (BindRole("app", "x"),),
                [("DriftCorrected", "Put back what others had changed: bind role x to user app.")],
                "drift",
            ),
            (after("True", "Ready", 0), (BindRole("app", "x"),), [], "the spec asked for it"),
            (after("False", "WaitingForRole"), (BindRole("app", "x"),), [], "it was waited for"),
            (user(), (CreateUser("app"),), [], "the first time"),
            (
                after("True", "Ready"),
                (UPDATE,),
                [
                    (
                        "PasswordRotated",
                        "Changed the password to the Secret's: update the password of user app.",
                    )
                ],
                "a rotation is no repair",
            ),
            (
                user(),
                (RECREATE, BindRole("app", "x")),
                [
                    (
                        "PasswordRotated",
                        "Changed the password to the Secret's: drop and re-create user app to change its password.",
                    )
                ],
                "a rotation is told always",
            ),
            (after("True", "Ready"), (), [], "nothing was done"),
        ],
    )
    def test_what_was_done_without_being_asked_for_is_told(
        self, body: Json, changes: tuple[Change, ...], told: list[tuple[str, str]], why: str
    ) -> None:
        observed = State() if CreateUser("app") in changes else held()
        one = tell(body, observed, outcome=done(*changes))
        assert [(news.reason, news.message) for news in one.changes] == told, why
        assert {news.type for news in one.changes} <= {"Normal"}

    def test_what_was_taken_over_and_what_has_expired_is_told(self) -> None:
        (adopted,) = tell(user(), held(), origin=Origin.ADOPTED).changes
        assert (adopted.reason, adopted.message) == (
            "Adopted",
            "Took over the user app, which was in Milvus already.",
        )


class TestExpiry:
    def test_a_user_is_called_gone_only_when_it_is(self) -> None:
        drop = DropUser("app", frozenset())
        gone = tell(user(), held(), outcome=done(drop), refusals=(EXPIRED,))
        assert said(gone)["Ready"] == ("True", "Expired")
        error = Refused(Reason.MISSING_PRIVILEGES, "Not allowed.")
        there = tell(user(), held(), outcome=failed((drop, error)), refusals=(EXPIRED,))
        assert said(there)["Ready"] == ("False", "MissingPrivileges")
        assert "still in Milvus" in there.conditions[0].message
        foreign = tell(user(), held(), origin=None, refusals=(EXPIRED,))
        assert said(foreign)["Ready"] == ("True", "Expired")


class TestPending:
    def test_what_was_true_before_stays(self) -> None:
        before = claimed() | {"roles": ["a"], "roleCount": 1, "conditions": [condition("True", "Ready")]}
        one = pending_report(entry(user(status=before, generation=2)), WAITING_FOR_ROLE)
        assert one.status == {
            "observedGeneration": 2,
            "claim": before["claim"],
            "roles": ["a"],
            "roleCount": 1,
        }
        assert said(one) == {"Ready": ("False", "WaitingForRole"), "Reconciling": ("True", "WaitingForRole")}
        assert one.refusals == (WAITING_FOR_ROLE,)
        assert one.only_waits
        assert [news.reason for news in one.transitions] == ["WaitingForRole"]
        assert one.changes == ()


@pytest.mark.parametrize(
    ("error", "again", "reason"),
    [
        (AlreadyExists("somebody was faster"), True, "decide whether it may be taken over"),
        (NotFound("gone"), True, "it may have to be made"),
        (OldPasswordRefused("no"), True, "there may be another way"),
        (Refused(Reason.LIMIT_REACHED, "full"), False, "the same answer again"),
        (InternalError("what?"), False, "not at once"),
    ],
)
def test_where_the_world_was_not_as_observed_it_is_decided_anew_at_once(
    error: MilvusRbacError, again: bool, reason: str
) -> None:
    outcome = Outcome()
    outcome.failed["u"].append((CreateUser("app"), error))
    assert should_decide_again(outcome, "u") is again, reason
    assert not should_decide_again(outcome, "another")


PENDING: Json = {"role": "reader", "privilege": "Query", "database": "sales", "objectName": "*"}


class TestGroups:
    def group(self) -> Json:
        spec = {"groupName": "app", "privileges": ["Search"], "connectionRef": {"name": "prod"}}
        return body("MilvusPrivilegeGroup", "app", spec, claimed() | {"pendingRevokes": [PENDING]})

    def test_a_group_that_nobody_could_see_is_still_ours_and_so_is_what_it_left(self) -> None:
        unseen = State(roles={"reader": Role()}, groups_unreadable=True)
        one = tell(self.group(), unseen, stale=stale_of(claim(entry(self.group()))))
        assert one.status["claim"] == claimed()["claim"]
        assert one.status["pendingRevokes"] == [PENDING]

    def test_a_group_that_is_not_there_is_not_ours(self) -> None:
        assert "claim" not in tell(self.group(), State()).status
