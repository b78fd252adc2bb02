"""What a Milvus holds, seen the same way on a real one and on a double."""

from functools import partial

from support.double.server import Double
from support.double.thread import DoubleThread
from testbed.milvus_admin import MilvusAdmin

Server = DoubleThread | MilvusAdmin
Held = set[tuple[str, str, str, str]]


def held(server: Server, role: str) -> Held:
    """The grants of a role: type, privilege, database, name."""
    if isinstance(server, MilvusAdmin):
        rows = server.grants(role) if role in server.roles() else set()
        return {(kind, privilege, database, name) for kind, name, database, privilege in rows}
    kept = server.ask(lambda one: set(one.core.store.held(role)))
    return {(one.object_type, one.privilege, one.database, one.object_name) for one in kept}


def roles_of(server: Server, user: str) -> set[str]:
    """The roles of a user."""
    if isinstance(server, MilvusAdmin):
        return {role for role, members in server.members().items() if user in members}
    return server.ask(lambda one: set(one.core.store.users[user].roles))


def lets_in(server: Server, user: str, password: str) -> bool:
    """Whether it accepts a user's password."""
    if isinstance(server, MilvusAdmin):
        return server.login_works(user, password)
    account = server.ask(lambda one: one.core.store.users.get(user))
    return account is not None and account.password == password


def users(server: Server) -> set[str]:
    """All users."""
    return (
        server.users()
        if isinstance(server, MilvusAdmin)
        else server.ask(lambda one: set(one.core.store.users))
    )


def roles(server: Server) -> set[str]:
    """All roles."""
    return (
        server.roles()
        if isinstance(server, MilvusAdmin)
        else server.ask(lambda one: set(one.core.store.roles))
    )


def make_databases(server: Server, *names: str) -> None:
    """Have empty databases."""
    for name in names:
        if isinstance(server, MilvusAdmin):
            server.create_database(name)
        else:
            server.ask(partial(_make_database, name))


def _make_database(name: str, double: Double) -> None:
    double.core.store.databases[name] = {}
