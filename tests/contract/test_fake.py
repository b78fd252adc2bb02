"""The fake that the properties believe in does what a real server does, and refuses what that refuses."""

import random
from collections.abc import Iterator

import pytest

from contract.support import do, on_collection, on_everything, password_texts
from milvus_rbac.domain.changes import (
    BindRole,
    Change,
    CreateRole,
    CreateUser,
    DropRole,
    DropUser,
    GrantPrivilege,
    PasswordMeans,
    RecreateUser,
    RevokePrivilege,
    UnbindRole,
    UpdatePassword,
)
from milvus_rbac.domain.state import Scope, State
from milvus_rbac.milvus.errors import Refused
from milvus_rbac.milvus.port import Milvus, PasswordTexts
from support.fake_milvus import FakeMilvus
from testbed.names import Unique

STEPS = 150
TEXTS = ("password-1", "password-2", "password-3")
GRANTS = (
    on_collection("Load", "orders"),
    on_collection("GetLoadState", "orders"),
    on_collection("Query"),
    on_everything("CreateCollection", "default"),
    on_everything("SelectUser", object_type="User"),
    on_everything("SelectUser"),  # of another type: refused
    on_everything("Nonsense"),
)


def story(seed: int, users: list[str], roles: list[str]) -> Iterator[tuple[Change, PasswordTexts]]:
    """Changes in any order, most of them possible by chance only."""
    chance = random.Random(seed)  # noqa: S311 - any order must do, the same each time
    pick = chance.choice
    for _ in range(STEPS):
        user, role, grant = pick(users), pick(roles), pick(GRANTS)
        some = frozenset(chance.sample(roles, chance.randrange(len(roles))))
        change: Change = pick(
            (
                CreateRole(role),
                CreateRole(role),
                CreateUser(user),
                CreateUser(user),
                GrantPrivilege(role, grant),
                RevokePrivilege(role, grant),
                BindRole(user, role),
                UnbindRole(user, role),
                UpdatePassword(user, PasswordMeans.KNOWN_TEXT),
                UpdatePassword(user, PasswordMeans.SUPERUSER),
                RecreateUser(user, some),
                DropUser(user, some),
                DropRole(role),
            )
        )
        yield change, password_texts({user: pick(TEXTS)}, {user: pick(TEXTS)})


@pytest.mark.parametrize("seed", range(4))
async def test_the_fake_answers_any_change_as_the_server_does(
    client: Milvus, unique: Unique, seed: int
) -> None:
    users, roles = ([unique(f"{kind}{number}") for number in range(3)] for kind in ("u", "r"))
    fake = FakeMilvus(max_users=1000, max_roles=1000)
    for change, texts in story(seed, users, roles):
        answers = [await _answer(one, change, texts) for one in (fake, client)]
        assert answers[0] == answers[1], change
        tried = password_texts(dict.fromkeys(users, TEXTS[0]))
        seen = [await _see(one, users, roles, tried) for one in (fake, client)]
        assert seen[0] == seen[1], change


async def _answer(milvus: Milvus, change: Change, texts: PasswordTexts) -> object:
    """What became of a change: nothing said, or which refusal for which reason."""
    try:
        await do(milvus, change, texts=texts)
    except Refused as refused:
        return type(refused), refused.refusal.reason
    return None


async def _see(milvus: Milvus, users: list[str], roles: list[str], tried: PasswordTexts) -> State:
    state = await milvus.observe(Scope(dict.fromkeys(roles, frozenset()), dict.fromkeys(users, "")), tried)
    return State(
        {name: user for name, user in state.users.items() if name in users},
        {name: role for name, role in state.roles.items() if name in roles},
    )
