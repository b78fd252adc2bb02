"""Secrets that the operator makes: they go with their user in Milvus, and no application loses a password that is in force."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from milvus_rbac.controller.made_secrets import PASSWORD_KEY
from support.controller_bed import HOME, ControllerBed, controller_bed
from support.double.store import Account

MINE = {"generatePassword": {"secretName": "app-password"}, "connectionSecret": {"name": "app-milvus"}}
BOTH = ("app-password", "app-milvus")


def make(bed: ControllerBed, name: str = "app", **spec: Any) -> None:
    """Apply a MilvusUser whose Secrets the operator makes."""
    whole = {
        "connectionRef": {"name": "prod", "namespace": HOME},
        "userName": "app",
        "roles": [],
        **MINE,
        **spec,
    }
    bed.kube.apply("milvususers", HOME, name, {"spec": whole})


@pytest.fixture(params=["2.3", "2.4", "2.5", "2.6", "3.0"])
def dress(request: pytest.FixtureRequest) -> str:
    """Each version of Milvus in turn."""
    return str(request.param)


@asynccontextmanager
async def bed_of_app(dress: str = "3.0", **spec: Any) -> AsyncIterator[ControllerBed]:
    """A bed with a connection, and with the MilvusUser `app` Ready."""
    async with controller_bed(dress) as bed:
        bed.connect()
        make(bed, **spec)
        await bed.wait_ready("milvususers", "app")
        yield bed


def text(bed: ControllerBed, secret: str, key: str = PASSWORD_KEY) -> str | None:
    """What a Secret holds; None where there is none."""
    body = bed.kube.get("secrets", HOME, secret)
    return None if body is None else base64.b64decode(body["data"][key]).decode()


def in_force(bed: ControllerBed) -> str:
    """The password that Milvus accepts."""
    return bed.double.core.store.users["app"].password


async def gone(bed: ControllerBed, plural: str, name: str) -> None:
    """Wait until an object is gone."""
    await bed.wait(lambda: bed.kube.get(plural, HOME, name) is None, f"{plural} {name} is gone")


async def events(bed: ControllerBed, reason: str) -> None:
    """Wait for an Event with a reason."""
    await bed.wait(
        lambda: any(key[0] == "events" and one["reason"] == reason for key, one in bed.kube.objects.items()),
        f"an Event {reason}",
    )


@pytest.mark.parametrize(
    "leaving",
    [
        {"deletionPolicy": "Retain"},
        {"suspend": True},
        {"annotation": True},
        {"connection": {"mode": "Observe"}},
        {"connection": {"suspend": True}},
        {"crd": True},
    ],
)
async def test_secrets_stay_when_their_user_stays(dress: str, leaving: dict[str, Any]) -> None:
    async with bed_of_app(dress) as bed:
        if "connection" in leaving:
            bed.connect(**leaving["connection"])
        elif "crd" in leaving:
            bed.kube.is_crd_going = True
        elif "annotation" in leaving:
            bed.kube.annotate("milvususers", HOME, "app", **{"rbac.milvus.io/force-retain": "true"})
        else:
            make(bed, **leaving)
        bed.kube.delete("milvususers", HOME, "app")
        await gone(bed, "milvususers", "app")
        assert text(bed, "app-password") == text(bed, "app-milvus") == in_force(bed)


async def test_secrets_go_with_their_user(dress: str) -> None:
    async with bed_of_app(dress, deletionPolicy="Retain") as bed:
        make(bed, deletionPolicy="Delete")
        await bed.wait_ready("milvususers", "app")
        bed.kube.delete("milvususers", HOME, "app")
        await gone(bed, "milvususers", "app")
        assert "app" not in bed.double.core.store.users
        assert [bed.kube.get("secrets", HOME, name) for name in BOTH] == [None, None]


async def test_what_stayed_is_taken_up_by_the_next_user_and_so_is_what_a_backup_brought_back(
    dress: str,
) -> None:
    async with bed_of_app(dress) as bed:
        before = text(bed, "app-password")
        bed.kube.annotate("milvususers", HOME, "app", **{"rbac.milvus.io/force-retain": "true"})
        bed.kube.delete("milvususers", HOME, "app")
        await gone(bed, "milvususers", "app")
        make(bed, name="restored")
        await bed.wait_ready("milvususers", "restored")
        assert text(bed, "app-password") == text(bed, "app-milvus") == in_force(bed) == before
        claim = bed.kube.objects["milvususers", HOME, "restored"]["status"]["claim"]
        assert claim["origin"] == "Created", "the operator had generated its password"
        bed.kube.delete("milvususers", HOME, "restored")
        await gone(bed, "milvususers", "restored")
        assert [bed.kube.get("secrets", HOME, name) for name in BOTH] == [None, None]
        assert "app" not in bed.double.core.store.users


async def test_a_secret_of_another_user_is_not_taken_up(dress: str) -> None:
    async with bed_of_app(dress, deletionPolicy="Retain") as bed:
        make(bed, name="other", userName="other", connectionSecret={"name": "other-milvus"})
        await bed.wait(lambda: bed.reason("milvususers", "other") == "Conflict", "it is refused")
        assert (
            "was not made by the operator for this user" in bed.condition("milvususers", "other")["message"]
        )
        assert text(bed, "app-password") == in_force(bed)


async def test_a_secret_that_is_not_named_any_more_is_deleted_and_its_text_changes_the_password_in_place(
    dress: str,
) -> None:
    async with controller_bed(dress) as bed:
        bed.connect(passwordUpdate="InPlace")
        make(bed)
        await bed.wait_ready("milvususers", "app")
        before = in_force(bed)
        successor = await restart(bed)
        async with successor:
            make(
                successor,
                generatePassword={"secretName": "new-password"},
                connectionSecret={"name": "new-milvus"},
            )
            await successor.wait_ready("milvususers", "app")
            await gone(successor, "secrets", "app-password")
            await gone(successor, "secrets", "app-milvus")
            assert (
                text(successor, "new-password")
                == text(successor, "new-milvus")
                == in_force(successor)
                != before
            )
            await events(successor, "SecretDeleted")


async def restart(bed: ControllerBed) -> ControllerBed:
    """End the operator; the one that is returned knows nothing but what Kubernetes holds."""
    await bed.stop()
    return bed.successor()


async def test_a_secret_that_another_resource_names_is_not_deleted() -> None:
    async with bed_of_app() as bed:
        before = text(bed, "app-password")
        spec = {"userName": "two", "passwordSecretRef": {"name": "app-password"}, "roles": []}
        bed.kube.apply("milvususers", HOME, "two", {"spec": {"connectionRef": {"name": "prod"}, **spec}})
        await bed.wait_ready("milvususers", "two")
        make(bed, generatePassword={"secretName": "new-password"})
        await bed.wait_ready("milvususers", "app")
        assert text(bed, "app-password") == before != in_force(bed)


async def test_a_user_whose_spec_can_not_be_read_leaves_its_secrets() -> None:
    async with bed_of_app() as bed:
        make(bed, adoption="Sometimes")
        await bed.wait(lambda: bed.reason("milvususers", "app") == "InvalidSpec", "it can't be read")
        bed.kube.delete("milvususers", HOME, "app")
        await gone(bed, "milvususers", "app")
        assert text(bed, "app-password") == in_force(bed)


async def test_an_old_secret_that_can_not_be_deleted_is_said_and_deleted_later() -> None:
    async with bed_of_app() as bed:
        policy = bed.kube.fail(r"DELETE .*/app-password$", status=403, message="not by you")
        make(bed, generatePassword={"secretName": "new-password"})
        await bed.wait(lambda: bed.reason("milvususers", "app") == "WaitingForSecret", "it says so")
        assert "not by you" in bed.condition("milvususers", "app")["message"]
        assert text(bed, "new-password") == in_force(bed)
        bed.kube.mend(policy)
        await bed.wait_ready("milvususers", "app", seconds=40)
        assert text(bed, "app-password") is None


async def test_a_secret_that_can_not_be_released_blocks_the_deletion_and_says_so() -> None:
    async with bed_of_app() as bed:
        policy = bed.kube.fail(r"PATCH .*/secrets/app-password$", status=403, message="not by you")
        bed.kube.annotate("milvususers", HOME, "app", **{"rbac.milvus.io/force-retain": "true"})
        bed.kube.delete("milvususers", HOME, "app")
        await bed.wait(lambda: bed.reason("milvususers", "app") == "DeletionBlocked", "it says so")
        assert "not by you" in bed.condition("milvususers", "app")["message"]
        bed.kube.mend(policy)
        await bed.wait(lambda: bed.kube.get("milvususers", HOME, "app") is None, "it is gone", 40)
        assert text(bed, "app-password") == in_force(bed)


async def test_a_hand_made_user_that_is_given_a_generated_password_is_adopted() -> None:
    async with controller_bed() as bed:
        bed.double.core.store.users["app"] = Account("by-hand")
        bed.connect()
        make(bed, adoption="Always")
        await bed.wait_ready("milvususers", "app")
        claim = bed.kube.objects["milvususers", HOME, "app"]["status"]["claim"]
        assert claim["origin"] == "Adopted"


async def test_labels_and_annotations_of_a_secret_are_as_asked_for() -> None:
    async with controller_bed() as bed:
        bed.connect()
        metadata = {"labels": {"team": "a"}, "annotations": {"owner": "jo"}}
        make(bed, generatePassword={"secretName": "app-password", "metadata": metadata})
        await bed.wait_ready("milvususers", "app")
        written = bed.kube.objects["secrets", HOME, "app-password"]["metadata"]
        assert (written["labels"]["team"], written["annotations"]["owner"]) == ("a", "jo")
        assert written["labels"]["app.kubernetes.io/managed-by"] == "milvus-rbac-operator"


async def test_a_previous_password_with_a_line_break_is_named_and_drops_no_user() -> None:
    async with controller_bed("2.3") as bed:
        bed.connect()
        bed.user("app", password="first-password")
        await bed.wait_ready("milvususers", "app")
        successor = await restart(bed)
        bed.secret("app", password="second-password", **{"previous-password": "first-password\n"})
        async with successor:
            await successor.wait(
                lambda: successor.reason("milvususers", "app") == "SecretTrailingNewline", "the slip is named"
            )
            assert "Key previous-password" in successor.condition("milvususers", "app")["message"]
            assert in_force(successor) == "first-password"


async def test_a_secret_of_another_purpose_is_not_read_as_a_password(dress: str) -> None:
    async with controller_bed(dress) as bed:
        bed.connect()
        bed.user("app", password="token-of-another")
        bed.kube.apply("secrets", HOME, "app", {"type": "kubernetes.io/service-account-token"})
        await bed.wait(lambda: bed.reason("milvususers", "app") == "NotPermitted", "it is refused")
        assert "has another purpose" in bed.condition("milvususers", "app")["message"]
        assert "app" not in bed.double.core.store.users


async def test_a_secret_that_a_quota_refuses_says_who_refused_and_comes_when_there_is_room() -> None:
    async with controller_bed() as bed:
        bed.connect(interval="24h")
        quota = bed.kube.fail(r"POST .*/secrets$", status=403, message='exceeded quota: "few-secrets"')
        make(bed)
        await bed.wait(lambda: bed.reason("milvususers", "app") == "WaitingForSecret", "it waits")
        message = bed.condition("milvususers", "app")["message"]
        assert 'exceeded quota: "few-secrets"' in message
        bed.kube.mend(quota)
        await bed.wait_ready("milvususers", "app", seconds=40)


async def test_a_user_whose_secret_is_lost_with_its_status_is_a_conflict_until_it_may_have_another_password(
    dress: str,
) -> None:
    async with bed_of_app(dress) as bed:
        before = in_force(bed)
        await bed.stop()
        for key in (("milvususers", HOME, "app"), *(("secrets", HOME, name) for name in BOTH)):
            bed.kube.objects.pop(key)
        async with bed.successor() as again:
            make(again)
            await again.wait(lambda: again.reason("milvususers", "app") == "Conflict", "it is not taken over")
            assert in_force(again) == before
            make(again, adoption="Always")
            await again.wait_ready("milvususers", "app")
            assert in_force(again) == text(again, "app-password") == text(again, "app-milvus")
            assert in_force(again) != before
