"""Users and roles that somebody made by hand on a Milvus, and that no operator has any business with."""

from support.passwords import fresh_password
from testbed.milvus import MilvusFacts
from testbed.names import Unique


class Handmade:
    """A user, a role and its grants, remembered as they were made.

    Where nobody else is on the server for good (`alone`), everything on it must be the same afterwards, and not only these.
    """

    def __init__(self, facts: MilvusFacts, *, alone: bool = False) -> None:
        self.facts = facts
        unique = Unique()
        self._scope = "" if alone else unique.token
        self._user, self._password = unique("by_hand"), fresh_password()
        role = unique("made_by_hand")
        with facts.admin() as admin:
            admin.create_user(self._user, self._password)
            admin.create_role(role)
            admin.grant(role, "Collection", "*", "Query")
            admin.grant(role, "Global", "*", "CreateOwnership", "*")
            admin.bind(self._user, role)
            self._before = admin.dump(self._scope)

    def must_be_the_same(self) -> None:
        """See that it is as it was."""
        with self.facts.admin() as admin:
            assert admin.dump(self._scope) == self._before
            assert admin.login_works(self._user, self._password)
