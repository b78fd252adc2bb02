"""A team leaves, or comes back from a backup: nobody keeps what nobody gave, and no application loses a password in force."""

import base64
from contextlib import AsyncExitStack
from typing import Any

import pytest

from support.controller_bed import HOME, ControllerBed, controller_bed
from support.kubernetes import KINDS, Json

TEAM = "team"
SEARCH = {"privileges": ["Search"], "collections": ["*"]}
ENTRY: dict[str, Any] = {
    "namespaces": {"names": [TEAM]},
    "userNames": ["a_*"],
    "roleNames": ["a_*"],
    "databases": ["default"],
    "privileges": ["Search"],
    "roles": ["shared"],
    "acceptWeakIsolation": True,
    "mayRetain": True,
}
CLAIMANTS = ("milvusroles", "milvususers")
every_dress = pytest.mark.parametrize("dress", ["2.3", "2.4", "2.5", "2.6", "3.0"])


async def welcome(bed: ControllerBed) -> None:
    """A team with a role and three users: one with a made password, one that is retained, one of a shared role."""
    bed.double.core.store.roles["shared"] = ""
    bed.connect(delegations=[ENTRY])
    bed.role("a-reader", [SEARCH], TEAM)
    made: dict[str, Any] = {
        "generatePassword": {"secretName": "a-made"},
        "connectionSecret": {"name": "a-made-milvus"},
    }
    bed.user("a-made", TEAM, passwordSecretRef=None, roles=["a_reader"], **made)
    bed.kube.delete("secrets", TEAM, "a-made")  # that of `user`; the operator makes its own
    bed.user("a-kept", TEAM, roles=["a_reader"], deletionPolicy="Retain")
    bed.user("a-shared", TEAM, roles=["shared", "a_reader"])
    await bed.wait_ready("milvususers", "a-kept", "a-shared", namespace=TEAM)
    await bed.wait_ready("milvusroles", "a-reader", namespace=TEAM)


def users(bed: ControllerBed) -> dict[str, tuple[str, frozenset[str]]]:
    """The team's users in Milvus, each with its password and its roles."""
    found = bed.double.core.store.users.items()
    return {name: (one.password, frozenset(one.roles)) for name, one in found if name != "root"}


def roles(bed: ControllerBed) -> dict[str, set[str]]:
    """The team's roles in Milvus, each with its privileges."""
    store = bed.double.core.store
    team = (name for name in store.roles if name.startswith("a_"))
    return {name: {kept.privilege for kept in store.grants.get(name, {})} for name in team}


def secret_of(bed: ControllerBed, name: str) -> str:
    """The password in a Secret of the team."""
    body: Json = bed.kube.objects["secrets", TEAM, name]
    return base64.b64decode(body["data"]["password"]).decode()


async def end_namespace(bed: ControllerBed) -> None:
    """Delete all that a namespace has, Secrets first: the order in which nobody would do it by hand."""
    for plural in ("secrets", *CLAIMANTS):
        for key in [key for key in bed.kube.objects if key[:2] == (plural, TEAM)]:
            bed.kube.delete(*key)
    await bed.wait(
        lambda: not [key for key in bed.kube.objects if key[1] == TEAM and key[0] in KINDS],
        "the namespace is empty",
    )


@every_dress
async def test_a_team_that_is_not_delegated_to_any_more_may_nothing_and_leaves_nothing(dress: str) -> None:
    async with controller_bed(dress) as bed:
        await welcome(bed)
        await bed.wait_ready("milvususers", "a-made", namespace=TEAM)
        passwords = {name: password for name, (password, _) in users(bed).items()}
        bed.connect(delegations=[])
        await bed.wait(lambda: not any(held for _, held in users(bed).values()), "nobody has a role")
        await bed.wait(lambda: not any(roles(bed).values()), "no role has a privilege")
        # Until they are deleted they only log in, with the passwords that they had.
        assert {name: password for name, (password, _) in users(bed).items()} == passwords
        await end_namespace(bed)
        assert users(bed) == {}
        assert roles(bed) == {}


@every_dress
async def test_of_a_team_that_goes_only_stays_what_was_to_stay_and_it_may_nothing(dress: str) -> None:
    async with controller_bed(dress) as bed:
        await welcome(bed)
        await bed.wait_ready("milvususers", "a-made", namespace=TEAM)
        kept = users(bed)["a_kept"][0]
        await end_namespace(bed)
        assert users(bed) == {"a_kept": (kept, frozenset())}
        assert roles(bed) == {}
        await bed.wait(lambda: left_behind(bed), "an Event about what stays")
        (note,) = left_behind(bed)
        assert "a_kept" in note


def left_behind(bed: ControllerBed) -> list[str]:
    """What Events say about what stays in Milvus."""
    events = [body for (plural, _, _), body in bed.kube.objects.items() if plural == "events"]
    return [one["note"] for one in events if one["reason"] == "LeftBehind"]


@every_dress
@pytest.mark.parametrize("lost", ["namespace", "cluster"])
async def test_a_team_that_comes_back_from_a_backup_has_what_it_had(dress: str, lost: str) -> None:
    async with AsyncExitStack() as stack:
        bed = again = await stack.enter_async_context(controller_bed(dress))
        await welcome(bed)
        await bed.wait_ready("milvususers", "a-made", namespace=TEAM)
        before, had = users(bed), roles(bed)
        assert secret_of(bed, "a-made") == before["a_made"][0]
        backup = {key: written(body) for key, body in bed.kube.objects.items() if key[1] == TEAM}
        if lost == "namespace":
            await end_namespace(bed)
        else:
            await bed.stop()
            for key in [key for key in bed.kube.objects if key[1] in {TEAM, HOME}]:
                bed.kube.objects.pop(key)
            again = await stack.enter_async_context(bed.successor())
        writes = len(bed.double.faults.calls)
        again.connect(delegations=[ENTRY])
        for key in sorted(backup, key=lambda key: key[0] != "secrets"):
            again.kube.apply(*key, backup[key])
        await again.wait_ready("milvususers", "a-made", "a-kept", "a-shared", namespace=TEAM)
        await again.wait_ready("milvusroles", "a-reader", namespace=TEAM)
        assert users(again) == before
        assert roles(again) == had
        assert secret_of(again, "a-made") == secret_of(again, "a-made-milvus") == before["a_made"][0]
        if lost == "cluster":
            called = {call[0] for call in bed.double.faults.calls[writes:]}
            assert not called & {
                "CreateCredential",
                "UpdateCredential",
                "DeleteCredential",
                "OperateUserRole",
            }


def written(body: Json) -> Json:
    """An object as a backup has it: without status, and without owners."""
    kept: Json = {key: body[key] for key in ("spec", "data", "type") if key in body}
    metadata = {key: body["metadata"][key] for key in ("labels", "annotations") if key in body["metadata"]}
    return {**kept, "metadata": metadata}
