"""The client on servers of every version: what it finds out, what it writes, what it reads back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from tools.milvus_support import ABILITIES, LINES

from milvus_rbac.domain.changes import (
    AddPrivileges,
    BindRole,
    Change,
    ClearProxies,
    CreateGroup,
    CreateRole,
    CreateUser,
    DropGroup,
    DropRole,
    DropUser,
    GrantPrivilege,
    PasswordMeans,
    RecreateUser,
    RemovePrivileges,
    ReplacePrivileges,
    RevokePrivilege,
    UpdatePassword,
)
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.privileges import CATALOGUE, Level
from milvus_rbac.domain.state import Grant, PasswordVerdict, Scope
from milvus_rbac.milvus.errors import AlreadyExists, NotFound, Refused
from milvus_rbac.milvus.logins import digest, judge
from milvus_rbac.milvus.port import Milvus
from support.double import Double, ServerSettings
from support.double.bulk import fill
from support.double.faults import Trouble

from .conftest import Connect
from .support import PASSWORD, do, on_collection, on_everything, password_texts

DRESSES = ("2.3", "2.4", "2.5", "2.6", "3.0")
GROUPS = DRESSES[1:]
ROOM = {"max_user_num": 500, "max_role_num": 500, "bcrypt_cost": 4}

Serve = Callable[..., Any]


@pytest.fixture
async def serve(connect: Connect) -> AsyncIterator[Serve]:
    """Starts doubles; gives each with a client of root."""
    async with AsyncExitStack() as stack:

        async def start(dress: str, **settings: Any) -> tuple[Double, Milvus]:
            double = await stack.enter_async_context(Double(dress, ServerSettings(**{**ROOM, **settings})))
            user = "db_admin" if dress == "zilliz" else "root"
            return double, connect(double.uri, user, "Milvus")

        yield start


@pytest.mark.parametrize(
    ("dress", "dialect", "boundaries", "rename"),
    [
        ("2.3", "V1", False, None),
        ("2.4", "V2", False, Level.CLUSTER),
        ("2.5", "V2", False, Level.CLUSTER),
        ("2.6", "V2", False, Level.CLUSTER),
        ("3.0", "V2", True, Level.DATABASE),
    ],
)
async def test_what_a_server_can_is_found_by_asking(
    serve: Serve, dress: str, dialect: str, boundaries: bool, rename: Level | None
) -> None:
    _, door = await serve(dress)
    found = await door.probe()
    assert (found.dialect, found.databases_are_boundaries, found.authorization) == (dialect, boundaries, True)
    assert found.levels.get("RenameCollection") is rename
    assert found.root_password_is_default
    assert not found.missing_privileges


@pytest.mark.parametrize("dress", DRESSES)
async def test_everything_that_is_written_is_read_back(serve: Serve, dress: str) -> None:
    double, door = await serve(dress)
    await door.probe()
    grants = [on_collection("Search", "orders", "default"), on_everything("CreateDatabase")]
    if dress != "2.3":
        grants.append(Grant("Global", "CollectionReadOnly", "default", "orders"))
    await do(door, CreateRole("reader"), *(GrantPrivilege("reader", grant) for grant in grants))
    await do(door, CreateUser("ann"), BindRole("ann", "reader"), texts=password_texts({"ann": PASSWORD}))
    roles = {"reader": frozenset[str](), **{f"r{number}": frozenset[str]() for number in range(5)}}
    seen = await door.observe(Scope(roles, {"ann": ""}), password_texts({"ann": PASSWORD}))
    assert seen.roles["reader"].grants == frozenset(grants)
    assert (seen.users["ann"].roles, seen.users["ann"].password) == ({"reader"}, PasswordVerdict.IN_FORCE)
    assert {"admin", "public", "reader"} <= seen.roles.keys()
    await do(door, *(RevokePrivilege("reader", grant) for grant in grants), DropRole("reader"))
    await do(door, DropUser("ann", frozenset()))
    assert (set(double.core.store.roles), set(double.core.store.users)) == ({"admin", "public"}, {"root"})
    assert double.core.store.held("reader") == {}


@pytest.mark.parametrize("dress", DRESSES)
async def test_every_privilege_of_a_version_can_be_granted_and_no_later_one(serve: Serve, dress: str) -> None:
    """The catalogue and the double list privileges each for itself."""
    _, door = await serve(dress)
    await door.probe()
    await do(door, CreateRole("r"))
    line = tuple(int(part) for part in dress.split("."))
    for row in CATALOGUE:
        grant = Grant(row.object_type, row.name, "default" if row.everything else "*", "*")
        if row.since[:2] <= line:
            await do(door, GrantPrivilege("r", grant))
        else:
            with pytest.raises(Refused) as refused:
                await do(door, GrantPrivilege("r", grant))
            assert refused.value.refusal.reason is Reason.UNSUPPORTED_BY_SERVER, row.name


@pytest.mark.parametrize("dress", GROUPS)
async def test_one_call_reads_a_whole_server(serve: Serve, dress: str) -> None:
    double, door = await serve(dress)
    await door.probe()
    names = [f"u{number}" for number in range(20)]
    texts = password_texts(dict.fromkeys(names, PASSWORD))
    await do(door, *(CreateRole(f"r{number}") for number in range(5)), texts=texts)
    await do(door, *(CreateUser(name) for name in names), texts=texts)
    known = {name: digest(double.core.store.users[name].hash) for name in names}
    double.faults.calls.clear()
    scope = Scope({f"r{number}": frozenset() for number in range(5)}, known)
    seen = await door.observe(scope, texts)
    assert [method for method, _ in double.faults.calls] == ["BackupRBAC"]
    assert {seen.users[name].password for name in names} == {PasswordVerdict.IN_FORCE}
    assert {name: seen.users[name].hash_digest for name in names} == known


@pytest.mark.parametrize("dress", GROUPS)
@pytest.mark.parametrize("holders", [False, True])
async def test_a_snapshot_says_what_reading_call_by_call_says(
    serve: Serve, dress: str, holders: bool
) -> None:
    double, door = await serve(dress)
    fill(double, users=30, roles=12, grants=40)
    double.core.store.groups["finders"] = ["Search"]
    await door.probe()
    await do(door, GrantPrivilege("role_9", Grant("Global", "finders", "default", "*")))
    scope = Scope({f"role_{number}": frozenset[str]() for number in range(6)}, groups=True, holders=holders)
    double.faults.calls.clear()
    shot = await door.observe(scope, password_texts({}))
    assert double.faults.count("BackupRBAC") == 1
    double.faults.add(Trouble.UNHEARD_OF, "BackupRBAC")
    read = await door.observe(scope, password_texts({}))
    assert shot.groups == read.groups
    # Snapshots leave root out, and the grants of roles that hold no group.
    assert {name: user.roles for name, user in read.users.items() if name != "root"} == {
        name: user.roles for name, user in shot.users.items()
    }
    seen = {role: held.grants for role, held in shot.roles.items() if held.grants is not None}
    assert seen == {role: read.roles[role].grants for role in seen}
    asked = set(scope.roles) | ({"admin", "public", "role_9"} if holders else set())
    assert seen.keys() == asked
    assert shot.roles.keys() == read.roles.keys()
    assert shot.grant_count == 12 * 40 + 1


async def test_a_snapshot_is_used_until_it_is_too_old_or_something_is_changed(serve: Serve) -> None:
    double, door = await serve("3.0")
    await door.probe()
    scope = Scope(logins={"root": ""}, may_be_old=60.0)
    texts = password_texts({})
    double.faults.calls.clear()
    for count, look in ((1, scope), (1, scope), (2, replace(scope, may_be_old=0.0)), (2, scope)):
        await door.observe(look, texts)
        assert double.faults.count("BackupRBAC") == count
    await do(door, CreateRole("r"))
    assert "r" in (await door.observe(scope, texts)).roles


async def test_a_snapshot_that_was_read_while_something_was_changed_is_used_once(serve: Serve) -> None:
    double, door = await serve("3.0")
    await door.probe()
    scope, texts = Scope(logins={"root": ""}, may_be_old=60.0), password_texts({})
    double.faults.calls.clear()
    double.faults.add(None, "BackupRBAC", delay=0.3)
    reading = asyncio.create_task(door.observe(scope, texts))
    await asyncio.sleep(0)
    await do(door, CreateRole("r"))
    await reading
    await door.observe(scope, texts)
    assert double.faults.count("BackupRBAC") == 2


@pytest.mark.parametrize("dress", GROUPS)
async def test_a_password_is_judged_by_the_hash_that_the_server_keeps(serve: Serve, dress: str) -> None:
    double, door = await serve(dress)
    await door.probe()
    await do(door, CreateUser("ann"), texts=password_texts({"ann": PASSWORD}))
    seen = await door.confirm({"ann"}, password_texts({"ann": PASSWORD}))
    assert seen["ann"].password is PasswordVerdict.IN_FORCE
    old = seen["ann"].hash_digest
    await do(door, RecreateUser("ann", frozenset()), texts=password_texts({"ann": "another-password"}))
    scope = Scope(logins={"ann": old})
    assert (await door.observe(scope, password_texts({"ann": PASSWORD}))).users[
        "ann"
    ].password is PasswordVerdict.REFUSED
    double.core.store.users["ann"].hash = "no hash at all"
    assert (await door.observe(scope, password_texts({"ann": PASSWORD}))).users[
        "ann"
    ].password is PasswordVerdict.REFUSED


@pytest.mark.parametrize("dress", GROUPS)
async def test_groups_are_made_filled_shrunk_and_dropped(serve: Serve, dress: str) -> None:
    double, door = await serve(dress)
    await door.probe()
    held = Grant("Global", "finders", "default", "orders")
    await do(
        door,
        CreateGroup("finders"),
        AddPrivileges("finders", frozenset({"Search", "Query"})),
        CreateRole("reader"),
        GrantPrivilege("reader", held),
        CreateUser("ann"),
        BindRole("ann", "reader"),
        texts=password_texts({"ann": PASSWORD}),
    )
    seen = await door.observe(Scope(groups=True, holders=True), password_texts({}))
    assert seen.groups["finders"] == {"Search", "Query"}
    assert seen.groups["CollectionAdmin"] > {"Search", "Query"}
    assert held in (seen.roles["reader"].grants or ())
    assert on_everything("DescribeCollection") in (seen.roles["public"].grants or ())
    query = on_collection("Query", "orders", "default")
    await do(door, RemovePrivileges("finders", frozenset({"Query"})), ClearProxies("reader", query))
    allows = double.core.proxies.allows
    assert (allows("ann", "Query", "default", "orders"), allows("ann", "Search", "default", "orders")) == (
        False,
        True,
    )
    with pytest.raises(Refused) as refused:
        await do(door, DropGroup("finders"))
    assert refused.value.refusal.reason is Reason.IN_USE
    await do(
        door,
        RevokePrivilege("reader", held),
        ReplacePrivileges("finders", frozenset({"Search"}), frozenset({"CreateDatabase"})),
    )
    assert double.core.store.groups["finders"] == ["CreateDatabase"]
    await do(door, DropGroup("finders"), ClearProxies("gone", query))
    assert double.core.store.groups == {}


REFUSALS: list[tuple[Change, type[Refused], Reason]] = [
    (CreateGroup("there"), AlreadyExists, Reason.CONFLICT),
    (CreateGroup("Search"), Refused, Reason.RESERVED_NAME),
    (CreateGroup("with-dash"), Refused, Reason.INVALID_NAME),
    (AddPrivileges("missing", frozenset({"Search"})), NotFound, Reason.CONFLICT),
    (AddPrivileges("there", frozenset({"Search", "CreateDatabase"})), Refused, Reason.INVALID_SCOPE),
    (GrantPrivilege("r", Grant("Global", "ClusterReadOnly", "default", "*")), Refused, Reason.INVALID_SCOPE),
    (GrantPrivilege("r", Grant("Global", "DatabaseAdmin", "default", "c")), Refused, Reason.INVALID_SCOPE),
    (GrantPrivilege("r", Grant("Global", "Fly", "default", "*")), Refused, Reason.UNKNOWN_PRIVILEGE),
    (GrantPrivilege("r", Grant("Collection", "Search", "1db", "*")), Refused, Reason.INVALID_SCOPE),
    (GrantPrivilege("missing", Grant("Collection", "Search", "default", "*")), NotFound, Reason.CONFLICT),
]


@pytest.mark.parametrize("dress", GROUPS)
async def test_every_refusal_of_groups_and_v2_is_understood(serve: Serve, dress: str) -> None:
    _, door = await serve(dress)
    await door.probe()
    await do(door, CreateGroup("there"), CreateRole("r"))
    for change, kind, reason in REFUSALS:
        with pytest.raises(kind) as refused:
            await do(door, change)
        assert refused.value.refusal.reason is reason, change


@pytest.mark.parametrize("dress", GROUPS)
async def test_without_the_right_to_back_up_everything_is_read_in_more_calls(
    serve: Serve, connect: Connect, dress: str
) -> None:
    double, root = await serve(dress)
    await root.probe()
    texts = password_texts({"svc": PASSWORD})
    rights = ("CreateOwnership", "DropOwnership", "SelectOwnership", "ManageOwnership", "ListPrivilegeGroups")
    await do(root, CreateRole("op"), *(GrantPrivilege("op", on_everything(name)) for name in rights))
    users = (on_everything(name, "*", "User") for name in ("SelectUser", "UpdateUser"))
    await do(root, *(GrantPrivilege("op", grant) for grant in users))
    await do(root, CreateUser("svc"), BindRole("svc", "op"), texts=texts)
    door = connect(double.uri, "svc", PASSWORD)
    found = await door.probe()
    assert found.missing_privileges == ()
    assert "BackupRBAC" in found.useful_privileges
    assert "ListPrivilegeGroups" not in found.useful_privileges
    seen = await door.observe(Scope(groups=True, holders=True, logins={"svc": ""}), texts)
    assert seen.users["svc"].password is PasswordVerdict.IN_FORCE
    assert not seen.groups_unreadable
    assert on_everything("CreateOwnership") in (seen.roles["op"].grants or ())
    double.faults.calls.clear()
    await door.observe(Scope(logins={"svc": ""}), texts)
    assert "BackupRBAC" not in {method for method, _ in double.faults.calls}
    await do(root, RevokePrivilege("op", on_everything("ListPrivilegeGroups")))
    blind = await door.observe(Scope(groups=True, holders=True), texts)
    assert (blind.groups, blind.groups_unreadable) == ({}, True)
    assert on_everything("CreateOwnership") in (blind.roles["op"].grants or ())


@pytest.mark.parametrize("dress", DRESSES)
async def test_a_superuser_changes_a_password_in_place_on_every_version(serve: Serve, dress: str) -> None:
    double, door = await serve(dress, super_users=frozenset({"root"}))
    await door.probe()
    await do(door, CreateUser("ann"), texts=password_texts({"ann": PASSWORD}))
    change = UpdatePassword("ann", PasswordMeans.SUPERUSER)
    await do(door, change, texts=password_texts({"ann": PASSWORD[::-1]}))
    assert double.core.store.users["ann"].password == PASSWORD[::-1]
    with pytest.raises(NotFound):
        await do(
            door, UpdatePassword("ghost", PasswordMeans.SUPERUSER), texts=password_texts({"ghost": PASSWORD})
        )
    assert "ghost" not in double.core.store.users


async def test_a_connection_that_broke_is_noticed(serve: Serve) -> None:
    double, door = await serve("3.0")
    await door.probe()
    assert not door.is_interrupted
    await double.stop()
    await double.start()
    while not door.is_interrupted:  # noqa: ASYNC110 - nobody tells; the test's own timeout ends this
        await asyncio.sleep(0.01)
    await door.probe()
    assert not door.is_interrupted


async def test_a_hash_whose_digest_is_known_is_not_tried() -> None:
    verdicts = await judge(
        {"ann": "no hash", "bob": "no hash"},
        password_texts({"ann": PASSWORD, "bob": PASSWORD}).wanted,
        {"ann": digest("no hash"), "bob": ""},
    )
    assert verdicts == {"ann": PasswordVerdict.IN_FORCE, "bob": PasswordVerdict.REFUSED}


@pytest.mark.parametrize(("dress", "line"), [("2.3", "2.3"), ("2.5", "2.5"), ("2.6", "2.6"), ("3.0", "3.0")])
async def test_what_the_documentation_says_of_a_version_is_what_is_found(
    serve: Serve, dress: str, line: str
) -> None:
    _, door = await serve(dress)
    found = await door.probe()
    assert {one.what: one.has(found) for one in ABILITIES} == {
        one.what: one.has(LINES[line]) for one in ABILITIES
    }
