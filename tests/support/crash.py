"""A story that is told again and again, each time with the operator killed one call later."""

import itertools
import json
import threading
import time
from typing import Any

from support.passwords import fresh_password
from support.story import Story
from testbed.forwarder import Action, Call, Forwarder
from testbed.milvus_admin import MilvusAdmin
from testbed.names import Unique

PAUSE = 0.3
SETTLE = 90.0
"""Seconds until everything must be as asked for: other tests run on the same two cores."""

Row = dict[str, Any]

CREATED: dict[str, list[Row]] = {
    "reader": [{"privileges": ["Query"], "collections": ["*"]}, {"privileges": ["SelectUser"]}],
    "writer": [{"privileges": ["Insert"], "collections": ["a", "b"]}],
    "fading": [{"privileges": ["Load"], "collections": ["*"]}],
}
EDITED: dict[str, list[Row] | None] = {
    "reader": [{"privileges": ["Search"], "collections": ["*"]}, {"privileges": ["SelectUser"]}],
    "writer": [{"privileges": ["Insert"], "collections": ["b", "c"]}],
    "fading": None,
    "late": [{"privileges": ["Compaction"], "collections": ["*"]}],
}
HOLDERS: dict[str, list[str]] = {
    "anna": ["reader", "writer"],
    "ben": ["writer"],
    "cleo": ["reader"],
    "dan": ["fading"],
}
EDITED_HOLDERS: dict[str, list[str] | None] = {
    "ben": ["reader"],
    "cleo": None,
    "dan": ["late"],
}
ROTATED = ("anna",)
"""With the four Secrets a dozen resources."""


class Tale:
    """Create a dozen resources, edit them, delete them all; the operator may be killed at one call on the way."""

    def __init__(self, story: Story, admin: MilvusAdmin) -> None:
        self._story, self._admin = story, admin
        self._unique = story.unique
        self._passwords: dict[str, str] = {}
        self._retired: dict[str, str] = {}
        self._killer: Killer | None = None

    def tell(self, killer: "Killer | None" = None, *, cold: bool = False) -> dict[str, Any]:
        """Tell it once, with names of its own; give what Milvus held before the end, with all names made equal.

        With `cold` the operator is started only when everything was applied, and nothing is edited.
        """
        self._unique = Unique()
        self._passwords.clear()
        self._retired.clear()
        if cold:
            self._story.operator.kill()
        self._killer = killer
        if killer:
            killer.arm()
        self._create()
        if cold:
            self._story.start_operator()
        self._settle()
        if not cold:
            self._edit()
            self._settle()
        dump = self._dump()
        self._check_passwords()
        self._check_claims()
        self._delete()
        self._settle()
        if killer:
            killer.disarm()
        left = self._admin.dump(self._unique.token)
        assert not left["users"], left
        assert not left["roles"], left
        return dump

    # --- the three parts

    def _create(self) -> None:
        for name, rows in CREATED.items():
            self._role(name, rows)
        for name, roles in HOLDERS.items():
            self._password(name)
            self._user(name, roles)

    def _edit(self) -> None:
        for role, rows in EDITED.items():
            if rows is None:
                self._story.delete("MilvusRole", role)
            else:
                self._role(role, rows)
        for user, roles in EDITED_HOLDERS.items():
            if roles is None:
                self._story.delete("MilvusUser", user)
                del self._passwords[user]
            else:
                self._user(user, roles)
        for user in ROTATED:
            self._retired[user] = self._passwords[user]
            self._password(user)

    def _delete(self) -> None:
        for kind, plural in (("MilvusRole", "milvusroles"), ("MilvusUser", "milvususers")):
            for body in self._story.resources(plural):
                if "deletionTimestamp" not in body["metadata"]:
                    self._story.delete(kind, body["metadata"]["name"])
        self._passwords.clear()

    def _role(self, name: str, rows: list[Row]) -> None:
        self._story.role(name, self._milvus_name(name), *rows)

    def _user(self, name: str, roles: list[str]) -> None:
        self._story.user(name, self._milvus_name(name), *(self._milvus_name(role) for role in roles))

    def _password(self, name: str) -> None:
        self._passwords[name] = fresh_password()
        self._story.password(name, self._passwords[name])

    def _milvus_name(self, name: str) -> str:
        return f"{name}_{self._unique.token}"

    # --- what must come of it

    def _settle(self) -> None:
        versions = self._secret_versions()

        def is_settled() -> bool:
            if self._killer:
                self._killer.revive()
            bodies = [
                body for plural in ("milvusroles", "milvususers") for body in self._story.resources(plural)
            ]
            return all(_is_served(body, versions) for body in bodies)

        # Looked at less often than elsewhere: what is looked at by many chains at once costs more than what they do.
        deadline = time.monotonic() + SETTLE
        while not is_settled():
            assert time.monotonic() < deadline, f"never served: {self._see()}\n{self._log()}"
            time.sleep(PAUSE)
        if self._killer:
            self._killer.revive()
        assert self._story.operator.process.alive, self._log()

    def _log(self) -> str:
        before = [operator.process.tail(30) for operator in self._story.operators[-2:-1]]
        ended = f"ended with {self._story.operator.process.returncode}; None: it runs"
        return "\n".join([*before, ended, self._story.operator.trace()])

    def _secret_versions(self) -> dict[str, str]:
        path = f"/api/v1/namespaces/{self._story.namespace}/secrets"
        items = self._story.cluster.get(path)["items"]
        return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in items}

    def _dump(self) -> dict[str, Any]:
        text = json.dumps(self._admin.dump(self._unique.token))
        dump: dict[str, Any] = json.loads(text.replace(self._unique.token, "~"))
        return dump

    def _check_passwords(self) -> None:
        for name, password in self._passwords.items():
            assert self._admin.login_works(self._milvus_name(name), password), name
        for name, password in self._retired.items():
            assert not self._admin.login_works(self._milvus_name(name), password), name

    def _check_claims(self) -> None:
        for plural in ("milvusroles", "milvususers"):
            for body in self._story.resources(plural):
                assert body["status"]["claim"]["origin"] == "Created", body

    def _see(self) -> str:
        bodies = [body for plural in ("milvusroles", "milvususers") for body in self._story.resources(plural)]
        return json.dumps([body for body in bodies if not _is_served(body, self._secret_versions())])


class Killer:
    """Kills the operator at the k-th call that passes a forwarder: the call is made, its answer never arrives."""

    def __init__(self, story: Story, way: Forwarder, number: int) -> None:
        self._story, self._way, self._number = story, way, number
        self._chosen: Call | None = None
        self._struck = threading.Event()
        self._revived = False

    @property
    def victim(self) -> str:
        """The call at which it struck; empty if there were not so many."""
        return f"{self._chosen.method} {self._chosen.path}" if self._chosen and self._struck.is_set() else ""

    def arm(self) -> None:
        """Begin to count."""
        numbers = itertools.count(1)

        def before(call: Call) -> None:
            if next(numbers) == self._number:
                self._chosen = call

        def behind(call: Call) -> Action | None:
            if call is not self._chosen:
                return None
            self._story.operator.kill()
            self._struck.set()
            return Action.DROP

        self._way.hook, self._way.on_reply = before, behind

    def disarm(self) -> None:
        """Count no more."""
        self._way.hook = self._way.on_reply = None
        if self._chosen is not None:
            # What the call did is seen before its answer is lost: the blow may still be on its way.
            self._struck.wait(timeout=5)
        self.revive()

    def revive(self) -> None:
        """Start the operator again, once, if it was killed."""
        if self._struck.is_set() and not self._revived:
            self._revived = True
            self._story.start_operator()


def _is_served(body: dict[str, Any], versions: dict[str, str]) -> bool:
    metadata, status = body["metadata"], body.get("status", {})
    if "deletionTimestamp" in metadata or status.get("observedGeneration") != metadata["generation"]:
        return False
    ready: dict[str, Any] = next((one for one in status.get("conditions", ()) if one["type"] == "Ready"), {})
    if ready.get("status") != "True":
        return False
    if "passwordSecretRef" not in body["spec"]:
        return True
    version = status.get("password", {}).get("secretResourceVersion")
    return bool(version == versions.get(body["spec"]["passwordSecretRef"]["name"]))
