"""What is seen too late, too early, or not at all: a replica that takes over, an answer that is wrong, a restored etcd."""

from support.controller_bed import controller_bed


async def test_a_replica_that_takes_over_reads_what_the_leader_wrote_before_it_decides() -> None:
    """Its watch lags: it never saw the claim of a user that the old leader created."""
    async with controller_bed() as bed:
        bed.connect()
        bed.user("app")
        await bed.wait_ready("milvususers", "app")
        bed.kube.on_event = None
        await bed.stop()
        async with bed.successor() as after:
            lagging = dict(bed.kube.objects["milvususers", "milvus", "app"])
            del lagging["status"]
            after.manager.on_resource(
                None, {**lagging, "metadata": {**lagging["metadata"], "resourceVersion": "1"}}
            )
            await after.wait(lambda: after.manager.reconcilers, "it serves")
            after.kube.delete("milvususers", "milvus", "app")
            await after.wait(
                lambda: "app" not in after.double.core.store.users, "what was created is dropped"
            )
            await after.wait(lambda: after.kube.get("milvususers", "milvus", "app") is None, "it is gone")


async def test_a_claim_that_another_operator_wrote_is_not_overwritten() -> None:
    async with controller_bed() as bed:
        bed.connect()
        bed.user("app")
        await bed.wait_ready("milvususers", "app")
        claim = {"endpoint": "elsewhere:19530", "name": "app", "origin": "Adopted"}
        bed.kube.on_event = None  # the watch lags
        bed.kube.objects["milvususers", "milvus", "app"]["status"]["claim"] = claim
        bed.kube.touch("milvususers", "milvus", "app")
        bed.watch_again()
        bed.secret("app", password="another-password")
        await bed.wait(
            lambda: (
                bed.condition("milvususers", "app").get("reason") == "Conflict"
                or bed.kube.objects["milvususers", "milvus", "app"]["status"].get("claim") != claim
            ),
            "the user is decided anew",
        )


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
