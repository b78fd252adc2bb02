"""Stories under Argo CD: what it shows of real resources, what its actions do, and that it never finds a difference."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from milvus_rbac.api.schema import schema
from milvus_rbac.api.v1alpha1 import KINDS
from support.argocd import ArgoCD, Health, blocks, in_git
from support.story import CONNECTION, Story
from testbed.argocd import CONFIG_MAP
from testbed.cluster import Cluster
from testbed.milvus_admin import MilvusAdmin

from .conftest import DressUp

Json = dict[str, Any]

SEARCH = {"privileges": ["Search"], "collections": ["orders"]}
PASSWORD = "Secret-1"  # noqa: S105 - a test's
GENERATED = "app-password"
CONTROLLER = "argocd-controller"
"""The field manager of Argo CD's server-side apply."""


@pytest.fixture(scope="module")
def argo() -> ArgoCD:
    return ArgoCD.of_the_manifests()


def shown(argo: ArgoCD, story: Story, kind: str, name: str) -> Health:
    """What Argo CD shows of a resource now."""
    body = story.get(kind, name)
    assert body is not None
    return argo.health(body)


def choose(argo: ArgoCD, story: Story, kind: str, name: str, action: str) -> None:
    """Choose an action of a resource, as a user of Argo CD."""
    body = story.get(kind, name)
    assert body is not None
    story.patch(kind, name, argo.patch(body, action))


def make_generated_user(story: Story) -> str:
    """A user that is Ready with a password that the operator chose; its name in Milvus."""
    user = story.unique("user")
    spec = {
        "connectionRef": {"name": CONNECTION},
        "userName": user,
        "generatePassword": {"secretName": GENERATED},
    }
    story.apply("MilvusUser", "app", spec)
    story.wait_ready("MilvusUser", "app")
    return user


def password_of_app(story: Story) -> str:
    """The password in the generated Secret."""
    return (story.read_secret(GENERATED) or {})["password"]


# --- health


def test_argo_cd_shows_how_resources_are_from_the_first_moment_to_ready(stage: Story, argo: ArgoCD) -> None:
    role, user = stage.unique("role"), stage.unique("user")
    stage.connection()
    stage.role("reader", role, SEARCH)
    stage.user("app", user, role)
    for kind, name in (("MilvusConnection", CONNECTION), ("MilvusRole", "reader"), ("MilvusUser", "app")):
        assert shown(argo, stage, kind, name).status == "Progressing"
        assert "has not looked at it yet" in shown(argo, stage, kind, name).message
    stage.start_operator()
    waiting = stage.wait_reason("MilvusUser", "app", "WaitingForSecret")
    assert shown(argo, stage, "MilvusUser", "app") == Health("Progressing", waiting["message"])
    stage.password("app", PASSWORD)
    stage.wait_ready("MilvusUser", "app")
    stage.wait_ready("MilvusRole", "reader")
    for kind, name, message in (
        ("MilvusUser", "app", f"User {user} is in Milvus"),
        ("MilvusRole", "reader", f"Role {role} is in Milvus; grants: 1."),
        ("MilvusConnection", CONNECTION, "authorization is on."),
    ):
        health = shown(argo, stage, kind, name)
        assert health.status == "Healthy"
        assert message in health.message


def test_argo_cd_shows_what_is_wrong_and_what_is_meant_to_stand_still(story: Story, argo: ArgoCD) -> None:
    role = story.unique("role")
    story.role("reader", role, {"privileges": ["Serch"], "collections": ["*"]})
    wrong = story.wait_reason("MilvusRole", "reader", "UnknownPrivilege")
    assert "Serch" in wrong["message"]
    assert shown(argo, story, "MilvusRole", "reader") == Health("Degraded", wrong["message"])
    story.role("reader", role, SEARCH, suspend=True)
    still = story.wait_reason("MilvusRole", "reader", "Suspended")
    assert shown(argo, story, "MilvusRole", "reader") == Health("Suspended", still["message"])
    # The connection does not answer for the role's own trouble.
    story.wait_ready("MilvusConnection", CONNECTION)
    assert shown(argo, story, "MilvusConnection", CONNECTION).status == "Healthy"


# --- actions


def test_reconcile_has_the_operator_look_at_once(story: Story, argo: ArgoCD, admin: MilvusAdmin) -> None:
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    admin.grant(role, "Collection", "orders", "Insert")
    choose(argo, story, "MilvusRole", "reader", "reconcile")
    story.wait(lambda: len(admin.grants(role)) == 1, "what was granted by hand is taken back")


def test_rotate_gives_a_password_that_nobody_knew(story: Story, argo: ArgoCD, admin: MilvusAdmin) -> None:
    user = make_generated_user(story)
    first = password_of_app(story)
    choose(argo, story, "MilvusUser", "app", "rotate")
    story.wait(lambda: password_of_app(story) != first, "another password in the Secret")
    story.wait(lambda: admin.login_works(user, password_of_app(story)), "it is in force")
    assert not admin.login_works(user, first)


def test_orphan_lets_a_blocked_deletion_go_and_leaves_milvus_as_it_is(
    story: Story, argo: ArgoCD, admin: MilvusAdmin
) -> None:
    user = make_generated_user(story)
    password = password_of_app(story)
    # Chosen and taken back before: what counts is what was chosen last.
    for action in ("orphan", "unorphan"):
        choose(argo, story, "MilvusUser", "app", action)
    story.milvus.drop_all()
    story.delete("MilvusUser", "app")
    going = shown(argo, story, "MilvusUser", "app")
    assert going.status == "Progressing"
    assert going.message.startswith("Is being deleted.")
    blocked = story.wait_reason("MilvusUser", "app", "DeletionBlocked")
    assert shown(argo, story, "MilvusUser", "app") == Health("Degraded", blocked["message"])
    choose(argo, story, "MilvusUser", "app", "orphan")
    story.wait_gone("MilvusUser", "app")
    assert admin.login_works(user, password)
    admin.delete_user(user)


def test_pruning_the_way_argo_cd_does_takes_the_secrets_and_the_user_along(
    story: Story, admin: MilvusAdmin
) -> None:
    user = make_generated_user(story)
    assert admin.login_works(user, password_of_app(story))
    story.cluster.kubectl(
        "delete", "muser", "app", f"--namespace={story.namespace}", "--cascade=foreground", "--wait=false"
    )
    story.wait_gone("MilvusUser", "app")
    story.wait(lambda: story.read_secret(GENERATED) is None, "the Secret goes with its owner")
    assert user not in admin.users()


# --- no difference that stays


def fields(schema: Json, path: str) -> Iterator[str]:
    """The fields of a schema that are no labels of somebody's own, each by its path."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields(inner, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], path)


def used(value: Any, path: str) -> Iterator[str]:
    """The fields of an object, each by its path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}.{name}"
            yield from used(inner, f"{path}.{name}")
    for one in value if isinstance(value, list) else ():
        yield from used(one, path)


def as_list(items: list[Json]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def essence(answer: str) -> list[Json]:
    """Objects without what every write of them changes."""
    items = json.loads(answer)["items"]
    for item in items:
        for name in ("managedFields", "resourceVersion"):
            item["metadata"].pop(name, None)
    return list(items)


def test_the_manifests_of_the_comparison_use_every_field_of_every_spec() -> None:
    written = in_git("ns", "http://milvus:19530")
    for kind in KINDS:
        known = set(fields(schema(kind)["properties"]["spec"], ""))
        seen = {path for one in written if one["kind"] == kind.__name__ for path in used(one["spec"], "")}
        assert known - seen == set(), kind


@pytest.mark.parametrize("way", ["server-side", "client-side"])
def test_argo_cd_finds_no_difference_once_all_is_ready(dress_up: DressUp, argo: ArgoCD, way: str) -> None:
    story, _ = dress_up("3.0", interval="1h")
    story.wait_ready("MilvusConnection", CONNECTION)
    story.delete("MilvusConnection", CONNECTION)
    story.wait_gone("MilvusConnection", CONNECTION)
    story.secret("old", {"milvus": PASSWORD})
    items = in_git(story.namespace, story.milvus.uri)
    kubectl, text = story.cluster.kubectl, as_list(items)
    server_side = ("--server-side", "--force-conflicts", f"--field-manager={CONTROLLER}")
    how = server_side if way == "server-side" else ()
    kubectl("apply", *how, "--filename=-", stdin=text)
    for item in items:
        kind, name = item["kind"], item["metadata"]["name"]
        story.wait_reason(kind, name, "Suspended" if item["spec"].get("suspend") else "Ready")
    live = essence(kubectl("get", "--filename=-", "--output=json", stdin=text))
    assert {argo.health(one).status for one in live} == {"Healthy", "Suspended"}
    # kubectl diff fails when there is a difference.
    assert kubectl("diff", "--filename=-", stdin=text) == ""
    if way == "server-side":
        assert kubectl("diff", *server_side, "--filename=-", stdin=text) == ""
        wanted = kubectl(
            "apply", *server_side, "--dry-run=server", "--filename=-", "--output=json", stdin=text
        )
        assert essence(wanted) == live


# --- how it gets there


def test_the_config_map_is_merged_into_the_one_that_is_there(control_plane: Cluster, tmp_path: Path) -> None:
    own = {"url": "https://argocd.example.com", "resource.customizations.health.batch_Job": "return {}"}
    there = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd"},
        "data": own,
    }
    (tmp_path / "there.yaml").write_text(yaml.safe_dump(there))
    merged = control_plane.kubectl(
        "patch",
        "--local",
        f"--filename={tmp_path / 'there.yaml'}",
        "--type=merge",
        f"--patch-file={CONFIG_MAP}",
        "--output=json",
    )
    assert json.loads(merged)["data"] == own | yaml.safe_load(CONFIG_MAP.read_text())["data"]


def test_kustomize_merges_it_the_way_the_page_says(control_plane: Cluster, tmp_path: Path) -> None:
    """Into the ConfigMap of Argo CD's own manifests, which has no namespace yet."""
    (block,) = (text for text in blocks("yml") if "kind: Kustomization" in text)
    own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {"url": "x"}}
    (tmp_path / "kustomization.yaml").write_text(block)
    (tmp_path / "argocd.yaml").write_text(yaml.safe_dump(own))
    (tmp_path / CONFIG_MAP.name).write_text(CONFIG_MAP.read_text())
    built = yaml.safe_load(control_plane.kubectl("kustomize", tmp_path))
    assert built["metadata"]["namespace"] == "argocd"
    assert built["data"] == {"url": "x"} | yaml.safe_load(CONFIG_MAP.read_text())["data"]
