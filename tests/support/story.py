"""How a test tells its story: resources are applied as a user would, and their conditions are waited for."""

import base64
import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from support.operator import OperatorProcess, permit
from testbed.api_forwarder import ApiForwarder
from testbed.chart import Release
from testbed.cluster import JSON, MERGE_PATCH, Cluster
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique

API = "/apis/rbac.milvus.io/v1alpha1"
PLURALS = {
    "MilvusConnection": "milvusconnections",
    "MilvusUser": "milvususers",
    "MilvusRole": "milvusroles",
    "MilvusPrivilegeGroup": "milvusprivilegegroups",
}
CONNECTION = "prod"
ADMIN_SECRET = "milvus-admin"  # noqa: S105 - the name of a Secret
PATIENCE = 40.0


class Story:
    """A namespace with an operator of its own, its way to the Kubernetes API and to Milvus, and what happens in it."""

    def __init__(
        self, cluster: Cluster, namespace: str, milvus: MilvusForwarder, api: ApiForwarder, unique: Unique
    ) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.milvus = milvus
        self.api = api
        self.unique = unique
        self.operators: list[OperatorProcess] = []
        self.release: Release | None = None
        self._kubeconfig: Path | None = None

    # --- the operator

    @property
    def operator(self) -> OperatorProcess:
        """The operator that was started last."""
        return self.operators[-1]

    def install(self) -> Release:
        """Give the operator its account and permissions, as the chart has them."""
        return permit(self.cluster, self.namespace, self.namespace)

    def start_operator(self, identity: str = "one", **settings: str) -> OperatorProcess:
        """Run what was installed, through this story's forwarders."""
        self.release = self.release or self.install()
        if self._kubeconfig is None:
            self._kubeconfig = self.cluster.service_account_kubeconfig(
                self.release.namespace, self.release.account, server=self.api.url, ca=self.api.ca_path
            )
        variables = self.release.environment(identity)
        self.operators.append(
            OperatorProcess(self.release.arguments, variables, self._kubeconfig, **settings)
        )
        return self.operator

    def restart_operator(self) -> OperatorProcess:
        """Kill the operator and run it again, as the same Pod would."""
        self.operator.kill()
        return self.start_operator()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of an operator's metric over all of its series that have these labels."""
        families = text_string_to_metric_families(self.operator.get("/metrics"))
        samples = (sample for family in families for sample in family.samples if sample.name == name)
        return sum(one.value for one in samples if labels.items() <= one.labels.items())

    def close(self) -> None:
        """End all operators, then let go of everything: the namespace must not hang on a finalizer."""
        for operator in self.operators:
            operator.kill()
        for plural in PLURALS.values():
            for item in self.resources(plural):
                path = f"{API}/namespaces/{self.namespace}/{plural}/{item['metadata']['name']}"
                self.cluster.api("PATCH", path, {"metadata": {"finalizers": None}}, MERGE_PATCH)

    # --- what a user does

    def secret(self, name: str, data: dict[str, str | bytes]) -> None:
        """Create or change a Secret; its other keys go."""
        encoded = {key: base64.b64encode(_bytes(value)).decode() for key, value in data.items()}
        self._put(
            f"/api/v1/namespaces/{self.namespace}/secrets", {"metadata": {"name": name}, "data": encoded}
        )

    def password(self, name: str, password: str | bytes) -> None:
        """Create or change the Secret of a user."""
        self.secret(name, {"password": password})

    def connection(self, name: str = CONNECTION, *, password: str | None = "Milvus", **spec: Any) -> None:
        """Create or change a MilvusConnection to this story's Milvus, and its Secret unless the password is None."""
        if password is not None:
            self.secret(ADMIN_SECRET, {"username": "root", "password": password})
        whole = {"uri": self.milvus.uri, "credentialsSecretRef": {"name": ADMIN_SECRET}, **spec}
        self.apply("MilvusConnection", name, whole)

    def role(self, name: str, role_name: str, *rows: dict[str, Any], **spec: Any) -> None:
        """Create or change a MilvusRole; every row is one of spec.grants."""
        self.apply(
            "MilvusRole",
            name,
            {"connectionRef": {"name": CONNECTION}, "roleName": role_name, "grants": list(rows), **spec},
        )

    def user(self, name: str, user_name: str, *roles: str, **spec: Any) -> None:
        """Create or change a MilvusUser; its Secret has the resource's name unless spec says otherwise."""
        whole = {
            "connectionRef": {"name": CONNECTION},
            "userName": user_name,
            "passwordSecretRef": {"name": name},
            "roles": list(roles),
            **spec,
        }
        self.apply("MilvusUser", name, whole)

    def group(self, name: str, group_name: str, *privileges: str, **spec: Any) -> None:
        """Create or change a MilvusPrivilegeGroup."""
        whole = {
            "connectionRef": {"name": CONNECTION},
            "groupName": group_name,
            "privileges": list(privileges),
            **spec,
        }
        self.apply("MilvusPrivilegeGroup", name, whole)

    def read_secret(self, name: str) -> dict[str, str] | None:
        """Read a Secret's data as text; None when it is not there."""
        found = self.cluster.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}")
        data = (found or {}).get("data") or {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()} if found else None

    def apply(self, kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> None:
        """Create a resource, or give it this spec."""
        body = {
            "apiVersion": "rbac.milvus.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        self._put(self._path(kind), body)

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        """Change a resource by a merge patch."""
        self.cluster.patch(self._path(kind, name), change)

    def annotate(self, kind: str, name: str, **annotations: str) -> None:
        """Set annotations of rbac.milvus.io; dashes are written as underscores."""
        named = {f"rbac.milvus.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
        self.patch(kind, name, {"metadata": {"annotations": named}})

    def reconcile(self, kind: str, name: str) -> None:
        """Ask for a look at a resource now."""
        self.annotate(kind, name, reconcile_at=str(time.time()))

    def delete(self, kind: str, name: str) -> None:
        """Delete a resource, without waiting for its end."""
        self.cluster.call("DELETE", self._path(kind, name))

    def delete_secret(self, name: str) -> None:
        """Delete a Secret."""
        self.cluster.call("DELETE", f"/api/v1/namespaces/{self.namespace}/secrets/{name}")

    # --- what a user sees

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Read a resource; None when it is gone."""
        found: dict[str, Any] | None = self.cluster.get(self._path(kind, name))
        return found

    def resources(self, plural: str) -> list[dict[str, Any]]:
        """List the resources of a kind in this namespace."""
        status, answer = self.cluster.api("GET", f"{API}/namespaces/{self.namespace}/{plural}")
        return list(answer["items"]) if status == 200 else []

    def condition(self, kind: str, name: str, type_: str = "Ready") -> dict[str, Any] | None:
        """Give a condition of a resource, if it describes the present spec."""
        body = self.get(kind, name)
        if body is None or body.get("status", {}).get("observedGeneration") != body["metadata"]["generation"]:
            return None
        conditions = body["status"].get("conditions", ())
        return next((one for one in conditions if one["type"] == type_), None)

    def wait_ready(self, kind: str, name: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait until a resource is Ready; give it."""
        self.wait_reason(kind, name, "Ready", timeout)
        body = self.get(kind, name)
        assert body is not None
        return body

    def wait_reason(
        self, kind: str, name: str, reason: str, timeout: float = PATIENCE, type_: str = "Ready"
    ) -> dict[str, Any]:
        """Wait until a condition (Ready unless said otherwise) has this reason; give the condition."""
        found: dict[str, Any] = {}

        def has_reason() -> bool:
            found.clear()
            found.update(self.condition(kind, name, type_) or {})
            return found.get("reason") == reason

        self.wait(
            has_reason,
            f"{kind} {name}: {type_} with reason {reason}",
            timeout,
            lambda: json.dumps(self.get(kind, name)),
        )
        return found

    def wait_gone(self, kind: str, name: str, timeout: float = PATIENCE) -> None:
        """Wait until a resource is gone."""
        self.wait(
            lambda: self.get(kind, name) is None,
            f"{kind} {name} gone",
            timeout,
            lambda: json.dumps(self.get(kind, name)),
        )

    def wait_until_older(self, kind: str, name: str) -> None:
        """Wait until what is made from now on is younger than a resource: creation times are whole seconds."""
        created = (self.get(kind, name) or {})["metadata"]["creationTimestamp"]
        self.wait(lambda: f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" > created, "another second")

    def wait(
        self,
        holds: Callable[[], bool],
        what: str,
        timeout: float = PATIENCE,
        see: Callable[[], object] = str,
        every: float = 0.1,
    ) -> None:
        """Wait until something holds, or fail and say what was seen instead and what the operator logged."""
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(ConnectionError):
                if holds():
                    return
            if time.monotonic() > deadline:
                logged = self.operator.trace() if self.operators else "no operator"
                raise AssertionError(f"not within {timeout} s: {what}\nseen: {see()}\nlog:\n{logged}")
            time.sleep(every)

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """List the Events about a resource: type, reason, message."""
        path = f"/api/v1/namespaces/{self.namespace}/events?fieldSelector=involvedObject.name%3D{name}"
        return [(one["type"], one["reason"], one["message"]) for one in self.cluster.get(path)["items"]]

    def wait_event(self, name: str, *parts: str, timeout: float = PATIENCE) -> tuple[str, str, str]:
        """Wait for an Event about a resource whose message has all these parts; give it."""
        found: list[tuple[str, str, str]] = []

        def is_told() -> bool:
            found[:] = [one for one in self.events(name) if all(part in one[2] for part in parts)]
            return bool(found)

        self.wait(is_told, f"an Event about {name} with {parts}", timeout, lambda: self.events(name))
        return found[0]

    @property
    def written(self) -> list[str]:
        """The methods of the writes to Milvus that passed the forwarder, in their order."""
        return [call.method for call in self.milvus.writes()]

    # --- where things are

    def _path(self, kind: str, name: str = "") -> str:
        path = f"{API}/namespaces/{self.namespace}/{PLURALS[kind]}"
        return f"{path}/{name}" if name else path

    def _put(self, collection: str, body: dict[str, Any]) -> None:
        """Create an object, or replace its spec or data."""
        status, answer = self.cluster.api("POST", collection, body, JSON)
        if status != 409:
            assert status < 300, answer
            return
        key = "spec" if "spec" in body else "data"
        path = f"{collection}/{body['metadata']['name']}"
        self.cluster.call(
            "PATCH",
            path,
            [{"op": "add", "path": f"/{key}", "value": body[key]}],
            "application/json-patch+json",
        )


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
