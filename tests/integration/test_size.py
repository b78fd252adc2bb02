"""Ten thousand users and five hundred roles with a thousand grants each: what the operator needs for them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.double import ServerSettings
from support.double.bulk import PASSWORD, fill
from support.story import Story

from .conftest import DressUp

USERS, ROLES, GRANTS = 10_000, 500, 1_000
PRIVILEGES = ["Search", "Query", "Insert", "Delete"]
MOST_MEMORY = 300
"""MiB."""
LONGEST_BLOCK = "0.1"
"""Seconds, a bound of the metric's buckets."""
WIDTH = 16
ROOM = ServerSettings(max_user_num=20_000, max_role_num=2_000, bcrypt_cost=4)


def memory(story: Story) -> float:
    """MiB that the operator has in memory now."""
    status = Path(f"/proc/{story.operator.process.pid}/status").read_text()
    line = next(one for one in status.splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def apply_everything(story: Story) -> None:
    """Apply a resource for everything that the double holds: it is all adopted."""

    def role(number: int) -> None:
        collections = [f"role_{number}_collection_{one}" for one in range(GRANTS // len(PRIVILEGES))]
        row = {"privileges": PRIVILEGES, "collections": collections}
        story.role(f"r{number}", f"role_{number}", row)

    def user(number: int) -> None:
        named = {"passwordSecretRef": {"name": "shared"}}
        story.user(f"u{number}", f"user_{number}", f"role_{number % ROLES}", **named)

    with ThreadPoolExecutor(WIDTH) as threads:
        list(threads.map(role, range(ROLES)))
        list(threads.map(user, range(USERS)))


@pytest.mark.timeout(600)
def test_ten_thousand_users_and_half_a_million_grants_fit_in_300_mib(dress_up: DressUp) -> None:
    story, double = dress_up("3.0", ROOM, interval="30s")
    double.ask(lambda one: fill(one, users=USERS, roles=ROLES, grants=GRANTS))
    story.password("shared", PASSWORD)
    apply_everything(story)

    def is_ready() -> bool:
        return story.metric("milvus_rbac_claims", reason="Ready") == USERS + ROLES

    story.wait(is_ready, "everything is Ready", timeout=300)

    def looks() -> int:
        return double.ask(lambda one: one.faults.count("BackupRBAC"))

    figures = []
    for _ in range(2):
        before = looks()
        story.wait(lambda before=before: looks() > before, "the next interval", timeout=120)  # type: ignore[misc]  # bound now
        story.wait(lambda: story.metric("milvus_rbac_workqueue_depth") == 0, "its end", timeout=120)
        figures.append(memory(story))
    total = story.metric("milvus_rbac_event_loop_block_seconds_count")
    short = story.metric("milvus_rbac_event_loop_block_seconds_bucket", le=LONGEST_BLOCK)
    print(f"memory after two resyncs: {figures} MiB; looks longer than {LONGEST_BLOCK} s: {total - short}")
    assert max(figures) < MOST_MEMORY
    assert total == short
