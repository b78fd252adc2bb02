"""Milvus 2.3 standalone as a process of the tests, in the few settings that the tests tell apart."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import trustme
import yaml

from testbed.build import MilvusBinary
from testbed.milvus_admin import ROOT_PASSWORD, MilvusAdmin, MilvusRefusedError
from testbed.network_namespace import secluded
from testbed.processes import Process, free_port, release_port

TLS_NAME: Final = "milvus.test"
"""A name in the certificate of the TLS profile, besides localhost and 127.0.0.1."""


@dataclass(frozen=True)
class Profile:
    """Settings of a server: environment variables override milvus.yaml."""

    name: str
    authorization: bool = True
    tls: bool = False
    mutual: bool = False
    """With TLS: whoever connects must show a certificate, too."""
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)


_ROOM: Final = {"PROXY_MAXROLENUM": "5000", "PROXY_MAXUSERNUM": "20000"}

STANDARD: Final = Profile("standard", environment=_ROOM)
DEFAULT_LIMITS: Final = Profile("default-limits")
NO_AUTHORIZATION: Final = Profile("no-authorization", authorization=False, environment=_ROOM)
SUPERUSERS: Final = Profile("superusers", environment=_ROOM | {"COMMON_SECURITY_SUPERUSERS": "root"})
TLS: Final = Profile("tls", tls=True, environment=_ROOM)
MUTUAL_TLS: Final = Profile("mutual-tls", tls=True, mutual=True, environment=_ROOM)
SHORT_LIMITS: Final = Profile(
    "short-limits",
    environment=_ROOM | {"PROXY_MINPASSWORDLENGTH": "10", "PROXY_MAXNAMELENGTH": "24"},
)


@dataclass(frozen=True)
class MilvusFacts:
    """How to reach a Milvus; plain data, so that another process can be told."""

    profile: str
    port: int
    ca_pem: bytes | None = None
    client: tuple[bytes, bytes] | None = None
    """Certificate and key for who connects."""

    @property
    def address(self) -> str:
        """Host and port, as gRPC wants them."""
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        """The address as a connection's spec has it."""
        return f"{'https' if self.ca_pem else 'http'}://{self.address}"

    def admin(self, user: str = "root", password: str = ROOT_PASSWORD, timeout: float = 10.0) -> MilvusAdmin:
        """A client of this server."""
        return MilvusAdmin(
            self.address, user, password, ca_pem=self.ca_pem, client=self.client, timeout=timeout
        )


class MilvusServer:
    """A Milvus of its own: own data, own ports, nothing shared but the program."""

    def __init__(self, binary: MilvusBinary, profile: Profile = STANDARD) -> None:
        self._binary = binary
        self._profile = profile
        self._state = Path(tempfile.mkdtemp(prefix=f"milvus-{profile.name}."))
        names = (*_port_names(binary.config_template), *_OTHER_PORTS)
        self._ports = {name: free_port() for name in names}
        ca_pem, client = _write_certificates(self._state) if profile.tls else (None, None)
        self._write_config()
        shown = client if profile.mutual else None
        self.facts = MilvusFacts(profile.name, self._ports["proxy_port"], ca_pem, shown)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def port(self) -> int:
        """Where the proxy listens."""
        return self.facts.port

    @property
    def uri(self) -> str:
        """The address as a connection's spec has it."""
        return self.facts.uri

    @property
    def ca_pem(self) -> bytes | None:
        """Whom to trust, with TLS."""
        return self.facts.ca_pem

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._state / "milvus.log"

    def admin(self, user: str = "root", password: str = ROOT_PASSWORD, timeout: float = 10.0) -> MilvusAdmin:
        """A client of this server."""
        return self.facts.admin(user, password, timeout)

    def restart(self, *, kill: bool = True) -> None:
        """Stops and starts it with its data, on the same port."""
        self._process.stop(grace=0 if kill else 20)
        self._start()

    def pause(self) -> None:
        """Freezes it: connections stay, nothing answers."""
        self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Undoes `pause`."""
        self._process.send(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it and forgets its data."""
        if hasattr(self, "_process"):
            self._process.stop()
        release_port(*self._ports.values())
        shutil.rmtree(self._state, ignore_errors=True)

    def _write_config(self) -> None:
        state = self._state
        values: dict[str, object] = {
            **self._ports,
            "etcd_log_level": "warn",
            "etcd_log_path": state / "etcd.log",
            "etcd_data_dir": state / "etcd",
            "local_storage_dir": state / "data",
            "rocksmq_data_dir": state / "rocksmq",
            "system_log_path": "",
            "server_pem_path": state / "server.pem",
            "server_key_path": state / "server.key",
            "ca_pem_path": state / "ca.pem",
            "authorization_enabled": str(self._profile.authorization).lower(),
            "tls_mode": 2 if self._profile.mutual else int(self._profile.tls),
        }
        template = self._binary.config_template.read_text()
        text = _PLACEHOLDER.sub(lambda match: str(values[match["name"]]), template)
        configs = state / "configs"
        configs.mkdir()
        # An address to advertise that does not depend on the machine's network.
        (configs / "milvus.yaml").write_text(
            re.sub(r"^  ip:.*$", "  ip: 127.0.0.1", text, flags=re.MULTILINE)
        )
        shutil.copy(self._binary.config_template.parent / "glog.conf", configs)
        self._write_etcd_config(configs / "etcd.yaml")

    def _write_etcd_config(self, path: Path) -> None:
        # The flag for etcd's port says where to call it, not where it listens: without this every server takes 2379.
        client, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd_port", "etcd_peer_port"))
        settings = {
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "unsafe-no-fsync": True,
        }
        path.write_text(yaml.safe_dump(settings))

    def _start(self) -> None:
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._ports["metrics_port"]),
            "MILVUS_RUN_DIR": str(self._state / "run"),
            "MILVUSCONF": str(self._state / "configs"),
            "ETCD_CONFIG_PATH": str(self._state / "configs" / "etcd.yaml"),
            "LD_LIBRARY_PATH": str(self._binary.server.parent),
            "DYLD_LIBRARY_PATH": str(self._binary.server.parent),
            **self._profile.environment,
        }
        # Not the wheel's console script: it starts the server as a child, which would outlive its own death.
        # The alias names its pid file, which all servers of a machine keep in one folder.
        argv: list[str | Path] = [self._binary.server, "run", "standalone", "-alias", self._state.name]
        # It listens on every interface, whatever its settings.
        self._process = Process.start(secluded(argv, self.port), self.log, env=environment, cwd=self._state)
        self._process.wait_until(self._ready, 120, pause=0.1)

    def _ready(self) -> bool:
        # The port accepts seconds before anything answers.
        with self.facts.admin(timeout=2) as admin:
            try:
                return "root" in admin.users()
            except (grpc.RpcError, MilvusRefusedError):
                return False


_OTHER_PORTS: Final = ("etcd_peer_port", "metrics_port")
"""What milvus.yaml has no placeholder for."""

_PLACEHOLDER: Final = re.compile(r"\{\{\s*(?P<name>\w+)[^}]*\}\}")


def _port_names(template: Path) -> list[str]:
    names = [match["name"] for match in _PLACEHOLDER.finditer(template.read_text())]
    return [name for name in names if name.endswith("_port")]


def _write_certificates(state: Path) -> tuple[bytes, tuple[bytes, bytes]]:
    ca = trustme.CA()
    leaf = ca.issue_cert("127.0.0.1", "localhost", TLS_NAME)
    ca.cert_pem.write_to_path(state / "ca.pem")
    leaf.private_key_pem.write_to_path(state / "server.key")
    with (state / "server.pem").open("wb") as file:
        file.writelines(blob.bytes() for blob in leaf.cert_chain_pems)
    client = ca.issue_cert("operator.test")
    return ca.cert_pem.bytes(), (client.cert_chain_pems[0].bytes(), client.private_key_pem.bytes())
