"""A client of a running control plane: what tests need of kubectl, and of the API without kubectl's start-up time."""

import base64
import json
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3
import yaml

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_CONNECTIONS = 16
"""So many are kept open; a handshake costs both sides more than a request."""
_TOKEN_SECONDS = 24 * 3600
_PERMISSION_SECONDS = 15.0


@dataclass(frozen=True)
class ClusterFacts:
    """How to reach a control plane; plain data, so that another process can be told."""

    port: int
    ca: Path
    admin_certificate: Path
    admin_key: Path
    kubeconfig: Path
    audit_log: Path
    kubectl: Path
    helm: Path
    state: Path

    @property
    def url(self) -> str:
        """The API server."""
        return f"https://127.0.0.1:{self.port}"


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, body: Any) -> None:
        message = body.get("message", body) if isinstance(body, dict) else body
        super().__init__(f"{status}: {message}")
        self.status = status
        self.body = body


class Cluster:
    """What a test does with a control plane, as its admin."""

    def __init__(self, facts: ClusterFacts) -> None:
        self.facts = facts
        tls = ssl.create_default_context(cafile=str(facts.ca))
        tls.load_cert_chain(facts.admin_certificate, facts.admin_key)
        self._pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1", facts.port, maxsize=_CONNECTIONS, ssl_context=tls, retries=False
        )

    @property
    def url(self) -> str:
        """The API server."""
        return self.facts.url

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig."""
        return self.facts.kubeconfig

    def kubectl(
        self,
        *args: str | Path,
        stdin: str | None = None,
        check: bool = True,
        kubeconfig: Path | None = None,
    ) -> str:
        """Runs kubectl and returns what it prints; with `check=False` what it prints to stderr too."""
        command = [self.facts.kubectl, "--kubeconfig", kubeconfig or self.kubeconfig, *args]
        done = subprocess.run(
            [str(part) for part in command],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(map(str, args))}: {done.stderr.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def api(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = JSON,
        *,
        timeout: float = 30.0,
    ) -> tuple[int, Any]:
        """One request; the status, and the body (parsed if it is JSON). Without an answer it is a ConnectionError."""
        data = None if body is None else json.dumps(body)
        headers = {"Accept": JSON} | ({} if body is None else {"Content-Type": content_type})
        try:
            response = self._pool.request(method, path, body=data, headers=headers, timeout=timeout)
        except urllib3.exceptions.HTTPError as problem:
            raise ConnectionError(f"{method} {path}: {problem}") from problem
        is_json = response.headers.get("Content-Type", "").partition(";")[0] == JSON
        return response.status, response.json() if is_json else response.data.decode(errors="replace")

    def call(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> Any:
        """Like `api`, but a refusal is an ApiError."""
        status, answer = self.api(method, path, body, content_type)
        if status >= HTTPStatus.BAD_REQUEST:
            raise ApiError(status, answer)
        return answer

    def get(self, path: str) -> Any:
        """The object at that path; None if there is none."""
        status, answer = self.api("GET", path)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status >= HTTPStatus.BAD_REQUEST:
            raise ApiError(status, answer)
        return answer

    def patch(self, path: str, body: Any, content_type: str = MERGE_PATCH) -> Any:
        """Changes the object at that path, by a merge patch unless said otherwise."""
        return self.call("PATCH", path, body, content_type)

    def create_namespace(self, name: str, labels: dict[str, str] | None = None) -> None:
        """A namespace, ready for Pods and tokens: its default ServiceAccount is not waited for."""
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})

    def delete_namespace(self, name: str) -> None:
        """Starts the end of a namespace, which takes five seconds or more."""
        self.api("DELETE", f"/api/v1/namespaces/{name}")

    def wait_until_allowed(self, user: str, **attributes: str) -> None:
        """Waits until a right that was just given is in force: the authorizer learns of it a moment later."""
        spec = {"user": user, "resourceAttributes": attributes}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        deadline = time.monotonic() + _PERMISSION_SECONDS
        while not self.call("POST", path, review)["status"]["allowed"]:
            if time.monotonic() > deadline:
                raise ApiError(403, f"{user} was never allowed to {attributes}")
            time.sleep(0.05)

    def service_account_token(self, namespace: str, name: str) -> str:
        """A token of that ServiceAccount, good for a day."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _TOKEN_SECONDS},
        }
        return str(self.call("POST", path, body)["status"]["token"])

    def service_account_kubeconfig(
        self,
        namespace: str,
        name: str,
        server: str | None = None,
        ca: Path | None = None,
    ) -> Path:
        """A kubeconfig with nothing but that ServiceAccount's token; `server` and `ca` put a forwarder between."""
        token = self.service_account_token(namespace, name)
        content = kubeconfig(server or self.url, ca or self.facts.ca, {"token": token}, namespace)
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"{namespace}-{name}.", suffix=".kubeconfig", dir=self.facts.state, delete=False
        ) as file:
            file.write(content)
        return Path(file.name)

    def audit_mark(self) -> int:
        """A place in the audit log, for `audit_events`."""
        return self.facts.audit_log.stat().st_size

    def audit_events(self, since: int = 0, stage: str = "ResponseComplete") -> list[dict[str, Any]]:
        """Every answered request since that mark, in the order of their answers; the control plane's own are not kept.

        A watch is complete when it ends; at the stage ResponseStarted it is there from its beginning.
        """
        with self.facts.audit_log.open("rb") as file:
            file.seek(since)
            lines = file.read().split(b"\n")[:-1]  # what follows the last line break is not yet whole
        events: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [event for event in events if event["stage"] == stage]


def kubeconfig(server: str, ca: Path, user: dict[str, str], namespace: str = "default") -> str:
    """The text of a kubeconfig for one cluster and one user."""
    ca_data = base64.b64encode(ca.read_bytes()).decode()
    name = "testbed"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": ca_data}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    return yaml.safe_dump(config, sort_keys=False)
