"""Many users, roles and grants at once, without a call for each."""

from support.double.privileges import object_type
from support.double.server import Double
from support.double.store import DEFAULT, ROOT, Account, Kept

PASSWORD = "the-same-for-all"  # noqa: S105 - of users that live as long as one test
HASH = "$2b$04$taYq/nXogMFXTFQJorKw.eb5zbeWCXIOuwIsqSLYpcTK75r6HXhEu"
"""Of the password: made once, as bcrypt takes too long for thousands."""
_PRIVILEGES = ("Search", "Query", "Insert", "Delete")


def fill(double: Double, *, users: int = 0, roles: int = 0, grants: int = 0) -> None:
    """Add users user_0 and so on with one role each, and roles role_0 and so on with so many grants each.

    The grants of a role are on collections on which no other role has any.
    """
    store = double.core.store
    names = [f"role_{number}" for number in range(roles)]
    for name in names:
        store.roles[name] = ""
        store.grants[name] = dict.fromkeys((_grant(name, number) for number in range(grants)), ROOT)
    for number in range(users):
        account = Account(PASSWORD, hash=HASH)
        account.roles = {names[number % roles]} if names else set()
        store.users[f"user_{number}"] = account
    double.core.proxies.reload()


def _grant(role: str, number: int) -> Kept:
    collection, which = divmod(number, len(_PRIVILEGES))
    privilege = _PRIVILEGES[which]
    return Kept(object_type(privilege), DEFAULT, f"{role}_collection_{collection}", privilege)
