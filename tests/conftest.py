"""Fixtures: the servers of the test bed, started when first needed, and what each test has for itself."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override
from xdist.scheduler import LoadScopeScheduling

from support.listeners import Listeners, own_processes
from support.suite import SuiteBed
from testbed import build
from testbed.api_forwarder import ApiForwarder
from testbed.build import Binaries
from testbed.cluster import Cluster
from testbed.control_plane import ControlPlane
from testbed.milvus import STANDARD, MilvusFacts, MilvusServer, Profile
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique
from testbed.sharing import Host, RemoteBed

SERVERS = {"binaries", "control_plane", "fresh_control_plane", "milvus_profile", "fresh_milvus"}
"""Fixtures that start a real Kubernetes API or a real Milvus."""
WHOLE = {"test_image.py", "test_chart.py", "test_pages.py", "test_crash_safety.py"}
"""Modules of which one worker runs all tests: they share what takes long to build, or need both cores alone."""
_BED = pytest.StashKey[SuiteBed | RemoteBed]()
_HOST = pytest.StashKey[Host]()
_LISTENERS = Listeners(own_processes)


def pytest_configure(config: pytest.Config) -> None:
    """A test bed for the session; a worker of pytest-xdist uses that of the process which started it."""
    address = getattr(config, "workerinput", {}).get("test_bed")
    config.stash[_BED] = RemoteBed(address) if address else SuiteBed()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a new worker of pytest-xdist where the test bed is."""
    stash = node.config.stash
    if _HOST not in stash:
        stash[_HOST] = Host(stash[_BED])
    node.workerinput["test_bed"] = stash[_HOST].address


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist is not typed
    """Hands out one test after the other, except that a module of WHOLE goes to one worker."""

    @override
    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if Path(module).name in WHOLE else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """Schedules what takes minutes; anything else is handed out in bigger portions."""
    return Scheduling(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Fails a test that made a server listen where other machines could reach it."""
    exposed = _LISTENERS.exposed()  # its fixtures still hold their servers
    yield
    if exposed:
        pytest.fail(f"It listens beyond the loopback interface: {'; '.join(exposed)}", pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Ends all servers, and fails the session if it did not leave everything as it was."""
    bed = session.config.stash[_BED]
    if host := session.config.stash.get(_HOST, None):
        host.close()
    for problem in bed.end() if isinstance(bed, SuiteBed) else ():
        print(f"\n{problem}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends all servers of a session that did not even begin."""
    config.stash[_BED].close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs real servers, and begins with the tests that need long: the others fill the time that they wait."""
    for item in items:
        if "integration" in item.path.parts or SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)
    items.sort(key=_patience, reverse=True)


def _patience(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds what is missing before the first test's timeout begins to run."""
    needed = {
        name for item in session.items if isinstance(item, pytest.Function) for name in item.fixturenames
    }
    if session.config.option.collectonly:
        return
    if needed & {"binaries", "control_plane", "fresh_control_plane"}:
        ensure: Callable[[], object] = build.ensure
    elif needed & {"milvus_profile", "fresh_milvus"}:
        ensure = build.ensure_milvus
    else:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        ensure()


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """The programs that the test bed runs."""
    return build.ensure()


@pytest.fixture(scope="session")
def control_plane(pytestconfig: pytest.Config) -> Cluster:
    """The Kubernetes API that all tests share, with the operator's CRDs and rights."""
    return pytestconfig.stash[_BED].control_plane()


@pytest.fixture(scope="session")
def milvus_profile(pytestconfig: pytest.Config) -> Callable[[Profile], MilvusFacts]:
    """Gives the shared Milvus with the settings asked for."""
    bed = pytestconfig.stash[_BED]

    def facts(profile: Profile) -> MilvusFacts:
        server = bed.milvus(profile)
        return server if isinstance(server, MilvusFacts) else server.facts

    return facts


@pytest.fixture(scope="session")
def milvus(milvus_profile: Callable[[Profile], MilvusFacts]) -> MilvusFacts:
    """The Milvus that most tests share."""
    return milvus_profile(STANDARD)


@pytest.fixture
def fresh_control_plane() -> Iterator[ControlPlane]:
    """A control plane of the test's own (three seconds), to be killed and restarted at will."""
    plane = ControlPlane(build.ensure_kubernetes(), with_operator=True)
    yield plane
    plane.stop()


@pytest.fixture
def fresh_milvus() -> Iterator[Callable[[Profile], MilvusServer]]:
    """Starts a Milvus of the test's own (three seconds), with root's first password, to be stopped at will."""
    with ExitStack() as servers:

        def start(profile: Profile = STANDARD) -> MilvusServer:
            server = MilvusServer(build.ensure_milvus(), profile)
            servers.callback(server.stop)
            return server

        yield start


@pytest.fixture
def unique() -> Unique:
    """Gives names that no other test has."""
    return Unique()


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[str]:
    """A Kubernetes namespace of the test's own; its end, which takes five seconds, is not waited for."""
    name = f"t-{secrets.token_hex(4)}"
    control_plane.create_namespace(name)
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture
def forwarder(milvus: MilvusFacts) -> Iterator[MilvusForwarder]:
    """The test's own way to the shared Milvus: an address, calls and faults that no other test sees."""
    with MilvusForwarder(milvus.port) as forwarder:
        yield forwarder


@pytest.fixture
def api_forwarder(control_plane: Cluster) -> Iterator[ApiForwarder]:
    """The test's own way to the Kubernetes API."""
    with ApiForwarder(control_plane.url, control_plane.facts.ca) as forwarder:
        yield forwarder


@pytest.fixture
def admin(milvus: MilvusFacts) -> Iterator[MilvusAdmin]:
    """Root's client of the shared Milvus, past all forwarders."""
    with milvus.admin() as admin:
        yield admin
