"""What the operator as a process answers: probes, metrics, and where it is."""

from support.story import Story


def test_a_working_operator_is_alive_ready_and_counts(story: Story) -> None:
    story.role("reader", story.unique("role"), {"privileges": ["Search"]})
    story.wait_ready("MilvusRole", "reader")
    assert story.operator.get("/healthz")
    assert story.operator.get("/readyz")
    metrics = story.operator.get("/metrics")
    label = f'connection="{story.namespace}/prod"'
    assert f'milvus_rbac_claims{{{label},reason="Ready"}} 1.0' in metrics
    assert f'milvus_rbac_changes_total{{{label},result="done",verb="CreateRole"}} 1.0' in metrics
    assert "milvus_rbac_leader 1.0" in metrics


def test_whoever_asks_is_shown_what_threads_and_tasks_wait_for(story: Story) -> None:
    story.wait_ready("MilvusConnection", "prod")
    shown = story.operator.trace()
    assert "most recent call first" in shown
    assert "Task scheduler:" in shown
    assert "in Corridor._sleep" in shown
