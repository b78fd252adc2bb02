"""Kopf's watches on a real API server: what reaches us, and what no answer of the API server can end."""

import asyncio
import base64
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from milvus_rbac.kube import watch as watch_module
from milvus_rbac.kube.access import find_access
from milvus_rbac.kube.watch import Watch
from support.operator import permit
from testbed.api_forwarder import ApiForwarder
from testbed.chart import NAME
from testbed.cluster import Cluster, kubeconfig
from testbed.control_plane import ControlPlane
from testbed.forwarder import Call

API = "/apis/rbac.milvus.io/v1alpha1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PATIENCE = 40.0
Event = tuple[str | None, str, str, str]
"""Type, namespace, name, resourceVersion."""


class Watching:
    """The watches in a thread of their own: Kopf cancels all tasks of its event loop when it ends."""

    def __init__(self, config: Path, namespaces: Sequence[str] | None, seen: set[str]) -> None:
        self.events: list[Event] = []
        self.bodies: list[Mapping[str, Any]] = []
        self.watch: Watch | None = None
        self._config, self._namespaces, self._seen = config, namespaces, seen
        self._stop = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._pool = ThreadPoolExecutor(1)
        self._running = self._pool.submit(self._loop.run_until_complete, self._run())

    async def _run(self) -> None:
        access = await find_access(str(self._config))
        plurals = ["milvususers"]
        self.watch = Watch(access, plurals, self._namespaces, self._note, self._note, self._seen.__contains__)
        ready = asyncio.Event()
        await self.watch.run("test", ready, self._stop)

    def _note(self, type_: str | None, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        self.bodies.append(body)
        self.events.append((type_, metadata["namespace"], metadata["name"], metadata["resourceVersion"]))

    @property
    def names(self) -> set[str]:
        """The names of all objects that events were about."""
        return {name for _, _, name, _ in self.events}

    @property
    def unreadable(self) -> set[str]:
        assert self.watch is not None
        return set(self.watch.unreadable)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; the watches must live on."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert not self._running.done(), "Kopf has ended"
            assert time.monotonic() < deadline, f"{what} never came: {self.events}"
            time.sleep(0.05)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        try:
            self._running.result(PATIENCE)
        finally:
            self._pool.shutdown()
            self._loop.close()


Begin = Callable[..., Watching]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Begins to watch, until the test ends."""
    with ExitStack() as stack:

        def start(config: Path, *namespaces: str, seen: set[str] | None = None) -> Watching:
            watching = Watching(config, namespaces or None, set() if seen is None else seen)
            stack.callback(watching.close)
            return watching

        yield start


@pytest.fixture
def other(control_plane: Cluster, namespace: str) -> Iterator[str]:
    """A second namespace."""
    name = f"{namespace}-b"
    control_plane.create_namespace(name)
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture
def config(
    control_plane: Cluster,
    namespace: str,
    other: str,
    api_forwarder: ApiForwarder,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The kubeconfig of an account that may watch both namespaces, by Roles in them."""
    monkeypatch.setattr(watch_module, "QUIET", 0.5)
    release = permit(control_plane, namespace, namespace, other)
    return control_plane.service_account_kubeconfig(
        release.namespace, release.account, api_forwarder.url, api_forwarder.ca_path
    )


def create_user(plane: Cluster, namespace: str, name: str, **metadata: Any) -> dict[str, Any]:
    body = {
        "apiVersion": "rbac.milvus.io/v1alpha1",
        "kind": "MilvusUser",
        "metadata": {"name": name, **metadata},
        "spec": {"userName": name, "passwordSecretRef": {"name": name}, "roles": []},
    }
    return dict(plane.call("POST", f"{API}/namespaces/{namespace}/milvususers", body))


def label(plane: Cluster, namespace: str, name: str, value: str) -> str:
    """Change a user; its new resourceVersion."""
    path = f"{API}/namespaces/{namespace}/milvususers/{name}"
    return str(plane.patch(path, {"metadata": {"labels": {"a": value}}})["metadata"]["resourceVersion"])


def is_user_watch(call: Call) -> bool:
    return "/milvususers?" in call.path and "watch=true" in call.path


def test_secrets_come_without_their_data_and_empty_lists_end_nothing(
    begin: Begin, config: Path, control_plane: Cluster, namespace: str
) -> None:
    watching = begin(config, namespace)
    users = itertools.count()
    watching.wait(
        lambda: bool(create_user(control_plane, namespace, f"u{next(users)}")) and bool(watching.events),
        "the first event",
    )
    data = {"password": base64.b64encode(b"hush").decode()}
    path = f"/api/v1/namespaces/{namespace}/secrets"
    control_plane.call("POST", path, {"metadata": {"name": "hidden"}, "data": data})
    watching.wait(lambda: "hidden" in watching.names, "the Secret")
    assert not [body for body in watching.bodies if "data" in body]


@pytest.mark.parametrize("count", [1, 3])
def test_echoes_are_dropped_and_the_watch_is_resumed_behind_them(
    begin: Begin,
    config: Path,
    control_plane: Cluster,
    namespace: str,
    api_forwarder: ApiForwarder,
    count: int,
) -> None:
    create_user(control_plane, namespace, "ann")
    echoes: list[str] = []

    class Known(set[str]):
        """Knows all versions of changes that the test makes while `echoing`."""

        echoing = False

        def __contains__(self, version: object) -> bool:
            if self.echoing:
                echoes.append(str(version))
            return self.echoing or version in echoes

    known = Known()
    watching = begin(config, namespace, seen=known)
    watching.wait(lambda: "ann" in watching.names, "the list")
    watching.wait(lambda: any(map(is_user_watch, api_forwarder.calls)), "the watch")
    known.echoing = True
    versions = [label(control_plane, namespace, "ann", str(number)) for number in range(count)]
    watching.wait(lambda: echoes == versions, "the echoes")
    known.echoing = False
    api_forwarder.clear()
    api_forwarder.break_connections()
    watching.wait(lambda: any(map(is_user_watch, api_forwarder.calls)), "another watch")
    call = next(filter(is_user_watch, api_forwarder.calls))
    assert f"resourceVersion={versions[-1]}" in call.path
    create_user(control_plane, namespace, "ben")
    watching.wait(lambda: "ben" in watching.names, "a change by another client")
    assert not set(versions) & {version for *_, version in watching.events}


@pytest.mark.parametrize("code", [500, 504])
def test_an_error_in_a_watch_ends_nothing(
    begin: Begin,
    config: Path,
    control_plane: Cluster,
    namespace: str,
    api_forwarder: ApiForwarder,
    code: int,
) -> None:
    told: list[Call] = []

    def fail(call: Call) -> bytes | None:
        if not is_user_watch(call) or len(told) >= 2:
            return None
        told.append(call)
        return b'{"type":"ERROR","object":{"kind":"Status","code":%d,"message":"no"}}\n' % code

    api_forwarder.last_words = fail
    watching = begin(config, namespace)
    watching.wait(lambda: len(told) == 2, "two errors")
    create_user(control_plane, namespace, "ann")
    watching.wait(lambda: "ann" in watching.names, "the user that came after the errors")


def test_a_token_that_is_refused_for_a_while_ends_nothing(
    begin: Begin,
    control_plane: Cluster,
    namespace: str,
    api_forwarder: ApiForwarder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = permit(control_plane, namespace, namespace)
    token, path = tmp_path / "token", tmp_path / "config"
    token.write_text(control_plane.service_account_token(namespace, release.account))
    path.write_text(kubeconfig(api_forwarder.url, api_forwarder.ca_path, {"tokenFile": str(token)}))
    create_user(control_plane, namespace, "ann")
    watching = begin(path, namespace)
    watching.wait(lambda: "ann" in watching.names, "the list")
    # A token is good for one ServiceAccount, not for its namesake; the API server believes in it for ten seconds more.
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    control_plane.call("DELETE", f"{account}/{release.account}")
    control_plane.call("POST", account, {"metadata": {"name": release.account}})

    def is_refused_for_a_while() -> bool:
        refusals = caplog.text.count("does not accept our credentials")
        if not refusals:
            api_forwarder.break_connections()
        return refusals >= 5

    watching.wait(is_refused_for_a_while, "refusals")
    create_user(control_plane, namespace, "ben")
    token.write_text(control_plane.service_account_token(namespace, release.account))
    watching.wait(lambda: "ben" in watching.names, "the user that came meanwhile")


def test_a_namespace_that_may_not_be_read_any_more_hurts_no_other_and_comes_back(
    begin: Begin,
    config: Path,
    control_plane: Cluster,
    namespace: str,
    other: str,
    api_forwarder: ApiForwarder,
) -> None:
    create_user(control_plane, other, "before")
    watching = begin(config, namespace, other)
    watching.wait(lambda: "before" in watching.names, "the list")
    binding = f"{RBAC}/namespaces/{other}/rolebindings/{NAME}"
    body = control_plane.get(binding)
    control_plane.call("DELETE", binding)

    def noticed() -> bool:
        api_forwarder.break_connections()
        return watching.unreadable == {other}

    watching.wait(noticed, "the refusal")
    create_user(control_plane, namespace, "neighbour")
    create_user(control_plane, other, "meanwhile")
    watching.wait(lambda: "neighbour" in watching.names, "the other namespace")
    assert "meanwhile" not in watching.names
    restored = {"metadata": {"name": NAME}, "roleRef": body["roleRef"], "subjects": body["subjects"]}
    control_plane.call("POST", binding.removesuffix(f"/{NAME}"), restored)
    watching.wait(lambda: "meanwhile" in watching.names, "the namespace that came back")
    watching.wait(lambda: not watching.unreadable, "a good end")


def test_a_namespace_that_could_not_be_read_from_the_beginning_is_watched_as_soon_as_it_can(
    begin: Begin,
    config: Path,
    control_plane: Cluster,
    namespace: str,
    other: str,
) -> None:
    later = f"{other}-c"
    create_user(control_plane, other, "ann")
    watching = begin(config, other, later)
    watching.wait(lambda: watching.watch is not None and watching.unreadable == {later}, "the refusal")
    watching.wait(lambda: "ann" in watching.names, "the namespace that can be read")
    control_plane.create_namespace(later)
    create_user(control_plane, later, "early")
    permit(control_plane, namespace, later)
    watching.wait(lambda: "early" in watching.names, "what was there already")
    create_user(control_plane, later, "late")
    watching.wait(lambda: "late" in watching.names, "what comes")
    control_plane.delete_namespace(later)


def test_a_kind_that_goes_ends_nothing(
    begin: Begin, fresh_control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator for some namespaces does not see the definition go."""
    monkeypatch.setattr(watch_module, "QUIET", 0.5)
    plane = fresh_control_plane
    plane.create_namespace("team-a")
    create_user(plane, "team-a", "ann")
    watching = begin(plane.kubeconfig, "team-a")
    watching.wait(lambda: "ann" in watching.names, "the list")
    definition = plane.kubectl("get", "crd", "milvususers.rbac.milvus.io", "--output=yaml")
    plane.kubectl("delete", "crd", "milvususers.rbac.milvus.io")
    watching.wait(lambda: ("DELETED", "ann") in {(one[0], one[2]) for one in watching.events}, "its end")
    mark = plane.audit_mark()

    def is_missed() -> bool:
        events = plane.audit_events(mark)
        return any(
            one["responseStatus"]["code"] == 404 and "watch=true" in one["requestURI"] for one in events
        )

    watching.wait(is_missed, "a watch of what is not there")
    plane.kubectl("create", "--filename=-", stdin=definition)
    plane.kubectl("wait", "--for=condition=Established", "crd/milvususers.rbac.milvus.io")
    create_user(plane, "team-a", "ben")
    watching.wait(lambda: "ben" in watching.names, "the kind that came back")
