"""A healthy role and user beside the trouble: they must go on being served."""

from support.passwords import fresh_password
from support.story import Story
from testbed.milvus_admin import MilvusAdmin


class Neighbour:
    """Somebody else's role and user on a connection that works."""

    def __init__(self, story: Story, admin: MilvusAdmin, connection: str = "prod") -> None:
        self._story, self._admin = story, admin
        self._ref = {"connectionRef": {"name": connection}}
        self.role, self.user = story.unique("calm_r"), story.unique("calm_u")
        self._privileges = ["Query"]
        self._password = fresh_password()
        story.password("calm", self._password)
        self._apply_role()
        story.user("calm", self.user, self.role, **self._ref)

    def wait_ready(self) -> None:
        """Wait until both are served for the first time."""
        self._story.wait_ready("MilvusRole", "calm")
        self._story.wait_ready("MilvusUser", "calm")

    def must_be_served(self) -> None:
        """Change what both are to be, and see that Milvus follows."""
        self.wait_ready()
        more = "Search" if "Search" not in self._privileges else "Insert"
        self._privileges = [*self._privileges, more]
        self._password = fresh_password()
        self._story.password("calm", self._password)
        self._apply_role()
        self._story.wait(self._is_as_wished, "the neighbour is served", see=self._admin.users)
        self.wait_ready()

    def leave(self) -> None:
        """Be deleted, while the way to Milvus is still there."""
        for kind in ("MilvusUser", "MilvusRole"):
            self._story.delete(kind, "calm")
        for kind in ("MilvusUser", "MilvusRole"):
            self._story.wait_gone(kind, "calm")

    def _apply_role(self) -> None:
        self._story.role(
            "calm", self.role, {"privileges": self._privileges, "collections": ["*"]}, **self._ref
        )

    def _is_as_wished(self) -> bool:
        granted = {privilege for _, _, _, privilege in self._admin.grants(self.role)}
        return granted == set(self._privileges) and self._admin.login_works(self.user, self._password)
