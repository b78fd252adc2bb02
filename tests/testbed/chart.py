"""The chart as helm renders and installs it: what a Deployment says about a process, and what its account may do."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from testbed.cluster import Cluster

CHART: Final = Path(__file__).parents[2] / "helm" / "milvus-rbac-operator"
NAME: Final = "milvus-rbac-operator"
"""Of the release, hence of its Deployment, account, permissions and Lease."""
SYSTEM: Final = "milvus-rbac-system"
"""The namespace where the documentation installs it."""

Manifest = dict[str, Any]
Values = Mapping[str, Any]


class HelmError(Exception):
    """Helm refused; the message is its own."""


@dataclass(frozen=True)
class Release:
    """What one `helm template` gave."""

    namespace: str
    objects: Sequence[Manifest]

    def of_kind(self, *kinds: str) -> list[Manifest]:
        """The objects of these kinds."""
        return [one for one in self.objects if one["kind"] in kinds]

    @property
    def pod(self) -> Manifest:
        """The Pod that the Deployment makes."""
        (deployment,) = self.of_kind("Deployment")
        template: Manifest = deployment["spec"]["template"]
        return template

    @property
    def account(self) -> str:
        """The ServiceAccount's name."""
        return str(self.pod["spec"]["serviceAccountName"])

    @property
    def container(self) -> Manifest:
        """The one container of the Pod."""
        (container,) = self.pod["spec"]["containers"]
        return dict(container)

    @property
    def arguments(self) -> list[str]:
        """What follows the entry point of the image."""
        return list(self.container["args"])

    def environment(self, pod_name: str) -> dict[str, str]:
        """The variables of a Pod with this name."""
        return environment_of(self.container, pod_name, self.namespace)


def environment_of(container: Manifest, pod_name: str, namespace: str) -> dict[str, str]:
    """The variables of a container, as the kubelet would set them."""
    fields = {"metadata.name": pod_name, "metadata.namespace": namespace}
    return {
        one["name"]: one["value"] if "value" in one else fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
        for one in container["env"]
    }


def helm(binary: Path, *arguments: str | Path, stdin: str = "") -> str:
    """Run helm; it keeps nothing in the user's folders.

    Raises:
        HelmError: it failed.
    """
    done = subprocess.run(
        [binary, *arguments], input=stdin, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise HelmError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def render(
    binary: Path, values: Values | None = None, namespace: str = SYSTEM, *flags: str, chart: Path = CHART
) -> Release:
    """Render the chart with these values."""
    where = f"--namespace={namespace}"
    text = helm(binary, "template", NAME, chart, where, "--values=-", *flags, stdin=json.dumps(values or {}))
    return Release(namespace, [one for one in yaml.safe_load_all(text) if one])


def install(
    cluster: Cluster,
    values: Values | None = None,
    namespace: str = SYSTEM,
    *flags: str,
    chart: Path = CHART,
) -> str:
    """Install the chart, or upgrade to it; give what helm printed. Its CRDs are established when it returns."""
    facts = cluster.facts
    where = (f"--kubeconfig={facts.kubeconfig}", f"--namespace={namespace}", "--create-namespace")
    more = ("--install", "--values=-", *flags)
    printed = helm(facts.helm, "upgrade", NAME, chart, *where, *more, stdin=json.dumps(values or {}))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    return printed
