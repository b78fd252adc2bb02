"""The cluster of the kubeconfig, with an operator that helm installed, in place of the test bed. See README.md."""

import base64
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typing_extensions import override

from support.story import PLURALS, Story
from testbed.api_forwarder import ApiForwarder
from testbed.cluster import Cluster, ClusterFacts
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique

pytest.register_assert_rewrite(
    *(f"integration.test_{subject}" for subject in ("passwords", "roles", "users"))
)


class Service(MilvusForwarder):
    """Nothing that calls pass: only the address of a Milvus, as the operator in the cluster reaches it."""

    def __init__(self, uri: str) -> None:
        super().__init__(0)
        self._uri = uri

    @property
    @override
    def uri(self) -> str:
        return self._uri

    @property
    @override
    def address(self) -> str:
        return urlsplit(self._uri).netloc


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster of $KUBECONFIG, as the user that it names."""
    folder = tmp_path_factory.mktemp("cluster")
    kubectl, helm = (shutil.which(name) for name in ("kubectl", "helm"))
    assert kubectl, "kubectl is not on the PATH"
    assert helm, "helm is not on the PATH"
    command = [kubectl, "config", "view", "--minify", "--raw", "--flatten", "--output=json"]
    config = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    return Cluster(
        ClusterFacts(
            port=urlsplit(server["server"]).port or 443,
            ca=_write(folder / "ca.pem", server["certificate-authority-data"]),
            admin_certificate=_write(folder / "user.pem", user["client-certificate-data"]),
            admin_key=_write(folder / "user.key", user["client-key-data"]),
            kubeconfig=kubeconfig,
            audit_log=folder / "no-audit.log",
            kubectl=Path(kubectl),
            helm=Path(helm),
            state=folder,
        )
    )


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A Kubernetes namespace of the test's own."""
    name = f"e2e-{secrets.token_hex(4)}"
    cluster.create_namespace(name)
    yield name
    cluster.delete_namespace(name)


@pytest.fixture
def story(cluster: Cluster, namespace: str, unique: Unique) -> Iterator[Story]:
    """A story with a connection, told to the operator that is there."""
    api = ApiForwarder(cluster.url, cluster.facts.ca)  # not started: nobody goes through it
    story = Story(cluster, namespace, Service(os.environ["E2E_MILVUS_URI"]), api, unique)
    story.connection()
    yield story
    try:
        _clear(story)
    finally:
        story.close()


@pytest.fixture
def admin() -> Iterator[MilvusAdmin]:
    """Root's client of the Milvus that the operator writes to."""
    with MilvusAdmin(f"127.0.0.1:{os.environ['E2E_MILVUS_PORT']}") as admin:
        yield admin


def _clear(story: Story) -> None:
    """Delete everything as a user would: of two connections to one server the second waits for the end of the first."""
    for kinds in (("MilvusUser", "MilvusRole"), ("MilvusConnection",)):
        names = [(kind, one["metadata"]["name"]) for kind in kinds for one in story.resources(PLURALS[kind])]
        for kind, name in names:
            story.delete(kind, name)
        for kind, name in names:
            story.wait_gone(kind, name)


def _write(path: Path, encoded: Any) -> Path:
    path.write_bytes(base64.b64decode(encoded))
    return path
