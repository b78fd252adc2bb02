"""Stories of what people and tools read: conditions, columns, Events, and what of it moves when."""

from typing import Any

from milvus_rbac.api.schema import NEVER_LOOKED
from support.story import CONNECTION, Story
from testbed.milvus_admin import MilvusAdmin

SEARCH = {"privileges": ["Search"], "collections": ["orders"]}
WRONG = {"privileges": ["Serch"], "collections": ["*"]}
PASSWORD = "Secret-1"  # noqa: S105 - a test's
LONG_AGO = "2020-01-01T00:00:00Z"


def make_role(story: Story) -> str:
    """A role that is Ready; its name in Milvus."""
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    return role


def conditions(story: Story, kind: str, name: str) -> dict[str, dict[str, Any]]:
    body = story.get(kind, name)
    assert body is not None
    return {one["type"]: one for one in body["status"]["conditions"]}


def write_conditions(story: Story, kind: str, name: str, *written: dict[str, Any]) -> None:
    """Write the whole list of conditions, as somebody else with the right to do so."""
    path = f"{story._path(kind, name)}/status"
    story.cluster.patch(path, {"status": {"conditions": list(written)}})


def columns(story: Story, kind: str, name: str) -> dict[str, str]:
    """What `kubectl get` prints for one object, by the column's name."""
    header, line = story.cluster.kubectl("get", kind, name, "--namespace", story.namespace).splitlines()
    starts = [
        index
        for index, letter in enumerate(header)
        if letter != " " and header[index - 1 : index] in {"", " "}
    ]
    ends = [*starts[1:], None]
    return {
        header[start:end].strip(): line[start:end].strip() for start, end in zip(starts, ends, strict=True)
    }


# --- generations and times


def test_until_the_first_look_a_resource_says_that_nobody_has_looked(stage: Story) -> None:
    stage.role("reader", stage.unique("role"))
    assert (stage.get("MilvusRole", "reader") or {})["status"] == NEVER_LOOKED


def test_every_condition_tells_for_which_generation_it_was_found(story: Story) -> None:
    role, user = make_role(story), story.unique("user")
    story.password("app", PASSWORD)
    story.user("app", user, role)
    story.wait_ready("MilvusUser", "app")
    story.user("app", user)
    body = story.wait_ready("MilvusUser", "app")
    assert body["metadata"]["generation"] == 2
    assert body["status"]["observedGeneration"] == 2
    found = conditions(story, "MilvusUser", "app")
    assert sorted(found) == ["PasswordSynced", "Ready"]
    assert {one["observedGeneration"] for one in found.values()} == {2}
    assert {one["status"] for one in found.values()} == {"True"}


def test_the_time_of_a_condition_moves_only_when_its_status_does(story: Story) -> None:
    role = make_role(story)
    ready = conditions(story, "MilvusRole", "reader")["Ready"]
    write_conditions(story, "MilvusRole", "reader", ready | {"lastTransitionTime": LONG_AGO})
    story.role("reader", role)
    story.wait_ready("MilvusRole", "reader")
    found = conditions(story, "MilvusRole", "reader")["Ready"]
    assert found["lastTransitionTime"] == LONG_AGO
    assert found["observedGeneration"] == 2
    story.role("reader", role, WRONG)
    story.wait_reason("MilvusRole", "reader", "UnknownPrivilege")
    assert conditions(story, "MilvusRole", "reader")["Ready"]["lastTransitionTime"] > LONG_AGO


def test_what_is_as_it_was_is_not_written_again(story: Story) -> None:
    make_role(story)
    before = (story.get("MilvusRole", "reader") or {})["metadata"]["resourceVersion"]
    story.reconcile("MilvusRole", "reader")
    annotated = (story.get("MilvusRole", "reader") or {})["metadata"]["resourceVersion"]
    # It was looked at again when another one, marked later, is Ready.
    story.role("later", story.unique("role"))
    story.wait_ready("MilvusRole", "later")
    assert before != annotated
    assert (story.get("MilvusRole", "reader") or {})["metadata"]["resourceVersion"] == annotated


# --- what tools like kstatus read


def test_stalled_is_there_only_while_somebody_has_to_change_something(story: Story) -> None:
    role = make_role(story)
    assert set(conditions(story, "MilvusRole", "reader")) == {"Ready"}
    story.role("reader", role, WRONG)
    story.wait_reason("MilvusRole", "reader", "UnknownPrivilege")
    found = conditions(story, "MilvusRole", "reader")
    assert set(found) == {"Ready", "Stalled"}
    assert found["Stalled"]["status"] == "True"
    assert found["Stalled"]["reason"] == "UnknownPrivilege"
    assert found["Stalled"]["message"] == found["Ready"]["message"]
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    assert set(conditions(story, "MilvusRole", "reader")) == {"Ready"}


def test_reconciling_is_there_only_while_something_is_waited_for(story: Story) -> None:
    story.user("app", story.unique("user"))
    story.wait_reason("MilvusUser", "app", "WaitingForSecret")
    found = conditions(story, "MilvusUser", "app")
    assert found["Reconciling"]["status"] == "True"
    assert found["Reconciling"]["reason"] == "WaitingForSecret"
    assert "Stalled" not in found
    story.password("app", PASSWORD)
    story.wait_ready("MilvusUser", "app")
    assert set(conditions(story, "MilvusUser", "app")) == {"Ready", "PasswordSynced"}


def test_what_needs_somebody_comes_before_what_heals_by_itself(story: Story) -> None:
    user, role = story.unique("user"), story.unique("role")
    story.password("app", "short")
    story.user("app", user, role)
    condition = story.wait_reason("MilvusUser", "app", "PasswordTooShort")
    assert "shorter than 6 bytes" in condition["message"]
    assert "Stalled" in conditions(story, "MilvusUser", "app")


def test_kubectl_wait_understands_the_conditions(story: Story) -> None:
    make_role(story)
    told = story.cluster.kubectl(
        "wait", "--for=condition=Ready", "mrole/reader", "--namespace", story.namespace, "--timeout=20s"
    )
    assert "condition met" in told


# --- conditions of others


def test_conditions_of_others_stay(story: Story) -> None:
    role = make_role(story)
    foreign = {
        "type": "example.com/Audited",
        "status": "True",
        "reason": "Audited",
        "message": "Somebody looked at it.",
        "lastTransitionTime": LONG_AGO,
    }
    ready = conditions(story, "MilvusRole", "reader")["Ready"]
    write_conditions(story, "MilvusRole", "reader", ready, foreign)
    for rows, reason in ((WRONG, "UnknownPrivilege"), (SEARCH, "Ready")):
        story.role("reader", role, rows)
        story.wait_reason("MilvusRole", "reader", reason)
        assert conditions(story, "MilvusRole", "reader")["example.com/Audited"] == foreign


# --- columns


def test_kubectl_get_shows_what_people_look_for(story: Story) -> None:
    role, user = make_role(story), story.unique("user")
    story.password("app", PASSWORD)
    story.user("app", user, role)
    story.wait_ready("MilvusUser", "app")
    shown = columns(story, "mrole", "reader")
    assert shown.pop("AGE")
    assert shown == {
        "NAME": "reader",
        "READY": "True",
        "REASON": "Ready",
        "ROLE": role,
        "CONNECTION": CONNECTION,
        "GRANTS": "1",
    }
    shown = columns(story, "muser", "app")
    assert shown.pop("AGE")
    assert shown == {
        "NAME": "app",
        "READY": "True",
        "REASON": "Ready",
        "USER": user,
        "CONNECTION": CONNECTION,
        "ROLES": "1",
    }
    story.wait(lambda: columns(story, "mconn", CONNECTION)["CLAIMS"] == "2", "the claims are counted")
    shown = columns(story, "mconn", CONNECTION)
    assert shown["READY"] == "True"
    assert shown["REASON"] == "Ready"
    assert shown["URI"] == story.milvus.uri
    assert "2.3.5" in shown["VERSION"]


def test_all_kinds_are_listed_by_their_category(story: Story) -> None:
    make_role(story)
    listed = story.cluster.kubectl(
        "get", "milvus-rbac", "--namespace", story.namespace, "--output=name"
    ).split()
    assert listed == [f"milvusconnection.rbac.milvus.io/{CONNECTION}", "milvusrole.rbac.milvus.io/reader"]


# --- Events


def test_the_first_ready_is_no_event(story: Story) -> None:
    role, user = make_role(story), story.unique("user")
    story.password("app", PASSWORD)
    story.user("app", user, role)
    story.wait_ready("MilvusUser", "app")
    story.wait_ready("MilvusConnection", CONNECTION)
    # Events are posted after the status, so they are looked for when a later round has ended.
    story.role("later", story.unique("role"))
    story.wait_ready("MilvusRole", "later")
    for name in ("reader", "app", CONNECTION):
        assert story.events(name) == []


def test_a_change_that_was_asked_for_is_no_event(story: Story) -> None:
    role = make_role(story)
    story.role("reader", role, {"privileges": ["Query"], "collections": ["*"]})
    story.wait_ready("MilvusRole", "reader")
    story.role("later", story.unique("role"))
    story.wait_ready("MilvusRole", "later")
    assert story.events("reader") == []


def test_trouble_and_its_end_are_events_with_the_reason_of_the_condition(story: Story) -> None:
    role = make_role(story)
    story.role("reader", role, WRONG)
    condition = story.wait_reason("MilvusRole", "reader", "UnknownPrivilege")
    event = story.wait_event("reader", "Serch")
    assert event == ("Warning", "UnknownPrivilege", condition["message"])
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    type_, reason, _ = story.wait_event("reader", "is in Milvus")
    assert (type_, reason) == ("Normal", "Recovered")


def test_a_resource_that_is_wrong_from_the_start_is_an_event(story: Story) -> None:
    story.role("reader", story.unique("role"), WRONG)
    story.wait_reason("MilvusRole", "reader", "UnknownPrivilege")
    assert story.wait_event("reader", "Serch")[0] == "Warning"


def test_trouble_of_the_connection_is_its_event_and_not_that_of_all_its_resources(
    story: Story, admin: MilvusAdmin
) -> None:
    role = make_role(story)
    story.milvus.drop_all()
    story.secret("milvus-admin", {"username": "root", "password": "Milvus", "note": "look again"})
    story.wait_reason("MilvusConnection", CONNECTION, "Unreachable")
    assert story.wait_event(CONNECTION, "spec.uri")[:2] == ("Warning", "Unreachable")
    story.milvus.restore()
    story.wait_ready("MilvusConnection", CONNECTION)
    story.wait_event(CONNECTION, "answers")
    assert story.events("reader") == []
    assert story.wait_ready("MilvusRole", "reader")
    assert role in admin.roles()
