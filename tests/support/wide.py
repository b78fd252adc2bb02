"""An operator for all namespaces, as manifests/operator installs it: on a control plane of the test's own."""

from pathlib import Path

from support.operator import ACCOUNT, SYSTEM, OperatorProcess
from support.story import Story
from testbed.api_forwarder import ApiForwarder
from testbed.control_plane import ControlPlane
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique


class WideStory(Story):
    """A story whose operator has the ServiceAccount, the permissions and the Lease of the manifests, and no others."""

    def __init__(
        self, plane: ControlPlane, namespace: str, milvus: MilvusForwarder, api: ApiForwarder, unique: Unique
    ) -> None:
        super().__init__(plane, namespace, milvus, api, unique)
        self.plane = plane
        self._wide_kubeconfig: Path | None = None
        plane.create_namespace(namespace)

    def start_operator(self, identity: str = "one", **settings: str) -> OperatorProcess:
        """Run the operator for all namespaces."""
        if self._wide_kubeconfig is None:
            self._wide_kubeconfig = self.cluster.service_account_kubeconfig(
                SYSTEM, ACCOUNT, server=self.api.url, ca=self.api.ca_path
            )
        defaults = {"lease_namespace": SYSTEM}
        self.operators.append(OperatorProcess(self._wide_kubeconfig, identity, **(defaults | settings)))
        return self.operator
