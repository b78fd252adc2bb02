"""The servers that one test session shares, each started when first asked for and stopped together."""

from threading import Lock

from testbed import build
from testbed.control_plane import ControlPlane
from testbed.milvus import MilvusServer, Profile


class TestBed:
    """One control plane and one Milvus per profile."""

    __test__ = False  # its name is no promise to pytest

    def __init__(self) -> None:
        self._lock = Lock()
        self._control_plane: ControlPlane | None = None
        self._milvus: dict[Profile, MilvusServer] = {}

    def control_plane(self) -> ControlPlane:
        """The control plane, with the chart installed."""
        with self._lock:
            if self._control_plane is None:
                self._control_plane = ControlPlane(build.ensure_kubernetes(), with_operator=True)
            return self._control_plane

    def milvus(self, profile: Profile) -> MilvusServer:
        """The Milvus with these settings."""
        with self._lock:
            if profile not in self._milvus:
                self._milvus[profile] = MilvusServer(build.ensure_milvus(), profile)
            return self._milvus[profile]

    def close(self) -> None:
        """Ends everything."""
        for server in self._milvus.values():
            server.stop()
        self._milvus.clear()
        if self._control_plane is not None:
            self._control_plane.stop()
            self._control_plane = None
