"""One bad thing concerns one claim: a Secret, an object, a name in Milvus, a change that is not answered."""

import pytest

from support.controller_bed import ControllerBed, controller_bed
from support.double.faults import Trouble

SECRET_FAULTS = [
    pytest.param({"status": 500, "message": "unable to decrypt"}, id="500: its encryption key is gone"),
    pytest.param({"status": 403, "message": "forbidden"}, id="403"),
    pytest.param({"status": 0}, id="connection refused"),
    pytest.param({"hangs": True}, id="never answered"),
]
OBJECT_FAULTS = [
    pytest.param({"status": 500, "message": "failed calling webhook"}, id="a webhook that is down"),
    pytest.param(
        {"status": 400, "message": "admission webhook denied the request"}, id="a webhook that refuses"
    ),
    pytest.param({"status": 409, "message": "the object has been modified"}, id="a conflict that stays"),
    pytest.param({"hangs": True}, id="never answered"),
]


async def applied(bed: ControllerBed, *users: str) -> None:
    """Apply a connection, a role and users that hold it."""
    bed.connect()
    bed.role("reader", [{"privileges": ["Query"], "collections": ["orders"]}])
    for user in users:
        bed.user(user, roles=["reader"])


async def others_are_served(bed: ControllerBed) -> None:
    """New resources become Ready, and a rotation takes effect, within seconds."""
    bed.user("late", roles=["reader"])
    bed.secret("good", password="another-password")
    await bed.wait_ready("milvususers", "good", "late", seconds=6)
    await bed.wait(
        lambda: bed.double.core.accepts(bed.double.core.store.users["good"], "another-password"),
        "the rotation takes effect",
        seconds=6,
    )


@pytest.mark.parametrize("fault", SECRET_FAULTS)
async def test_a_secret_that_cant_be_read_concerns_its_user_alone(fault: dict[str, object]) -> None:
    async with controller_bed() as bed:
        bed.kube.fail("GET .*/secrets/bad$", **fault)
        await applied(bed, "bad", "good")
        await others_are_served(bed)
        await bed.wait_ready("milvusconnections", "prod")
        await bed.wait(
            lambda: fault.get("hangs") or bed.reason("milvususers", "bad") == "WaitingForSecret",
            "the user says what is wrong with its Secret",
        )


@pytest.mark.parametrize("fault", OBJECT_FAULTS)
@pytest.mark.parametrize("write", ["users/bad$", "users/bad/status$"])
async def test_an_object_that_cant_be_written_holds_up_no_other(fault: dict[str, object], write: str) -> None:
    async with controller_bed() as bed:
        made = bed.kube.fail(f"PATCH .*/milvus{write}", **fault)
        await applied(bed, "bad", "good")
        await others_are_served(bed)
        if write.endswith("bad$") and not fault.get("hangs"):
            await bed.wait(
                lambda: "finalizer" in bed.condition("milvususers", "bad").get("message", ""),
                "the user says what Kubernetes refuses",
            )
            assert "bad" not in bed.double.core.store.users
        bed.kube.mend(made)
        await bed.wait_ready("milvususers", "bad", seconds=25)


async def test_a_connection_that_cant_be_written_serves_what_needs_no_intent() -> None:
    async with controller_bed() as bed:
        await applied(bed, "good")
        await bed.wait_ready("milvususers", "good")
        made = bed.kube.fail("PATCH .*/milvusconnections/prod/status$", status=500, message="webhook")
        bed.user("late")
        bed.secret("good", password="another-password")
        await bed.wait(
            lambda: bed.double.core.accepts(bed.double.core.store.users["good"], "another-password"),
            "the rotation takes effect",
        )
        assert "late" not in bed.double.core.store.users
        bed.kube.mend(made)
        await bed.wait_ready("milvususers", "late", seconds=25)


async def test_a_change_that_is_never_answered_goes_to_the_back_alone() -> None:
    async with controller_bed() as bed:
        await applied(bed, "good")
        await bed.wait_ready("milvususers", "good")
        bed.double.faults.add(Trouble.REFUSED, "CreateCredential", times=1000, about="aaa")
        for user in ("aaa", "bbb", "ccc"):
            bed.user(user, roles=["reader"])
        await others_are_served(bed)
        await bed.wait_ready("milvususers", "bbb", "ccc")
        await bed.wait(lambda: bed.reason("milvususers", "aaa") == "Unreachable", "the user says so")
        assert bed.is_ready("milvusconnections", "prod")
        bed.double.faults.coming.clear()
        await bed.wait_ready("milvususers", "aaa")


async def test_a_fault_of_ours_with_one_claim_is_said_of_that_claim() -> None:
    """A status that no release wrote makes the code fail that reads it."""
    async with controller_bed() as bed:
        await applied(bed, "good")
        bed.user("bad", roles=["reader"])
        bed.kube.objects["milvususers", "milvus", "bad"]["status"]["claim"] = ["broken"]
        bed.kube.annotate("milvususers", "milvus", "bad", touched="yes")
        await bed.wait_ready("milvususers", "good")
        await others_are_served(bed)
        await bed.wait(lambda: bed.reason("milvususers", "bad") == "InternalError", "the user says so")


async def test_a_server_that_is_down_is_one_connections_trouble() -> None:
    async with controller_bed() as bed, controller_bed() as other:
        await applied(bed, "good")
        bed.connect("gone", uri=other.double.uri)
        await other.double.stop()
        bed.user("elsewhere", connectionRef={"name": "gone", "namespace": "milvus"})
        await bed.wait_ready("milvususers", "good")
        await others_are_served(bed)
        await bed.wait(lambda: bed.reason("milvusconnections", "gone") == "Unreachable", "it says so")
