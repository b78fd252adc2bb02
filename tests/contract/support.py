"""Short words for what the contract tests do over and over."""

from collections.abc import Mapping

from milvus_rbac.domain.changes import Change
from milvus_rbac.domain.state import Grant, Scope, State
from milvus_rbac.milvus.port import Milvus, Password, PasswordTexts

PASSWORD = "correct-horse"  # noqa: S105 - of users that live as long as one test


def freely() -> None:
    """Allow every write."""


def password_texts(wanted: Mapping[str, str], old: Mapping[str, str] | None = None) -> PasswordTexts:
    """Hold these passwords."""
    return PasswordTexts(
        {user: Password(text) for user, text in wanted.items()},
        {user: Password(text) for user, text in (old or {}).items()},
    )


async def do(milvus: Milvus, *changes: Change, texts: PasswordTexts | None = None) -> None:
    """Carry changes out, one after the other."""
    for change in changes:
        await milvus.apply(change, texts or PasswordTexts(), freely)


async def look(
    milvus: Milvus, role: str = "", *databases: str, login: tuple[str, str] | None = None
) -> State:
    """Observe with one role's grants, or one user's password, in scope."""
    roles = {role: frozenset(databases)} if role else {}
    logins, texts = (
        ({login[0]: ""}, password_texts({login[0]: login[1]}))
        if login
        else (dict[str, str](), PasswordTexts())
    )
    return await milvus.observe(Scope(roles, logins), texts)


def on_collection(privilege: str, collection: str = "*", database: str = "default") -> Grant:
    """Return a grant on a collection."""
    return Grant("Collection", privilege, database, collection)


def on_everything(privilege: str, database: str = "*", object_type: str = "Global") -> Grant:
    """Return a grant that names no collection."""
    return Grant(object_type, privilege, database, "*")
