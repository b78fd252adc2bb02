"""What people write by mistake takes nothing away, grants nothing that was not written, and is answered in words."""

from typing import Any

import pytest

from support.controller_bed import HOME, ControllerBed, controller_bed
from support.double.store import Collection

DRESSES = ["2.3", "2.4", "2.5", "2.6", "3.0"]
every_dress = pytest.mark.parametrize("dress", DRESSES)
QUERY = {"privileges": ["Query"], "collections": ["orders"]}
BOTH = {"privileges": ["Query", "Search"], "collections": ["orders"]}
TYPO = {"privileges": ["Query", "Serch"], "collections": ["orders"]}


def granted(bed: ControllerBed, role: str) -> set[str]:
    """The privileges that a role has in Milvus."""
    return {kept.privilege.removeprefix("Privilege") for kept in bed.double.core.store.grants.get(role, {})}


def bound(bed: ControllerBed, user: str) -> set[str]:
    """The roles that a user has in Milvus."""
    return set(bed.double.core.store.users[user].roles)


async def told(bed: ControllerBed, plural: str, name: str, reason: str, *words: str) -> None:
    """Wait for a condition with a reason and words."""
    await bed.wait(lambda: bed.reason(plural, name) == reason, f"{name} says {reason}")
    message = bed.condition(plural, name)["message"]
    for word in words:
        assert word in message, message


@every_dress
async def test_a_right_that_names_no_collections_is_not_given(dress: str) -> None:
    """A null, absent or misspelt `collections` once meant all of them."""
    async with controller_bed(dress) as bed:
        bed.connect()
        rows: list[dict[str, Any]] = [
            {"privileges": ["Search"]},
            {"privileges": ["Search"], "collections": None},
            {"privileges": ["Search"], "collection": ["orders"]},
        ]
        for number, row in enumerate(rows):
            bed.role(f"r{number}", [QUERY, row])
            await told(
                bed, "milvusroles", f"r{number}", "InvalidScope", "spec.grants[1]", 'write ["*"] for all'
            )
            assert granted(bed, f"r{number}") == {"Query"}
        bed.role("r0", [QUERY, {"privileges": ["Search"], "collections": ["*"]}])
        await bed.wait_ready("milvusroles", "r0")
        assert granted(bed, "r0") == {"Query", "Search"}


@every_dress
async def test_a_typo_takes_nothing_away_until_it_is_mended(dress: str) -> None:
    async with controller_bed(dress) as bed:
        bed.connect()
        bed.role("reader", [BOTH])
        await bed.wait_ready("milvusroles", "reader")
        bed.role("reader", [TYPO])
        kept = "Until that is mended, the role keeps what it had beside: Search on default.orders"
        await told(bed, "milvusroles", "reader", "UnknownPrivilege", "write Search", kept)
        assert granted(bed, "reader") == {"Query", "Search"}
        bed.role("reader", [QUERY])
        await bed.wait_ready("milvusroles", "reader")
        assert granted(bed, "reader") == {"Query"}


@every_dress
async def test_a_role_that_is_not_there_unbinds_none_and_a_resource_s_name_is_answered_with_its_role(
    dress: str,
) -> None:
    async with controller_bed(dress) as bed:
        bed.connect()
        bed.role("mover", [QUERY])
        bed.role("analytics-reader", [QUERY])  # its roleName is analytics_reader
        bed.user("app", roles=["mover"])
        await bed.wait_ready("milvususers", "app")
        bed.user("app", roles=["analytics-reader"])
        await told(
            bed, "milvususers", "app", "WaitingForRole", "roleName analytics_reader: write that", "mover"
        )
        assert bound(bed, "app") == {"mover"}
        bed.user("app", roles=["analytics_reader"])
        await bed.wait_ready("milvususers", "app")
        assert bound(bed, "app") == {"analytics_reader"}


async def test_a_right_that_milvus_refuses_takes_nothing_away() -> None:
    async with controller_bed("2.6") as bed:
        bed.connect()
        bed.role("reader", [QUERY])
        await bed.wait_ready("milvusroles", "reader")
        bed.role("reader", [{"privileges": ["Search"], "database": "gone", "collections": ["orders"]}])
        await told(bed, "milvusroles", "reader", "InvalidScope", "gone", "keeps what it had beside: Query")
        assert granted(bed, "reader") == {"Query"}


@pytest.mark.parametrize("dress", DRESSES[1:])
async def test_a_group_keeps_its_privileges_while_one_of_them_is_mistyped(dress: str) -> None:
    async with controller_bed(dress) as bed:
        bed.connect()
        spec = {"connectionRef": {"name": "prod", "namespace": HOME}, "groupName": "finders"}
        bed.kube.apply(
            "milvusprivilegegroups", HOME, "find", {"spec": {**spec, "privileges": ["Query", "Search"]}}
        )
        await bed.wait_ready("milvusprivilegegroups", "find")
        bed.kube.apply(
            "milvusprivilegegroups", HOME, "find", {"spec": {**spec, "privileges": ["Query", "Serch"]}}
        )
        await told(
            bed, "milvusprivilegegroups", "find", "UnknownPrivilege", "the privilege group keeps", "Search"
        )
        assert set(bed.double.core.store.groups["finders"]) == {"Query", "Search"}
        bed.role("reader", [{"privileges": ["find"], "collections": ["*"]}])
        await told(bed, "milvusroles", "reader", "UnknownPrivilege", "groupName finders: write that")


@every_dress
async def test_a_stored_role_without_grants_keeps_what_it_has(dress: str) -> None:
    """It was written when `grants` could be left out; the API server lets it live."""
    async with controller_bed(dress) as bed:
        bed.connect()
        bed.role("reader", [QUERY])
        await bed.wait_ready("milvusroles", "reader")
        spec = {key: value for key, value in bed.spec("milvusroles", "reader").items() if key != "grants"}
        bed.kube.apply("milvusroles", HOME, "reader", {"spec": spec})
        await told(bed, "milvusroles", "reader", "InvalidSpec", "spec.grants is missing")
        assert granted(bed, "reader") == {"Query"}


@every_dress
async def test_a_collection_that_milvus_does_not_have_is_named_until_it_is_there(dress: str) -> None:
    async with controller_bed(dress) as bed:
        bed.connect()
        collections = bed.double.core.store.databases["default"]
        collections["orders"] = Collection({"latest"})
        row = {"privileges": ["Query"], "collections": ["latest", "odrers", "orders"]}
        bed.role("reader", [row])
        bed.role("other", [{**row, "collections": ["orders"]}])
        await bed.wait_ready("milvusroles", "reader", "other")
        assert granted(bed, "reader") == {"Query"}
        assert bed.kube.objects["milvusroles", HOME, "reader"]["status"]["notFound"] == ["default.odrers"]
        message = bed.condition("milvusroles", "reader")["message"]
        assert "Milvus has no default.odrers yet, or the name is mistyped" in message
        assert "mistyped" not in bed.condition("milvusroles", "other")["message"]
        collections["odrers"] = Collection()
        bed.double.faults.calls.clear()
        for name in ("reader", "other"):
            bed.kube.annotate("milvusroles", HOME, name, **{"rbac.milvus.io/reconcile-at": "now"})
        await bed.wait(
            lambda: "mistyped" not in bed.condition("milvusroles", "reader")["message"], "it is found"
        )
        await bed.quiet()
        assert "notFound" not in bed.kube.objects["milvusroles", HOME, "reader"]["status"]
        # Where nothing was missing nobody asks again, and an alias may be its collection.
        assert bed.double.faults.count("HasCollection") == 2 + (not bed.double.core.dress.resolves_aliases)


async def test_what_is_not_there_is_also_found_for_a_role_that_had_to_wait() -> None:
    """What a status says was written before anybody could look."""
    async with controller_bed() as bed:
        bed.role("reader", [QUERY])
        await bed.wait(lambda: bed.reason("milvusroles", "reader") == "WaitingForConnection", "it waits")
        bed.connect()
        await bed.wait_ready("milvusroles", "reader")
        assert bed.kube.objects["milvusroles", HOME, "reader"]["status"]["notFound"] == ["default.orders"]


@pytest.mark.parametrize("privilege", ["Search", "DescribeCollection"])
async def test_a_team_learns_of_no_collection_that_it_may_not_see(privilege: str) -> None:
    entry = {
        "namespaces": {"names": ["team"]},
        "roleNames": ["a_*"],
        "databases": ["default"],
        "privileges": ["Search", privilege],
    }
    async with controller_bed() as bed:
        bed.connect(delegations=[entry])
        bed.role("a-reader", [{"privileges": ["Search"], "collections": ["odrers"]}], "team")
        await bed.wait_ready("milvusroles", "a-reader", namespace="team")
        status = bed.kube.objects["milvusroles", "team", "a-reader"]["status"]
        assert status.get("notFound") == (["default.odrers"] if privilege == "DescribeCollection" else None)
