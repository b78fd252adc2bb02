"""The definitions as a real API server takes them, and what it refuses on their behalf."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from house.repository import blocks_in
from milvus_rbac.api.schema import NEVER_LOOKED
from milvus_rbac.api.v1alpha1 import GROUP, KINDS, VERSION, Resource
from support.kubernetes import KINDS as KIND_NAMES
from support.mistakes.refused import SPECS
from testbed.cluster import ApiError, Cluster

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
PAGES = [
    page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if blocks_in(page, "yaml")
]

Json = dict[str, Any]
Create = Callable[..., Json]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)

READY: Json = {
    "type": "Ready",
    "status": "True",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-11-22T10:00:00Z",
    "reason": "Ready",
    "message": "",
}


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Cluster:
    """A control plane that knows our kinds, and the namespace of the samples."""
    names = [f"crd/{kind.plural}.{GROUP}" for kind in KINDS]
    # Two workers may come here at once: only server-side, to apply what has just been created is no error.
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", ROOT / "crds")
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    samples = ROOT / "manifests" / "samples" / "namespace.yaml"
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", samples)
    team = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-a}"  # that of docs/tenancy.md
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=team)
    # kubectl keeps what it learned of the API before the kinds were there; this makes it look anew.
    control_plane.kubectl("api-resources", "--api-group", GROUP)
    return control_plane


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"crds-{uuid.uuid4().hex[:8]}"
    cluster.create_namespace(name)
    yield name
    cluster.delete_namespace(name)


@pytest.fixture
def create(cluster: Cluster, namespace: str) -> Create:
    """Creates a resource, with these fields of the spec besides the required ones."""

    def create(plural: str, **spec: Any) -> Json:
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND_NAMES[plural],
            "metadata": {"generateName": "r-"},
            "spec": SPECS[plural] | spec,
        }
        created: Json = cluster.call("POST", path(plural, namespace), body)
        return created

    return create


def path(plural: str, namespace: str, name: str | None = None) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def change(cluster: Cluster, resource: Json, **spec: Any) -> Json:
    """Changes fields of the spec; None removes one."""
    metadata = resource["metadata"]
    plural = f"{resource['kind'].lower()}s"
    patched: Json = cluster.patch(path(plural, metadata["namespace"], metadata["name"]), {"spec": spec})
    return patched


def test_every_kind_is_established_without_complaint(cluster: Cluster) -> None:
    for kind in KINDS:
        crd = cluster.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind.plural}.{GROUP}")
        conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert conditions["NamesAccepted"] == "True"
        assert "NonStructuralSchema" not in conditions


class TestDefaults:
    @every_kind
    def test_a_new_resource_shows_that_nothing_was_done_yet(
        self, kind: type[Resource], create: Create
    ) -> None:
        assert create(kind.plural)["status"] == NEVER_LOOKED

    @every_kind
    def test_what_the_server_stores_can_be_read_back(self, kind: type[Resource], create: Create) -> None:
        parsed = kind.model_validate(create(kind.plural))
        assert parsed == kind.model_validate({"spec": SPECS[kind.plural], "status": NEVER_LOOKED})

    def test_rows_of_grants_are_stored_as_they_were_written(self, create: Create) -> None:
        grants = [
            {"privileges": ["Search"], "collections": ["*"]},
            {"privileges": ["Query"], "collections": ["orders"]},
        ]
        assert create("milvusroles", grants=grants)["spec"]["grants"] == grants

    def test_the_key_of_a_password_has_a_default(self, create: Create) -> None:
        assert create("milvususers")["spec"]["passwordSecretRef"]["key"] == "password"


class TestChanges:
    def test_everything_else_of_a_user_may_change(self, cluster: Cluster, create: Create) -> None:
        resource = create("milvususers", connectionRef={"name": "prod"})
        changed = change(
            cluster,
            resource,
            passwordSecretRef={"name": "other", "key": "pw"},
            roles=["reader"],
            deletionPolicy="Retain",
            adoption="Always",
            suspend=True,
        )
        assert changed["metadata"]["generation"] == 2


class TestEdges:
    @pytest.mark.parametrize(
        "spec",
        [
            {"interval": "10s"},
            {"interval": "24h"},
            {"interval": "1h30m"},
            {"uri": "https://milvus", "tls": {"caConfigMapRef": {"name": "ca"}, "serverName": "m"}},
            {"uri": "https://[fd00::1]:19530", "formerUris": ["http://milvus_1:19530/"]},
        ],
    )
    def test_a_connection_at_the_edge_is_taken(self, create: Create, spec: Json) -> None:
        assert create("milvusconnections", **spec)["spec"]["uri"] == spec.get("uri", "http://milvus:19530")

    @every_kind
    def test_a_resource_without_a_spec_is_refused(
        self, kind: type[Resource], cluster: Cluster, namespace: str
    ) -> None:
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind.__name__, "metadata": {"name": "empty"}}
        with pytest.raises(ApiError, match="spec: Required"):
            cluster.call("POST", path(kind.plural, namespace), body)


class TestStatus:
    @pytest.mark.parametrize(
        ("plural", "status"),
        [
            (
                "milvusconnections",
                {"server": {"endpoint": "milvus:19530", "version": "2.3.5", "dialect": "V1"}},
            ),
            (
                "milvusconnections",
                {"inFlight": [{"endpoint": "m:19530", "uid": "u", "kind": "MilvusUser", "name": "app"}]},
            ),
            ("milvususers", {"password": {"secretUid": "u", "secretResourceVersion": "7"}, "roleCount": 0}),
            ("milvusroles", {"claim": {"endpoint": "milvus:19530", "name": "reader", "origin": "Created"}}),
        ],
    )
    def test_what_a_model_writes_is_stored_and_read_back(
        self, cluster: Cluster, create: Create, namespace: str, plural: str, status: Json
    ) -> None:
        (kind,) = (kind for kind in KINDS if kind.plural == plural)
        wanted = status | {"observedGeneration": 1, "conditions": [READY]}
        written = kind.model_validate({"spec": SPECS[plural], "status": wanted})
        body = written.model_dump(mode="json", exclude_unset=True)["status"]
        name = create(plural)["metadata"]["name"]
        stored = cluster.patch(f"{path(plural, namespace, name)}/status", {"status": body})
        assert stored["status"] == wanted
        assert kind.model_validate(stored) == written


class TestKubectl:
    @pytest.mark.parametrize(
        ("field", "text"),
        [
            ("muser", "A user of a Milvus"),
            ("muser.spec.userName", "Name of the user in Milvus: a letter"),
            ("mrole.spec.grants.collections", "The collections, by name; `*` alone"),
            ("mconn.spec.tls.serverName", "The name in the server's certificate"),
        ],
    )
    def test_explain_shows_the_documentation(self, cluster: Cluster, field: str, text: str) -> None:
        assert text in " ".join(cluster.kubectl("explain", field).split())

    @every_kind
    def test_get_by_the_short_name_shows_the_columns(
        self, kind: type[Resource], cluster: Cluster, create: Create, namespace: str
    ) -> None:
        create(kind.plural)
        for wide in ((), ("--output=wide",)):
            header = cluster.kubectl("get", kind.short_name, "--namespace", namespace, *wide).splitlines()[0]
            shown = (column.name.upper() for column in kind.columns if wide or not column.is_wide)
            assert header.split() == ["NAME", *shown]

    def test_the_category_finds_every_kind(self, cluster: Cluster, create: Create, namespace: str) -> None:
        for kind in KINDS:
            create(kind.plural)
        names = cluster.kubectl("get", "milvus-rbac", "--namespace", namespace, "--output=name").split()
        assert {name.partition(".")[0] for name in names} == {kind.__name__.lower() for kind in KINDS}

    @pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
    def test_a_sample_is_valid(self, cluster: Cluster, sample: Path) -> None:
        assert "(server dry run)" in apply_dry(cluster, sample.read_text())

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_the_yaml_of_a_page_is_valid(self, cluster: Cluster, page: Path) -> None:
        blocks = blocks_in(page, "yaml")
        assert blocks
        for block in blocks:
            assert "(server dry run)" in apply_dry(cluster, block)


def apply_dry(cluster: Cluster, text: str) -> str:
    """What kubectl says about these manifests; unknown fields are mistakes."""
    return cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=text)
