"""What is about to be created is written down before: once for a turn, and only as long as it means something."""

import asyncio
from collections.abc import Sequence
from typing import Any

from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.claims import Site, claim_of
from milvus_rbac.controller.entry import Intents
from milvus_rbac.controller.ownership import OwnershipRecord
from milvus_rbac.domain.changes import CreateUser
from milvus_rbac.domain.claims import Origin
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.milvus.port import Address
from unit.resources import HERE, Json, claimed, connection, user

SITE = Site(("ns", "prod"), "uid-prod", HERE, {HERE}, "root", Address("http://milvus.ns:19530"), ())


class Bed:
    """A cache, and what is written into it."""

    def __init__(self, *users: Json, in_flight: Sequence[Json] = ()) -> None:
        self.cache = Cache()
        self.version = 100
        self.cache.put(connection(status={"inFlight": list(in_flight)}))
        for one in users:
            self.cache.put(one)
        self.is_broken = False
        self.refused: frozenset[str] = frozenset()

    async def hold(self, uids: Sequence[str]) -> frozenset[str]:
        return frozenset(uids) - self.refused

    async def note_stale(self, _: Sequence[ClaimPlan]) -> frozenset[str]:
        return frozenset()

    async def write(self, intents: Intents) -> None:
        if not self.is_broken:
            self.version += 1
            status = {"inFlight": list(intents.values())}
            self.cache.put(connection(status=status, resourceVersion=str(self.version)))

    def prepare(self) -> frozenset[str]:
        plans = [
            ClaimPlan(claim_of(one, {HERE}, "root"), (CreateUser(one.claimed_name),), origin=Origin.CREATED)
            for one in self.cache.entries.values()
            if one.claimant
        ]
        return asyncio.run(self.record.prepare(plans))

    @property
    def record(self) -> OwnershipRecord:
        return OwnershipRecord(self.cache, SITE, self.hold, self.note_stale, self.write)


def intent(name: str, **fields: Any) -> Json:
    return {"endpoint": HERE, "uid": f"uid-{name}", "kind": "MilvusUser", "name": name, **fields}


def test_the_intents_of_a_turn_are_written_at_once() -> None:
    bed = Bed(user("a"), user("b"))
    assert bed.prepare() == {"uid-a", "uid-b"}
    assert dict(bed.record.outstanding()) == {"uid-a": intent("a"), "uid-b": intent("b")}
    assert bed.version == 101


def test_what_kubernetes_does_not_hold_is_not_created() -> None:
    bed = Bed(user("a"), user("b"))
    bed.refused = frozenset({"uid-a"})
    assert bed.prepare() == {"uid-b"}
    assert set(bed.record.outstanding()) == {"uid-b"}


def test_where_intents_cant_be_written_nothing_is_created() -> None:
    bed = Bed(user("a"))
    bed.is_broken = True
    assert bed.prepare() == frozenset()


def test_an_intent_is_void_with_a_claim_without_a_resource_and_on_another_server() -> None:
    there = [
        intent("mine", uid="uid-mine"),
        intent("gone"),
        intent("else", endpoint="elsewhere:1"),
        intent("new"),
    ]
    bed = Bed(user("mine", claimed(name="mine")), user("else"), user("new"), in_flight=there)
    assert set(bed.record.outstanding()) == {"uid-new"}
    assert set(bed.record.outstanding(without={"uid-new"})) == set()
