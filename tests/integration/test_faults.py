"""Whatever breaks, Ready stays true, others are served, and the end is the same as without the fault."""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from support.neighbour import Neighbour
from support.operator import OperatorProcess
from support.passwords import fresh_password
from support.quiet import watch_for
from support.story import CONNECTION, Story
from support.wide import WideStory
from testbed.milvus import MilvusFacts, MilvusServer
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique

CRDS = Path(__file__).parents[2] / "crds"
TAKE_OVER = 120.0
"""Seconds within which another operator has taken a silent holder's Lease of 60 s, on a busy machine."""


class App:
    """A role and the user that holds it: what most faults are tried on."""

    def __init__(self, story: Story, admin: MilvusAdmin, name: str = "app") -> None:
        self._story, self._admin, self.name = story, admin, name
        self.user, self.role = story.unique("u"), story.unique("r")
        self.password = fresh_password()
        self.privileges = ["Query"]
        self.held = True

    def apply(self) -> None:
        """Create or change everything."""
        self._story.password(self.name, self.password)
        rows = [{"privileges": self.privileges, "collections": ["*"]}] if self.privileges else []
        self._story.role(self.name, self.role, *rows)
        self._story.user(self.name, self.user, *([self.role] if self.held else []))

    def rotate(self) -> None:
        """Give the Secret another password."""
        self.password = fresh_password()
        self._story.password(self.name, self.password)

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until both are Ready and Milvus is as they ask."""
        for kind in ("MilvusRole", "MilvusUser"):
            self._story.wait_ready(kind, self.name, timeout)
        self._story.wait(
            self.is_true, f"{self.name} is as asked for", timeout, lambda: self._admin.dump(self.user)
        )
        for kind in ("MilvusRole", "MilvusUser"):
            self._story.wait_ready(kind, self.name, timeout)

    def is_true(self) -> bool:
        """Tell whether Milvus is as asked for."""
        members = self._admin.members().get(self.role)
        if members is None or members != ({self.user} if self.held else set()):
            return False
        granted = {privilege for _, _, _, privilege in self._admin.grants(self.role)}
        return granted == set(self.privileges) and self._admin.login_works(self.user, self.password)

    def bodies(self) -> list[dict[str, Any] | None]:
        """Give both resources as they are."""
        return [self._story.get(kind, self.name) for kind in ("MilvusRole", "MilvusUser")]

    def must_be_created(self) -> None:
        """See that both know that they were created, not adopted."""
        for body in self.bodies():
            assert (body or {})["status"]["claim"]["origin"] == "Created", body

    def delete(self) -> None:
        """Delete both; they must leave nothing."""
        for kind in ("MilvusUser", "MilvusRole"):
            self._story.delete(kind, self.name)

    def wait_gone(self, timeout: float = 60.0) -> None:
        """Wait until both are gone, from Milvus too."""
        for kind in ("MilvusUser", "MilvusRole"):
            self._story.wait_gone(kind, self.name, timeout)
        assert self.user not in self._admin.users()
        assert self.role not in self._admin.roles()


@pytest.fixture
def app(story: Story, admin: MilvusAdmin) -> App:
    """An app that is served."""
    app = App(story, admin)
    app.apply()
    app.wait_ready()
    return app


# --- Milvus


def test_milvus_down_at_start_is_said_and_healed(
    stage: Story, admin: MilvusAdmin, milvus: MilvusFacts
) -> None:
    stage.milvus.drop_all()
    stage.connection()
    app = App(stage, admin)
    app.apply()
    stage.start_operator()
    with MilvusForwarder(milvus.port) as other_way:
        stage.connection("other", password=None, uri=other_way.uri)
        neighbour = Neighbour(stage, admin, "other")
        neighbour.must_be_served()
        neighbour.leave()
    condition = stage.wait_reason("MilvusConnection", CONNECTION, "Unreachable")
    assert stage.milvus.address in condition["message"]
    assert "spec.uri" in condition["message"]
    for kind in ("MilvusRole", "MilvusUser"):
        waiting = stage.wait_reason(kind, "app", "WaitingForConnection")
        assert f"MilvusConnection {CONNECTION}" in waiting["message"]
    stage.milvus.restore()
    stage.wait_ready("MilvusConnection", CONNECTION, timeout=100)
    app.wait_ready()
    app.must_be_created()


def test_a_milvus_that_goes_down_costs_nothing_and_comes_back(
    story: Story, admin: MilvusAdmin, app: App
) -> None:
    with MilvusForwarder(int(admin.address.rpartition(":")[2])) as other_way:
        story.connection("other", password=None, uri=other_way.uri)
        neighbour = Neighbour(story, admin, "other")
        neighbour.wait_ready()
        before = app.bodies()
        story.milvus.drop_all()
        new = App(story, admin, "new")
        new.apply()
        story.wait_reason("MilvusConnection", CONNECTION, "Unreachable")
        for kind in ("MilvusRole", "MilvusUser"):
            story.wait_reason(kind, "new", "WaitingForConnection")
        assert app.bodies() == before, "who was Ready keeps the last known truth"
        # Another connection does not notice.
        neighbour.must_be_served()
        # Once everything is said, the outage costs no write.
        story.wait_reason("MilvusConnection", "other", "Ready")
        story.api.clear()
        watch_for(5, lambda: not story.api.writes(), story.api.writes)
        story.milvus.restore()
        new.wait_ready(timeout=120)
        app.wait_ready()
        story.wait_ready("MilvusConnection", CONNECTION)
        new.must_be_created()


def test_what_is_deleted_while_milvus_is_down_waits_for_it(
    story: Story, admin: MilvusAdmin, app: App
) -> None:
    left = App(story, admin, "left")
    left.apply()
    left.wait_ready()
    story.milvus.drop_all()
    app.delete()
    left.delete()
    for kind in ("MilvusRole", "MilvusUser"):
        said = story.wait_reason(kind, "app", "DeletionBlocked")
        assert "rbac.milvus.io/force-retain=true" in said["message"]
        # Who can't wait lets go at once, and Milvus keeps it.
        story.annotate(kind, "left", force_retain="true")
        story.wait_gone(kind, "left", timeout=20)
    assert app.user in admin.users()
    story.milvus.restore()
    app.wait_gone(timeout=120)
    assert left.is_true()
    told = " ".join(message for _, _, message in story.events(CONNECTION))
    assert left.user in told
    assert left.role in told
    assert (
        f'milvus_rbac_left_behind_total{{connection="{story.namespace}/{CONNECTION}"}} 2.0'
        in story.operator.get("/metrics")
    )


def test_a_milvus_that_is_killed_and_started_again_is_served_again(
    stage: Story, fresh_milvus: Callable[[], MilvusServer]
) -> None:
    server = fresh_milvus()
    with MilvusForwarder(server.port) as way, server.admin() as admin:
        stage.connection(uri=way.uri, interval="10s")
        stage.start_operator()
        app = App(stage, admin)
        app.apply()
        app.wait_ready()
        way.hook = None
        server.restart()
        app.privileges = ["Query", "Search"]
        app.apply()
        app.rotate()
        app.wait_ready(timeout=120)
        stage.wait_ready("MilvusConnection", CONNECTION)
        app.must_be_created()


def test_a_milvus_that_swallows_everything_is_said_and_healed(
    story: Story, admin: MilvusAdmin, app: App
) -> None:
    before = app.bodies()
    story.milvus.black_hole()
    new = App(story, admin, "new")
    new.apply()
    condition = story.wait_reason("MilvusConnection", CONNECTION, "Unreachable", timeout=60)
    assert "did not answer in time" in condition["message"]
    story.wait_reason("MilvusUser", "new", "WaitingForConnection", timeout=60)
    assert app.bodies() == before
    story.milvus.restore()
    new.wait_ready(timeout=120)
    new.must_be_created()


def test_connections_that_break_now_and_then_are_no_trouble(story: Story, app: App) -> None:
    for privileges in (["Search"], ["Insert", "Query"], ["Delete"]):
        story.milvus.break_connections()
        story.api.break_connections()
        app.privileges = privileges
        app.apply()
        app.rotate()
        app.wait_ready()
    app.must_be_created()


# --- lost replies


def _change_grants(app: App) -> None:
    app.privileges = ["Search"]
    app.apply()


def _take_grants(app: App) -> None:
    app.privileges = []
    app.apply()


def _unbind(app: App) -> None:
    app.held = False
    app.apply()


CREATING = ("CreateRole", "CreateCredential", "OperatePrivilege", "OperateUserRole")


@pytest.mark.parametrize("verb", CREATING)
def test_a_lost_reply_while_creating_leaves_it_ours(story: Story, admin: MilvusAdmin, verb: str) -> None:
    story.wait_ready("MilvusConnection", CONNECTION)
    story.milvus.lose_reply(verb)
    app = App(story, admin)
    app.apply()
    app.wait_ready()
    _must_have_lost(story, verb)
    app.must_be_created()
    app.delete()
    app.wait_gone()


CHANGING: dict[str, tuple[str, Callable[[App], None]]] = {
    "grant": ("OperatePrivilege", _change_grants),
    "revoke": ("OperatePrivilege", _take_grants),
    "unbind": ("OperateUserRole", _unbind),
    "rotation": ("UpdateCredential", App.rotate),
}


@pytest.mark.parametrize("change", CHANGING)
def test_a_lost_reply_while_changing_ends_as_asked(story: Story, app: App, change: str) -> None:
    verb, do = CHANGING[change]
    story.milvus.lose_reply(verb)
    story.milvus.clear()
    do(app)
    app.wait_ready()
    _must_have_lost(story, verb)
    assert "DeleteCredential" not in {call.method for call in story.milvus.calls}, (
        "no user was dropped for it"
    )
    app.must_be_created()


@pytest.mark.parametrize("verb", ["DeleteCredential", "CreateCredential", "OperateUserRole"])
def test_a_lost_reply_while_recreating_a_user_ends_with_the_user(story: Story, app: App, verb: str) -> None:
    # A rotation while nobody looks: the old password is forgotten, so the user has to be created again.
    story.operator.stop()
    app.rotate()
    story.milvus.clear()
    story.milvus.lose_reply(verb)
    story.start_operator()
    app.wait_ready()
    _must_have_lost(story, verb)
    app.must_be_created()


@pytest.mark.parametrize("verb", ["DeleteCredential", "DropRole", "OperatePrivilege"])
def test_a_lost_reply_while_deleting_leaves_nothing(story: Story, app: App, verb: str) -> None:
    story.milvus.lose_reply(verb)
    app.delete()
    app.wait_gone()
    _must_have_lost(story, verb)


def test_a_lost_reply_to_the_bootstrap_is_no_lockout(
    stage: Story, fresh_milvus: Callable[[], MilvusServer]
) -> None:
    server, password = fresh_milvus(), fresh_password()
    with MilvusForwarder(server.port) as way:
        way.lose_reply("UpdateCredential")
        stage.connection(uri=way.uri, password=password, bootstrap=True)
        stage.start_operator()
        stage.wait_ready("MilvusConnection", CONNECTION, timeout=60)
        assert not way._to_lose["UpdateCredential"]
    with server.admin(password=password) as admin:
        assert admin.login_works("root", password)
        assert not admin.login_works("root", "Milvus")


def _must_have_lost(story: Story, verb: str) -> None:
    assert story.milvus._to_lose[verb] == 0, f"{verb} was never called"


# --- the Kubernetes API


@pytest.fixture
def wide_app(wide: WideStory, admin: MilvusAdmin) -> App:
    """An app that is served by it."""
    app = App(wide, admin)
    app.apply()
    app.wait_ready()
    return app


def test_a_restarted_api_server_is_served_by_the_same_process(
    wide: WideStory, wide_app: App, admin: MilvusAdmin
) -> None:
    wide.plane.restart_apiserver()
    wide_app.privileges = ["Query", "Insert"]
    wide_app.apply()
    wide_app.rotate()
    new = App(wide, admin, "new")
    new.apply()
    new.wait_ready(timeout=120)
    wide_app.wait_ready(timeout=120)
    new.must_be_created()
    new.delete()
    new.wait_gone()
    assert wide.operator.process.alive
    assert wide.operator.get("/healthz") == "ok\n"


def test_an_api_server_that_is_gone_for_a_while_is_caught_up_with(
    story: Story, admin: MilvusAdmin, app: App
) -> None:
    """Longer than the Lease allows writes without it: nothing may be written to Milvus then, drift or not."""
    story.connection(interval="10s")
    gone = App(story, admin, "gone")
    gone.apply()
    gone.wait_ready()
    story.wait_ready("MilvusConnection", CONNECTION)
    story.api.drop_all()
    app.privileges = ["Insert"]
    app.apply()
    app.rotate()
    gone.delete()
    new = App(story, admin, "new")
    new.apply()
    watch_for(45, lambda: story.operator.process.alive)
    story.milvus.clear()
    admin.grant(app.role, "Collection", "*", "Delete")
    watch_for(15, lambda: not story.milvus.writes(), story.milvus.writes)
    story.api.restore()
    new.wait_ready(timeout=120)
    app.wait_ready(timeout=120)
    gone.wait_gone(timeout=120)
    new.must_be_created()
    app.must_be_created()


def test_an_api_server_that_swallows_everything_is_caught_up_with(
    story: Story, admin: MilvusAdmin, app: App
) -> None:
    story.api.black_hole()
    new = App(story, admin, "new")
    new.apply()
    app.privileges = ["Insert"]
    app.apply()
    watch_for(8, lambda: story.operator.process.alive)
    story.api.restore()
    new.wait_ready(timeout=120)
    app.wait_ready(timeout=120)
    new.must_be_created()


# --- the operator


def test_a_killed_operator_goes_on_where_it_was(story: Story, admin: MilvusAdmin, app: App) -> None:
    gone = App(story, admin, "gone")
    gone.apply()
    gone.wait_ready()
    story.operator.kill()
    app.privileges = ["Insert"]
    app.apply()
    gone.delete()
    new = App(story, admin, "new")
    new.apply()
    story.start_operator()
    new.wait_ready()
    app.wait_ready()
    gone.wait_gone()
    for one in (app, new):
        one.must_be_created()
    # What is right already is not written again.
    story.wait(lambda: _claim_count(story) == len((app, new)) * 2, "the connection is written down")
    story.operator.kill()
    story.milvus.clear()
    story.api.clear()
    story.start_operator()
    story.wait(lambda: "SelectRole" in {call.method for call in story.milvus.calls}, "Milvus is read again")
    watch_for(3, lambda: not story.milvus.writes() and not story.api.writes(), story.api.writes)


def _claim_count(story: Story) -> object:
    return ((story.get("MilvusConnection", CONNECTION) or {})["status"]).get("claimCount")


def _leads(operator: OperatorProcess) -> bool:
    return "milvus_rbac_leader 1.0" in operator.get("/metrics")


def _has_read(operator: OperatorProcess) -> bool:
    try:
        return operator.get("/readyz") == "ok\n"
    except HTTPError:
        return False


def _changes(operator: OperatorProcess) -> float:
    found = re.findall(r"^milvus_rbac_changes_total\{.*\} (\S+)$", operator.get("/metrics"), re.MULTILINE)
    return sum(float(value) for value in found)


def test_of_two_operators_one_writes_and_hands_over_when_it_is_stopped(
    story: Story, admin: MilvusAdmin, app: App
) -> None:
    one = story.operator
    story.wait(lambda: _leads(one), "the first leads")
    two = story.start_operator("two")
    app.privileges = ["Insert"]
    app.apply()
    app.wait_ready()
    story.wait(lambda: _has_read(two), "the second has read everything")
    story.milvus.clear()
    app.rotate()
    app.wait_ready()
    assert [call.method for call in story.milvus.writes()] == ["UpdateCredential"], "one writes, and once"
    assert not _leads(two)
    assert _changes(two) == 0
    one.stop()
    assert one.process.returncode == 0
    story.wait(lambda: _leads(two), "the second leads", timeout=30)
    new = App(story, admin, "new")
    new.apply()
    app.privileges = ["Search"]
    app.apply()
    new.wait_ready()
    app.wait_ready()
    new.must_be_created()
    app.must_be_created()
    assert _changes(two) > 0


def test_another_operator_takes_over_from_a_killed_one(story: Story, admin: MilvusAdmin, app: App) -> None:
    one = story.operator
    two = story.start_operator("two")
    story.wait(lambda: _has_read(two), "the second has read everything")
    one.kill()
    story.milvus.clear()
    app.rotate()
    new = App(story, admin, "new")
    new.apply()
    story.wait(lambda: _leads(two), "the second leads", timeout=TAKE_OVER)
    new.wait_ready()
    app.wait_ready()
    new.must_be_created()


def test_an_operator_that_slept_through_its_lease_writes_no_more(story: Story, app: App) -> None:
    one = story.operator
    two = story.start_operator("two")
    story.wait(lambda: _has_read(two), "the second has read everything")
    done = _changes(one)
    one.process.send(signal.SIGSTOP)
    app.privileges = ["Insert"]
    app.apply()
    story.wait(lambda: _leads(two), "the second leads", timeout=TAKE_OVER)
    app.wait_ready()
    before = _changes(two)
    one.process.send(signal.SIGCONT)
    story.wait(lambda: not _leads(one), "the first knows")
    app.privileges = ["Search"]
    app.apply()
    app.rotate()
    app.wait_ready()
    assert _changes(one) == done
    assert _changes(two) > before
    assert one.process.alive


# --- whole namespaces, whole kinds


def _wait_namespace_gone(wide: WideStory) -> None:
    wide.wait(
        lambda: wide.cluster.get(f"/api/v1/namespaces/{wide.namespace}") is None,
        "the namespace is gone",
        180,
        lambda: wide.cluster.get(f"/api/v1/namespaces/{wide.namespace}"),
    )


@pytest.mark.parametrize("milvus_is_down", [False, True], ids=["up", "down-at-first"])
def test_a_deleted_namespace_goes_and_leaves_nothing(
    wide: WideStory, wide_app: App, admin: MilvusAdmin, unique: Unique, milvus_is_down: bool
) -> None:
    more = [App(wide, admin, f"more-{number}") for number in range(4)]
    for app in more:
        app.apply()
    for app in (*more, wide_app):
        app.wait_ready()
    if milvus_is_down:
        wide.milvus.drop_all()
    wide.cluster.delete_namespace(wide.namespace)
    if milvus_is_down:
        secrets = f"/api/v1/namespaces/{wide.namespace}/secrets"
        wide.wait(lambda: not wide.cluster.get(secrets)["items"], "the Secrets went first")
        wide.wait_reason("MilvusUser", "app", "DeletionBlocked")
        wide.milvus.restore()
    _wait_namespace_gone(wide)
    left = admin.dump(unique.token)
    assert not left["users"], left
    assert not left["roles"], left
    # The operator serves the next namespace.
    wide.cluster.create_namespace("team-b")
    wide.namespace = "team-b"
    wide.connection()
    new = App(wide, admin)
    new.apply()
    new.wait_ready()


def test_a_deleted_crd_leaves_milvus_alone_and_the_other_kinds_served(
    wide: WideStory, wide_app: App, admin: MilvusAdmin, unique: Unique
) -> None:
    before = admin.dump(unique.token)
    wide.cluster.kubectl("delete", "crd", "milvususers.rbac.milvus.io", "--timeout=60s")
    assert admin.dump(unique.token) == before
    assert admin.login_works(wide_app.user, wide_app.password)
    wide.role("app", wide_app.role, {"privileges": ["Search"], "collections": ["*"]})
    wide.wait_ready("MilvusRole", "app")
    wide_app.privileges = ["Search"]
    assert wide_app.is_true()

    wide.cluster.kubectl("apply", "--server-side", f"--filename={CRDS}")
    wide.cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    wide_app.apply()
    wide_app.wait_ready(timeout=90)
    wide_app.rotate()
    wide_app.wait_ready()
    new = App(wide, admin, "new")
    new.apply()
    new.wait_ready()
    assert wide.operator.process.alive
