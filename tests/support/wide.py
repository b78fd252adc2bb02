"""An operator for all namespaces, as the chart installs it: on a control plane of the test's own."""

from typing_extensions import override

from support.story import Story
from testbed.api_forwarder import ApiForwarder
from testbed.chart import Release, render
from testbed.control_plane import ControlPlane
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique


class WideStory(Story):
    """A story whose operator is the one that helm installed when the control plane began."""

    def __init__(
        self, plane: ControlPlane, namespace: str, milvus: MilvusForwarder, api: ApiForwarder, unique: Unique
    ) -> None:
        super().__init__(plane, namespace, milvus, api, unique)
        self.plane = plane
        plane.create_namespace(namespace)

    @override
    def install(self) -> Release:
        return render(self.cluster.facts.helm)
