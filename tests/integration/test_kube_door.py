"""The door to Kubernetes, with nothing but the operator's own ServiceAccount and manifests, against a real API server."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes.aio.config import incluster_config

from milvus_rbac.kube import access as access_module
from milvus_rbac.kube.access import NoAccess, find_access
from milvus_rbac.kube.client import Client, ClusterRefused, ClusterUnavailable, LeaseLost, Outdated
from milvus_rbac.kube.leader_election import Lease, LeaseName
from milvus_rbac.kube.resources import FINALIZER, GROUP_VERSION, Cluster, Listing
from support.operator import permit
from testbed.api_forwarder import ApiForwarder
from testbed.chart import NAME as ACCOUNT
from testbed.chart import SYSTEM, render
from testbed.cluster import kubeconfig
from testbed.control_plane import ControlPlane
from testbed.forwarder import Action, Call

AT = datetime(2026, 1, 1, tzinfo=UTC)
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "It is so.",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
FOREIGN = READY | {"type": "example.com/Audited", "reason": "Audited"}
OURS = {"Ready", "Stalled", "Reconciling"}
CLAIM = {"endpoint": "milvus.milvus:19530", "name": "ann", "origin": "Created"}
OTHER_CLAIM = CLAIM | {"endpoint": "elsewhere.milvus:19530"}


async def replace_status(
    cluster: Cluster, body: dict[str, Any], status: dict[str, Any], own: Collection[str]
) -> dict[str, Any] | None:
    """Make this the status, as a write of the controller does."""
    changed = {key: value for key, value in status.items() if key != "conditions"}
    removed = (body.get("status") or {}).keys() - status.keys() - {"conditions"}
    return await cluster.change_status(body, changed, removed, status.get("conditions", ()), own)


@pytest.fixture(scope="session")
def operator_kubeconfig(control_plane: ControlPlane) -> str:
    return str(control_plane.service_account_kubeconfig(SYSTEM, ACCOUNT))


@pytest.fixture
async def cluster(operator_kubeconfig: str, namespace: str) -> AsyncIterator[Cluster]:
    """The door, limited to the test's namespace."""
    async with await Cluster.connect(operator_kubeconfig, [namespace]) as cluster:
        yield cluster


@pytest.fixture
async def forwarded(
    control_plane: ControlPlane, namespace: str, api_forwarder: ApiForwarder
) -> AsyncIterator[Cluster]:
    """The same through a forwarder, which can break it or slip something in between; it loses patience after a second."""
    path = control_plane.service_account_kubeconfig(SYSTEM, ACCOUNT, api_forwarder.url, api_forwarder.ca_path)
    async with await Cluster.connect(str(path), [namespace], timeout=1) as cluster:
        yield cluster


class Users:
    """MilvusUsers of one namespace, as somebody else handles them."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self.path = f"/apis/{GROUP_VERSION}/namespaces/{namespace}/milvususers"

    def create(self, name: str = "ann", **metadata: Any) -> dict[str, Any]:
        spec = {"userName": "ann", "passwordSecretRef": {"name": "ann", "key": "password"}, "roles": []}
        body = {
            "apiVersion": GROUP_VERSION,
            "kind": "MilvusUser",
            "metadata": {"name": name} | metadata,
            "spec": spec,
        }
        return dict(self._plane.call("POST", self.path, body))

    def read(self, name: str = "ann") -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._plane.get(f"{self.path}/{name}")
        return found

    def delete(self, name: str = "ann") -> None:
        self._plane.call("DELETE", f"{self.path}/{name}")

    def recreate(self, name: str = "ann") -> dict[str, Any]:
        self.delete(name)
        return self.create(name)

    def patch(self, body: Any, subresource: str = "", name: str = "ann") -> None:
        self._plane.patch(f"{self.path}/{name}{subresource}", body)


@pytest.fixture
def users(control_plane: ControlPlane, namespace: str) -> Users:
    return Users(control_plane, namespace)


def create_secret(plane: ControlPlane, namespace: str, name: str, text: str) -> None:
    data = {"password": base64.b64encode(text.encode()).decode()}
    plane.call("POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": name}, "data": data})


def once(method: str, act: Callable[[], object]) -> Callable[[Call], Action | None]:
    """A forwarder's hook: does something right before the first request of that method passes."""
    waiting = [act]

    def hook(call: Call) -> Action | None:
        if call.method == method and waiting:
            waiting.pop()()
        return None

    return hook


# --- status


async def test_a_status_lands_on_its_object(cluster: Cluster, users: Users) -> None:
    body = users.create()
    written = await replace_status(cluster, body, {"observedGeneration": 1, "conditions": [READY]}, OURS)
    assert written is not None
    assert written["status"] == {"observedGeneration": 1, "conditions": [READY]}
    assert users.read() == written


async def test_a_status_never_lands_on_a_namesake(cluster: Cluster, users: Users) -> None:
    before = users.create()
    namesake = users.recreate()
    assert await replace_status(cluster, before, {"observedGeneration": 9}, OURS) is None
    assert users.read() == namesake


async def test_a_status_of_what_is_gone_is_not_written(cluster: Cluster, users: Users) -> None:
    before = users.create()
    users.delete()
    assert await replace_status(cluster, before, {"observedGeneration": 9}, OURS) is None


async def test_a_status_leaves_out_what_is_no_longer_said(cluster: Cluster, users: Users) -> None:
    stalled = READY | {"type": "Stalled"}
    body = users.create()
    before = await replace_status(
        cluster, body, {"observedGeneration": 1, "conditions": [READY, stalled]}, OURS
    )
    assert before is not None
    after = await replace_status(cluster, before, {"observedGeneration": 1, "conditions": [READY]}, OURS)
    assert after is not None
    assert after["status"]["conditions"] == [READY]


async def test_conditions_of_others_survive_even_if_we_have_not_seen_them(
    cluster: Cluster, users: Users
) -> None:
    unaware = users.create()
    users.patch({"status": {"conditions": [FOREIGN]}}, "/status")
    written = await replace_status(cluster, unaware, {"observedGeneration": 1, "conditions": [READY]}, OURS)
    assert written is not None
    assert written["status"]["conditions"] == [READY, FOREIGN]
    again = await replace_status(cluster, written, {"observedGeneration": 2, "conditions": [READY]}, OURS)
    assert again is not None
    assert again["status"] == {"observedGeneration": 2, "conditions": [READY, FOREIGN]}


@pytest.mark.parametrize("believed", [None, OTHER_CLAIM], ids=["none", "another"])
async def test_a_claim_that_the_writer_did_not_know_is_never_overwritten(
    believed: dict[str, str] | None, cluster: Cluster, users: Users
) -> None:
    body = users.create()
    if believed:
        body = body | {"status": {"claim": believed}}
    users.patch({"status": {"claim": CLAIM, "conditions": [FOREIGN]}}, "/status")
    with pytest.raises(Outdated) as refusal:
        await replace_status(cluster, body, {"observedGeneration": 1, "conditions": [READY]}, OURS)
    assert refusal.value.current == users.read()
    assert refusal.value.current["status"]["claim"] == CLAIM
    status = {"observedGeneration": 1, "claim": CLAIM}
    assert await replace_status(cluster, refusal.value.current, status, OURS) is not None


async def test_a_claim_is_written_and_taken_back(cluster: Cluster, users: Users) -> None:
    claimed = await replace_status(cluster, users.create(), {"observedGeneration": 1, "claim": CLAIM}, OURS)
    assert claimed is not None
    freed = await replace_status(cluster, claimed, {"observedGeneration": 1}, OURS)
    assert freed is not None
    assert freed["status"] == {"observedGeneration": 1, "conditions": []}


async def test_a_status_that_the_schema_forbids_is_refused_once(
    forwarded: Cluster, users: Users, api_forwarder: ApiForwarder
) -> None:
    body = users.create()
    with pytest.raises(ClusterRefused, match="observedGeneration") as refusal:
        await replace_status(forwarded, body, {"observedGeneration": "many"}, OURS)
    assert refusal.value.status == 422
    assert [call.method for call in api_forwarder.calls] == ["PATCH", "GET"]


# --- finalizers


async def test_finalizers_of_others_survive_what_happens_at_the_same_time(
    forwarded: Cluster, users: Users, api_forwarder: ApiForwarder
) -> None:
    body = users.create(finalizers=["example.com/a"])
    meanwhile = {"metadata": {"finalizers": ["example.com/a", "example.com/b"]}}
    api_forwarder.hook = once("PATCH", lambda: users.patch(meanwhile))
    added = await forwarded.add_finalizer(body)
    assert added is not None
    assert added["metadata"]["finalizers"] == ["example.com/a", "example.com/b", FINALIZER]

    meanwhile = {"metadata": {"finalizers": [FINALIZER, "example.com/c"]}}
    api_forwarder.hook = once("PATCH", lambda: users.patch(meanwhile))
    removed = await forwarded.remove_finalizer(added)
    assert removed is not None
    assert removed["metadata"]["finalizers"] == ["example.com/c"]
    users.patch({"metadata": {"finalizers": None}})


async def test_a_finalizer_that_is_there_costs_no_request(cluster: Cluster, users: Users) -> None:
    body = users.create()
    added = await cluster.add_finalizer(body)
    assert added is not None
    users.patch({"metadata": {"labels": {"a": "b"}}})
    assert await cluster.add_finalizer(added) == added
    assert await cluster.remove_finalizer(body) == body
    users.patch({"metadata": {"finalizers": None}})


async def test_finalizers_never_land_on_a_namesake(cluster: Cluster, users: Users) -> None:
    before = users.create()
    namesake = users.recreate()
    assert await cluster.add_finalizer(before) is None
    held = before | {"metadata": before["metadata"] | {"finalizers": [FINALIZER]}}
    assert await cluster.remove_finalizer(held) is None
    assert users.read() == namesake


async def test_nothing_is_begun_for_what_is_being_deleted(cluster: Cluster, users: Users) -> None:
    before = users.create(finalizers=["example.com/a"])
    users.delete()
    assert await cluster.add_finalizer(before) is None
    users.patch({"metadata": {"finalizers": None}})


async def test_without_the_last_finalizer_the_object_goes(cluster: Cluster, users: Users) -> None:
    added = await cluster.add_finalizer(users.create())
    assert added is not None
    users.delete()
    assert await cluster.remove_finalizer(added) is not None
    assert users.read() is None
    assert await cluster.remove_finalizer(added) is None


# --- reading


async def test_more_resources_than_one_page_has_are_all_listed(
    cluster: Cluster, control_plane: ControlPlane, users: Users
) -> None:
    template = users.create()
    async with await Cluster.connect(str(control_plane.kubeconfig)) as admin:

        async def copy(number: int) -> None:
            body = {**template, "metadata": {"name": f"u{number}"}, "status": None}
            await admin.client.request("POST", users.path, body=body)

        await asyncio.gather(*(copy(number) for number in range(500)))
    listing = await cluster.list_all("milvususers")
    assert listing is not None
    found = listing.items
    assert len({item["metadata"]["name"] for item in found}) == len(found) == 501
    assert all(item["kind"] == "MilvusUser" for item in found)


async def test_only_the_scope_is_listed(operator_kubeconfig: str, namespace: str, users: Users) -> None:
    users.create()
    async with await Cluster.connect(operator_kubeconfig, [f"{namespace}-other"]) as elsewhere:
        assert await elsewhere.list_all("milvususers") == Listing([], {})
    async with await Cluster.connect(operator_kubeconfig) as everywhere:
        listing = await everywhere.list_all("milvususers")
    assert listing is not None
    assert namespace in {item["metadata"]["namespace"] for item in listing.items}


async def test_a_kind_that_is_not_installed_has_no_resources(
    control_plane: ControlPlane, namespace: str
) -> None:
    async with await Cluster.connect(str(control_plane.kubeconfig), [namespace]) as admin:
        assert await admin.list_all("milvusnothings") is None


@pytest.fixture
async def confined(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Cluster]:
    """The door of an operator for two namespaces, with a Role in the first one only."""
    release = permit(control_plane, namespace, namespace)
    config = control_plane.service_account_kubeconfig(namespace, release.account)
    async with await Cluster.connect(str(config), [namespace, f"{namespace}-gone"]) as cluster:
        yield cluster


async def test_a_namespace_that_is_forbidden_takes_nothing_from_the_others(
    confined: Cluster, control_plane: ControlPlane, namespace: str, users: Users
) -> None:
    user = users.create()
    create_secret(control_plane, namespace, "ann", "hush")
    listing = await confined.list_all("milvususers")
    assert listing is not None
    assert [one["metadata"]["uid"] for one in listing.items] == [user["metadata"]["uid"]]
    assert listing.unreadable.keys() == {f"{namespace}-gone"}
    said = listing.unreadable[f"{namespace}-gone"]
    assert said.startswith("milvususers.rbac.milvus.io is forbidden:")
    secrets = await confined.list_secret_metadata()
    assert [one["metadata"]["name"] for one in secrets.items] == ["ann"]
    assert secrets.unreadable.keys() == {f"{namespace}-gone"}


async def test_labels_of_a_namespace_that_is_forbidden_stay_as_they_were_read_last(
    confined: Cluster, control_plane: ControlPlane, namespace: str
) -> None:
    assert (await confined.list_namespace_labels()).keys() == {namespace}
    control_plane.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"a": "b"}}})
    found = await confined.list_namespace_labels()
    assert found[namespace]["a"] == "b"
    user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/{ACCOUNT}"
    control_plane.call("DELETE", role)
    deadline = time.monotonic() + 15
    while allows(control_plane, user, verb="get", resource="namespaces", name=namespace):
        assert time.monotonic() < deadline
    with pytest.raises(ClusterRefused, match="forbidden"):  # of none may they be read
        await confined.list_namespace_labels()
    gone = f"{namespace}-gone"
    control_plane.create_namespace(gone)
    permit(control_plane, namespace, gone)
    assert (await confined.list_namespace_labels())[namespace]["a"] == "b"
    control_plane.delete_namespace(gone)


def allows(plane: ControlPlane, user: str, **attributes: str) -> bool:
    spec = {"user": user, "resourceAttributes": attributes}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(plane.call("POST", path, review)["status"]["allowed"])


async def test_secrets_are_listed_without_their_data(
    cluster: Cluster, control_plane: ControlPlane, namespace: str
) -> None:
    assert await cluster.list_secret_metadata() == Listing([], {})
    create_secret(control_plane, namespace, "ann", "hush")
    (secret,) = (await cluster.list_secret_metadata()).items
    assert secret["metadata"]["name"] == "ann"
    assert "data" not in secret


async def test_single_objects_are_read_or_absent(
    cluster: Cluster, control_plane: ControlPlane, namespace: str, users: Users
) -> None:
    create_secret(control_plane, namespace, "ann", "hush")
    config_map = {"metadata": {"name": "authority"}, "data": {"ca.crt": "PEM"}}
    control_plane.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", config_map)
    user = users.create()
    secret = await cluster.get_secret(namespace, "ann")
    assert secret is not None
    assert base64.b64decode(secret["data"]["password"]) == b"hush"
    found = await cluster.get_config_map(namespace, "authority")
    assert found is not None
    assert found["data"] == {"ca.crt": "PEM"}
    assert await cluster.get("milvususers", namespace, "ann") == user
    assert await cluster.get_secret(namespace, "none") is None
    assert await cluster.get_config_map(namespace, "none") is None
    assert await cluster.get("milvususers", namespace, "none") is None


# --- refusals and silence


async def test_what_is_forbidden_is_refused(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(ClusterRefused, match="forbidden") as refusal:
        await cluster.client.request(
            "POST", f"/api/v1/namespaces/{namespace}/configmaps", body={"metadata": {}}
        )
    assert refusal.value.status == 403


async def test_an_api_server_that_is_away_or_silent_is_unavailable(
    forwarded: Cluster, users: Users, api_forwarder: ApiForwarder
) -> None:
    body = users.create()
    assert await forwarded.list_all("milvususers") == Listing([body], {})
    api_forwarder.drop_all()
    with pytest.raises(ClusterUnavailable):
        await forwarded.list_all("milvususers")
    api_forwarder.black_hole()
    with pytest.raises(ClusterUnavailable, match="no answer within 1 s"):
        await replace_status(forwarded, body, {"observedGeneration": 1}, OURS)
    api_forwarder.restore()
    assert await forwarded.list_all("milvususers") == Listing([body], {})


async def test_a_request_is_sent_once(forwarded: Cluster, users: Users, api_forwarder: ApiForwarder) -> None:
    body = users.create()
    api_forwarder.hook = lambda call: Action.LOSE_REPLY if call.method == "PATCH" else None
    with pytest.raises(ClusterUnavailable):
        await replace_status(forwarded, body, {"observedGeneration": 5}, OURS)
    assert len(api_forwarder.writes()) == 1
    found = users.read()
    assert found is not None
    assert found["status"] == {"observedGeneration": 5, "conditions": []}


# --- events


async def test_the_same_event_again_within_ten_minutes_raises_its_series(
    cluster: Cluster, control_plane: ControlPlane, namespace: str, users: Users
) -> None:
    body = users.create()
    later = AT + timedelta(minutes=9)
    await cluster.post_event(body, "Warning", "Conflict", "It is taken.", AT)
    await asyncio.gather(
        *(cluster.post_event(body, "Warning", "Conflict", "It is taken.", later) for _ in range(3))
    )
    await cluster.post_event(body, "Normal", "Rotated", "It is new.", later)
    path = f"/api/v1/namespaces/{namespace}/events"

    def read() -> list[dict[str, Any]]:
        items = control_plane.get(path)["items"]
        return sorted(items, key=lambda item: str(item["eventTime"]))

    first, second = read()
    assert (first["reason"], first["type"], first["message"]) == ("Conflict", "Warning", "It is taken.")
    assert first["involvedObject"]["uid"] == body["metadata"]["uid"]
    assert first["reportingComponent"] == "milvus-rbac-operator"
    assert first["series"]["count"] == 4
    assert second["reason"] == "Rotated"
    assert "series" not in second
    await cluster.post_event(body, "Warning", "Conflict", "It is taken.", later + timedelta(minutes=11))
    assert len(read()) == 3


async def test_an_event_that_nobody_takes_is_no_error_and_may_be_said_again(
    forwarded: Cluster, control_plane: ControlPlane, namespace: str, users: Users, api_forwarder: ApiForwarder
) -> None:
    body = users.create()
    api_forwarder.drop_all()
    await forwarded.post_event(body, "Normal", "Rotated", "It is new.", AT)
    api_forwarder.restore()
    await forwarded.post_event(body, "Normal", "Rotated", "It is new.", AT)
    assert len(control_plane.get(f"/api/v1/namespaces/{namespace}/events")["items"]) == 1
    gone = body | {"metadata": body["metadata"] | {"namespace": f"{namespace}-gone"}}
    await forwarded.post_event(gone, "Normal", "Rotated", "It is new.", AT)


# --- access


def write_kubeconfig(path: Path, url: str, ca: Path, user: dict[str, Any]) -> str:
    """A kubeconfig that names its certificate authority instead of holding it."""
    content = yaml.safe_load(kubeconfig(url, ca, {}))
    content["clusters"][0]["cluster"] = {"server": url, "certificate-authority": str(ca)}
    content["users"][0]["user"] = user
    path.write_text(yaml.safe_dump(content))
    return str(path)


def write_plugin(folder: Path, token: str) -> dict[str, Any]:
    """A plugin that has a token for an hour, and writes a line to `asked` whenever it is asked for it."""
    version = "client.authentication.k8s.io/v1"
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"token": token, "expirationTimestamp": until}
    answer = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
    (folder / "answer").write_text(answer)
    script = f"echo >>{folder}/asked; cat {folder}/answer"
    return {"apiVersion": version, "command": "sh", "args": ["-c", script], "interactiveMode": "Never"}


async def test_a_refused_token_is_read_again_at_once(control_plane: ControlPlane, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("stale")
    config = tmp_path / "kubeconfig"
    config.write_text(kubeconfig(control_plane.url, control_plane.facts.ca, {"tokenFile": str(token)}))
    async with await Cluster.connect(str(config)) as cluster:
        with pytest.raises(ClusterUnavailable, match="Unauthorized") as refusal:
            await cluster.list_secret_metadata()
        assert refusal.value.status == 401
        token.write_text(control_plane.service_account_token(SYSTEM, ACCOUNT) + "\n")
        await cluster.list_secret_metadata()


async def test_a_kubeconfig_that_was_replaced_is_read_again(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(kubeconfig(control_plane.url, control_plane.facts.ca, {"token": "stale"}))
    async with await Cluster.connect(str(config)) as cluster:
        token = control_plane.service_account_token(SYSTEM, ACCOUNT)
        config.write_text(kubeconfig(control_plane.url, control_plane.facts.ca, {"token": token}))
        await cluster.list_secret_metadata()


async def test_a_plugin_is_asked_again_when_its_token_is_refused_though_it_is_to_last(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    user = {"exec": write_plugin(tmp_path, "stale")}
    config = write_kubeconfig(tmp_path / "config", control_plane.url, control_plane.facts.ca, user)
    async with await Cluster.connect(config) as cluster:
        write_plugin(tmp_path, control_plane.service_account_token(SYSTEM, ACCOUNT))
        await asyncio.gather(*(cluster.list_secret_metadata() for _ in range(20)))
    assert (tmp_path / "asked").read_text() == "\n\n"


async def test_while_credentials_are_refused_they_are_read_once_a_second(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    user = {"exec": write_plugin(tmp_path, "stale")}
    config = write_kubeconfig(tmp_path / "config", control_plane.url, control_plane.facts.ca, user)
    async with await Cluster.connect(config) as cluster:
        began = time.monotonic()
        for _ in range(3):
            calls = (cluster.list_secret_metadata() for _ in range(5))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(one) for one in answers} == {ClusterUnavailable}
        asked = len((tmp_path / "asked").read_text())
        assert asked <= 2 + (time.monotonic() - began)


async def test_a_token_file_is_read_again_from_time_to_time(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_module, "RELOAD_AFTER", 0.0)
    token = tmp_path / "token"
    token.write_text("one")
    config = tmp_path / "kubeconfig"
    config.write_text(kubeconfig(control_plane.url, control_plane.facts.ca, {"tokenFile": str(token)}))
    access = await find_access(str(config))
    assert await access.authorization() == "Bearer one"
    token.write_text("two")
    assert await access.authorization() == "Bearer two"
    token.unlink()
    assert await access.authorization() == "Bearer two"


# --- certificates


@pytest.fixture
async def trusting(
    control_plane: ControlPlane, api_forwarder: ApiForwarder, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """The door through a forwarder, whose certificate authority is in `ca.pem`."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(api_forwarder.ca_path.read_bytes())
    user = {"token": control_plane.service_account_token(SYSTEM, ACCOUNT)}
    config = write_kubeconfig(tmp_path / "config", api_forwarder.url, ca, user)
    async with await Cluster.connect(config, timeout=5) as cluster:
        yield cluster


async def test_a_new_certificate_authority_is_trusted_at_the_first_failure(
    control_plane: ControlPlane, api_forwarder: ApiForwarder, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(control_plane.facts.ca.read_bytes())
    user = {"token": control_plane.service_account_token(SYSTEM, ACCOUNT)}
    config = write_kubeconfig(tmp_path / "config", api_forwarder.url, ca, user)
    async with await Cluster.connect(config, timeout=5) as cluster:
        with pytest.raises(ClusterUnavailable, match="certificate") as failure:
            await cluster.list_secret_metadata()
        assert failure.value.status is None
        ca.write_bytes(api_forwarder.ca_path.read_bytes())
        calls = (cluster.list_secret_metadata() for _ in range(5))
        await asyncio.gather(*calls)


async def test_an_authority_that_was_taken_out_is_trusted_no_more(
    trusting: Cluster,
    control_plane: ControlPlane,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access_module, "LOOK_AFTER", 0.0)
    await trusting.list_secret_metadata()
    (tmp_path / "ca.pem").write_bytes(control_plane.facts.ca.read_bytes())
    with pytest.raises(ClusterUnavailable, match="certificate"):
        await trusting.list_secret_metadata()


async def test_a_file_of_authorities_that_is_half_written_changes_nothing(
    trusting: Cluster, api_forwarder: ApiForwarder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_module, "LOOK_AFTER", 0.0)
    (tmp_path / "ca.pem").write_bytes(api_forwarder.ca_path.read_bytes()[:100])
    await trusting.list_secret_metadata()


# --- pools


async def test_the_lease_is_renewed_while_all_other_connections_wait(
    forwarded: Cluster, candidate: "Candidate", namespace: str
) -> None:
    """Each watch takes a connection for itself, and the next call waits for one."""
    access = forwarded.client.access
    async with Client(access, connections=1, timeout=1) as busy, Client(access, timeout=5) as own:
        url = f"{access.server}/api/v1/namespaces/{namespace}/secrets?watch=true"
        async with await busy.send("GET", url, {}):
            with pytest.raises(ClusterUnavailable, match="no answer within 1 s"):
                await busy.request("GET", "/api")
            lease = candidate("one", client=own)
            await lease.attempt()
            assert lease.remaining() == 60


# --- proxies


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """An HTTP proxy, and where its clients wanted to go."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.decode().split(" ", 2)
        asked.append(f"{method} {target}")
        host, _, port = target.partition(":")
        there_reader, there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(copy(reader, there), copy(there_reader, writer))

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    server.close()


async def test_the_proxy_of_a_kubeconfig_is_used_and_its_answers_are_trusted_no_more_than_others(
    control_plane: ControlPlane, tmp_path: Path, proxy: tuple[str, list[str]]
) -> None:
    url, asked = proxy
    token = {"token": control_plane.service_account_token(SYSTEM, ACCOUNT)}
    content = yaml.safe_load(kubeconfig(control_plane.url, control_plane.facts.ca, token))
    content["clusters"][0]["cluster"]["proxy-url"] = url
    (tmp_path / "config").write_text(yaml.safe_dump(content))
    async with await Cluster.connect(str(tmp_path / "config")) as cluster:
        await cluster.list_secret_metadata()
    assert asked == [f"CONNECT 127.0.0.1:{control_plane.facts.port}"]


@pytest.mark.parametrize(
    ("no_proxy", "own", "expected"),
    [
        ("", None, "http://proxy.example.com:3128"),
        ("10.0.0.0/8,.svc", None, None),
        ("10.0.0.0/8,.svc", "http://own.example.com", "http://own.example.com"),
    ],
)
async def test_the_environment_names_a_proxy_and_what_is_reached_without_it(
    no_proxy: str,
    own: str | None,
    expected: str | None,
    control_plane: ControlPlane,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    content = yaml.safe_load(kubeconfig("https://10.96.0.1", control_plane.facts.ca, {"token": "t"}))
    content["clusters"][0]["cluster"] |= {"proxy-url": own} if own else {}
    (tmp_path / "config").write_text(yaml.safe_dump(content))
    assert (await find_access(str(tmp_path / "config"))).proxy == expected


async def test_a_proxy_that_speaks_another_protocol_is_named(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    content = yaml.safe_load(kubeconfig("https://10.96.0.1", control_plane.facts.ca, {"token": "t"}))
    content["clusters"][0]["cluster"]["proxy-url"] = "socks5://localhost:1080"
    (tmp_path / "config").write_text(yaml.safe_dump(content))
    with pytest.raises(NoAccess, match="socks5"):
        await find_access(str(tmp_path / "config"))


# --- finding the API server


@pytest.mark.parametrize("content", [None, "", "clusters: [", "apiVersion: v1\nkind: Config\n", "[]"])
async def test_a_kubeconfig_that_says_nothing_is_named(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(NoAccess, match=str(path)):
        await find_access(str(path))


async def test_outside_of_a_pod_there_is_no_access_without_kubeconfig(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(NoAccess, match="ServiceAccount"):
        await find_access()


async def test_a_pod_uses_its_service_account(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(control_plane.service_account_token(SYSTEM, ACCOUNT))
    address = urlsplit(control_plane.url)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(address.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))
    # Where Kubernetes puts them is not to be written to on somebody's machine.
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(control_plane.facts.ca))
    async with await Cluster.connect() as cluster:
        assert await cluster.list_secret_metadata() is not None


# --- the lease


class Clock:
    """Time that passes only when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lease_rights(control_plane: ControlPlane, namespace: str) -> str:
    """The operator's rights on its Lease as the chart has them, in the test's namespace."""
    for document in render(control_plane.facts.helm).objects:
        if document["metadata"]["name"] == f"{ACCOUNT}-lease":
            document["metadata"]["namespace"] = namespace
            control_plane.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(document))
    what = {"group": "coordination.k8s.io", "resource": "leases", "namespace": namespace}
    user = f"system:serviceaccount:{SYSTEM}:{ACCOUNT}"
    control_plane.wait_until_allowed(user, verb="create", **what)
    control_plane.wait_until_allowed(user, verb="update", name=ACCOUNT, **what)
    return namespace


Candidate = Callable[..., Lease]


@pytest.fixture
def candidate(cluster: Cluster, lease_rights: str) -> Candidate:
    """Makes candidates for the test's Lease, each with the clock that it is given."""

    def make(identity: str, clock: Clock | None = None, client: Client | None = None) -> Lease:
        return Lease(
            client or cluster.client, LeaseName(lease_rights, ACCOUNT), identity, clock=clock or Clock()
        )

    return make


def read_lease(plane: ControlPlane, namespace: str) -> dict[str, Any]:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{ACCOUNT}"
    return dict(plane.get(path)["spec"])


async def test_of_two_candidates_one_holds(candidate: Candidate) -> None:
    one, two = candidate("one"), candidate("two")
    await asyncio.gather(one.attempt(), two.attempt())
    assert sorted([one.remaining(), two.remaining()]) == [0, 60]
    assert one.held.is_set() != two.held.is_set()
    loser, winner = (one, two) if two.held.is_set() else (two, one)
    assert loser.lost.is_set()
    await loser.attempt()
    assert loser.holder == winner.identity
    with pytest.raises(LeaseLost, match=winner.identity):
        loser.require(0.1)


async def test_the_lease_is_taken_only_after_the_holder_was_silent(candidate: Candidate) -> None:
    clock = Clock()
    one, two = candidate("one", clock), candidate("two", clock)
    await one.attempt()
    await two.attempt()
    for _ in range(10):
        clock.now += 10
        await one.attempt()
        clock.now += 1
        await two.attempt()
    assert one.remaining() == 59
    clock.now += 59
    await two.attempt()
    assert (one.remaining(), two.remaining()) == (0, 0)
    clock.now += 2
    await two.attempt()
    assert two.remaining() == 60
    await one.attempt()
    assert one.lost.is_set()
    assert one.holder == "two"


async def test_somebody_elses_clock_means_nothing(
    candidate: Candidate, control_plane: ControlPlane, lease_rights: str
) -> None:
    one, two = candidate("one"), candidate("two")
    await one.attempt()
    path = f"/apis/coordination.k8s.io/v1/namespaces/{lease_rights}/leases/{ACCOUNT}"
    control_plane.patch(path, {"spec": {"renewTime": "2001-01-01T00:00:00.000000Z"}})
    await two.attempt()
    assert two.lost.is_set()


async def test_a_restarted_holder_takes_its_lease_at_once(
    candidate: Candidate, control_plane: ControlPlane, lease_rights: str
) -> None:
    await candidate("one").attempt()
    restarted = candidate("one")
    await restarted.attempt()
    assert restarted.remaining() == 60
    assert read_lease(control_plane, lease_rights)["leaseTransitions"] == 0


async def test_a_stopped_holder_gives_the_lease_back(
    candidate: Candidate, control_plane: ControlPlane, lease_rights: str
) -> None:
    one, two = candidate("one"), candidate("two")
    running = asyncio.create_task(one.run())
    await asyncio.wait_for(one.held.wait(), 10)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert one.remaining() == 0
    assert "holderIdentity" not in read_lease(control_plane, lease_rights)
    await two.attempt()
    assert two.remaining() == 60
    assert read_lease(control_plane, lease_rights)["leaseTransitions"] == 1


async def test_who_has_the_lease_is_logged_once_and_a_polite_end_is_no_warning(
    candidate: Candidate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "milvus_rbac.kube.leader_election")
    clock = Clock()
    one, two, three = (candidate(name, clock) for name in ("one", "two", "three"))
    await one.attempt()
    for _ in range(3):
        await two.attempt()
    assert [text for text in caplog.messages if "Waiting" in text] == [waits(one)]
    clock.now += 61
    await three.attempt()
    assert three.remaining() == 0  # it has seen the holder for the first time now
    clock.now += 61
    await three.attempt()
    await two.attempt()
    await two.attempt()
    assert [text for text in caplog.messages if "Waiting" in text] == [waits(one), waits(one), waits(three)]
    caplog.clear()
    running = asyncio.create_task(three.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert "given back" in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}


def waits(holder: Lease) -> str:
    name = f"{holder._name.namespace}/{holder._name.name}"
    return f"Another operator has the lease {name}: {holder.identity}. Waiting for it."


async def test_a_holder_keeps_renewing(
    cluster: Cluster, control_plane: ControlPlane, lease_rights: str
) -> None:
    lease = Lease(cluster.client, LeaseName(lease_rights, ACCOUNT), "one", duration=1)
    running = asyncio.create_task(lease.run())
    await asyncio.wait_for(lease.held.wait(), 10)
    first = read_lease(control_plane, lease_rights)["renewTime"]
    deadline = time.monotonic() + 10
    while read_lease(control_plane, lease_rights)["renewTime"] == first:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    lease.require(0.1)
    running.cancel()
    await asyncio.wait([running])


async def test_time_runs_down_while_the_api_server_is_away(
    candidate: Candidate, forwarded: Cluster, api_forwarder: ApiForwarder
) -> None:
    clock = Clock()
    lease = candidate("one", clock, forwarded.client)
    await lease.attempt()
    lease.require(30)
    api_forwarder.drop_all()
    clock.now += 31
    await lease.attempt()
    assert lease.remaining() == 29
    assert lease.held.is_set()
    with pytest.raises(LeaseLost, match="29 s more, 30 s are needed"):
        lease.require(30)
    clock.now += 29
    await lease.attempt()
    assert lease.remaining() == 0
    assert lease.lost.is_set()
    api_forwarder.restore()
    await lease.attempt()
    assert lease.remaining() == 60


async def test_what_a_renewal_takes_is_not_counted_as_ours(
    candidate: Candidate, forwarded: Cluster, api_forwarder: ApiForwarder
) -> None:
    clock = Clock()
    lease = candidate("one", clock, forwarded.client)
    await lease.attempt()

    def pass_time() -> None:
        clock.now += 7

    api_forwarder.hook = once("PUT", pass_time)
    await lease.attempt()
    assert lease.remaining() == 53


async def test_a_renewal_whose_answer_was_lost_counts_for_nothing_and_hinders_nothing(
    candidate: Candidate, forwarded: Cluster, api_forwarder: ApiForwarder
) -> None:
    clock = Clock()
    lease = candidate("one", clock, forwarded.client)
    await lease.attempt()
    clock.now += 10
    api_forwarder.hook = lambda call: Action.LOSE_REPLY if call.method == "PUT" else None
    await lease.attempt()
    assert lease.remaining() == 50
    api_forwarder.hook = None
    clock.now += 10
    await lease.attempt()
    assert lease.remaining() == 60


async def test_a_lease_that_was_deleted_is_made_again(
    candidate: Candidate, control_plane: ControlPlane, lease_rights: str
) -> None:
    lease = candidate("one")
    await lease.attempt()
    control_plane.call("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{lease_rights}/leases/{ACCOUNT}")
    await lease.attempt()
    assert lease.remaining() == 60
    assert read_lease(control_plane, lease_rights)["holderIdentity"] == "one"


# --- rights of people


def test_editors_of_a_namespace_manage_users_and_roles_but_no_connections(
    control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.kubectl(
        "create", "rolebinding", "jane", "--clusterrole=edit", "--user=jane", f"--namespace={namespace}"
    )

    def may(verb: str, plural: str) -> bool:
        question = [
            "auth",
            "can-i",
            verb,
            f"{plural}.rbac.milvus.io",
            "--as=jane",
            f"--namespace={namespace}",
        ]
        return control_plane.kubectl(*question, check=False).startswith("yes")

    deadline = time.monotonic() + 30
    while not (
        may("create", "milvususers") and may("list", "milvusconnections")
    ):  # roles are aggregated by and by
        assert time.monotonic() < deadline
    assert may("delete", "milvusroles")
    assert not may("create", "milvusconnections")
    assert not may("patch", "milvusconnections")
