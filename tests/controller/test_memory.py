"""What is gone leaves nothing behind, and what changes nothing causes no work."""

from typing import Any

import pytest

from support.controller_bed import controller_bed


@pytest.mark.slow
async def test_what_came_and_went_is_forgotten() -> None:
    async with controller_bed() as bed:
        bed.connect()
        bed.role("reader", [{"privileges": ["Query"], "collections": ["orders"]}])
        await bed.wait_ready("milvusroles", "reader")
        for turn in range(10):
            users = [f"u{turn}-{number}" for number in range(500)]
            for number, user in enumerate(users):
                # Some are Ready, some wait for a role, for a Secret, or expire.
                fields: list[dict[str, Any]] = [
                    {"roles": ["reader"]},
                    {"roles": ["missing"]},
                    {"expiresAt": "2099-01-01T00:00:00Z"},
                    {},
                ]
                bed.user(user, **fields[number % 4])
                if number % 4 == 3:
                    bed.kube.delete("secrets", "milvus", user)
            await bed.wait(
                lambda users=users: all(  # type: ignore[misc]  # bound now
                    user.replace("-", "_") in bed.double.core.store.users for user in users[::4]
                ),
                "they are there",
            )
            for user in users:
                bed.kube.delete("milvususers", "milvus", user)
            await bed.wait(
                lambda users=users: not any(bed.kube.get("milvususers", "milvus", user) for user in users),  # type: ignore[misc]  # bound now
                "they are gone",
            )
        bed.kube.delete("milvusroles", "milvus", "reader")
        await bed.wait(lambda: bed.kube.get("milvusroles", "milvus", "reader") is None, "the role is gone")
        (reconciler,) = bed.manager.reconcilers.values()
        await bed.wait(lambda: reconciler.queue.is_empty, "the queue is empty", 5)
        assert len(reconciler.memory) == 0
        assert bed.manager.unserved.is_empty
        assert len(bed.manager.cache.entries) == 1


async def test_a_changed_label_causes_no_work() -> None:
    async with controller_bed() as bed:
        bed.connect()
        for number in range(50):
            bed.user(f"u{number}")
        await bed.wait_ready("milvususers", *(f"u{number}" for number in range(50)))
        await bed.wait_ready("milvusconnections", "prod")
        await bed.quiet()
        calls, requests = len(bed.double.faults.calls), len(bed.kube.log)
        for number in range(50):
            bed.kube.label("milvususers", "milvus", f"u{number}", team="blue")
        bed.kube.label("milvusconnections", "milvus", "prod", team="blue")
        await bed.quiet()
        assert bed.double.faults.calls[calls:] == []
        assert [one for one in bed.kube.log[requests:] if "leases" not in one] == []
