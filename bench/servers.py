"""The servers of a round, which its three sides use in turn: new ones, warm, and without the users of the side before."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.kube import Kube
from bench.resources import PRIVILEGES, Load
from testbed.bed import TestBed
from testbed.cluster import Cluster
from testbed.milvus import STANDARD, MilvusServer
from testbed.milvus_forwarder import MilvusForwarder

DEFINITIONS = Path(__file__).with_name("tutorial.yaml")
_APPLIER = "applier"
_WIDTH = 4


@dataclass(frozen=True, slots=True)
class Servers:
    """A control plane, a Milvus, and a forwarder to it that counts calls."""

    cluster: Cluster
    milvus: MilvusServer
    way: MilvusForwarder

    def prepare(self, load: Load) -> None:
        """Make a namespace with the Secrets of a load, which are not what is measured."""
        self.cluster.create_namespace(load.namespace)
        self.permit(load.namespace, _APPLIER)
        asyncio.run(self._post_secrets(load))

    def permit(self, namespace: str, account: str) -> None:
        """Make an account that may do everything in a namespace."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.cluster.call("POST", accounts, {"metadata": {"name": account}})
        bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
        self.cluster.call("POST", bindings, _binding(account, "everything", namespace, account))
        user = f"system:serviceaccount:{namespace}:{account}"
        self.cluster.wait_until_allowed(user, namespace=namespace, verb="create", resource="secrets")

    def permit_scanning(self, namespace: str, account: str) -> None:
        """Let an account see all namespaces and kinds, as Kopf wants to even if it serves one namespace."""
        bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        body = _binding(f"{namespace}-{account}", "scanning", namespace, account)
        self.cluster.call("POST", bindings, body)
        user = f"system:serviceaccount:{namespace}:{account}"
        self.cluster.wait_until_allowed(user, verb="list", resource="namespaces")

    def session(self, load: Load) -> AbstractAsyncContextManager[Kube]:
        """Open a session of the account that applies, which is none of those that are measured."""
        token = self.cluster.service_account_token(load.namespace, _APPLIER)
        return Kube.connect(self.cluster.url, self.cluster.facts.ca, token)

    def clear(self, load: Load) -> None:
        """Drop what a load came to in Milvus: it is read, or held in memory, by whoever comes next."""
        with self.milvus.admin(timeout=30) as admin, ThreadPoolExecutor(_WIDTH) as threads:
            list(threads.map(admin.delete_user, [load.user_name(number) for number in range(load.users)]))
            for number in range(load.roles):
                for privilege, collection in PRIVILEGES:
                    admin.revoke(load.role_name(number), "Collection", collection, privilege)
                admin.drop_role(load.role_name(number))

    async def _post_secrets(self, load: Load) -> None:
        path = f"/api/v1/namespaces/{load.namespace}/secrets"
        bodies = ({"metadata": {"name": name}, "stringData": data} for name, data in load.secrets())
        async with self.session(load) as kube:
            await kube.post_all((path, body) for body in bodies)


def _binding(name: str, role: str, namespace: str, account: str) -> dict[str, Any]:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}


@contextmanager
def started() -> Iterator[Servers]:
    """Start servers; end them afterwards."""
    bed = TestBed()
    try:
        plane, milvus = bed.control_plane(), bed.milvus(STANDARD)
        plane.kubectl("create", "clusterrole", "everything", "--verb=*", "--resource=*.*")
        scanned = "namespaces,customresourcedefinitions.apiextensions.k8s.io"
        plane.kubectl("create", "clusterrole", "scanning", "--verb=list,watch", f"--resource={scanned}")
        plane.kubectl("apply", "--filename", DEFINITIONS)
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        with MilvusForwarder(milvus.port) as way:
            yield Servers(plane, milvus, way)
    finally:
        bed.close()
