"""etcd, kube-apiserver and kube-controller-manager as processes of the tests, real but for scheduler and kubelet."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trustme

from testbed.build import KubernetesBinaries
from testbed.chart import install
from testbed.cluster import Cluster, ClusterFacts, kubeconfig
from testbed.processes import Process, accepts, free_port, release_port

# Collecting less often saves a quarter of the API server's CPU per write; the limit keeps its memory sane under load.
_APISERVER_ENV: Final = {"GOGC": "400", "GOMEMLIMIT": "2GiB"}

_CONTROLLERS: Final = (
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "validatingadmissionpolicy-status-controller",
)

# Everything is logged, so that writes can be counted, but for the control plane's own chatter.
_AUDIT_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver", "system:kube-controller-manager"]},
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class _Files:
    """Where the certificates and settings of one control plane are."""

    ca: Path
    server_certificate: Path
    server_key: Path
    admin_certificate: Path
    admin_key: Path
    manager_certificate: Path
    manager_key: Path
    service_account_key: Path
    audit_policy: Path
    audit_log: Path


class ControlPlane(Cluster):
    """A control plane with RBAC, default admission and an audit log, on the loopback interface and free ports."""

    def __init__(self, binaries: KubernetesBinaries, *, with_operator: bool = False) -> None:
        self._binaries = binaries
        self._state = Path(tempfile.mkdtemp(prefix="control-plane."))
        self._files = _write_files(self._state)
        self._etcd_port, self._peer_port, port = (free_port() for _ in range(3))
        self._processes: dict[str, Process] = {}
        facts = ClusterFacts(
            port=port,
            ca=self._files.ca,
            admin_certificate=self._files.admin_certificate,
            admin_key=self._files.admin_key,
            kubeconfig=self._state / "admin.kubeconfig",
            audit_log=self._files.audit_log,
            kubectl=binaries.kubectl,
            helm=binaries.helm,
            state=self._state,
        )
        user = _certificate_user(self._files.admin_certificate, self._files.admin_key)
        facts.kubeconfig.write_text(kubeconfig(facts.url, facts.ca, user))
        super().__init__(facts)
        try:
            self._start(with_operator=with_operator)
        except BaseException:
            self.stop()
            raise

    def _start(self, *, with_operator: bool) -> None:
        self._start_etcd()
        self._start_apiserver()
        if with_operator:
            # Before the controllers, or garbage collection learns of new kinds only half a minute later. And before
            # anybody else: of two who install the same at once, one is told that it exists already.
            install(self)
        self._start_controllers()

    def restart_apiserver(self) -> None:
        """Kills the API server without warning and starts it again on the same port."""
        self._processes["kube-apiserver"].stop()
        self._start_apiserver()

    def stop(self) -> None:
        """Ends all processes and forgets the state, which is disposable: nothing is asked politely."""
        for process in reversed(self._processes.values()):
            process.stop()
        release_port(self._etcd_port, self._peer_port, self.facts.port)
        shutil.rmtree(self._state, ignore_errors=True)

    def _start_etcd(self) -> None:
        client = f"http://127.0.0.1:{self._etcd_port}"
        peer = f"http://127.0.0.1:{self._peer_port}"
        process = self._run(
            "etcd",
            self._binaries.etcd,
            f"--data-dir={self._state / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        process.wait_until(lambda: accepts(self._etcd_port), 30)

    def _start_apiserver(self) -> None:
        files = self._files
        process = self._run(
            "kube-apiserver",
            self._binaries.kube_apiserver,
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # a loopback address is no valid endpoint
            f"--secure-port={self.facts.port}",
            f"--cert-dir={self._state}",
            f"--tls-cert-file={files.server_certificate}",
            f"--tls-private-key-file={files.server_key}",
            f"--client-ca-file={files.ca}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={files.service_account_key}",
            f"--service-account-signing-key-file={files.service_account_key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--audit-policy-file={files.audit_policy}",
            f"--audit-log-path={files.audit_log}",
            "--audit-log-maxsize=10000",  # never rotated: tests remember places in it
            env=_APISERVER_ENV,
        )
        process.wait_until(self._ready, 60)

    def _start_controllers(self) -> None:
        files = self._files
        user = _certificate_user(files.manager_certificate, files.manager_key)
        config = self._state / "controller-manager.kubeconfig"
        config.write_text(kubeconfig(self.url, files.ca, user))
        process = self._run(
            "kube-controller-manager",
            self._binaries.kube_controller_manager,
            f"--kubeconfig={config}",
            f"--controllers={','.join(_CONTROLLERS)}",
            f"--root-ca-file={files.ca}",
            f"--service-account-private-key-file={files.service_account_key}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--secure-port=0",
            # A real cluster's limits would make garbage collection and the end of namespaces the slowest part of a test.
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
        )
        # Before it exists Pods are refused; it also shows that the controllers run.
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        process.wait_until(lambda: self.get(account) is not None, 60)

    def _run(self, name: str, *argv: str | Path, env: dict[str, str] | None = None) -> Process:
        log = self._state / f"{name}.log"
        process = Process.start(argv, log, env=os.environ | (env or {}), cwd=self._state)
        self._processes[name] = process
        return process

    def _ready(self) -> bool:
        try:
            status, _ = self.api("GET", "/readyz", timeout=5)
        except OSError:
            return False
        return status == 200


def _certificate_user(certificate: Path, key: Path) -> dict[str, str]:
    return {"client-certificate": str(certificate), "client-key": str(key)}


def _write_files(state: Path) -> _Files:
    ca = trustme.CA()
    files = _Files(
        ca=state / "ca.pem",
        server_certificate=state / "server.pem",
        server_key=state / "server.key",
        admin_certificate=state / "admin.pem",
        admin_key=state / "admin.key",
        manager_certificate=state / "controller-manager.pem",
        manager_key=state / "controller-manager.key",
        service_account_key=state / "service-account.key",
        audit_policy=state / "audit-policy.json",
        audit_log=state / "audit.log",
    )
    ca.cert_pem.write_to_path(files.ca)
    server = ca.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc")
    _write(server, files.server_certificate, files.server_key)
    admin = ca.issue_cert("admin.invalid", common_name="admin", organization_name="system:masters")
    _write(admin, files.admin_certificate, files.admin_key)
    manager = ca.issue_cert("controllers.invalid", common_name="system:kube-controller-manager")
    _write(manager, files.manager_certificate, files.manager_key)
    ca.issue_cert("tokens.invalid").private_key_pem.write_to_path(files.service_account_key)
    files.audit_policy.write_text(json.dumps(_AUDIT_POLICY))
    files.audit_log.touch()
    return files


def _write(leaf: trustme.LeafCert, certificate: Path, key: Path) -> None:
    leaf.private_key_and_cert_chain_pem.write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)


def events_of(events: Sequence[dict[str, Any]], user: str) -> list[dict[str, Any]]:
    """The audit events of one user, for instance `system:serviceaccount:team-a:operator`."""
    return [event for event in events if event["user"]["username"] == user]
