"""Each change does what it says, and what it did is seen."""

import asyncio

import pytest

from contract.conftest import Connect
from contract.support import PASSWORD, do, look, on_collection, on_everything, password_texts
from milvus_rbac.domain.changes import (
    BindRole,
    CreateRole,
    CreateUser,
    DropRole,
    DropUser,
    GrantPrivilege,
    RecreateUser,
    RevokePrivilege,
    UnbindRole,
)
from milvus_rbac.domain.privileges import companions
from milvus_rbac.domain.state import Grant, PasswordVerdict, Role
from milvus_rbac.milvus.errors import InternalError
from milvus_rbac.milvus.port import Milvus
from testbed.forwarder import Call
from testbed.milvus import MilvusFacts
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique


async def test_what_is_given_is_seen_and_what_is_taken_is_gone(client: Milvus, unique: Unique) -> None:
    user, role, grant = unique("user"), unique("role"), on_collection("Search", "orders")
    given = (CreateRole(role), GrantPrivilege(role, grant), CreateUser(user), BindRole(user, role))
    await do(client, *given, texts=password_texts({user: PASSWORD}))
    state = await look(client, role)
    assert state.roles[role].grants == frozenset({grant})
    assert state.users[user].roles == {role}

    await do(client, UnbindRole(user, role), RevokePrivilege(role, grant))
    state = await look(client, role)
    assert state.roles[role].grants == frozenset()
    assert state.users[user].roles == frozenset()

    await do(client, DropUser(user, frozenset()), DropRole(role))
    state = await look(client, role)
    assert user not in state.users
    assert role not in state.roles


async def test_built_in_users_and_roles_are_seen_too(client: Milvus) -> None:
    state = await look(client)
    assert "root" in state.users
    assert {"admin", "public"} <= set(state.roles)


async def test_grants_of_roles_out_of_scope_are_not_read(client: Milvus, unique: Unique) -> None:
    role = unique("role")
    await do(client, CreateRole(role), GrantPrivilege(role, on_everything("ListDatabases")))
    assert (await look(client)).roles[role] == Role(grants=None)


async def test_a_role_in_scope_that_is_not_there_is_not_in_the_state(client: Milvus, unique: Unique) -> None:
    role = unique("role")
    assert role not in (await look(client, role)).roles


async def test_each_object_type_and_database_comes_back_as_it_was_granted(
    client: Milvus, unique: Unique, admin: MilvusAdmin
) -> None:
    role, database = unique("role"), unique("db")
    admin.create_database(database)
    grants: frozenset[Grant] = frozenset(
        {
            on_collection("Search", "orders"),
            on_collection("Search", "orders", database),
            on_collection("Query", database=database),
            on_collection("Insert", database="*"),
            on_everything("CreateCollection", database),
            on_everything("CreateDatabase"),
            on_everything("UpdateUser", object_type="User"),
        }
    )
    await do(client, CreateRole(role), *(GrantPrivilege(role, grant) for grant in grants))
    assert (await look(client, role)).roles[role].grants == grants
    await do(client, *(RevokePrivilege(role, grant) for grant in grants), DropRole(role))
    admin.drop_database(database)


async def test_grants_in_a_database_that_is_not_there_are_seen_when_the_scope_names_it(
    client: Milvus, unique: Unique
) -> None:
    role, grant = unique("role"), on_collection("Search", database=unique("gone"))
    await do(client, CreateRole(role), GrantPrivilege(role, grant))
    assert (await look(client, role)).roles[role].grants == frozenset()
    assert (await look(client, role, grant.database)).roles[role].grants == frozenset({grant})


async def test_what_comes_along_with_a_privilege_is_what_the_server_is_taken_to_do(
    client: Milvus, unique: Unique
) -> None:
    capabilities = await client.probe()
    role, load = unique("role"), on_collection("Load", "orders")
    await do(client, CreateRole(role), GrantPrivilege(role, load))
    along = companions({load}) if capabilities.companions else frozenset()
    assert (await look(client, role)).roles[role].grants == frozenset({load}) | along


async def test_companions_are_given_again_right_after_a_revoke(client: Milvus, unique: Unique) -> None:
    role, load, state = unique("role"), on_collection("Load"), on_collection("GetLoadState")
    await do(client, CreateRole(role), GrantPrivilege(role, load), GrantPrivilege(role, state))
    await do(client, RevokePrivilege(role, load, give_again=frozenset({state})))
    assert (await look(client, role)).roles[role].grants == frozenset({state})


async def test_a_recreated_user_has_the_new_password_and_its_roles(client: Milvus, unique: Unique) -> None:
    user, roles = unique("user"), frozenset({unique("role"), unique("role")})
    await do(
        client,
        *(CreateRole(role) for role in roles),
        CreateUser(user),
        texts=password_texts({user: PASSWORD}),
    )
    await do(client, *(BindRole(user, role) for role in roles))
    await do(client, RecreateUser(user, roles), texts=password_texts({user: "another-one"}))
    seen = (await look(client, login=(user, "another-one"))).users[user]
    assert (seen.roles, seen.password) == (roles, PasswordVerdict.IN_FORCE)


async def test_a_recreated_user_can_do_at_once_what_its_roles_allow(
    client: Milvus, milvus: MilvusFacts, unique: Unique
) -> None:
    """The drop reaches the proxy after its reply, and could take the new bindings with it."""
    user, role = unique("user"), unique("role")
    await do(client, CreateRole(role), GrantPrivilege(role, on_everything("SelectOwnership")))
    await do(client, CreateUser(user), BindRole(user, role), texts=password_texts({user: PASSWORD}))
    for number in range(20):
        text = f"password-{number}"
        await do(client, RecreateUser(user, frozenset({role})), texts=password_texts({user: text}))
        await asyncio.sleep(0.02)  # what is proven is that nothing comes late
        with milvus.admin(user, text) as login:
            assert user in login.users()


async def test_every_single_write_asks_first(client: Milvus, unique: Unique) -> None:
    user, role = unique("user"), unique("role")
    await do(client, CreateRole(role), CreateUser(user), texts=password_texts({user: PASSWORD}))
    allowed = iter([True, True, True])  # in place, drop, create

    def may_write() -> None:
        if not next(allowed, False):
            raise PermissionError

    with pytest.raises(PermissionError):
        await client.apply(
            RecreateUser(user, frozenset({role})), password_texts({user: "another-one"}), may_write
        )
    assert (await look(client)).users[user].roles == frozenset()


async def test_a_change_is_one_call(connect: Connect, forwarder: MilvusForwarder, unique: Unique) -> None:
    client = connect(forwarder.uri)
    await client.probe()
    forwarder.clear()
    await do(client, CreateRole(unique("role")))
    assert [call.method for call in forwarder.calls] == ["CreateRole"]


async def test_without_its_new_password_a_user_is_not_even_dropped(client: Milvus, unique: Unique) -> None:
    user = unique("user")
    await do(client, CreateUser(user), texts=password_texts({user: PASSWORD}))
    with pytest.raises(InternalError):
        await do(client, RecreateUser(user, frozenset()))
    assert user in (await look(client)).users


async def test_a_role_that_goes_away_while_it_is_read_is_not_in_the_state(
    connect: Connect, forwarder: MilvusForwarder, milvus: MilvusFacts, unique: Unique
) -> None:
    role, user, through = unique("role"), unique("user"), connect(forwarder.uri)
    await do(
        through,
        CreateRole(role),
        CreateUser(user),
        BindRole(user, role),
        texts=password_texts({user: PASSWORD}),
    )
    await through.probe()

    def drop_before_its_grants_are_read(call: Call) -> None:
        with milvus.admin() as admin:
            if call.method == "SelectGrant" and role in admin.roles():
                admin.drop_role(role)

    forwarder.hook = drop_before_its_grants_are_read
    state = await look(through, role)
    assert role not in state.roles
    assert state.users[user].roles == frozenset()
