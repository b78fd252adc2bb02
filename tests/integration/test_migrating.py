"""docs/migrating.md, done as it says: users and roles made by hand become resources, and nobody notices."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from house.repository import blocks_in
from support.reader import ROOT, Reader, blocks
from support.story import CONNECTION, Story
from testbed.api_forwarder import ApiForwarder
from testbed.cluster import Cluster
from testbed.milvus import MilvusServer
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique

PAGE = ROOT / "docs" / "migrating.md"
PASSWORD = "By-hand-1"  # noqa: S105 - a test's


@pytest.fixture
def by_hand(fresh_milvus: Callable[..., MilvusServer]) -> Iterator[MilvusAdmin]:
    """A Milvus as scripts have left it."""
    milvus = fresh_milvus()
    with milvus.admin() as admin:
        admin.create_user("nightly_report", PASSWORD)
        for role in ("reports", "writers"):
            admin.create_role(role)
        admin.grant("reports", "Collection", "orders", "Query", "default")
        admin.grant("reports", "Global", "*", "ShowCollections", "default")
        admin.grant("writers", "Collection", "*", "Insert", "default")
        admin.bind("nightly_report", "reports")
        yield admin


@pytest.fixture
def migration(
    by_hand: MilvusAdmin, control_plane: Cluster, namespace: str, api_forwarder: ApiForwarder, unique: Unique
) -> Iterator[Story]:
    with MilvusForwarder(int(by_hand.address.rpartition(":")[2])) as way:
        story = Story(control_plane, namespace, way, api_forwarder, unique)
        yield story
        story.close()


def python_block(page: Path) -> str:
    (script,) = blocks_in(page, "python")
    return script


def test_what_was_made_by_hand_becomes_resources_and_nothing_changes(
    migration: Story, by_hand: MilvusAdmin, tmp_path: Path
) -> None:
    story, before = migration, by_hand.dump()
    own = {
        "namespace: milvus": f"namespace: {story.namespace}",
        "namespace milvus": f"namespace {story.namespace}",
        "http://milvus.milvus:19530": story.milvus.uri,
    }
    reader = Reader(story.cluster, tmp_path, own)
    story.connection(mode="Observe")
    story.start_operator()
    reading = os.environ | {"MILVUS_URI": f"http://{by_hand.address}", "MILVUS_PASSWORD": "Milvus"}
    printed = subprocess.run(
        [sys.executable, "-c", python_block(PAGE)], env=reading, capture_output=True, text=True, check=True
    ).stdout
    story.password("nightly-report", PASSWORD)
    reader.does(f"kubectl apply -f - <<'EOF'\n{printed}EOF")
    for kind, name in (
        ("MilvusRole", "reports"),
        ("MilvusRole", "writers"),
        ("MilvusUser", "nightly-report"),
    ):
        story.wait_ready(kind, name)
    shown, plans = (
        reader.does(block) for block in blocks(PAGE, "3. Watch what would be done")[0].strip().split("\n")
    )
    assert shown.count("True") == 3
    assert sorted(plans.split("\n")) == ["", "nightly-report: ", "reports: ", "writers: "]
    reader.does(blocks(PAGE, "4. Let it be done"))
    assert by_hand.dump() == before
    assert story.written == []
    for kind, name in (("MilvusUser", "nightly-report"), ("MilvusRole", "reports")):  # the way back
        story.delete(kind, name)
        story.wait_gone(kind, name)
    assert by_hand.dump() == before
    story.wait_ready("MilvusConnection", CONNECTION)
