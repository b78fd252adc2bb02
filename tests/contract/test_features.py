"""What a server is, found by asking it."""

from collections.abc import Callable

import pytest

from contract.conftest import Connect
from contract.support import PASSWORD, do, freely, look, on_everything, password_texts
from milvus_rbac.domain.changes import (
    BindRole,
    CreateRole,
    CreateUser,
    DropRole,
    DropUser,
    GrantPrivilege,
    RevokePrivilege,
)
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import Grant
from milvus_rbac.milvus.capabilities import parse_version
from milvus_rbac.milvus.client import bootstrap
from milvus_rbac.milvus.errors import Refused, Unreachable
from milvus_rbac.milvus.port import Address, Credentials, Milvus, Password
from testbed.milvus import NO_AUTHORIZATION, MilvusFacts, MilvusServer, Profile
from testbed.names import Unique

NEEDED = (
    "CreateOwnership",
    "DropOwnership",
    "SelectOwnership",
    "ManageOwnership",
    "SelectUser",
    "UpdateUser",
    "ListDatabases",
)


async def test_a_2_3_5_is_recognised(client: Milvus) -> None:
    capabilities = await client.probe()
    assert parse_version(capabilities.version) == (2, 3, 5)
    assert capabilities.authorization
    assert not capabilities.companions
    assert not capabilities.privilege_groups
    assert not capabilities.wildcard_database_lists_all


async def test_root_lacks_nothing_and_its_first_password_is_noticed(client: Milvus) -> None:
    capabilities = await client.probe()
    assert capabilities.missing_privileges == ()
    assert capabilities.root_password_is_default


async def test_wrong_credentials_are_said_to_be_wrong(connect: Connect, milvus: MilvusFacts) -> None:
    with pytest.raises(Unreachable) as refused:
        await connect(milvus.uri, "root", "not the password").probe()
    assert refused.value.refusal.reason is Reason.CREDENTIALS_REJECTED


async def test_authorization_that_is_off_is_noticed(
    connect: Connect, milvus_profile: Callable[[Profile], MilvusFacts]
) -> None:
    capabilities = await connect(milvus_profile(NO_AUTHORIZATION).uri, "root", "not the password").probe()
    assert not capabilities.authorization
    assert not capabilities.root_password_is_default


async def _account(client: Milvus, unique: Unique, *grants: Grant) -> str:
    """Create an account of the operator's with a role that holds these."""
    user, role = unique("operator"), unique("operators")
    await do(client, CreateRole(role), *(GrantPrivilege(role, grant) for grant in grants))
    await do(client, CreateUser(user), BindRole(user, role), texts=password_texts({user: PASSWORD}))
    return user


async def test_an_account_without_rights_lacks_every_privilege(
    connect: Connect, client: Milvus, milvus: MilvusFacts, unique: Unique
) -> None:
    capabilities = await connect(milvus.uri, await _account(client, unique), PASSWORD).probe()
    assert tuple(capabilities.missing_privileges) == NEEDED


async def test_an_account_is_told_exactly_what_it_lacks(
    connect: Connect, client: Milvus, milvus: MilvusFacts, unique: Unique
) -> None:
    grants = (
        on_everything("CreateOwnership"),
        on_everything("SelectOwnership", "default"),
        on_everything("DropOwnership", "elsewhere"),
        on_everything("SelectUser", object_type="User"),
    )
    capabilities = await connect(milvus.uri, await _account(client, unique, *grants), PASSWORD).probe()
    assert tuple(capabilities.missing_privileges) == (
        "DropOwnership",
        "ManageOwnership",
        "UpdateUser",
        "ListDatabases",
    )
    assert capabilities.root_password_is_default


@pytest.mark.parametrize(
    "grants",
    [
        tuple(
            on_everything(name, object_type="User" if name.endswith("User") else "Global") for name in NEEDED
        ),
        (on_everything("*"), on_everything("*", object_type="User")),
        (on_everything("All", "default"),),
    ],
    ids=["by name", "stars", "All"],
)
async def test_an_account_that_lacks_nothing_can_do_everything(
    connect: Connect, client: Milvus, milvus: MilvusFacts, unique: Unique, grants: tuple[Grant, ...]
) -> None:
    operator = connect(milvus.uri, await _account(client, unique, *grants), PASSWORD)
    assert (await operator.probe()).missing_privileges == ()
    await _everything(operator, unique)


async def test_the_wildcard_all_on_every_database_is_known_to_give_nothing(
    connect: Connect, client: Milvus, milvus: MilvusFacts, unique: Unique
) -> None:
    """2.3.5 accepts the grant."""
    operator = connect(milvus.uri, await _account(client, unique, on_everything("All")), PASSWORD)
    assert tuple((await operator.probe()).missing_privileges) == NEEDED
    with pytest.raises(Refused):
        await do(operator, CreateRole(unique("role")))


async def test_a_holder_of_the_role_admin_can_do_everything(
    connect: Connect, client: Milvus, milvus: MilvusFacts, unique: Unique
) -> None:
    user = await _account(client, unique)
    await do(client, BindRole(user, "admin"))
    operator = connect(milvus.uri, user, PASSWORD)
    assert (await operator.probe()).missing_privileges == ()
    await _everything(operator, unique)


async def _everything(operator: Milvus, unique: Unique) -> None:
    user, role, grant = unique("user"), unique("role"), on_everything("ListDatabases")
    given = (CreateRole(role), GrantPrivilege(role, grant), CreateUser(user), BindRole(user, role))
    await do(operator, *given, texts=password_texts({user: PASSWORD}))
    assert (await look(operator, role)).roles[role].grants == frozenset({grant})
    await do(operator, DropUser(user, frozenset({role})), RevokePrivilege(role, grant), DropRole(role))


async def test_a_call_without_its_privilege_names_the_privilege(
    connect: Connect, client: Milvus, milvus: MilvusFacts, unique: Unique
) -> None:
    operator = connect(milvus.uri, await _account(client, unique), PASSWORD)
    with pytest.raises(Refused) as refused:
        await do(operator, CreateRole(unique("role")))
    assert refused.value.refusal.reason is Reason.MISSING_PRIVILEGES
    assert "CreateOwnership" in refused.value.refusal.message


async def test_bootstrap_changes_the_password_that_every_fresh_milvus_has(
    connect: Connect, fresh_milvus: Callable[[], MilvusServer]
) -> None:
    address = Address(fresh_milvus().uri)
    wanted = Credentials("root", Password("a-better-one"))
    await bootstrap(address, wanted, freely)

    capabilities = await connect(address.uri, "root", "a-better-one").probe()
    assert not capabilities.root_password_is_default
    with pytest.raises(Unreachable) as refused:
        await bootstrap(address, wanted, freely)
    assert refused.value.refusal.reason is Reason.CREDENTIALS_REJECTED


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v2.3.5-lite", (2, 3, 5)),
        ("2.6-20250101-abcdef", (2, 6)),
        ("v2.4.18", (2, 4, 18)),
        ("unknown", None),
        ("", None),
    ],
)
def test_a_version_is_read_where_there_is_one(text: str, version: tuple[int, ...] | None) -> None:
    assert parse_version(text) == version
