"""Passwords: which one is in force, and every way to change it."""

from collections.abc import Callable

import pytest

from contract.conftest import Connect
from contract.support import PASSWORD, do, look, password_texts
from milvus_rbac.domain.changes import CreateUser, DropUser, PasswordMeans, RecreateUser, UpdatePassword
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import PasswordVerdict, Scope
from milvus_rbac.milvus.errors import NotFound, OldPasswordRefused, Refused
from milvus_rbac.milvus.port import Milvus
from testbed.forwarder import Action, Call
from testbed.milvus import NO_AUTHORIZATION, SHORT_LIMITS, SUPERUSERS, MilvusFacts, Profile
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique

Profiles = Callable[[Profile], MilvusFacts]


async def _password(milvus: Milvus, user: str, text: str) -> PasswordVerdict:
    return (await look(milvus, login=(user, text))).users[user].password


async def test_a_password_is_in_force_refused_or_not_asked_for(client: Milvus, unique: Unique) -> None:
    user = unique("user")
    await do(client, CreateUser(user), texts=password_texts({user: PASSWORD}))
    assert await _password(client, user, PASSWORD) is PasswordVerdict.IN_FORCE
    assert await _password(client, user, "something else") is PasswordVerdict.REFUSED
    assert (await look(client)).users[user].password is PasswordVerdict.UNKNOWN


async def test_only_users_that_exist_and_whose_password_is_at_hand_are_tried(
    connect: Connect, forwarder: MilvusForwarder, admin: MilvusAdmin, unique: Unique
) -> None:
    absent, unsaid = unique("absent"), unique("unsaid")
    admin.create_user(unsaid, PASSWORD)
    client = connect(forwarder.uri)
    await client.probe()
    forwarder.clear()
    state = await client.observe(Scope(logins={absent: "", unsaid: ""}), password_texts({absent: PASSWORD}))
    assert absent not in state.users
    assert state.users[unsaid].password is PasswordVerdict.UNKNOWN
    assert "GetVersion" not in {call.method for call in forwarder.calls}


async def test_a_refusal_without_proof_that_milvus_is_well_is_no_verdict(
    connect: Connect, forwarder: MilvusForwarder, admin: MilvusAdmin, unique: Unique
) -> None:
    user = unique("user")
    admin.create_user(user, PASSWORD)
    client = connect(forwarder.uri)
    await client.probe()
    forwarder.clear()
    seen: list[str] = []

    def lose_the_second_list(call: Call) -> Action | None:
        seen.append(call.method)
        return Action.DROP if seen.count("ListCredUsers") > 1 else None

    forwarder.hook = lose_the_second_list
    assert await _password(client, user, "something else") is PasswordVerdict.UNKNOWN
    assert seen.count("GetVersion") == 2


@pytest.mark.parametrize(
    "text",
    ["pa:ss:word", "  spaces  ", "line\nbreak", "пароль", "x" * 72, "\0\x01 bytes"],
    ids=["colons", "spaces", "newline", "cyrillic", "longest", "control"],
)
async def test_a_password_is_taken_as_it_is(client: Milvus, unique: Unique, text: str) -> None:
    user = unique("user")
    await do(client, CreateUser(user), texts=password_texts({user: text}))
    assert await _password(client, user, text) is PasswordVerdict.IN_FORCE
    assert await _password(client, user, text + " ") is PasswordVerdict.REFUSED


async def test_the_known_text_changes_a_password_in_place(client: Milvus, unique: Unique) -> None:
    user = unique("user")
    await do(client, CreateUser(user), texts=password_texts({user: PASSWORD}))
    update = UpdatePassword(user, PasswordMeans.KNOWN_TEXT)
    await do(client, update, texts=password_texts({user: "another-one"}, {user: PASSWORD}))
    assert await _password(client, user, "another-one") is PasswordVerdict.IN_FORCE
    assert await _password(client, user, PASSWORD) is PasswordVerdict.REFUSED


@pytest.mark.parametrize("old", [None, "not the old one"], ids=["not at hand", "wrong"])
async def test_without_the_right_old_password_nothing_changes(
    client: Milvus, unique: Unique, old: str | None
) -> None:
    user = unique("user")
    await do(client, CreateUser(user), texts=password_texts({user: PASSWORD}))
    texts = password_texts({user: "another-one"}, {user: old} if old else {})
    with pytest.raises(OldPasswordRefused):
        await do(client, UpdatePassword(user, PasswordMeans.KNOWN_TEXT), texts=texts)
    assert await _password(client, user, PASSWORD) is PasswordVerdict.IN_FORCE


async def test_root_is_no_superuser_unless_the_server_says_so(client: Milvus, unique: Unique) -> None:
    user = unique("user")
    await do(client, CreateUser(user), texts=password_texts({user: PASSWORD}))
    with pytest.raises(OldPasswordRefused):
        await do(
            client, UpdatePassword(user, PasswordMeans.SUPERUSER), texts=password_texts({user: "another-one"})
        )


async def test_a_superuser_needs_no_old_password(
    connect: Connect, milvus_profile: Profiles, unique: Unique
) -> None:
    client, user = connect(milvus_profile(SUPERUSERS).uri), unique("user")
    await do(client, CreateUser(user), texts=password_texts({user: PASSWORD}))
    await do(
        client, UpdatePassword(user, PasswordMeans.SUPERUSER), texts=password_texts({user: "another-one"})
    )
    assert await _password(client, user, "another-one") is PasswordVerdict.IN_FORCE


async def test_a_superuser_creates_no_user_by_updating_it(
    connect: Connect, milvus_profile: Profiles, unique: Unique
) -> None:
    """Milvus before 2.6.6 would."""
    client, user = connect(milvus_profile(SUPERUSERS).uri), unique("user")
    with pytest.raises(NotFound):
        await do(
            client, UpdatePassword(user, PasswordMeans.SUPERUSER), texts=password_texts({user: PASSWORD})
        )
    assert user not in (await look(client)).users


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("short", Reason.PASSWORD_TOO_SHORT),
        ("x" * 73, Reason.PASSWORD_TOO_LONG),
        ("x" * 300, Reason.PASSWORD_TOO_LONG),
    ],
)
async def test_a_password_of_a_wrong_length_is_refused_with_its_reason(
    client: Milvus, unique: Unique, text: str, reason: Reason
) -> None:
    user = unique("user")
    with pytest.raises(Refused) as refused:
        await do(client, CreateUser(user), texts=password_texts({user: text}))
    assert refused.value.refusal.reason is reason
    assert user not in (await look(client)).users


async def test_with_authorization_off_there_is_no_verdict(
    connect: Connect, milvus_profile: Profiles, unique: Unique
) -> None:
    client, user = connect(milvus_profile(NO_AUTHORIZATION).uri), unique("user")
    await do(client, CreateUser(user), texts=password_texts({user: PASSWORD}))
    assert await _password(client, user, PASSWORD) is PasswordVerdict.UNKNOWN


async def test_a_user_is_not_dropped_for_a_password_that_the_server_refuses(
    connect: Connect, milvus_profile: Profiles, unique: Unique
) -> None:
    facts, user = milvus_profile(SHORT_LIMITS), unique("u")
    short = connect(facts.uri)
    await do(short, CreateUser(user), texts=password_texts({user: PASSWORD}))
    with pytest.raises(Refused) as refused:
        await do(short, RecreateUser(user, frozenset()), texts=password_texts({user: "seven77"}))
    assert refused.value.refusal.reason is Reason.PASSWORD_TOO_SHORT
    assert await _password(short, user, PASSWORD) is PasswordVerdict.IN_FORCE
    await do(short, DropUser(user, frozenset()))
