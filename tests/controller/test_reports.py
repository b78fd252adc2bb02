"""What resources are told: nothing of a wait that has just begun, and where they stand when no connection serves them."""

import asyncio
import time

import pytest

from milvus_rbac.controller.manager import Manager
from milvus_rbac.controller.pending import LEAVING_INTERVAL
from milvus_rbac.controller.reconciler import State
from milvus_rbac.controller.status_writer import PATIENCE
from milvus_rbac.controller.turn import PROGRESS
from milvus_rbac.controller.unserved import Unserved
from support.controller_bed import HOME, controller_bed


async def test_a_wait_is_reported_only_when_it_lasts() -> None:
    async with controller_bed() as bed:
        bed.connect()
        await bed.wait_ready("milvusconnections", "prod")
        began = time.monotonic()
        bed.user("app", roles=["late"])
        await bed.wait(lambda: bed.reason("milvususers", "app") == "WaitingForRole", "the wait is reported")
        assert time.monotonic() - began >= PATIENCE - 0.1
        bed.user("quick", roles=["soon"])
        await asyncio.sleep(PATIENCE / 6)
        bed.role("soon", [])
        await bed.wait_ready("milvususers", "quick")
        statuses = [one for one in bed.kube.log if one.endswith("milvususers/quick/status")]
        assert len(statuses) == 1, "it has never been told of its short wait"


async def test_a_resource_that_no_connection_serves_says_why() -> None:
    async with controller_bed() as bed:
        assert isinstance(bed.manager, Manager)
        assert isinstance(bed.manager.unserved, Unserved)
        bed.user("early")
        bed.user("foreign", "elsewhere")
        bed.user("lost", connectionRef=None)
        reasons = {
            ("early", HOME): "WaitingForConnection",
            ("foreign", "elsewhere"): "NotPermitted",
            ("lost", HOME): "NoDefaultConnection",
        }
        for (name, namespace), reason in reasons.items():
            await bed.wait(
                lambda name=name, namespace=namespace, reason=reason: (  # type: ignore[misc]  # bound now
                    bed.reason("milvususers", name, namespace) == reason
                ),
                f"{name} says {reason}",
            )
        bed.connect()
        await bed.wait_ready("milvususers", "early")


async def test_a_reconciler_says_what_it_does_with_its_connection() -> None:
    async with controller_bed() as bed:
        bed.connect()
        bed.user("app")
        await bed.wait_ready("milvususers", "app")
        (reconciler,) = bed.manager.reconcilers.values()
        await bed.wait(lambda: reconciler.state is State.SERVING, "it serves")
        await bed.double.stop()
        bed.kube.annotate("milvusconnections", HOME, "prod", **{"rbac.milvus.io/reconcile-at": "now"})
        await bed.wait(lambda: reconciler.state is State.PROBING, "it probes")
        await bed.double.start()
        await bed.wait(lambda: reconciler.state is State.SERVING, "it serves again")
        bed.kube.apply(
            "milvusconnections",
            HOME,
            "prod",
            {"spec": {**bed.spec("milvusconnections", "prod"), "suspend": True}},
        )
        await bed.wait(lambda: reconciler.state is State.REFUSED, "it is suspended")
        bed.kube.delete("milvusconnections", HOME, "prod")
        await bed.wait(lambda: reconciler.state is State.LEAVING, "it is being deleted")


@pytest.mark.slow
async def test_a_big_role_says_how_far_it_is() -> None:
    async with controller_bed() as bed:
        bed.double.faults.add(None, "OperatePrivilegeV2", times=1_000_000, delay=0.01)
        bed.connect()
        rows = [
            {"privileges": ["Query", "Search"], "collections": [f"c{row}_{number}" for number in range(250)]}
            for row in range(6)
        ]
        bed.role("heavy", rows)
        await bed.wait(
            lambda: "changes are left" in bed.condition("milvusroles", "heavy").get("message", ""),
            "it says so",
            PROGRESS + 10,
        )
        assert bed.reason("milvusroles", "heavy") == "Pending"
        bed.double.faults.coming.clear()
        await bed.wait_ready("milvusroles", "heavy", seconds=60)


async def test_a_deleted_connection_goes_after_its_claims_and_leaves_nothing_in_milvus() -> None:
    async with controller_bed() as bed:
        bed.connect()
        bed.user("app")
        await bed.wait_ready("milvususers", "app")
        bed.kube.delete("milvusconnections", HOME, "prod")
        bed.user("late")
        await bed.wait(lambda: not bed.manager.cache.changes, "the deletion was seen")
        await bed.quiet()
        assert bed.kube.get("milvusconnections", HOME, "prod") is not None
        assert "late" not in bed.double.core.store.users
        ready = bed.condition("milvusconnections", "prod")
        assert (ready["status"], ready["reason"]) == ("False", "Deleting")
        assert "waits for 1 resources (MilvusUser milvus/app)" in ready["message"]
        await bed.wait(
            lambda: bed.reason("milvususers", "late") == "WaitingForConnection", "what came late is told", 10
        )
        assert "begins nothing new" in bed.condition("milvususers", "late")["message"]
        bed.kube.delete("milvususers", HOME, "app")
        gone = 2 * LEAVING_INTERVAL
        await bed.wait(lambda: bed.kube.get("milvususers", HOME, "app") is None, "the user is gone", gone)
        await bed.wait(lambda: bed.kube.get("milvusconnections", HOME, "prod") is None, "so is it", gone)
        assert "app" not in bed.double.core.store.users


async def test_a_password_that_a_chart_changes_at_every_sync_is_seen_in_a_metric_and_a_series() -> None:
    async with controller_bed() as bed:
        bed.connect()
        bed.user("app")
        await bed.wait_ready("milvususers", "app")
        users = bed.double.core.store.users
        for number in range(3):
            bed.secret("app", password=f"made-up-{number}")
            await bed.wait(
                lambda password=f"made-up-{number}": users["app"].password == password,  # type: ignore[misc]  # bound now
                "the rotation takes effect",
            )
            await bed.wait_ready("milvususers", "app")
        await bed.quiet()
        labels = {"connection": "milvus/prod", "verb": "UpdatePassword", "result": "done"}
        assert bed.metrics.registry.get_sample_value("milvus_rbac_changes_total", labels) == 3
        told = [body for (plural, _, _), body in bed.kube.objects.items() if plural == "events"]
        (rotated,) = (one for one in told if one["reason"] == "PasswordRotated")
        assert rotated["series"]["count"] == 3
