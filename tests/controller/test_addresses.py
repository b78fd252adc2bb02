"""Which of several connections to one server is served: the oldest that works."""

from support.controller_bed import controller_bed


async def test_a_connection_that_is_suspended_holds_no_address() -> None:
    async with controller_bed() as bed:
        bed.connect("old", suspend=True)
        bed.connect("young")
        await bed.wait_ready("milvusconnections", "young")
        assert bed.reason("milvusconnections", "old") == "Suspended"


async def test_a_connection_that_has_never_been_ready_holds_no_address() -> None:
    async with controller_bed() as bed:
        bed.connect("old")
        bed.secret("old-admin", username="root", password="not-the-password")
        bed.connect("young")
        await bed.wait_ready("milvusconnections", "young", seconds=25)
        assert bed.reason("milvusconnections", "old") in {"CredentialsRejected", "Conflict"}


async def test_the_older_of_two_that_work_is_served() -> None:
    async with controller_bed() as bed:
        bed.connect("old")
        await bed.wait_ready("milvusconnections", "old")
        bed.connect("young")
        await bed.wait(lambda: bed.reason("milvusconnections", "young") == "Conflict", "it says so")
        bed.kube.apply(
            "milvusconnections",
            "milvus",
            "old",
            {"spec": {**bed.spec("milvusconnections", "old"), "suspend": True}},
        )
        await bed.wait_ready("milvusconnections", "young")
