"""Fixtures of the stories: an operator per test, as a process, with the permissions of its ServiceAccount."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.double import ServerSettings
from support.double.thread import DoubleThread
from support.served import Server
from support.story import ADMIN_SECRET, Story
from support.wide import WideStory
from testbed.api_forwarder import ApiForwarder
from testbed.cluster import Cluster
from testbed.control_plane import ControlPlane
from testbed.milvus import MilvusServer
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


OpenApi = Callable[[ControlPlane], ApiForwarder]


@pytest.fixture
def open_api() -> Iterator[OpenApi]:
    """Opens ways to control planes of the test's own."""
    with ExitStack() as ways:
        yield lambda plane: ways.enter_context(ApiForwarder(plane.url, plane.facts.ca))


@pytest.fixture
def wide(
    fresh_control_plane: ControlPlane, forwarder: MilvusForwarder, open_api: OpenApi, unique: Unique
) -> Iterator[WideStory]:
    """An operator for all namespaces on a control plane of its own, which may be broken."""
    story = WideStory(fresh_control_plane, "team-a", forwarder, open_api(fresh_control_plane), unique)
    story.connection()
    story.start_operator()
    yield story
    story.close()


DressUp = Callable[..., tuple[Story, DoubleThread]]
SetOut = Callable[[str], tuple[Story, Server]]
REAL = "a real 2.3.5"
ROOM = ServerSettings(max_user_num=2000, max_role_num=500, proxy_delay=0.002)


@pytest.fixture
def dress_up(
    control_plane: Cluster, namespace: str, api_forwarder: ApiForwarder, unique: Unique
) -> Iterator[DressUp]:
    """Begins a story, with operator and connection, on a double of a Milvus of another version."""
    with ExitStack() as stack:

        def begin(
            dress: str, settings: ServerSettings = ROOM, token: str = "", **spec: Any
        ) -> tuple[Story, DoubleThread]:
            double = stack.enter_context(DoubleThread(dress, settings))
            forwarder = stack.enter_context(MilvusForwarder(double.port))
            story = Story(control_plane, namespace, forwarder, api_forwarder, unique)
            stack.callback(story.close)
            if token:
                story.secret(ADMIN_SECRET, {"token": token})
            story.connection(password=None if token else "Milvus", **spec)
            story.start_operator()
            return story, double

        yield begin


@pytest.fixture
def set_out(
    dress_up: DressUp,
    fresh_milvus: Callable[..., MilvusServer],
    control_plane: Cluster,
    namespace: str,
    api_forwarder: ApiForwarder,
    unique: Unique,
) -> Iterator[SetOut]:
    """Begins a story on a double of some version, or on a real Milvus of its own: the same resources must do."""
    with ExitStack() as stack:

        def begin(dress: str) -> tuple[Story, Server]:
            if dress != REAL:
                return dress_up(dress)
            milvus = fresh_milvus()
            forwarder = stack.enter_context(MilvusForwarder(milvus.port))
            admin = stack.enter_context(milvus.admin())
            story = Story(control_plane, namespace, forwarder, api_forwarder, unique)
            stack.callback(story.close)
            story.connection()
            story.start_operator()
            return story, admin

        yield begin
