"""What is seen too late, too early, or not at all: a replica that takes over, an answer that is wrong, a restored etcd."""

import copy

import pytest

from support.controller_bed import controller_bed


async def test_a_replica_that_takes_over_reads_what_the_leader_wrote_before_it_decides() -> None:
    """It has waited for the Lease, and its watch lags: it has never seen the user that the leader created."""
    async with controller_bed() as bed:
        bed.connect()
        await bed.wait_ready("milvusconnections", "prod")
        async with bed.successor() as after:
            await after.wait(lambda: after.manager.is_ready, "it has read everything")
            bed.watch_again()
            bed.user("app")
            await bed.wait_ready("milvususers", "app")
            await bed.stop()
            after.watch_again()
            after.secret("app", password="another-password")
            core, users = after.double.core, after.double.core.store.users
            # The successor does not know the old password, and makes the account anew.
            await after.wait(
                lambda: "app" in users and core.accepts(users["app"], "another-password"),
                "the rotation takes effect",
            )
            after.kube.delete("milvususers", "milvus", "app")
            await after.wait(lambda: "app" not in core.store.users, "what was created is dropped")
            await after.wait(lambda: after.kube.get("milvususers", "milvus", "app") is None, "it is gone")


@pytest.mark.parametrize("is_seen", [True, False], ids=["seen in the answer to the finalizer", "never seen"])
async def test_a_claim_that_another_operator_wrote_is_not_overwritten(is_seen: bool) -> None:
    """What it created looks like somebody else's as long as the watch lags: adopted, it would stay when its resource goes."""
    async with controller_bed() as bed:
        bed.connect()
        bed.user("first")
        await bed.wait_ready("milvususers", "first")
        claim = bed.kube.objects["milvususers", "milvus", "first"]["status"]["claim"] | {"name": "app"}
        assert claim["origin"] == "Created"
        store = bed.double.core.store
        store.users["app"] = copy.deepcopy(store.users["first"])
        if not is_seen:
            bed.kube.fail("PATCH .*/milvususers/app/status$", status=500, times=1)
        bed.user("app")
        await bed.wait(lambda: is_seen or not bed.kube.faults, "the first status is refused")
        app = bed.kube.objects["milvususers", "milvus", "app"]
        app["status"]["claim"] = claim
        bed.kube.on_event = None  # the watch lags
        bed.kube.touch("milvususers", "milvus", "app")
        bed.watch_again()
        await bed.wait_ready("milvususers", "app")
        assert bed.kube.objects["milvususers", "milvus", "app"]["status"]["claim"] == claim


async def test_one_wrong_404_does_not_make_a_resource_vanish() -> None:
    async with controller_bed() as bed:
        bed.connect()
        bed.user("app")
        await bed.wait_ready("milvususers", "app")
        bed.kube.fail("PATCH .*/milvususers/app/status$", status=404, times=1)
        bed.kube.apply(
            "milvususers", "milvus", "app", {"spec": {**bed.spec("milvususers", "app"), "roles": ["late"]}}
        )
        await bed.wait(lambda: not bed.kube.faults, "the wrong answer came", 10)
        bed.role("late", [])
        bed.kube.annotate("milvususers", "milvus", "app", **{"rbac.milvus.io/reconcile-at": "now"})
        await bed.wait_ready("milvususers", "app")


async def test_after_a_restore_of_etcd_an_older_version_counts_at_the_next_list() -> None:
    async with controller_bed() as bed:
        bed.connect()
        bed.user("app")
        await bed.wait_ready("milvususers", "app")
        restored = bed.kube.objects["milvususers", "milvus", "app"]
        restored["metadata"] |= {"resourceVersion": "7", "generation": 9}
        restored["spec"]["roles"] = ["late"]
        bed.role("late", [])
        await bed.manager.resync()
        await bed.wait(
            lambda: bed.double.core.store.users["app"].roles == {"late"}, "the older version counts"
        )
