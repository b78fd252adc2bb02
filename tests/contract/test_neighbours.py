"""Trouble with one name, or one server, is nobody else's."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from pymilvus.grpc_gen import common_pb2
from pymilvus.grpc_gen import milvus_pb2 as pb

from milvus_rbac.domain.changes import (
    AddPrivileges,
    BindRole,
    Change,
    CreateGroup,
    CreateRole,
    CreateUser,
    GrantPrivilege,
)
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import PasswordVerdict, Scope
from milvus_rbac.milvus import aliases
from milvus_rbac.milvus.aliases import may_be_alias
from milvus_rbac.milvus.errors import InternalError, Refused
from milvus_rbac.milvus.port import Milvus
from support.double import Double, ServerSettings
from support.double.faults import Trouble
from support.double.store import Collection
from testbed.milvus import MilvusFacts
from testbed.milvus_admin import ROOT_PASSWORD

from .conftest import Connect
from .support import PASSWORD, do, look, on_collection, on_everything, password_texts

DRESSES = ("2.3", "2.4", "2.5", "2.6", "3.0")
GROUPS = DRESSES[1:]
RESOLVING = ("2.6", "3.0")
BAD_NAMES = ("1a", "a-b", "a b", "a.b", "a$", "ä", "x" * 256, "")
NAMES = (*BAD_NAMES, "orders", "_x1", "x" * 255)

Serve = Callable[..., Any]


@pytest.fixture
async def serve(connect: Connect) -> AsyncIterator[Serve]:
    """Starts doubles; returns each with a client of root."""
    async with AsyncExitStack() as stack:

        async def start(dress: str, **settings: Any) -> tuple[Double, Milvus]:
            room = {"max_user_num": 500, "max_role_num": 500, "bcrypt_cost": 4}
            double = await stack.enter_async_context(Double(dress, ServerSettings(**{**room, **settings})))
            milvus = connect(double.uri, "root", "Milvus")
            await milvus.probe()
            return double, milvus

        yield start


def with_alias(double: Double) -> None:
    double.core.store.databases["default"]["orders_7"] = Collection({"orders"})


@pytest.mark.parametrize("dress", DRESSES)
async def test_only_from_2_6_12_on_a_server_resolves_aliases(serve: Serve, dress: str) -> None:
    double, milvus = await serve(dress)
    with_alias(double)
    await do(milvus, CreateRole("r"), GrantPrivilege("r", on_collection("Search", "orders")))
    stored = {grant.object_name for grant in (await look(milvus, "r")).roles["r"].grants or ()}
    assert stored == {"orders_7" if (await milvus.probe()).resolves_aliases else "orders"}


async def answer(address: str, method: str, request: Any) -> tuple[int, str]:
    """Return how a server answers a call about an alias."""
    reply_type = pb.DescribeAliasResponse if method == "DescribeAlias" else common_pb2.Status
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(
            f"/milvus.proto.milvus.MilvusService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply_type.FromString,
        )
        token = base64.b64encode(f"root:{ROOT_PASSWORD}".encode()).decode()
        reply = await call(request, metadata=(("authorization", token),))
    status = getattr(reply, "status", reply)
    return status.code, status.reason


@pytest.mark.parametrize("dress", RESOLVING)
@pytest.mark.parametrize("name", NAMES)
async def test_aliases_are_looked_up_by_names_that_the_server_takes(
    serve: Serve, dress: str, name: str
) -> None:
    double, _ = await serve(dress)
    code, _ = await answer(f"127.0.0.1:{double.port}", "DescribeAlias", pb.DescribeAliasRequest(alias=name))
    assert code == (1600 if may_be_alias(name) else 1100)


@pytest.mark.parametrize("name", NAMES)
async def test_aliases_are_looked_up_by_names_that_a_real_server_takes_for_a_new_one(
    serve: Serve, milvus: MilvusFacts, name: str
) -> None:
    """2.3.5 takes any name where an alias is looked up, but not where one is made."""
    double, _ = await serve("2.3")
    addresses = (milvus.address, f"127.0.0.1:{double.port}")
    request: Any = pb.CreateAliasRequest(collection_name="missing", alias=name)
    real, doubled = [await answer(address, "CreateAlias", request) for address in addresses]
    assert real == doubled
    assert (real[0] == 1100) is not may_be_alias(name)
    if name:
        request = pb.DescribeAliasRequest(alias=name)
        real, doubled = [await answer(address, "DescribeAlias", request) for address in addresses]
        assert real == doubled
        assert real[0] == 1600


@pytest.mark.parametrize("dress", RESOLVING)
async def test_names_that_are_no_alias_or_are_refused_do_not_hide_the_others(
    serve: Serve, dress: str
) -> None:
    double, milvus = await serve(dress)
    with_alias(double)
    double.faults.calls.clear()
    names = ("orders", "my-docs", "nothing", *BAD_NAMES)
    places = {("default", name) for name in names} | {("no_database", "orders"), ("1bad", "orders")}
    found = await milvus.resolve(places)
    assert found.known == {("default", "orders"): "orders_7"}
    assert (found.troubled, found.unasked) == ({}, frozenset())
    assert double.faults.count("DescribeAlias") == 4


async def test_an_answer_that_nobody_heard_of_concerns_one_alias(serve: Serve) -> None:
    double, milvus = await serve("3.0")
    with_alias(double)
    double.faults.add(Trouble.UNHEARD_OF, "DescribeAlias", about="others")
    places = [("default", "orders"), ("default", "others")]
    found = await milvus.resolve(places)
    assert found.known == {("default", "orders"): "orders_7"}
    assert [type(error) for error in found.troubled.values()] == [InternalError]
    assert found.troubled.keys() == {("default", "others")}
    assert (await milvus.resolve(places)).troubled == {}, "it is asked again"


async def test_an_account_that_may_not_look_an_alias_up_is_no_trouble_for_the_others(
    serve: Serve, connect: Connect
) -> None:
    double, root = await serve("3.0")
    await do(root, CreateUser("svc"), texts=password_texts({"svc": PASSWORD}))
    found = await connect(double.uri, "svc", PASSWORD).resolve([("default", "orders")])
    assert found.known == {("default", "orders"): None}


async def test_aliases_are_remembered_until_something_is_granted_there(serve: Serve) -> None:
    double, milvus = await serve("3.0")
    places = [("default", "orders"), ("default", "others")]
    assert (await milvus.resolve(places)).known == {}
    with_alias(double)
    double.faults.calls.clear()
    assert (await milvus.resolve(places)).known == {}
    assert double.faults.count("DescribeAlias") == 0
    await do(milvus, CreateRole("r"), GrantPrivilege("r", on_collection("Search", "orders")))
    assert (await milvus.resolve(places)).known == {("default", "orders"): "orders_7"}
    assert double.faults.count("DescribeAlias") == 1


async def test_aliases_are_asked_for_a_bounded_number_at_a_time(serve: Serve) -> None:
    double, milvus = await serve("3.0")
    places = {("default", f"c{number}") for number in range(aliases.MOST + 30)}
    double.faults.calls.clear()
    first = await milvus.resolve(places)
    assert (len(first.unasked), double.faults.count("DescribeAlias")) == (30, aliases.MOST)
    second = await milvus.resolve(places)
    assert (len(second.unasked), double.faults.count("DescribeAlias")) == (0, len(places))


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("holders", [False, True])
async def test_grants_that_can_not_be_read_concern_one_role(serve: Serve, dress: str, holders: bool) -> None:
    double, milvus = await serve(dress)
    grant = on_collection("Search")
    for role in ("good", "bad"):
        await do(milvus, CreateRole(role), GrantPrivilege(role, grant))
    double.faults.add(Trouble.UNHEARD_OF, "BackupRBAC")
    double.faults.add(Trouble.UNHEARD_OF, "SelectGrant", about="bad")
    scope = Scope({"good": frozenset(), "bad": frozenset()}, holders=holders)
    seen = await milvus.observe(scope, password_texts({}))
    assert seen.roles["good"].grants == {grant}
    assert seen.roles["bad"].grants is None
    assert [(key, refusal.reason) for key, refusal in seen.troubles.items()] == [
        (("role", "bad"), Reason.INTERNAL_ERROR)
    ]
    assert "moon" in seen.troubles["role", "bad"].message
    again = await milvus.observe(scope, password_texts({}))
    assert (again.roles["bad"].grants, again.troubles) == ({grant}, {})


async def test_users_whose_descriptions_can_not_be_read_are_seen_without(serve: Serve) -> None:
    double, milvus = await serve("3.0")
    double.faults.add(Trouble.UNHEARD_OF, "SelectUser")
    seen = await milvus.observe(Scope(descriptions=True), password_texts({}))
    assert ("root" in seen.users, seen.describes) == (True, False)
    assert (await milvus.observe(Scope(descriptions=True), password_texts({}))).describes


async def test_a_login_that_ends_in_an_unheard_of_way_gives_no_verdict_on_one_user(serve: Serve) -> None:
    double, milvus = await serve("2.3")
    texts = password_texts({"ann": PASSWORD, "bob": PASSWORD})
    await do(milvus, CreateUser("ann"), CreateUser("bob"), texts=texts)
    double.faults.add(Trouble.UNHEARD_OF, "GetVersion")
    seen = await milvus.observe(Scope(logins={"ann": "", "bob": ""}), texts)
    verdicts = {seen.users["ann"].password, seen.users["bob"].password}
    assert verdicts == {PasswordVerdict.UNKNOWN, PasswordVerdict.IN_FORCE}


async def test_a_hash_that_takes_days_to_try_is_not_tried(serve: Serve) -> None:
    double, milvus = await serve("3.0")
    texts = password_texts({"ann": PASSWORD})
    await do(milvus, CreateUser("ann"), texts=texts)
    account = double.core.store.users["ann"]
    account.hash = account.hash.replace("$04$", "$31$")
    began = time.monotonic()
    seen = await milvus.observe(Scope(logins={"ann": ""}), texts)
    assert seen.users["ann"].password is PasswordVerdict.UNKNOWN
    assert time.monotonic() - began < 5


async def test_an_own_role_that_can_not_be_read_does_not_keep_the_account_from_working(
    serve: Serve, connect: Connect
) -> None:
    double, root = await serve("3.0")
    texts = password_texts({"svc": PASSWORD})
    await do(root, CreateRole("op"), CreateUser("svc"), BindRole("svc", "op"), texts=texts)
    milvus = connect(double.uri, "svc", PASSWORD)
    double.faults.add(Trouble.UNHEARD_OF, "SelectGrant", about="op")
    assert (await milvus.probe()).missing_privileges == ()
    assert "CreateOwnership" in (await milvus.probe()).missing_privileges


async def test_a_server_that_hangs_holds_no_other_connection_up(serve: Serve) -> None:
    (hanging, milvus), (_, other) = await serve("3.0"), await serve("3.0")
    hanging.faults.add(Trouble.HANGING, times=50)
    waiting = [asyncio.create_task(look(milvus)) for _ in range(50)]
    began = time.monotonic()
    for _ in range(20):
        await look(other)
    assert time.monotonic() - began < 5
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("name", BAD_NAMES)
async def test_every_name_that_milvus_does_not_take_is_a_refusal(serve: Serve, dress: str, name: str) -> None:
    _, milvus = await serve(dress)
    await do(milvus, CreateRole("r"))
    changes: list[Change] = [CreateUser(name), GrantPrivilege("r", on_collection("Search", name))]
    if name != "a$":
        changes += [CreateRole(name)]
    if dress != "2.3":
        in_database = on_collection("Search", database=name)
        changes += [CreateGroup(name), AddPrivileges(name, frozenset({"Search"}))]
        changes += [GrantPrivilege("r", in_database)] if name else []
    for change in changes:
        if name == "a$" and isinstance(change, GrantPrivilege) and change.grant.object_name == name:
            continue  # taken in a grant
        if dress in RESOLVING and name in {"a-b", "a.b"} and isinstance(change, CreateUser):
            continue  # taken as a user
        with pytest.raises(Refused) as refused:
            await do(milvus, change, texts=password_texts({name: PASSWORD}))
        assert refused.value.refusal.reason in {Reason.INVALID_NAME, Reason.INVALID_SCOPE}, change


@pytest.mark.parametrize("dress", GROUPS)
async def test_who_holds_a_group_is_seen_where_snapshots_are_refused(serve: Serve, dress: str) -> None:
    double, milvus = await serve(dress)
    await do(milvus, CreateGroup("finders"), AddPrivileges("finders", frozenset({"Search"})), CreateRole("r"))
    await do(milvus, GrantPrivilege("r", on_everything("finders", "default")))
    double.faults.add(Trouble.UNHEARD_OF, "BackupRBAC")
    seen = await milvus.observe(Scope(groups=True, holders=True), password_texts({}))
    assert seen.roles["r"].grants == {on_everything("finders", "default")}
