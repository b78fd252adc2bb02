"""Ten thousand users and five hundred roles with a thousand grants each: what the operator needs for them."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.double import ServerSettings
from support.double.bulk import PASSWORD, fill
from support.story import API, CONNECTION, Story
from testbed.cluster import MERGE_PATCH

from .conftest import DressUp

USERS, ROLES, GRANTS = 10_000, 500, 1_000
PRIVILEGES = ["Search", "Query", "Insert", "Delete"]
MOST_MEMORY = 300
"""MiB."""
LONGEST_BLOCK = "0.1"
"""Seconds, a bound of the metric's buckets."""
WIDTH = 8
ROOM = ServerSettings(max_user_num=20_000, max_role_num=2_000, bcrypt_cost=4)
Json = dict[str, Any]


def every(work: Callable[[int], None], numbers: Iterable[int]) -> None:
    """Do the same for all of them, some side by side."""
    with ThreadPoolExecutor(WIDTH) as threads:
        list(threads.map(work, numbers))


def memory(story: Story) -> float:
    """MiB that the operator has in memory now."""
    status = Path(f"/proc/{story.operator.process.pid}/status").read_text()
    line = next(one for one in status.splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def role(number: int) -> Json:
    collections = [f"role_{number}_collection_{one}" for one in range(GRANTS // len(PRIVILEGES))]
    grants = [{"privileges": PRIVILEGES, "collections": collections}]
    return {"connectionRef": {"name": CONNECTION}, "roleName": f"role_{number}", "grants": grants}


def user(number: int) -> Json:
    return {
        "connectionRef": {"name": CONNECTION},
        "userName": f"user_{number}",
        "passwordSecretRef": {"name": "shared"},
        "roles": [f"role_{number % ROLES}"],
    }


def apply_as_it_was_left(story: Story) -> None:
    """Have a resource for everything that the double holds, with the status that an operator has written.

    It is that of the first user and role, with other names in it: a restore, or an operator that begins again.
    """
    call = story.cluster.call

    def put(kind: str, short: str, noun: str, spec: Callable[[int], Json]) -> Callable[[int], None]:
        path = f"{API}/namespaces/{story.namespace}/{kind.lower()}s"
        first = json.dumps((story.get(kind, f"{short}0") or {})["status"])

        def one(number: int) -> None:
            name = f"{short}{number}"
            metadata = {"name": name, "finalizers": ["rbac.milvus.io/finalizer"]}
            body = {"apiVersion": "rbac.milvus.io/v1alpha1", "kind": kind, "metadata": metadata}
            call("POST", path, body | {"spec": spec(number)})
            status = first.replace(f"{noun}_0", f"{noun}_{number}")
            if kind == "MilvusUser":
                status = status.replace('"role_0"', f'"role_{number % ROLES}"')
            call("PATCH", f"{path}/{name}/status", {"status": json.loads(status)}, MERGE_PATCH)

        return one

    every(put("MilvusRole", "r", "role", role), range(1, ROLES))
    every(put("MilvusUser", "u", "user", user), range(1, USERS))


def let_go(story: Story) -> None:
    """Take all finalizers off: one by one, the end of the story would take minutes."""
    root = f"{API}/namespaces/{story.namespace}"
    bare = {"metadata": {"finalizers": None}}

    def release(kind: str) -> Callable[[int], None]:
        def one(number: int) -> None:
            story.cluster.call("PATCH", f"{root}/{kind}{number}", bare, MERGE_PATCH)

        return one

    for kind, count in (("milvusroles/r", ROLES), ("milvususers/u", USERS)):
        every(release(kind), range(count))
        story.cluster.api("DELETE", f"{root}/{kind.partition('/')[0]}", timeout=120)


@pytest.mark.size
@pytest.mark.timeout(600)
def test_ten_thousand_users_and_half_a_million_grants_fit_in_300_mib(dress_up: DressUp) -> None:
    story, double = dress_up("3.0", ROOM, interval="60s")
    double.ask(lambda one: fill(one, users=USERS, roles=ROLES, grants=GRANTS))
    story.password("shared", PASSWORD)
    story.apply("MilvusRole", "r0", role(0))
    story.apply("MilvusUser", "u0", user(0))
    story.wait_ready("MilvusRole", "r0")
    story.wait_ready("MilvusUser", "u0")
    story.operator.kill()
    apply_as_it_was_left(story)
    story.start_operator()

    def is_at_rest() -> bool:
        ready = story.metric("milvus_rbac_claims", reason="Ready") == USERS + ROLES
        turns = story.metric("milvus_rbac_reconciliations_total")
        return ready and turns > 0 and story.metric("milvus_rbac_workqueue_depth") == 0

    story.wait(is_at_rest, "everything is looked at", timeout=240)
    figures = [memory(story)]
    before = double.ask(lambda one: one.faults.count("BackupRBAC"))
    story.wait(
        lambda: double.ask(lambda one: one.faults.count("BackupRBAC")) > before, "an interval", timeout=120
    )
    story.wait(is_at_rest, "the end of the interval's look", timeout=120)
    figures.append(memory(story))
    total = story.metric("milvus_rbac_event_loop_block_seconds_count")
    short = story.metric("milvus_rbac_event_loop_block_seconds_bucket", le=LONGEST_BLOCK)
    writes = story.metric("milvus_rbac_kubernetes_calls_total", method="PATCH")
    print(f"memory: {figures} MiB; blocks over {LONGEST_BLOCK} s: {total - short}; PATCHes: {writes}")
    story.operator.kill()
    let_go(story)
    assert max(figures) < MOST_MEMORY
    assert total == short, "no turn holds the loop up for longer"
    assert writes < ROLES, "what is as it was left is not written again"
