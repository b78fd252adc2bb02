"""docs/install.md, done as it says: from an empty cluster to a login, through upgrade and rollback, to a cluster without a trace."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kubelet import Kubelet
from support.reader import Reader, blocks
from testbed import build
from testbed.chart import CHART, NAME, SYSTEM, helm
from testbed.cluster import Cluster
from testbed.control_plane import ControlPlane
from testbed.milvus import MilvusServer
from testbed.milvus_admin import MilvusAdmin

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "install.md"
URI = "http://milvus.milvus:19530"
KINDS = ("milvusconnections", "milvususers", "milvusroles", "milvusprivilegegroups")


class Installation:
    """A cluster with nothing in it, a Milvus beside it, and somebody who reads the page."""

    def __init__(self, plane: ControlPlane, milvus: MilvusServer, folder: Path) -> None:
        self.cluster: Cluster = plane
        self.reader = Reader(plane, folder, {URI: milvus.uri})
        self.kubelet = Kubelet(plane, SYSTEM)
        self.kubelet.start()

    def follow(self, *headings: str) -> None:
        """Do what stands under these headings."""
        for heading in headings:
            self.reader.does(blocks(PAGE, heading))

    def resources(self) -> list[dict[str, Any]]:
        """Everything of our kinds."""
        path = "/apis/rbac.milvus.io/v1alpha1"
        return [one for kind in KINDS for one in (self.cluster.get(f"{path}/{kind}") or {}).get("items", ())]

    def definitions(self) -> list[str]:
        """The kinds that are installed."""
        return self.reader.does("kubectl get crds --output=name").split()

    def password(self) -> str:
        """What the operator made up."""
        secret = self.cluster.get("/api/v1/namespaces/milvus/secrets/analytics-app-milvus")
        return base64.b64decode(secret["data"]["password"]).decode()


@pytest.fixture
def milvus(fresh_milvus: Callable[..., MilvusServer]) -> MilvusServer:
    return fresh_milvus()


@pytest.fixture
def admin(milvus: MilvusServer) -> Iterator[MilvusAdmin]:
    with milvus.admin() as admin:
        yield admin


@pytest.fixture
def installation(milvus: MilvusServer, tmp_path: Path) -> Iterator[Installation]:
    plane = ControlPlane(build.ensure_kubernetes())
    installation = Installation(plane, milvus, tmp_path)
    yield installation
    installation.kubelet.close()
    plane.stop()


def test_from_an_empty_cluster_to_a_login_and_back(installation: Installation, admin: MilvusAdmin) -> None:
    before = admin.dump()
    installation.follow("With Helm", "The first Milvus", "The first role and user")
    assert admin.login_works("analytics_app", installation.password())
    assert ("Collection", "orders", "default", "Query") in admin.grants("analytics_reader")
    *_, take_all, _, _ = blocks(PAGE, "Removing")
    installation.reader.does(take_all)
    assert admin.dump() == before
    assert installation.definitions() == []


def test_an_upgrade_and_a_rollback_change_nothing_in_milvus(
    installation: Installation, admin: MilvusAdmin, tmp_path: Path
) -> None:
    """There is no release yet to upgrade from: this chart under an older number, with other values, stands for it."""
    older = tmp_path / "older"
    helm(installation.cluster.facts.helm, "package", CHART, "--version=0.0.9", "--destination", older)
    helm_there = blocks(PAGE, "With Helm")[0].replace(
        "helm/milvus-rbac-operator", f"{older}/{NAME}-0.0.9.tgz"
    )
    installation.reader.does(f"{helm_there.strip()} --set replicaCount=2 --set logLevel=DEBUG")
    installation.follow("The first Milvus", "The first role and user")
    state, resources = admin.dump(), settled(installation)
    first = set(installation.kubelet.processes)
    installation.follow("Upgrading")
    assert "0.1.0" in installation.reader.does(f"helm list --namespace {SYSTEM}")
    second = set(installation.kubelet.processes) - first
    assert len(first) == len(second) == 2  # the values of before hold
    installation.follow("Going back")
    assert "0.0.9" in installation.reader.does(f"helm list --namespace {SYSTEM}")
    assert admin.dump() == state
    assert settled(installation) == resources  # not one write, of which a resourceVersion would tell
    leave_all = blocks(PAGE, "Removing")[1]
    installation.reader.does(leave_all)
    assert admin.dump() == state
    assert installation.definitions() == []


def test_an_uninstall_takes_nothing_and_what_hangs_can_be_freed(
    installation: Installation, admin: MilvusAdmin
) -> None:
    installation.follow("With kubectl", "The first Milvus", "The first role and user")
    state, resources = admin.dump(), settled(installation)
    manifests = [one for one in yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text()) if one]
    gone = [one for one in manifests if one["kind"] not in {"CustomResourceDefinition", "Namespace"}]
    listing = json.dumps({"apiVersion": "v1", "kind": "List", "items": gone})
    installation.cluster.kubectl("delete", "--filename=-", stdin=listing)
    assert admin.dump() == state
    assert settled(installation) == resources
    installation.reader.does("kubectl --namespace milvus delete milvusroles --all --wait=false")
    assert [one["kind"] for one in installation.resources() if "deletionTimestamp" in one["metadata"]] == [
        "MilvusRole"
    ]
    installation.reader.does(blocks(PAGE, "Removing")[-1])
    assert admin.dump() == state
    assert installation.definitions() == []


def test_a_connection_of_the_chart_is_there_at_once_is_the_default_and_survives_an_uninstall(
    installation: Installation, milvus: MilvusServer, admin: MilvusAdmin
) -> None:
    create_secret = (
        blocks(PAGE, "The first Milvus")[0]
        .partition("kubectl apply")[0]
        .replace("namespace milvus", f"namespace {SYSTEM}")
    )
    installation.reader.does(create_secret)
    connection = json.dumps({"uri": milvus.uri, "credentialsSecretRef": {"name": "milvus-admin"}})
    install = blocks(PAGE, "With Helm")[0].strip()
    installation.reader.does(
        f"{install} --set connection.create=true --set-json connection.spec='{connection}'"
    )
    role = {
        "apiVersion": "rbac.milvus.io/v1alpha1",
        "kind": "MilvusRole",
        "spec": {"roleName": "of_default", "grants": []},
    }
    installation.cluster.kubectl(
        "create", "--filename=-", stdin=json.dumps({**role, "metadata": {"name": "r", "namespace": SYSTEM}})
    )
    installation.reader.does(
        f"kubectl --namespace {SYSTEM} wait --for=condition=Ready milvusrole/r --timeout=1m"
    )
    installation.reader.does(f"helm uninstall {NAME} --namespace {SYSTEM}")
    left = [one["kind"] for one in installation.resources() if "deletionTimestamp" not in one["metadata"]]
    assert sorted(left) == ["MilvusConnection", "MilvusRole"]
    assert "of_default" in admin.dump()["roles"]
    installation.reader.does(
        f"{install} --set connection.create=true --set-json connection.spec='{connection}'"
    )


def settled(installation: Installation) -> dict[str, str]:
    """What every resource was last written as."""
    return {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in installation.resources()}
