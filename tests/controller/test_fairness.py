"""A namespace with very much to do, or with a slow webhook, leaves the others their service."""

import asyncio
import statistics
import time

from support.controller_bed import ControllerBed, controller_bed

WRITE = 0.01
"""Seconds that a write takes on Milvus 2.6 and 3.0."""
WRITES = (
    "OperatePrivilegeV2",
    "OperatePrivilege",
    "OperateUserRole",
    "CreateRole",
    "CreateCredential",
    "UpdateCredential",
)


def slow_down(bed: ControllerBed) -> None:
    """Have every write take as long as on a real server."""
    for method in WRITES:
        bed.double.faults.add(None, method, times=1_000_000, delay=WRITE)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def rotate(bed: ControllerBed, user: str, namespace: str, password: str) -> float:
    """Change a Secret; return the seconds until the password is in force."""
    started = time.monotonic()
    bed.secret(user, namespace, password=password)
    account = bed.double.core.store.users[user.replace("-", "_")]
    await bed.wait(lambda: account.password == password, f"the password of {user} is in force", 30)
    return time.monotonic() - started


async def test_big_roles_of_one_namespace_keep_nobody_of_another_waiting() -> None:
    async with controller_bed() as bed:
        slow_down(bed)
        bed.connect(
            delegations=[
                {
                    "namespaces": {"names": ["big", "small"]},
                    "userNames": ["*"],
                    "roleNames": ["*"],
                    "databases": ["default"],
                    "privileges": ["Query", "Search"],
                }
            ]
        )
        for number in range(20):
            bed.user(f"rotating-{number}", "small")
        await bed.wait_ready("milvususers", *(f"rotating-{n}" for n in range(20)), namespace="small")
        granted = [{"privileges": ["Query", "Search"], "collections": names("c", 250)} for _ in range(12)]
        for number, row in enumerate(granted):
            row["collections"] = names(f"c{number}_", 250)
        bed.role("heavy", granted, "big")
        refused = [
            {"privileges": ["Query"], "database": "elsewhere", "collections": names(f"r{number}_", 250)}
            for number in range(80)
        ]
        bed.role("refused", refused, "big")
        await bed.wait(lambda: len(bed.double.core.store.grants.get("heavy", ())) > 50, "the big role begins")
        waits = [await rotate(bed, f"rotating-{n}", "small", f"rotated-{n}") for n in range(20)]
        started = time.monotonic()
        for number in range(100):
            bed.user(f"new-{number}", "small")
        await bed.wait_ready("milvususers", *(f"new-{n}" for n in range(100)), namespace="small", seconds=60)
        took = time.monotonic() - started
        assert bed.condition("milvusroles", "heavy", "big").get("reason") == "Pending"
        print(
            f"rotations: median {statistics.median(waits):.2f} s, longest {max(waits):.2f} s; 100 users: {took:.1f} s"
        )
        assert max(waits) < 2.0
        assert took < 15.0


async def test_a_slow_webhook_of_one_namespace_holds_up_no_other_and_no_other_connection() -> None:
    async with controller_bed() as bed, controller_bed() as other:
        for name, uri in (("prod", bed.double.uri), ("second", other.double.uri)):
            bed.connect(
                name,
                uri=uri,
                delegations=[
                    {"namespaces": {"names": ["slow", "quick"]}, "userNames": ["*"], "roleNames": ["*"]}
                ],
            )
        await bed.wait_ready("milvusconnections", "prod", "second")
        bed.kube.fail("PATCH .*/namespaces/slow/milvususers/", delay=10.0)
        for number in range(60):
            bed.user(f"s{number}", "slow")
        await asyncio.sleep(0.1)
        bed.user("quick-one", "quick")
        bed.user("elsewhere", "quick", connectionRef={"name": "second", "namespace": "milvus"})
        await bed.wait_ready("milvususers", "quick-one", "elsewhere", namespace="quick", seconds=5)
        assert await rotate(bed, "quick-one", "quick", "rotated-in-time") < 3.0


async def test_five_hundred_events_on_a_slow_api_cost_no_lease() -> None:
    """500 users lose a role at once, while the API server takes its time for Events."""
    async with controller_bed() as bed:
        bed.connect(interval="10s")
        bed.role("reader", [{"privileges": ["Query"], "collections": ["orders"]}])
        users = [f"u{number}" for number in range(500)]
        for user in users:
            bed.user(user, roles=["reader"])
        await bed.wait_ready("milvususers", *users, seconds=60)
        slow = bed.kube.fail("POST .*/events", delay=0.6)
        for user in users:
            bed.double.core.store.users[user].roles.clear()
        bed.kube.annotate("milvusconnections", "milvus", "prod", **{"rbac.milvus.io/reconcile-at": "now"})
        await bed.wait(
            lambda: all(bed.double.core.store.users[user].roles == {"reader"} for user in users),
            "every binding is put back",
            30,
        )
        assert bed.lease.remaining() > 40
        assert await rotate(bed, "u0", "milvus", "rotated-in-time") < 2.0
        assert 0 < slow.most_delayed <= 4, "Events take no more connections than these"
