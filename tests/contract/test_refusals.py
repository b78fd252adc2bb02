"""What a real server refuses becomes the error that the rules know."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from contract.conftest import Connect
from contract.support import PASSWORD, do, on_collection, on_everything, password_texts
from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DropRole,
    DropUser,
    GrantPrivilege,
    RevokePrivilege,
    UnbindRole,
)
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.privileges import CATALOGUE
from milvus_rbac.domain.state import Grant
from milvus_rbac.milvus.errors import AlreadyExists, NotFound, Refused
from milvus_rbac.milvus.port import Milvus
from testbed.milvus import DEFAULT_LIMITS, MilvusFacts, Profile
from testbed.milvus_admin import MilvusAdmin, MilvusRefusedError
from testbed.names import Unique

Profiles = Callable[[Profile], MilvusFacts]


async def test_a_namesake_is_never_taken_for_success(client: Milvus, unique: Unique) -> None:
    user, role = unique("user"), unique("role")
    texts = password_texts({user: PASSWORD})
    await do(client, CreateUser(user), CreateRole(role), texts=texts)
    for again in (CreateUser(user), CreateRole(role)):
        with pytest.raises(AlreadyExists):
            await do(client, again, texts=texts)


async def test_what_is_gone_is_not_found(client: Milvus, unique: Unique) -> None:
    user, role, gone = unique("user"), unique("role"), unique("gone")
    await do(client, CreateUser(user), CreateRole(role), texts=password_texts({user: PASSWORD}))
    changes: tuple[Change, ...] = (
        BindRole(gone, role),
        BindRole(user, gone),
        UnbindRole(user, gone),
        GrantPrivilege(gone, on_collection("Search")),
        RevokePrivilege(gone, on_collection("Search")),
        DropRole(gone),
    )
    for change in changes:
        with pytest.raises(NotFound):
            await do(client, change)


async def test_taking_what_is_not_there_is_no_error_where_milvus_says_so(
    client: Milvus, unique: Unique
) -> None:
    role, gone = unique("role"), unique("gone")
    await do(client, CreateRole(role), DropUser(gone, frozenset()), UnbindRole(gone, role))
    await do(client, RevokePrivilege(role, on_collection("Search")))


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (on_collection("PrivilegeSearch"), Reason.UNKNOWN_PRIVILEGE),
        (on_everything("BackupRBAC"), Reason.UNSUPPORTED_BY_SERVER),
        (on_everything("ClusterReadOnly"), Reason.UNSUPPORTED_BY_SERVER),
        (Grant("Database", "Search", "default", "*"), Reason.INVALID_SCOPE),
        (on_collection("Search", "no-such-name"), Reason.INVALID_NAME),
    ],
)
async def test_a_grant_that_cannot_be_is_refused_with_its_reason(
    client: Milvus, unique: Unique, grant: Grant, reason: Reason
) -> None:
    role = unique("role")
    await do(client, CreateRole(role))
    with pytest.raises(Refused) as refused:
        await do(client, GrantPrivilege(role, grant))
    assert refused.value.refusal.reason is reason


@pytest.mark.parametrize("name", ["1a", "with-dash", "x" * 300, ""])
async def test_a_name_that_milvus_does_not_take_is_an_invalid_name(client: Milvus, name: str) -> None:
    for change in (CreateUser(name), CreateRole(name)):
        with pytest.raises(Refused) as refused:
            await do(client, change, texts=password_texts({name: PASSWORD}))
        assert refused.value.refusal.reason is Reason.INVALID_NAME


async def test_built_in_names_are_reserved(client: Milvus) -> None:
    for change in (DropUser("root", frozenset()), DropRole("admin"), DropRole("public")):
        with pytest.raises(Refused) as refused:
            await do(client, change)
        assert refused.value.refusal.reason is Reason.RESERVED_NAME


async def test_a_role_that_was_given_something_meanwhile_is_not_dropped(
    client: Milvus, unique: Unique
) -> None:
    role = unique("role")
    await do(client, CreateRole(role), GrantPrivilege(role, on_collection("Search")))
    with pytest.raises(Refused) as refused:
        await do(client, DropRole(role))
    assert refused.value.refusal.reason is Reason.CONFLICT


@pytest.fixture
def limited(milvus_profile: Profiles, unique: Unique) -> Iterator[MilvusAdmin]:
    """A Milvus with the limits that it comes with, left as it was found."""
    with milvus_profile(DEFAULT_LIMITS).admin() as admin:
        yield admin
        for role in admin.roles():
            if unique.token in role:
                admin.drop_role(role)
        for user in admin.users():
            if unique.token in user:
                admin.delete_user(user)


async def test_the_limit_of_roles_names_the_setting(
    connect: Connect, milvus_profile: Profiles, limited: MilvusAdmin, unique: Unique
) -> None:
    with suppress(MilvusRefusedError):
        while True:
            limited.create_role(unique("role"))
    with pytest.raises(Refused) as refused:
        await do(connect(milvus_profile(DEFAULT_LIMITS).uri), CreateRole(unique("role")))
    assert refused.value.refusal.reason is Reason.LIMIT_REACHED
    assert "proxy.maxRoleNum" in refused.value.refusal.message


async def test_the_limit_of_users_names_the_setting(
    connect: Connect, milvus_profile: Profiles, limited: MilvusAdmin, unique: Unique
) -> None:
    with suppress(MilvusRefusedError):
        while True:
            limited.create_user(unique("user"), PASSWORD)
    user = unique("user")
    with pytest.raises(Refused) as refused:
        await do(
            connect(milvus_profile(DEFAULT_LIMITS).uri),
            CreateUser(user),
            texts=password_texts({user: PASSWORD}),
        )
    assert refused.value.refusal.reason is Reason.LIMIT_REACHED
    assert "proxy.maxUserNum" in refused.value.refusal.message


async def test_the_server_knows_exactly_the_privileges_that_the_catalogue_says(
    client: Milvus, unique: Unique
) -> None:
    """Each with its own object type only, and nothing that came later."""
    role = unique("role")
    await do(client, CreateRole(role))
    accepted = set()
    rows = [row for row in CATALOGUE if not row.everything]
    for row in rows:
        for object_type in ("Collection", "Global", "User"):
            grant = on_everything(row.name, object_type=object_type)
            try:
                await do(client, GrantPrivilege(role, grant), RevokePrivilege(role, grant))
            except Refused as refused:
                reason = refused.refusal.reason
                assert reason is Reason.UNSUPPORTED_BY_SERVER, row
            else:
                accepted.add((row.name, object_type))
    assert accepted == {(row.name, row.object_type) for row in rows if row.since <= (2, 3, 5)}


@pytest.mark.parametrize("name", ["*", "All"])
async def test_the_wildcards_are_privileges_to_the_server(client: Milvus, unique: Unique, name: str) -> None:
    role, grant = unique("role"), on_everything(name)
    await do(
        client, CreateRole(role), GrantPrivilege(role, grant), RevokePrivilege(role, grant), DropRole(role)
    )
