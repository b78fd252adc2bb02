"""A snapshot is read in pieces, and holds what the reply holds."""

import asyncio
import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_rbac.domain.state import Grant
from milvus_rbac.milvus.errors import InternalError
from milvus_rbac.milvus.read import read_grant
from milvus_rbac.milvus.snapshot import Snapshot, parse
from milvus_rbac.milvus.stubs import milvus_pb2 as pb
from milvus_rbac.pace import Pace

NAMES = st.one_of(st.sampled_from(["r1", "r2", "r11"]), st.text(min_size=1, max_size=300))
ROWS = st.lists(st.tuples(st.sampled_from(["r1", "r2", "r11", "ä" * 100]), NAMES, NAMES, NAMES), max_size=30)


def row(role: str, privilege: str, database: str, name: str) -> pb.GrantEntity:
    return pb.GrantEntity(
        role=pb.RoleEntity(name=role),
        object=pb.ObjectEntity(name="Collection"),
        object_name=name,
        db_name=database,
        grantor=pb.GrantorEntity(
            user=pb.UserEntity(name="root"), privilege=pb.PrivilegeEntity(name=privilege)
        ),
    )


def reply(meta: pb.RBACMeta) -> bytes:
    serialized: bytes = pb.BackupRBACMetaResponse(status={}, RBAC_meta=meta).SerializeToString()
    return serialized


@given(ROWS)
def test_every_role_has_the_grants_of_its_rows_in_whatever_order(
    rows: list[tuple[str, str, str, str]],
) -> None:
    meta = pb.RBACMeta(grants=[row(*one) for one in rows], roles=[pb.RoleEntity(name="r1", description="d")])

    async def check() -> None:
        snapshot = await parse(reply(meta))
        assert snapshot.grant_count == len(rows)
        for role in ("r1", "r2", "r11", "ä" * 100, "missing"):
            expected = {read_grant(one, is_v2=True) for one in meta.grants if one.role.name == role}
            assert await snapshot.grants_of(role, Pace()) == expected
        for privilege in {one[1] for one in rows}:
            holders = {role for role, held, *_ in rows if held == privilege}
            assert holders <= await snapshot.holders({privilege}, Pace())
        assert snapshot.descriptions == {"r1": "d"}

    asyncio.run(check())


async def test_only_roles_with_the_name_of_a_group_may_hold_it() -> None:
    rows = [row("r1", "finders", "*", "*"), row("r2", "finder", "*", "*"), row("r3", "finders2", "*", "*")]
    snapshot = await parse(reply(pb.RBACMeta(grants=rows)))
    assert await snapshot.holders({"finders"}, Pace()) == {"r1"}
    assert await snapshot.holders((), Pace()) == frozenset()


async def test_users_come_with_roles_and_the_digest_of_their_hash() -> None:
    user = pb.UserInfo(user="ann", password="a hash", roles=[pb.RoleEntity(name=name) for name in ("r1", "")])
    group = pb.PrivilegeGroupInfo(group_name="g", privileges=[pb.PrivilegeEntity(name="Search")])
    snapshot = await parse(reply(pb.RBACMeta(users=[user], privilege_groups=[group])))
    assert snapshot.users["ann"].roles == {"r1"}, "a role without a name is none"
    assert len(snapshot.users["ann"].hash_digest) == 64
    assert snapshot.hashes == {"ann": "a hash"}
    assert snapshot.groups == {"g": {"Search"}}


@pytest.mark.parametrize(
    "text", [b"\x12", b"\x12\xff", b"\x12\x7fabc", b"\x12\x03\x1a\x05a", b"\x12\x03\x0a\x01\xff", b"\x07"]
)
async def test_what_is_no_reply_is_an_error_of_ours(text: bytes) -> None:
    with pytest.raises(InternalError):
        await parse(text)


async def test_numbers_between_the_texts_are_skipped() -> None:
    numbers = b"\x28\xff\x01" + b"\x31" + bytes(8) + b"\x3d" + bytes(4)
    meta = numbers + pb.RBACMeta(roles=[pb.RoleEntity(name="r1")]).SerializeToString() + numbers
    text = numbers + b"\x12" + bytes([len(meta)]) + meta
    assert (await parse(text)).descriptions == {"r1": ""}


def big(roles: int, grants: int, users: int) -> bytes:
    return reply(
        pb.RBACMeta(
            users=[pb.UserInfo(user=f"user_{number}", password="x" * 60) for number in range(users)],
            roles=[pb.RoleEntity(name=f"role_{number}") for number in range(roles)],
            grants=[
                row(f"role_{number}", "Search", "default", f"collection_{number}_{index}")
                for number in range(roles)
                for index in range(grants)
            ],
        )
    )


async def test_a_big_snapshot_is_small_and_leaves_the_event_loop_to_others() -> None:
    """In seconds of this thread's own work, so that it does not matter how busy the machine is."""
    text, longest = big(100, 1000, 5000), 0.0

    async def measure() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            longest, last = max(longest, time.thread_time() - last), time.thread_time()

    gc.collect()
    gc.freeze()  # what other tests have left is not this work
    measuring = asyncio.create_task(measure())
    await asyncio.sleep(0)
    snapshot = await parse(text)
    assert len(await snapshot.grants_of("role_7", Pace())) == 1000
    assert await snapshot.holders({"finders"}, Pace()) == frozenset()
    await asyncio.sleep(0)
    measuring.cancel()
    gc.unfreeze()
    assert longest < 0.05
    assert sum(len(block) for blocks in snapshot._blocks.values() for block in blocks) < len(text) / 5


async def test_grants_that_were_read_are_kept_while_the_server_has_the_same() -> None:
    first, second = await parse(big(3, 5, 0)), await parse(big(2, 5, 0))
    kept = [await first.grants_of(role, Pace()) for role in ("role_0", "role_2")]
    assert await first.grants_of("role_0", Pace()) is kept[0]
    second.take_over(first)
    assert await second.grants_of("role_0", Pace()) is kept[0]
    assert await second.grants_of("role_2", Pace()) == frozenset(), "it is gone"
    changed = await parse(reply(pb.RBACMeta(grants=[row("role_0", "Query", "default", "other")])))
    changed.take_over(second)
    assert await changed.grants_of("role_0", Pace()) == {Grant("Collection", "Query", "default", "other")}


async def test_no_more_grants_are_kept_as_objects_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milvus_rbac.milvus.snapshot._KEPT_GRANTS", 12)
    snapshot = await parse(big(4, 5, 0))
    read = {role: await snapshot.grants_of(role, Pace()) for role in (f"role_{n}" for n in range(4))}
    again = {role: await snapshot.grants_of(role, Pace()) for role in ("role_3", "role_2", "role_0")}
    assert [again[role] is read[role] for role in again] == [True, True, False]
    assert again["role_0"] == read["role_0"]
    assert isinstance(snapshot, Snapshot)
