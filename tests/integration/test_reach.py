"""How far an operator reaches: the namespaces that it serves, the connections that may be used, the kinds that are there."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from milvus_rbac.api.schema import NEVER_LOOKED
from support.operator import OperatorProcess, permit
from support.quiet import watch_for
from support.story import CONNECTION, Story
from support.wide import WideStory
from testbed.control_plane import ControlPlane
from testbed.milvus import MilvusFacts
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique

QUERY = {"privileges": ["Query"], "collections": ["*"]}
PASSWORD = "Secret-1"  # noqa: S105 - a test's
KINDS = ("milvusconnections", "milvususers", "milvusroles")


def _must_name_nothing_of(story: Story, condition: dict[str, Any]) -> None:
    """A message to one namespace tells nothing about another."""
    assert condition["status"] == "False"
    assert "team-a" not in condition["message"]
    assert story.milvus.address not in condition["message"] or "spec.uri" in condition["message"]


def test_a_ready_connection_of_another_namespace_is_never_used(
    wide: WideStory, admin: MilvusAdmin, unique: Unique
) -> None:
    wide.wait_ready("MilvusConnection", CONNECTION)
    wide.operator.stop()
    wide.start_operator(default_connection=f"team-a/{CONNECTION}")
    wide.cluster.create_namespace("team-b")
    wide.namespace = "team-b"
    elsewhere = {"connectionRef": {"name": CONNECTION, "namespace": "team-a"}}
    wide.password("app", PASSWORD)
    wide.role("named", unique("named"), QUERY, **elsewhere)
    wide.user("named", unique("named"), "admin", passwordSecretRef={"name": "app"}, **elsewhere)
    wide.apply("MilvusRole", "default", {"roleName": unique("default"), "grants": []})
    for kind, name in (("MilvusRole", "named"), ("MilvusUser", "named"), ("MilvusRole", "default")):
        condition = wide.wait_reason(kind, name, "NotPermitted")
        _must_name_nothing_of(wide, condition)
        assert "spec.connectionRef" in condition["message"]
        body = wide.get(kind, name) or {}
        assert "finalizers" not in body["metadata"]
        wide.delete(kind, name)
        wide.wait_gone(kind, name)
    assert not wide.written
    assert admin.dump(unique.token)["users"] == admin.dump(unique.token)["roles"] == []


def test_a_server_that_another_namespace_is_connected_to_is_a_conflict_that_names_nobody(
    wide: WideStory, admin: MilvusAdmin, unique: Unique
) -> None:
    wide.wait_ready("MilvusConnection", CONNECTION)
    wide.wait_until_older("MilvusConnection", CONNECTION)
    wide.cluster.create_namespace("team-b")
    wide.namespace = "team-b"
    wide.connection("mine")
    wide.role("app", unique("r"), QUERY, connectionRef={"name": "mine"})
    condition = wide.wait_reason("MilvusConnection", "mine", "Conflict")
    _must_name_nothing_of(wide, condition)
    assert "another namespace" in condition["message"]
    _must_name_nothing_of(wide, wide.wait_reason("MilvusRole", "app", "WaitingForConnection"))
    assert admin.dump(unique.token)["roles"] == []


def test_flags_say_which_namespaces_are_served_and_no_others_are(
    stage: Story, milvus: MilvusFacts, unique: Unique
) -> None:
    cluster, mine = stage.cluster, stage.namespace
    namespaces = [mine, f"{mine}-b", f"{mine}-c"]
    for namespace in namespaces[1:]:
        cluster.create_namespace(namespace)
    release = permit(cluster, mine, *namespaces)
    kubeconfig = cluster.service_account_kubeconfig(mine, release.account)
    flags = ["--namespaces", ",".join(namespaces[:2]), "--log-format", "text"]
    operator = OperatorProcess([*release.arguments, *flags], release.environment("flags"), kubeconfig)
    stage.operators.append(operator)
    with MilvusForwarder(milvus.port) as other, MilvusForwarder(milvus.port) as third:
        ways = (stage.milvus.uri, other.uri, third.uri)
        for namespace, uri in reversed(list(zip(namespaces, ways, strict=True))):
            stage.namespace = namespace
            stage.connection(uri=uri)
            stage.role("app", unique("r"), QUERY)
        for namespace in namespaces[:2]:
            stage.namespace = namespace
            stage.wait_ready("MilvusRole", "app")
            stage.delete("MilvusRole", "app")
            stage.wait_gone("MilvusRole", "app")
        stage.namespace = namespaces[2]
        watch_for(2, lambda: not third.calls, lambda: third.calls)
        assert (stage.get("MilvusRole", "app") or {})["status"] == NEVER_LOOKED
        operator.kill()
    for namespace in namespaces[1:]:
        cluster.delete_namespace(namespace)
    stage.namespace = mine


@pytest.fixture
def narrow(
    fresh_control_plane: ControlPlane,
    forwarder: MilvusForwarder,
    open_api: Callable[[ControlPlane], Any],
    unique: Unique,
) -> Iterator[Story]:
    """An operator for one namespace, with no rights beyond it, on a control plane of its own."""
    fresh_control_plane.create_namespace("team-a")
    story = Story(fresh_control_plane, "team-a", forwarder, open_api(fresh_control_plane), unique)
    story.connection()
    story.start_operator()
    yield story
    story.close()


@pytest.mark.parametrize("reach", ["wide", "narrow"])
def test_definitions_that_are_all_deleted_leave_milvus_as_it_is(
    reach: str, request: pytest.FixtureRequest, admin: MilvusAdmin, unique: Unique
) -> None:
    story: Story = request.getfixturevalue(reach)
    role, user = unique("r"), unique("u")
    story.password("app", PASSWORD)
    story.role("app", role, QUERY)
    story.user("app", user, role)
    story.wait_ready("MilvusUser", "app")
    before = admin.dump(unique.token)
    definitions = [f"{kind}.rbac.milvus.io" for kind in KINDS]
    story.cluster.kubectl("delete", "crd", *definitions, "--timeout=90s")
    assert admin.dump(unique.token) == before
    assert admin.login_works(user, PASSWORD)


def test_a_definition_that_is_older_than_the_operator_is_said(wide: WideStory) -> None:
    wide.operator.stop()
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/milvusroles.rbac.milvus.io"
    field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/description"
    remove = [{"op": "remove", "path": field}]
    wide.cluster.call("PATCH", path, remove, "application/json-patch+json")
    operator = wide.start_operator()
    wide.wait(
        lambda: "milvusroles is older than the operator and drops spec.description" in operator.output,
        "the warning",
    )
    wide.wait_ready("MilvusConnection", CONNECTION)
    assert 'milvus_rbac_missing_fields{kind="MilvusRole"} 1.0' in operator.get("/metrics")
    assert 'milvus_rbac_missing_fields{kind="MilvusUser"} 0.0' in operator.get("/metrics")
