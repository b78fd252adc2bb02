"""Fixtures of the stories: an operator per test, as a process, with the permissions of its ServiceAccount."""

from collections.abc import Iterator

import pytest

from support.story import Story
from testbed.api_forwarder import ApiForwarder
from testbed.cluster import Cluster
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique


@pytest.fixture
def stage(
    control_plane: Cluster,
    namespace: str,
    forwarder: MilvusForwarder,
    api_forwarder: ApiForwarder,
    unique: Unique,
) -> Iterator[Story]:
    """A story in which nothing has happened yet: no operator, no connection."""
    story = Story(control_plane, namespace, forwarder, api_forwarder, unique)
    yield story
    story.close()


@pytest.fixture
def story(stage: Story) -> Story:
    """A story with an operator and a connection."""
    stage.connection()
    stage.start_operator()
    return stage
