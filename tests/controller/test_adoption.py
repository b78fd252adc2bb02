"""What is in Milvus already is taken over without loss, or it is said what would be lost."""

import pytest

from support.controller_bed import HOME, ControllerBed, controller_bed
from support.double.store import Kept

QUERY = {"privileges": ["Query"], "collections": ["orders"]}
every_dress = pytest.mark.parametrize("dress", ["2.3", "2.4", "2.5", "2.6", "3.0"])


def make_by_hand(bed: ControllerBed, role: str, *grants: Kept) -> None:
    """Make a role with grants, as somebody with pymilvus does."""
    bed.double.core.store.roles[role] = ""
    for kept in grants:
        bed.double.core.store.give(role, kept, "root")


def held(bed: ControllerBed, role: str) -> set[tuple[str, str, str]]:
    """What a role has in Milvus: database, object and privilege."""
    found = bed.double.core.store.grants.get(role, {})
    return {(kept.database, kept.object_name, kept.privilege.removeprefix("Privilege")) for kept in found}


@every_dress
@pytest.mark.parametrize("mode", ["Observe", "Enforce"])
async def test_what_taking_a_role_over_would_lose_is_named_and_nothing_is_lost(dress: str, mode: str) -> None:
    async with controller_bed(dress) as bed:
        make_by_hand(
            bed, "reader", *(Kept("Collection", "default", "orders", one) for one in ("Query", "Search"))
        )
        before = held(bed, "reader")
        bed.connect(mode=mode)
        bed.role("reader", [QUERY])
        await bed.wait(lambda: bed.reason("milvusroles", "reader") == "Conflict", "it is not taken over")
        lost = "revoke Search on default.orders from role reader"
        assert lost in bed.condition("milvusroles", "reader")["message"]
        if mode == "Observe":
            assert bed.condition("milvusroles", "reader", type_="Drifted")["status"] == "True"
            assert lost in bed.kube.objects["milvusroles", HOME, "reader"]["status"]["plan"]
        assert held(bed, "reader") == before


@every_dress
async def test_a_wider_grant_of_the_same_privilege_covers_the_one_that_pymilvus_made(dress: str) -> None:
    async with controller_bed(dress) as bed:
        make_by_hand(bed, "maker", Kept("Global", "default", "*", "CreateDatabase"))
        bed.connect()
        bed.role("maker", [{"privileges": ["CreateDatabase"]}])
        await bed.wait_ready("milvusroles", "maker")
        assert held(bed, "maker") == {("*", "*", "CreateDatabase")}


@every_dress
async def test_renaming_collections_can_be_granted_in_one_database(dress: str) -> None:
    async with controller_bed(dress) as bed:
        bed.double.core.store.databases["sales"] = {}
        make_by_hand(bed, "renamer", Kept("Global", "sales", "*", "RenameCollection"))
        bed.connect()
        bed.role("renamer", [{"privileges": ["RenameCollection"], "database": "sales"}])
        await bed.wait_ready("milvusroles", "renamer")
        assert held(bed, "renamer") == {("sales", "*", "RenameCollection")}
