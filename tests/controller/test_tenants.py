"""What another namespace may leave, how much it may have, what it gets back, and what those are told who run the connection."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.controller_bed import HOME, ControllerBed, controller_bed
from support.double.store import Account, Kept

TEAM = "team"
ENTRY: dict[str, Any] = {
    "namespaces": {"names": [TEAM]},
    "userNames": ["a_*"],
    "roleNames": ["a_*"],
    "databases": ["default"],
    "privileges": ["Search", "finders"],
    "roles": ["shared"],
    "acceptWeakIsolation": True,
}
SEARCH = {"privileges": ["Search"], "collections": ["*"]}
every_dress = pytest.mark.parametrize("dress", ["2.3", "2.4", "2.5", "2.6", "3.0"])


def delegate(bed: ControllerBed, *entries: dict[str, Any], **spec: Any) -> None:
    """Apply the connection with these entries."""
    bed.connect(delegations=list(entries), **spec)


async def says(bed: ControllerBed, plural: str, name: str, reason: str, *parts: str) -> None:
    """Wait for a reason, and look for parts of its message."""
    await bed.wait(lambda: bed.reason(plural, name, TEAM) == reason, f"{name} says {reason}")
    message = bed.condition(plural, name, TEAM)["message"]
    for part in parts:
        assert part in message, message


def look_again(bed: ControllerBed) -> None:
    """Have everything on the connection looked at now."""
    bed.kube.annotate("milvusconnections", HOME, "prod", **{"rbac.milvus.io/reconcile-at": "now"})


async def gone(bed: ControllerBed, plural: str, name: str) -> None:
    """Wait until a resource of the team is gone."""
    await bed.wait(lambda: bed.kube.get(plural, TEAM, name) is None, f"{name} is gone")


@every_dress
@pytest.mark.parametrize("way", ["Retain", "suspend", "force-retain"])
async def test_without_leave_nothing_of_a_team_stays_in_milvus(dress: str, way: str) -> None:
    async with controller_bed(dress) as bed:
        delegate(bed, ENTRY)
        bed.role("a-reader", [SEARCH], TEAM)
        await bed.wait_ready("milvusroles", "a-reader", namespace=TEAM)
        if way == "Retain":
            bed.role("a-reader", [SEARCH], TEAM, deletionPolicy="Retain")
            await says(bed, "milvusroles", "a-reader", "NotPermitted", "spec.deletionPolicy", "mayRetain")
            bed.role("a-other", [SEARCH], TEAM, deletionPolicy="Retain")
            await says(bed, "milvusroles", "a-other", "NotPermitted", "mayRetain")
            assert "a_other" not in bed.double.core.store.roles
        elif way == "suspend":
            bed.role("a-reader", [SEARCH], TEAM, suspend=True)
        else:
            bed.kube.annotate("milvusroles", TEAM, "a-reader", **{"rbac.milvus.io/force-retain": "true"})
        bed.kube.delete("milvusroles", TEAM, "a-reader")
        await gone(bed, "milvusroles", "a-reader")
        assert "a_reader" not in bed.double.core.store.roles


async def test_with_leave_it_stays() -> None:
    async with controller_bed() as bed:
        delegate(bed, {**ENTRY, "mayRetain": True})
        bed.role("a-reader", [SEARCH], TEAM, deletionPolicy="Retain")
        await bed.wait_ready("milvusroles", "a-reader", namespace=TEAM)
        bed.kube.delete("milvusroles", TEAM, "a-reader")
        await gone(bed, "milvusroles", "a-reader")
        assert "a_reader" in bed.double.core.store.roles


@every_dress
async def test_a_team_has_no_more_users_and_roles_than_its_entry_lets_there_be(dress: str) -> None:
    async with controller_bed(dress) as bed:
        bed.double.core.store.roles["a_left_behind"] = ""
        delegate(bed, {**ENTRY, "maxUsers": 1, "maxRoles": 2})
        for name in ("a-one", "a-two"):
            bed.user(name, TEAM)
        for name in ("a-first", "a-second"):
            bed.role(name, [], TEAM)
        users = ["a-one", "a-two"]
        await bed.wait(
            lambda: (
                sorted(bed.reason("milvususers", one, TEAM) for one in users) == ["LimitReached", "Ready"]
            ),
            "one is Ready",
        )
        roles = ["a-first", "a-second"]
        await bed.wait(
            lambda: (
                sorted(bed.reason("milvusroles", one, TEAM) for one in roles) == ["LimitReached", "Ready"]
            ),
            "what is in Milvus counts, whoever made it",
        )
        (full,) = (one for one in users if bed.reason("milvususers", one, TEAM) == "LimitReached")
        (ready,) = set(users) - {full}
        assert "maxUsers" in bed.condition("milvususers", full, TEAM)["message"]
        bed.kube.delete("milvususers", TEAM, ready)
        await bed.wait_ready("milvususers", full, namespace=TEAM)


@every_dress
async def test_a_team_gets_back_what_is_its_own_when_the_statuses_are_lost(dress: str) -> None:
    async with controller_bed(dress) as bed:
        delegate(bed, ENTRY)
        bed.role("a-reader", [SEARCH], TEAM)
        bed.user("a-app", TEAM, roles=["a_reader"])
        await bed.wait_ready("milvususers", "a-app", namespace=TEAM)
        writes = [call for call in bed.double.faults.calls if call[0] in {"CreateCredential", "CreateRole"}]
        await bed.stop()
        for plural, name in (("milvusroles", "a-reader"), ("milvususers", "a-app")):
            restored = bed.kube.objects.pop((plural, TEAM, name))
            bed.kube.apply(plural, TEAM, name, {"spec": restored["spec"]})
        connection = bed.kube.objects["milvusconnections", HOME, "prod"]
        connection["status"] = {"observedGeneration": -1}
        async with bed.successor() as after:
            await after.wait_ready("milvususers", "a-app", namespace=TEAM)
            await after.wait_ready("milvusroles", "a-reader", namespace=TEAM)
        again = [call for call in bed.double.faults.calls if call[0] in {"CreateCredential", "CreateRole"}]
        assert again == writes, "nothing was made anew"


async def test_a_typo_of_a_team_takes_no_role_of_its_own_away_nor_does_a_pause() -> None:
    async with controller_bed() as bed:
        delegate(bed, ENTRY)
        bed.role("a-reader", [SEARCH], TEAM)
        bed.user("a-app", TEAM, roles=["a_reader"])
        await bed.wait_ready("milvususers", "a-app", namespace=TEAM)
        bed.user("a-app", TEAM, roles=["a_raeder"])
        await says(bed, "milvususers", "a-app", "NotPermitted", "keeps what it had beside: a_reader")
        assert bed.double.core.store.users["a_app"].roles == {"a_reader"}
        bed.user("a-app", TEAM, roles=[], suspend=True)
        await bed.wait(lambda: bed.reason("milvususers", "a-app", TEAM) == "Suspended", "it is suspended")
        assert bed.double.core.store.users["a_app"].roles == {"a_reader"}


@pytest.mark.parametrize("dress", ["2.4", "3.0"])
async def test_a_mistake_keeps_no_team_what_can_not_be_delegated(dress: str) -> None:
    async with controller_bed(dress) as bed:
        store = bed.double.core.store
        store.roles["shared"], store.groups["finders"] = "", ["Search"]
        delegate(bed, ENTRY)
        bed.role("a-reader", [{"privileges": ["finders"], "collections": ["*"]}], TEAM)
        bed.user("a-app", TEAM, roles=["shared"])
        await bed.wait_ready("milvususers", "a-app", namespace=TEAM)
        await bed.wait_ready("milvusroles", "a-reader", namespace=TEAM)
        bed.user("a-app", TEAM, roles=["a_nothing"])
        bed.role("a-reader", [{"privileges": ["Search"]}], TEAM)
        await says(bed, "milvususers", "a-app", "NotPermitted", "keeps what it had beside: shared")
        await says(bed, "milvusroles", "a-reader", "InvalidScope", "keeps what it had beside: finders")
        store.give("shared", Kept("Global", "*", "*", "ManageOwnership"), "root")
        store.groups["finders"] = ["ManageOwnership"]
        look_again(bed)
        await bed.wait(lambda: not store.users["a_app"].roles, "it is unbound", 40)

        def is_told() -> bool:
            status = bed.kube.objects["milvusconnections", HOME, "prod"]["status"]
            return any("team/a-reader" in one["message"] for one in status.get("warnings", ()))

        await bed.wait(is_told, "a warning of the connection", 40)


@every_dress
async def test_an_account_with_more_than_is_delegated_is_not_taken_over(dress: str) -> None:
    async with controller_bed(dress) as bed:
        bed.double.core.store.users["a_boss"] = Account("a-password", roles={"admin"})
        delegate(bed, {**ENTRY, "userNames": ["*"], "mayAdopt": True})
        bed.user("a-boss", TEAM, adoption="Always")
        await says(bed, "milvususers", "a-boss", "Conflict", "it has what is not delegated")
        assert bed.double.core.store.users["a_boss"].roles == {"admin"}


@pytest.mark.parametrize("dress", ["2.3", "2.6", "3.0"])
async def test_a_listed_role_that_reaches_further_is_not_bound_and_is_taken_back(dress: str) -> None:
    async with controller_bed(dress) as bed:
        store = bed.double.core.store
        store.roles["shared"] = ""
        store.give("shared", Kept("Collection", "default", "*", "Query"), "root")
        delegate(bed, ENTRY)
        bed.user("a-app", TEAM, roles=["shared"])
        await bed.wait_ready("milvususers", "a-app", namespace=TEAM)
        kept = Kept("Global", "*" if dress != "2.3" else "default", "*", "ManageOwnership")
        store.give("shared", kept, "root")
        look_again(bed)
        await bed.wait(lambda: not store.users["a_app"].roles, "it is unbound", 40)
        await says(bed, "milvususers", "a-app", "NotPermitted")


@pytest.mark.parametrize("dress", ["2.4", "2.5", "2.6", "3.0"])
async def test_who_runs_the_connection_is_told_what_can_not_be_taken_from_a_team(dress: str) -> None:
    async with controller_bed(dress) as bed:
        store = bed.double.core.store
        store.groups["finders"] = ["Search"]
        delegate(bed, ENTRY)
        bed.role("a-reader", [{"privileges": ["finders"], "collections": ["*"]}], TEAM)
        await bed.wait_ready("milvusroles", "a-reader", namespace=TEAM)
        store.groups["finders"] = ["ManageOwnership"]
        look_again(bed)

        def is_told() -> bool:
            status = bed.kube.objects["milvusconnections", HOME, "prod"]["status"]
            return any(
                "MilvusRole team/a-reader keeps what is not delegated" in one["message"]
                for one in status.get("warnings", ())
            )

        await bed.wait(is_told, "a warning of the connection", 40)
        events = [one for (plural, _, _), one in bed.kube.objects.items() if plural == "events"]
        assert any(one["regarding"]["name"] == "prod" and "a-reader" in one["note"] for one in events)


@pytest.mark.parametrize(
    "privilege",
    [
        "Expr",
        "UpdateReplicateConfiguration",
        "ExportSnapshot",
        "RestoreExternalSnapshot",
        "AddFileResource",
        "SelectUser",
        "BackupRBAC",
        "ClusterReadOnly",
    ],
)
async def test_what_reaches_beyond_databases_is_not_granted_even_if_an_entry_names_it(privilege: str) -> None:
    """The API server refuses such an entry; one that was stored before is not honoured."""
    async with controller_bed("3.0") as bed:
        delegate(bed, {**ENTRY, "databases": ["*"], "privileges": [privilege, "ListDatabases"]})
        bed.role("a-reader", [{"privileges": [privilege, "ListDatabases"]}], TEAM)
        await says(bed, "milvusroles", "a-reader", "NotPermitted", privilege)
        held = {kept.privilege for kept in bed.double.core.store.grants["a_reader"]}
        assert held == {"ListDatabases"}


PAGE = Path(__file__).parents[2] / "docs" / "tenancy.md"


@every_dress
async def test_the_first_example_of_the_page_works_on_every_version(dress: str) -> None:
    async with controller_bed(dress) as bed:
        bed.double.core.store.databases["team_a"] = {}
        blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        connection, *team = [one for block in blocks[:2] for one in yaml.safe_load_all(block)]
        bed.connect(delegations=connection["spec"]["delegations"])
        for one in team:
            plural = f"{one['kind'].lower()}s"
            bed.kube.apply(
                plural, one["metadata"]["namespace"], one["metadata"]["name"], {"spec": one["spec"]}
            )
            await bed.wait_ready(plural, one["metadata"]["name"], namespace=one["metadata"]["namespace"])
