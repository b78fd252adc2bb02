"""What docs/operations.md promises for the day when something is lost: a Milvus, or a cluster."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from support.story import CONNECTION, Story
from testbed.milvus import MilvusServer
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder

QUERY = {"privileges": ["Query"], "collections": ["orders"]}
ROOT = "Root-of-ours-1"
PASSWORD = "Secret-1"  # noqa: S105 - a test's


def apply(story: Story, token: str = "") -> None:
    """A role and two users; one has a password that the operator made up."""
    story.password("app", PASSWORD)
    story.role("reader", f"reader{token}", QUERY)
    story.user("app", f"app{token}", f"reader{token}")
    made_up = {"passwordSecretRef": None, "generatePassword": {"secretName": "made-up"}}
    story.user("other", f"other{token}", f"reader{token}", **made_up)


def wait_ready(story: Story) -> None:
    for kind, name in (("MilvusRole", "reader"), ("MilvusUser", "app"), ("MilvusUser", "other")):
        story.wait_ready(kind, name)


def made_up(story: Story) -> str:
    return (story.read_secret("made-up") or {})["password"]


def test_a_milvus_that_comes_back_empty_is_filled_again_with_the_same_passwords(
    stage: Story, fresh_milvus: Callable[[], MilvusServer]
) -> None:
    lost = fresh_milvus()
    with MilvusForwarder(lost.port) as way, ExitStack() as stack:
        stage.connection(uri=way.uri, password=ROOT, bootstrap=True, interval="10s")
        stage.start_operator()
        apply(stage)
        wait_ready(stage)
        with lost.admin("root", ROOT) as root:
            before, other = root.dump(), made_up(stage)
        lost.stop()
        empty = fresh_milvus()
        way.upstream_port = empty.port
        admin = stack.enter_context(empty.admin("root", ROOT))
        stage.wait(lambda: is_like(admin, before), "everything as it was")
        wait_ready(stage)
        assert made_up(stage) == other
        assert admin.login_works("app", PASSWORD)
        assert admin.login_works("other", other)


def is_like(admin: MilvusAdmin, before: object) -> bool:
    """Compare, once root has its password."""
    return admin.login_works("root", ROOT) and admin.dump() == before


def test_resources_that_are_applied_in_another_cluster_find_their_own_again(
    story: Story, admin: MilvusAdmin
) -> None:
    token = f"_{story.unique.token}"
    apply(story, token)
    wait_ready(story)
    before, written = admin.dump(token), len(story.written)
    backup = backed_up(story)
    story.operator.stop()
    story.close()  # what stands in etcd is gone with the cluster: finalizers, statuses, intents
    for kind, name in (("MilvusUser", "app"), ("MilvusUser", "other"), ("MilvusRole", "reader")):
        story.delete(kind, name)
        story.wait_gone(kind, name)
    story.delete("MilvusConnection", CONNECTION)
    story.wait_gone("MilvusConnection", CONNECTION)
    story.connection()
    apply(story, token)
    story.wait(lambda: story.read_secret("made-up") is None, "the garbage collector has taken the Secret")
    story.cluster.call("POST", f"/api/v1/namespaces/{story.namespace}/secrets", backup)
    story.start_operator("another")
    wait_ready(story)
    assert admin.dump(token) == before
    assert len(story.written) == written
    origins = {name: claim(story, "MilvusUser", name)["origin"] for name in ("app", "other")}
    assert origins == {"app": "Adopted", "other": "Created"}


def test_a_namespace_that_is_restored_gives_every_application_the_password_that_it_had(
    story: Story, admin: MilvusAdmin
) -> None:
    token = f"_{story.unique.token}"
    apply(story, token)
    wait_ready(story)
    before, other, backup = admin.dump(token), made_up(story), backed_up(story)
    for kind, name in (("MilvusUser", "app"), ("MilvusUser", "other"), ("MilvusRole", "reader")):
        story.delete(kind, name)
        story.wait_gone(kind, name)
    assert admin.dump(token) != before
    story.wait(lambda: story.read_secret("made-up") is None, "the garbage collector has taken the Secret")
    # Secrets come first, and the operator is there all the time.
    story.cluster.call("POST", f"/api/v1/namespaces/{story.namespace}/secrets", backup)
    apply(story, token)
    wait_ready(story)
    assert admin.dump(token) == before
    assert admin.login_works(f"app{token}", PASSWORD)
    assert admin.login_works(f"other{token}", other)
    assert made_up(story) == other


def backed_up(story: Story) -> dict[str, Any]:
    """The generated Secret as a backup brings it back: as it was, without owners."""
    secret = story.cluster.get(f"/api/v1/namespaces/{story.namespace}/secrets/made-up")
    kept = {key: secret["metadata"][key] for key in ("name", "labels", "annotations")}
    return {**secret, "metadata": kept}


def claim(story: Story, kind: str, name: str) -> dict[str, Any]:
    body: dict[str, Any] = story.get(kind, name) or {}
    return dict(body["status"]["claim"])
