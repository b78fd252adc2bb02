"""What a bulk costs: the fewest calls and writes, whatever the server's version."""

from collections import Counter

import pytest

from support.controller_bed import controller_bed

USERS = 600
WRITE = 0.004
"""Seconds that a write takes on Milvus 2.3.5."""


@pytest.mark.parametrize("dress", ["2.3", "3.0"])
async def test_many_users_at_once_cost_two_calls_and_two_writes_each_and_few_looks(dress: str) -> None:
    async with controller_bed(dress) as bed:
        for method in ("CreateCredential", "OperateUserRole"):
            bed.double.faults.add(None, method, times=1_000_000, delay=WRITE)
        bed.connect()
        bed.role("reader", [{"privileges": ["Query"], "collections": ["orders"]}])
        await bed.wait_ready("milvusroles", "reader")
        await bed.quiet()
        calls, requests = len(bed.double.faults.calls), len(bed.kube.log)
        users = [f"u{number}" for number in range(USERS)]
        for user in users:
            bed.user(user, roles=["reader"])
        await bed.wait_ready("milvususers", *users, seconds=60)
        await bed.quiet()
        made = Counter(method for method, _ in bed.double.faults.calls[calls:])
        assert made.pop("CreateCredential") == USERS
        assert made.pop("OperateUserRole") == USERS
        # A turn that takes too long on a busy machine is cut, and reads what it has half done once more.
        assert made.total() < USERS, f"looks at the server, and no login for who was just created: {made}"
        patches = [
            one for one in bed.kube.log[requests:] if one.startswith("PATCH") and "/milvususers/" in one
        ]
        assert len(patches) == 2 * USERS
        assert "inFlight" not in bed.kube.objects["milvusconnections", "milvus", "prod"]["status"]
