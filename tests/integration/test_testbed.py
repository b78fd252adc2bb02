"""The test bed keeps its own promises: what other tests build on is proven here."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import hpack
import hyperframe.frame as frames
import pytest
from pymilvus.grpc_gen import milvus_pb2

from testbed import http2
from testbed.api_forwarder import ApiForwarder
from testbed.cluster import Cluster
from testbed.control_plane import ControlPlane
from testbed.forwarder import Action, Call
from testbed.milvus import (
    DEFAULT_LIMITS,
    NO_AUTHORIZATION,
    SHORT_LIMITS,
    STANDARD,
    SUPERUSERS,
    TLS,
    MilvusFacts,
    MilvusServer,
    Profile,
)
from testbed.milvus_admin import MilvusAdmin, MilvusRefusedError
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique

MilvusProfile = Callable[[Profile], MilvusFacts]


def eventually(promise: Callable[[], Any], timeout: float = 15.0) -> Any:
    deadline = time.monotonic() + timeout
    while not (found := promise()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return found


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"a": "1"}}


class Token:
    """A client with nothing but a ServiceAccount's token, through a forwarder."""

    def __init__(self, plane: Cluster, namespace: str, forwarder: ApiForwarder) -> None:
        self._port = forwarder.port
        self._tls = ssl.create_default_context(cafile=str(forwarder.ca_path))
        self._token = plane.service_account_token(namespace, "default")

    def request(self, method: str, path: str, body: Any = None) -> http.client.HTTPResponse:
        self.connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=10, context=self._tls)
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json",
        }
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        return self.connection.getresponse()

    def status(self, method: str, path: str, body: Any = None) -> int:
        with self.request(method, path, body) as response:
            response.read()
        self.connection.close()
        return response.status


@pytest.fixture
def token(control_plane: Cluster, namespace: str, api_forwarder: ApiForwarder) -> Token:
    eventually(lambda: control_plane.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default"))
    binding = {
        "metadata": {"name": "edit"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    control_plane.call("POST", path, binding)
    return Token(control_plane, namespace, api_forwarder)


@pytest.mark.skipif("KUBEBUILDER_ASSETS" in os.environ, reason="somebody else's binaries are used")
def test_the_api_server_is_the_version_we_name(control_plane: Cluster) -> None:
    assert control_plane.get("/version")["gitVersion"] == "v1.37.2"


def test_rbac_limits_a_service_account(control_plane: Cluster, namespace: str) -> None:
    eventually(lambda: control_plane.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default"))
    config = control_plane.service_account_kubeconfig(namespace, "default")
    refused = control_plane.kubectl("get", "secrets", kubeconfig=config, check=False)
    assert "Forbidden" in refused
    assert f"system:serviceaccount:{namespace}:default" in refused


def test_a_namespace_and_what_is_in_it_go(control_plane: Cluster, unique: Unique) -> None:
    name = unique("life").replace("_", "-")
    control_plane.create_namespace(name)
    control_plane.call("POST", f"/api/v1/namespaces/{name}/configmaps", config_map("a"))
    control_plane.delete_namespace(name)
    assert eventually(lambda: control_plane.get(f"/api/v1/namespaces/{name}") is None)


def test_the_audit_log_counts_writes(control_plane: Cluster, namespace: str) -> None:
    mark = control_plane.audit_mark()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    control_plane.call("POST", path, config_map("a"))
    control_plane.patch(f"{path}/a", {"data": {"a": "2"}})

    def verbs() -> list[str]:
        events = control_plane.audit_events(mark)
        return [event["verb"] for event in events if event["requestURI"].startswith(path)]

    assert eventually(lambda: verbs() == ["create", "patch"])


def test_an_owned_object_goes_with_its_owner(control_plane: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    owner = control_plane.call("POST", path, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
    control_plane.call("POST", path, owned)
    control_plane.call("DELETE", f"{path}/owner")
    assert eventually(lambda: control_plane.get(f"{path}/owned") is None)


def test_the_api_server_comes_back_with_its_data(fresh_control_plane: ControlPlane) -> None:
    fresh_control_plane.create_namespace("kept")
    fresh_control_plane.restart_apiserver()
    assert fresh_control_plane.get("/api/v1/namespaces/kept")


def test_the_api_forwarder_sees_a_patch(
    control_plane: Cluster, namespace: str, token: Token, api_forwarder: ApiForwarder
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    control_plane.call("POST", path, config_map("a"))
    assert token.status("PATCH", f"{path}/a", {"data": {"a": "2"}}) == 200
    assert [(call.method, call.path) for call in api_forwarder.writes()] == [("PATCH", f"{path}/a")]
    assert control_plane.get(f"{path}/a")["data"] == {"a": "2"}


def test_the_api_forwarder_passes_a_watch_event_by_event(
    control_plane: Cluster, namespace: str, token: Token
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with token.request("GET", f"{path}?watch=1&resourceVersion=0&timeoutSeconds=30") as watch:
        names = []
        for name in ("first", "second"):
            control_plane.call("POST", path, config_map(name))
            while name not in names:
                names.append(json.loads(watch.readline())["object"]["metadata"]["name"])
    token.connection.close()
    assert names[-2:] == ["first", "second"]


def test_the_api_forwarder_loses_a_reply_but_not_the_write(
    control_plane: Cluster, namespace: str, token: Token, api_forwarder: ApiForwarder
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api_forwarder.hook = lambda call: Action.LOSE_REPLY if call.method == "POST" else None
    with pytest.raises(OSError, match=r".*"):
        token.request("POST", path, config_map("lost"))
    token.connection.close()
    assert control_plane.get(f"{path}/lost")


def test_the_api_forwarder_breaks_and_mends(token: Token, api_forwarder: ApiForwarder) -> None:
    api_forwarder.drop_all()
    with pytest.raises(ConnectionRefusedError):
        token.status("GET", "/version")
    token.connection.close()
    api_forwarder.restore()
    assert token.status("GET", "/version") == 200


def test_milvus_is_seen_through_the_forwarder(
    forwarder: MilvusForwarder, admin: MilvusAdmin, unique: Unique
) -> None:
    role, user = unique("role"), unique("user")
    with MilvusAdmin(forwarder.address) as through:
        through.create_role(role)
        through.create_user(user, "Secret-1")
        through.bind(user, role)
        through.grant(role, "Collection", "orders", "Search")
        through.grant(role, "Global", "*", "CreateCollection", database="*")
        assert through.users() >= {"root", user}
    writes = ["CreateRole", "CreateCredential", "OperateUserRole", "OperatePrivilege", "OperatePrivilege"]
    assert [call.method for call in forwarder.writes()] == writes
    assert [call.method for call in forwarder.calls] == [*writes, "ListCredUsers"]
    assert all(call.answered is not None and call.answered >= call.at for call in forwarder.calls)
    assert admin.login_works(user, "Secret-1")
    assert not admin.login_works(user, "Secret-2")
    assert admin.dump(unique.token) == {
        "users": [user],
        "roles": [role],
        "members": {role: [user]},
        "grants": {
            role: [("Collection", "orders", "default", "Search"), ("Global", "*", "*", "CreateCollection")]
        },
    }


def test_a_lost_reply_is_a_done_write(forwarder: MilvusForwarder, admin: MilvusAdmin, unique: Unique) -> None:
    role = unique("role")
    forwarder.lose_reply("CreateRole")
    with MilvusAdmin(forwarder.address) as through:
        with pytest.raises(grpc.RpcError) as lost:
            through.create_role(role)
        assert lost.value.code() == grpc.StatusCode.UNAVAILABLE
        assert role in admin.roles()
        eventually(lambda: answers(through))
        with pytest.raises(MilvusRefusedError):  # the second reply is not lost
            through.create_role(role)


def answers(admin: MilvusAdmin) -> bool:
    try:
        return "root" in admin.users()
    except grpc.RpcError:
        return False


def test_a_hook_stands_before_the_call(
    forwarder: MilvusForwarder, admin: MilvusAdmin, unique: Unique
) -> None:
    role = unique("role")
    forwarder.hook = lambda call: Action.DROP if call.method == "CreateRole" else None
    with MilvusAdmin(forwarder.address) as through, pytest.raises(grpc.RpcError):
        through.create_role(role)
    assert [call.method for call in forwarder.writes()] == ["CreateRole"]
    assert role not in admin.roles()


def test_a_reply_hook_stands_behind_the_call(
    forwarder: MilvusForwarder, admin: MilvusAdmin, unique: Unique
) -> None:
    role = unique("role")
    there: list[bool] = []

    def reply(call: Call) -> Action | None:
        there.append(role in admin.roles())
        return Action.DROP if call.method == "CreateRole" else None

    forwarder.on_reply = reply
    with MilvusAdmin(forwarder.address) as through, pytest.raises(grpc.RpcError):
        through.create_role(role)
    assert there == [True]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_something_happens_at_the_second_write(
    forwarder: MilvusForwarder, admin: MilvusAdmin, unique: Unique, *, after: bool
) -> None:
    first, second = unique("role"), unique("role")
    there: list[bool] = []
    forwarder.at_write(2, lambda: there.append(second in admin.roles()), after=after)
    with MilvusAdmin(forwarder.address) as through:
        through.create_role(first)
        with pytest.raises(grpc.RpcError):
            through.create_role(second)
    assert there == [after]
    assert (second in admin.roles()) is after


def test_a_black_hole_answers_nothing_until_restored(forwarder: MilvusForwarder) -> None:
    with MilvusAdmin(forwarder.address, timeout=0.5) as through:
        assert through.users()
        forwarder.black_hole()
        with pytest.raises(grpc.RpcError) as silence:
            through.users()
        assert silence.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        forwarder.restore()
        eventually(lambda: answers(through))


def test_dropped_connections_are_refused_until_restored(forwarder: MilvusForwarder) -> None:
    with MilvusAdmin(forwarder.address, timeout=2) as through:
        assert through.users()
        forwarder.drop_all()
        with pytest.raises(grpc.RpcError) as refused:
            through.users()
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        forwarder.restore()
        eventually(lambda: answers(through))


def test_a_delayed_call_holds_up_no_other(forwarder: MilvusForwarder, unique: Unique) -> None:
    forwarder.delay("CreateRole", 1.0)
    with MilvusAdmin(forwarder.address) as through:
        assert through.users()
        start = time.monotonic()
        slow = threading.Thread(target=through.create_role, args=[unique("role")])
        slow.start()
        eventually(forwarder.writes)
        for _ in range(5):
            through.users()
        assert time.monotonic() - start < 0.9
        slow.join()
        assert time.monotonic() - start >= 1.0


def test_big_messages_and_many_calls_pass_unharmed(forwarder: MilvusForwarder, admin: MilvusAdmin) -> None:
    def many() -> None:
        for _ in range(50):
            assert through.users() >= {"root"}

    with MilvusAdmin(forwarder.address) as through:
        threads = [threading.Thread(target=many) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # More than one frame.
        request = milvus_pb2.ListCredUsersRequest()
        request.base.properties["filler"] = "x" * 1_000_000
        assert through.rpc("ListCredUsers", request).usernames
    assert len(forwarder.calls) == 401
    assert admin.users() >= {"root"}


def test_padded_and_continued_headers_are_read() -> None:
    encoded = hpack.Encoder().encode([(":path", "/milvus/CreateRole"), ("filler", "x" * 100)])
    first = frames.HeadersFrame(1, encoded[:20], pad_length=7, flags=["PADDED"])
    second = frames.ContinuationFrame(1, encoded[20:], flags=["END_HEADERS"])
    wire = http2.PREFACE + first.serialize() + second.serialize()
    cutter, headers = http2.FrameReader(client_side=True), http2.HeaderReader()
    parts = [part for index in range(len(wire)) for part in cutter.feed(wire[index : index + 1])]
    assert b"".join(part if isinstance(part, bytes) else part.raw for part in parts) == wire
    found = [headers.feed(part) for part in parts if isinstance(part, http2.Frame)]
    assert found == [None, {":path": "/milvus/CreateRole", "filler": "x" * 100}]


def test_a_milvus_comes_back_with_its_data(fresh_milvus: Callable[[Profile], MilvusServer]) -> None:
    server = fresh_milvus(STANDARD)
    with server.admin() as admin:
        admin.create_role("kept")
    server.restart()
    with server.admin() as admin:
        assert "kept" in admin.roles()
        server.pause()
        with pytest.raises(grpc.RpcError):
            admin.rpc("ListCredUsers", milvus_pb2.ListCredUsersRequest(), timeout=0.5)
        server.resume()
        assert admin.users() == {"root"}


def test_a_milvus_with_tls_passes_through_a_blind_forwarder(milvus_profile: MilvusProfile) -> None:
    server = milvus_profile(TLS)
    assert server.uri.startswith("https://")
    with MilvusForwarder(server.port, parse=False) as forwarder:
        with MilvusAdmin(forwarder.address, ca_pem=server.ca_pem) as through:
            assert "root" in through.users()
            forwarder.drop_all()
            with pytest.raises(grpc.RpcError):
                through.users()
        assert forwarder.calls == []


def test_without_authorization_any_password_works(milvus_profile: MilvusProfile) -> None:
    with milvus_profile(NO_AUTHORIZATION).admin() as admin:
        assert admin.login_works("nobody", "nothing")


def test_the_default_limits_refuse_a_ninth_role(milvus_profile: MilvusProfile, unique: Unique) -> None:
    with milvus_profile(DEFAULT_LIMITS).admin() as admin:
        for _ in range(8):
            admin.create_role(unique("role"))
        with pytest.raises(MilvusRefusedError, match="limit"):
            admin.create_role(unique("role"))


def test_superusers_need_no_old_password(milvus_profile: MilvusProfile, unique: Unique) -> None:
    user = unique("user")
    with milvus_profile(SUPERUSERS).admin() as admin:
        admin.create_user(user, "Secret-1")
        admin.update_password(user, "", "Secret-2")
        assert admin.login_works(user, "Secret-2")


def test_short_limits_refuse_short_passwords_and_long_names(milvus_profile: MilvusProfile) -> None:
    with milvus_profile(SHORT_LIMITS).admin() as admin:
        with pytest.raises(MilvusRefusedError):
            admin.create_user("short", "Secret-1")
        with pytest.raises(MilvusRefusedError):
            admin.create_role("r" * 25)


def test_nothing_outlives_a_killed_test_process(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from testbed.processes import Process\n"
        "child = Process.start(['sleep', '600'], pathlib.Path(sys.argv[1]))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    assert eventually(lambda: not is_running(child))


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
