"""What the operator as a process answers and writes: probes, metrics, where it is, and a line for each change."""

import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from support.operator import OperatorProcess
from support.story import CONNECTION, Story
from testbed.milvus_admin import MilvusAdmin

SEARCH = {"privileges": ["Search"]}


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
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.password("app", "Secret-1")
    story.user("app", story.unique("user"), role)
    story.wait_ready("MilvusUser", "app")
    story.wait_ready("MilvusRole", "reader")
    assert not value(story, "milvus_rbac_drift_total")
    admin.revoke(role, "Collection", "*", "Search", "default")
    story.reconcile("MilvusRole", "reader")
    story.wait(lambda: value(story, "milvus_rbac_drift_total") == 1, "one repair")
    story.reconcile("MilvusUser", "app")
    checks = {"check": "login", "verdict": "InForce"}
    story.wait(lambda: (value(story, "milvus_rbac_password_checks_total", **checks) or 0) > 0, "a login")


def test_a_connection_that_is_gone_is_in_no_metric(story: Story) -> None:
    story.wait_ready("MilvusConnection", CONNECTION)
    assert value(story, "milvus_rbac_last_success_timestamp_seconds")
    story.delete("MilvusConnection", CONNECTION)
    story.wait_gone("MilvusConnection", CONNECTION)
    told = f'connection="{story.namespace}/{CONNECTION}"'
    story.wait(lambda: told not in story.operator.get("/metrics"), "no metric names the connection")


def test_each_change_in_milvus_is_a_line_that_says_who_asked_what_and_what_came_of_it(stage: Story) -> None:
    stage.connection()
    stage.start_operator(log_level="ERROR")  # these lines are written all the same
    role = stage.unique("role")
    stage.role("reader", role, SEARCH, {"privileges": ["Qwery"]})
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


def test_whoever_asks_is_shown_what_threads_and_tasks_wait_for(story: Story) -> None:
    story.wait_ready("MilvusConnection", "prod")
    shown = story.operator.trace()
    assert "most recent call first" in shown
    assert "Task scheduler:" in shown
    assert "in Corridor._sleep" in shown
