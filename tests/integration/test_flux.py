"""What Flux sees of a resource: the verdict of its own library on statuses that this operator writes."""

import json
import subprocess
from typing import Any

import pytest

from milvus_rbac.api.schema import NEVER_LOOKED
from milvus_rbac.domain.conditions import Patience, Reason, Refusal, patience, summarize_ready
from support.story import CONNECTION, Story
from testbed.checkers import ensure_kstatus

VERDICTS = {Patience.QUIET: "Current", Patience.WAITING: "InProgress", Patience.STALLED: "Failed"}
SEARCH = {"privileges": ["Search"], "collections": ["orders"]}


def kstatus(*objects: dict[str, Any]) -> list[str]:
    """Return what kstatus says of each object."""
    command = [str(ensure_kstatus())]
    told = subprocess.run(command, input=json.dumps(objects), capture_output=True, text=True, check=True)
    return [one["Status"] for one in json.loads(told.stdout)]


def role(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return a resource with a status."""
    metadata = {"name": "reader", "namespace": "team", "generation": 1, **metadata}
    head = {"apiVersion": "rbac.milvus.io/v1alpha1", "kind": "MilvusRole"}
    return {**head, "metadata": metadata, "status": status}


def test_every_reason_is_done_or_waits_or_has_failed_and_none_waits_for_what_never_comes() -> None:
    said = {}
    for reason in Reason:
        refusals = [] if reason is Reason.READY else [Refusal(reason, "What is wrong.")]
        conditions = summarize_ready(refusals, "All is well.", 1)
        written = [{"type": one.type, "status": one.status, "reason": one.reason} for one in conditions]
        said[reason] = role({"observedGeneration": 1, "conditions": written})
    verdicts = dict(zip(said, kstatus(*said.values()), strict=True))
    assert verdicts == {reason: VERDICTS[patience(reason)] for reason in Reason}


def test_what_was_never_looked_at_is_in_progress_and_what_is_deleted_is_terminating() -> None:
    leaving = role(NEVER_LOOKED, deletionTimestamp="2026-11-28T10:00:00Z")
    assert kstatus(role(NEVER_LOOKED), leaving) == ["InProgress", "Terminating"]


@pytest.mark.parametrize("of", ["resource", "connection"])
def test_what_is_suspended_or_observed_is_done(story: Story, of: str) -> None:
    if of == "resource":
        story.role("reader", story.unique("role"), SEARCH, suspend=True)
        story.wait_reason("MilvusRole", "reader", "Suspended")
    else:
        story.connection(mode="Observe")
        story.role("reader", story.unique("role"), SEARCH)
        story.wait_reason("MilvusRole", "reader", "Observed")
    found = [story.get("MilvusRole", "reader"), story.get("MilvusConnection", CONNECTION)]
    assert kstatus(*(one for one in found if one)) == ["Current", "Current"]


def test_on_a_suspended_connection_what_was_made_is_done_and_what_was_not_waits(story: Story) -> None:
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    story.connection(suspend=True)
    story.wait_reason("MilvusConnection", CONNECTION, "Suspended")
    story.role("reader", role, SEARCH, description="changed meanwhile")
    story.role("late", story.unique("role"), SEARCH)
    story.wait_reason("MilvusRole", "reader", "Suspended")
    story.wait_reason("MilvusRole", "late", "WaitingForConnection")
    found = [story.get("MilvusRole", name) for name in ("reader", "late")]
    assert kstatus(*(one for one in found if one)) == ["Current", "InProgress"]
