"""What the operator as a process answers and writes: probes, metrics, where it is, and a line for each change."""

import json
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from support.operator import OperatorProcess
from support.story import CONNECTION, Story
from testbed.milvus import MilvusServer
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder

SEARCH = {"privileges": ["Search"], "collections": ["*"]}


def value(story: Story, metric: str, **labels: str) -> float | None:
    """The value of a metric of the story's connection; None when it has none."""
    wanted = {"connection": f"{story.namespace}/{CONNECTION}", **labels}
    families = text_string_to_metric_families(story.operator.get("/metrics"))
    samples = (sample for family in families for sample in family.samples)
    return next((one.value for one in samples if one.name == metric and one.labels == wanted), None)


def lines(operator: OperatorProcess, logger: str) -> list[dict[str, Any]]:
    """What one logger has written."""
    records = [json.loads(line) for line in operator.output.splitlines() if line.startswith("{")]
    return [one for one in records if one["logger"] == logger]


def begin(story: Story) -> str:
    """A role and a user that holds it, Ready; the role's name."""
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.password("app", "Secret-1")
    story.user("app", story.unique("user"), role)
    story.wait_ready("MilvusUser", "app")
    story.wait_ready("MilvusRole", "reader")
    return role


def wait_for_login(story: Story) -> None:
    """Have the user's password looked at, until that is counted."""
    story.reconcile("MilvusUser", "app")
    checks = {"check": "login", "verdict": "InForce"}
    story.wait(lambda: (value(story, "milvus_rbac_password_checks_total", **checks) or 0) > 0, "a login")


def naming(story: Story, label: str) -> list[str]:
    """The series with this label, but for the times at which they began."""
    metrics = story.operator.get("/metrics").splitlines()
    return [line for line in metrics if label in line and "_created" not in line]


def test_a_working_operator_is_alive_ready_and_counts(story: Story) -> None:
    story.role("reader", story.unique("role"), SEARCH)
    story.wait_ready("MilvusRole", "reader")
    assert story.operator.get("/healthz")
    assert story.operator.get("/readyz")
    assert value(story, "milvus_rbac_claims", reason="Ready") == 1
    assert value(story, "milvus_rbac_connections", reason="Ready") == 1
    assert value(story, "milvus_rbac_changes_total", result="done", verb="CreateRole") == 1
    assert value(story, "milvus_rbac_milvus_calls_total", method="CreateRole", result="ok") == 1
    assert value(story, "milvus_rbac_time_to_ready_seconds_count") == 1
    assert (value(story, "milvus_rbac_snapshot_seconds_count") or 0) > 0
    assert (value(story, "milvus_rbac_snapshot_objects", kind="users") or 0) > 0
    assert value(story, "milvus_rbac_interval_seconds") == 300
    metrics = story.operator.get("/metrics")
    assert "milvus_rbac_leader 1.0" in metrics
    assert 'milvus_rbac_kubernetes_calls_total{method="PATCH",result="ok"}' in metrics


def test_what_is_put_back_and_how_passwords_are_checked_is_counted(story: Story, admin: MilvusAdmin) -> None:
    role = begin(story)
    assert not value(story, "milvus_rbac_drift_total")
    admin.revoke(role, "Collection", "*", "Search", "default")
    story.reconcile("MilvusRole", "reader")
    story.wait(lambda: value(story, "milvus_rbac_drift_total") == 1, "one repair")
    wait_for_login(story)


def test_a_connection_that_is_gone_is_in_no_metric(story: Story) -> None:
    begin(story)
    wait_for_login(story)
    for kind, name in (("MilvusUser", "app"), ("MilvusRole", "reader")):
        story.delete(kind, name)
        story.wait_gone(kind, name)
    assert value(story, "milvus_rbac_last_success_timestamp_seconds")
    story.delete("MilvusConnection", CONNECTION)
    story.wait_gone("MilvusConnection", CONNECTION)
    told = f'connection="{story.namespace}/{CONNECTION}"'
    kept = f"milvus_rbac_left_behind_total{{{told}}} 0.0"
    story.wait(lambda: naming(story, told) == [kept], "no other metric names it")


def test_each_change_in_milvus_is_a_line_that_says_who_asked_what_and_what_came_of_it(stage: Story) -> None:
    stage.connection()
    stage.start_operator(log_level="ERROR")  # these lines are written all the same
    role = stage.unique("role")
    stage.role("reader", role, SEARCH, {"privileges": ["Qwery"], "collections": ["*"]})
    stage.wait_reason("MilvusRole", "reader", "UnknownPrivilege")
    stage.role("reader", role, SEARCH)
    stage.wait_ready("MilvusRole", "reader")
    stage.delete("MilvusRole", "reader")
    stage.wait_gone("MilvusRole", "reader")
    told = lines(stage.operator, "milvus_rbac.audit")
    who = {"kind": "MilvusRole", "namespace": stage.namespace, "name": "reader"}
    assert all({key: one["resource"][key] for key in who} == who for one in told)
    assert all(one["connection"] == f"{stage.namespace}/{CONNECTION}" for one in told)
    verbs = [one["change"] for one in told]
    assert (verbs[0], verbs[-1]) == ("CreateRole", "DropRole")
    assert {one["result"] for one in told} == {"done"}
    assert f"grant Search on default to role {role}" in " ".join(one["message"] for one in told)
    assert len(verbs) == len(stage.written)


def test_a_change_whose_answer_is_lost_is_written_down_as_unknown(story: Story) -> None:
    story.wait_ready("MilvusConnection", CONNECTION)
    story.milvus.lose_reply("CreateRole")
    story.role("reader", story.unique("role"))
    story.wait_ready("MilvusRole", "reader")
    assert [one["result"] for one in lines(story.operator, "milvus_rbac.audit")] == ["unknown"]


def test_a_change_that_is_broken_off_by_a_stop_is_written_down(story: Story) -> None:
    story.wait_ready("MilvusConnection", CONNECTION)
    story.milvus.delay("CreateRole", 20)
    story.role("reader", story.unique("role"))
    story.wait(lambda: "CreateRole" in story.written, "the create on its way")
    story.operator.stop()
    (told,) = lines(story.operator, "milvus_rbac.audit")
    assert (told["change"], told["result"]) == ("CreateRole", "unknown")
    assert told["error"] == "broken off: CancelledError"


def test_the_first_own_password_of_root_is_written_down(
    stage: Story, fresh_milvus: Callable[[], MilvusServer]
) -> None:
    with MilvusForwarder(fresh_milvus().port) as way:
        stage.connection(uri=way.uri, password="Root-of-ours-1", bootstrap=True)
        stage.start_operator()
        stage.wait_ready("MilvusConnection", CONNECTION)
        (told,) = lines(stage.operator, "milvus_rbac.audit")
        assert (told["change"], told["result"]) == ("Bootstrap", "done")
        assert told["resource"]["kind"] == "MilvusConnection"
        assert "Root-of-ours" not in stage.operator.output
        assert value(stage, "milvus_rbac_changes_total", verb="Bootstrap", result="done") == 1


def test_whoever_asks_is_shown_what_threads_and_tasks_wait_for(story: Story) -> None:
    story.wait_ready("MilvusConnection", "prod")
    shown = story.operator.trace()
    assert "most recent call first" in shown
    assert "Task manager:" in shown
    assert "in Reconciler._sleep" in shown
