"""The chart: what helm makes of it with all kinds of values, and what the API server and a reviewer say to that."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from house.repository import blocks_in
from milvus_rbac.settings import Settings
from testbed import build, checkers, install_manifest
from testbed.build import KubernetesBinaries
from testbed.chart import CHART, NAME, SYSTEM, HelmError, Release, Values, helm, render
from testbed.control_plane import ControlPlane

ROOT = CHART.parents[1]
HARDENED: Values = {
    "replicaCount": 2,
    "podDisruptionBudget": {"enabled": True},
    "networkPolicy": {"enabled": True},
}
CONNECTION = {
    "create": True,
    "spec": {"uri": "http://milvus.milvus:19530", "credentialsSecretRef": {"name": "milvus-admin"}},
}
OWN = {"app.kubernetes.io/name": "theirs", "app.kubernetes.io/instance": "theirs"}
"""Labels that a selector needs as the chart has them."""
MATRIX: dict[str, Values] = {
    "defaults": {},
    "some namespaces": {"watchNamespaces": ["team-a", "team-b"], "connectionNamespaces": ["team-a"]},
    "hardened": HARDENED,
    "no account of its own": {
        "serviceAccount": {"create": False, "name": "theirs"},
        "rbac": {"create": False},
    },
    "users of OpenShift": {
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
        "image": {"digest": f"sha256:{'0' * 64}"},
    },
    "long names": {"fullnameOverride": "n" * 52, "nameOverride": "m" * 63},
    "numbers for names": {
        "watchNamespaces": ["456"],
        "serviceAccount": {"name": "789"},
    },
    "metrics of Pods": {
        "service": {"enabled": False},
        "podMonitor": {"enabled": True, "metricRelabelings": [{"targetLabel": "x"}]},
    },
    "labels of the chart's own": {"podLabels": OWN, "commonLabels": {**OWN, "team": "data"}},
    "a part of another chart": {"enabled": True, "global": {"imageRegistry": "x"}},
    "everything": {
        **HARDENED,
        "commonLabels": {"team": "data"},
        "commonAnnotations": {"contact": "data@example.com"},
        "watchNamespaces": ["default", SYSTEM],
        "allowedEndpoints": ["*.milvus:19530"],
        "connection": {**CONNECTION, "annotations": {"a": "b"}},
        "connectionNamespaces": [SYSTEM],
        "imagePullSecrets": [{"name": "pull"}],
        "priorityClassName": "system-cluster-critical",
        "deploymentAnnotations": {"a": "b"},
        "podAnnotations": {"a": "b"},
        "podLabels": {"a": "b"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"},
        ],
        "extraArgs": ["--log-level=DEBUG"],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "service": {"annotations": {"a": "b"}},
        "serviceMonitor": {"enabled": True, "labels": {"a": "b"}, "relabelings": [{"targetLabel": "x"}]},
        "prometheusRule": {"enabled": True, "extraRules": [{"alert": "Mine", "expr": "vector(1)"}]},
        "dashboard": {"enabled": True, "annotations": {"grafana_folder": "milvus"}},
        "networkPolicy": {
            "enabled": True,
            "metricsFrom": [{"namespaceSelector": {}}],
            "extraEgress": [{"ports": [{"port": 30000}]}],
        },
    },
}
every_case = pytest.mark.parametrize("values", list(MATRIX.values()), ids=list(MATRIX))


@pytest.fixture(scope="module")
def binaries() -> KubernetesBinaries:
    return build.ensure_kubernetes()


@pytest.fixture(scope="module")
def plane(binaries: KubernetesBinaries) -> Iterator[ControlPlane]:
    """A Kubernetes API with the kinds of Prometheus Operator, and a namespace that takes only what is Restricted."""
    plane = ControlPlane(binaries, with_operator=True)
    crds = [f"--filename={path}" for path in checkers.monitoring_crds()]
    plane.kubectl("create", "--save-config=false", *crds)
    for namespace in ("team-a", "team-b", "456"):
        plane.create_namespace(namespace)
    plane.create_namespace("restricted", {"pod-security.kubernetes.io/enforce": "restricted"})
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    yield plane
    plane.stop()


def images(release: Release) -> list[str]:
    return [container["image"] for container in release.pod["spec"]["containers"]]


def kube_score(manifests: Sequence[dict[str, Any]], *flags: str) -> list[str]:
    """What a reviewer finds of weight: lines `[CRITICAL]` or `[WARNING]`, each with its object."""
    text = "\n---\n".join(json.dumps(one) for one in manifests)
    command = [str(checkers.ensure_kube_score()), "score", "-", "--output-format=ci", *flags]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert "[OK]" in done.stdout, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("[CRITICAL]", "[WARNING]"))]


# --- rendering


def test_helm_lint_finds_nothing(binaries: KubernetesBinaries, tmp_path: Path) -> None:
    for number, values in enumerate(MATRIX.values()):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(values))
        said = helm(binaries.helm, "lint", "--strict", f"--values={file}", CHART)
        assert "0 chart(s) failed" in said


@every_case
def test_the_api_server_takes_what_is_rendered(plane: ControlPlane, values: Values) -> None:
    release = render(plane.facts.helm, values)
    manifests = json.dumps({"apiVersion": "v1", "kind": "List", "items": release.objects})
    # Strict: an unknown field is an error.
    dry = ("--dry-run=server", "--server-side", "--validate=strict", "--force-conflicts")
    plane.kubectl("apply", *dry, "--filename=-", stdin=manifests)


@every_case
def test_every_object_has_the_labels_that_tools_look_for(
    binaries: KubernetesBinaries, values: Values
) -> None:
    release = render(binaries.helm, values)
    for one in (*release.objects, release.pod):
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == NAME
        assert {"app.kubernetes.io/name", "app.kubernetes.io/version", "helm.sh/chart"} <= labels.keys()
        assert labels["app.kubernetes.io/name"] == NAME
        assert (values.get("commonLabels", {}).items() - OWN.items()) <= labels.items()
    names = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in release.objects
    ]
    assert len(set(names)) == len(names)


def test_every_setting_can_be_set_and_nothing_else_is(binaries: KubernetesBinaries) -> None:
    release = render(binaries.helm, MATRIX["everything"])
    ours = {name for name in release.environment("pod") if name.startswith("MILVUS_RBAC_")}
    # A Pod has its own account.
    assert ours == {f"MILVUS_RBAC_{name.upper()}" for name in Settings.model_fields} - {
        "MILVUS_RBAC_KUBECONFIG"
    }
    assert release.arguments == ["run", "--log-level=DEBUG"]


def test_with_some_namespaces_there_is_no_right_anywhere_else_but_about_our_kinds(
    binaries: KubernetesBinaries,
) -> None:
    people = {f"{NAME}-view", f"{NAME}-edit", f"{NAME}-connection-admin"}
    release = render(binaries.helm, MATRIX["some namespaces"])
    (binding,) = release.of_kind("ClusterRoleBinding")
    name = f"{SYSTEM}-{NAME}-finalizers"  # two releases of one name do not meet
    assert binding["roleRef"]["name"] == binding["metadata"]["name"] == name
    rules = {one["metadata"]["name"]: one["rules"] for one in release.of_kind("ClusterRole")}
    assert rules.keys() == people | {name}
    assert [rule["apiGroups"] for rule in rules[name]] == [["rbac.milvus.io"]]
    where = {one["metadata"]["namespace"] for one in release.of_kind("RoleBinding")}
    assert where == {"team-a", "team-b", SYSTEM}

    less = {**MATRIX["some namespaces"], "rbac": {"clusterWideFinalizers": False}}
    strict = render(binaries.helm, less)
    assert strict.of_kind("ClusterRoleBinding") == []
    assert {one["metadata"]["name"] for one in strict.of_kind("ClusterRole")} == people


def test_an_image_is_named_by_its_digest_if_there_is_one(binaries: KubernetesBinaries) -> None:
    assert images(render(binaries.helm)) == ["milvus-rbac-operator:0.1.0"]
    assert images(render(binaries.helm, {"image": {"tag": "x"}})) == ["milvus-rbac-operator:x"]
    digest = f"sha256:{'0' * 64}"
    assert images(render(binaries.helm, {"image": {"digest": digest}})) == [f"milvus-rbac-operator@{digest}"]


def test_the_name_of_a_running_deployment_may_change_but_not_its_selector(
    binaries: KubernetesBinaries,
) -> None:
    selectors = [
        one["spec"]["selector"]
        for values in ({}, {"nameOverride": "other"}, {"commonLabels": OWN})
        for one in render(binaries.helm, values).of_kind("Deployment")
    ]
    assert selectors[0] == selectors[1] == selectors[2]


def test_a_release_that_is_gone_is_missed_even_where_there_is_another(binaries: KubernetesBinaries) -> None:
    (rule,) = render(binaries.helm, {"prometheusRule": {"enabled": True}}, "team-a").of_kind("PrometheusRule")
    alerts = {one["alert"]: one for one in rule["spec"]["groups"][0]["rules"]}
    assert (
        'absent(milvus_rbac_leader{namespace="team-a",job=~"(.*/)?milvus-rbac-operator"})'
        in alerts["MilvusRbacNoLeader"]["expr"]
    )
    assert alerts["MilvusRbacNoLeader"]["annotations"]["runbook_url"].endswith("#milvusrbacnoleader")
    bare = render(binaries.helm, {"prometheusRule": {"enabled": True, "runbookUrl": ""}})
    assert "runbook_url" not in str(bare.of_kind("PrometheusRule"))


def test_the_values_of_the_documentation_fit_and_satisfy_a_reviewer(binaries: KubernetesBinaries) -> None:
    (block,) = blocks_in(ROOT / "docs" / "install.md", "yml")
    release = render(binaries.helm, yaml.safe_load(block))
    assert {"PodDisruptionBudget", "ServiceMonitor"} <= {one["kind"] for one in release.objects}
    assert kube_score(release.objects, "--ignore-test=container-image-pull-policy") == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"watchNamespace": "a"}, "watchNamespace"),
        ({"watchNamespaces": ["Team_A"]}, "/watchNamespaces/0"),
        ({"logLevel": "TRACE"}, "'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
        ({"connection": {"create": True}}, "uri and credentialsSecretRef"),
        ({"connection": CONNECTION, "watchNamespaces": ["team-a"]}, "watchNamespaces"),
        ({"connection": CONNECTION, "connectionNamespaces": ["team-a"]}, "connectionNamespaces"),
        ({"allowedEndpoints": ["milvus.milvus"]}, "/allowedEndpoints/0"),
        ({"fullnameOverride": "123"}, "/fullnameOverride"),
        ({"livenessProbe": None}, "livenessProbe"),
        ({"networkPolicy": {"metricsFrom": None}}, "metricsFrom"),
        ({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "every Pod twice"),
        ({"serviceMonitor": {"enabled": True}, "service": {"enabled": False}}, "podMonitor.enabled"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_its_name(
    binaries: KubernetesBinaries, values: Values, said: str
) -> None:
    with pytest.raises(HelmError, match=re.escape(said)):
        render(binaries.helm, values)


def test_the_plain_manifest_is_the_chart_as_it_is(binaries: KubernetesBinaries) -> None:
    assert install_manifest.FILE.read_text() == install_manifest.text(binaries.helm)


def test_the_kind_of_milvus_operator_is_still_found_by_its_name(plane: ControlPlane) -> None:
    """A category of ours with that name would stand before it: `kubectl get milvus` would ask for something else."""
    names = {"kind": "Milvus", "listKind": "MilvusList", "plural": "milvuses", "singular": "milvus"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "milvuses.milvus.io"},
        "spec": {
            "group": "milvus.io",
            "scope": "Namespaced",
            "names": names,
            "versions": [{"name": "v1beta1", "served": True, "storage": True, "schema": schema}],
        },
    }
    plane.kubectl("create", "--filename=-", stdin=json.dumps(crd))
    plane.kubectl("wait", "--for=condition=Established", "crd/milvuses.milvus.io", "--timeout=30s")
    one = {"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "metadata": {"name": "mine"}}
    plane.kubectl("create", "--filename=-", stdin=json.dumps(one))
    assert plane.kubectl("get", "milvus", "mine", "--output=name").strip() == "milvus.milvus.io/mine"


# --- security


def test_the_restricted_standard_takes_the_pod(plane: ControlPlane) -> None:
    release = render(plane.facts.helm, namespace="restricted")
    pods = "/api/v1/namespaces/restricted/pods"
    body = {
        "metadata": {"name": "as-rendered"},
        "spec": {**release.pod["spec"], "serviceAccountName": "default"},
    }
    status, answer = plane.api("POST", f"{pods}?dryRun=All", body)
    assert status == 201, answer
    (container,) = body["spec"]["containers"]
    loose = {
        **container,
        "securityContext": {**container["securityContext"], "allowPrivilegeEscalation": True},
    }
    body["spec"]["containers"] = [loose]
    status, answer = plane.api("POST", f"{pods}?dryRun=All", body)
    assert (status, "restricted" in answer["message"]) == (403, True)


def test_the_deployment_really_makes_its_pod_there(plane: ControlPlane) -> None:
    install_restricted = render(plane.facts.helm, namespace="restricted")
    for one in install_restricted.of_kind("ServiceAccount", "Deployment"):
        group = "/api/v1" if one["apiVersion"] == "v1" else f"/apis/{one['apiVersion']}"
        plane.call("POST", f"{group}/namespaces/restricted/{one['kind'].lower()}s", one)
    command = (
        "wait",
        "--namespace=restricted",
        "--for=create",
        "pod",
        "--selector",
        f"app.kubernetes.io/name={NAME}",
    )
    plane.kubectl(*command, "--timeout=30s")


def test_a_reviewer_finds_nothing_of_weight_in_the_hardened_chart(binaries: KubernetesBinaries) -> None:
    release = render(binaries.helm, HARDENED)
    # The tag of a release never changes, so pulling it again gains nothing and fails while the registry does.
    assert kube_score(release.objects, "--ignore-test=container-image-pull-policy") == []


def test_what_a_reviewer_misses_by_default_is_a_second_replica_and_a_network_policy(
    binaries: KubernetesBinaries,
) -> None:
    """It is off by default: which ports a Milvus and an API server have, only their owners know."""
    release = render(binaries.helm)
    policy, replicas = kube_score(release.objects, "--ignore-test=container-image-pull-policy")
    assert "matching NetworkPolicy" in policy
    assert "few replicas" in replicas
    (deployment,) = release.of_kind("Deployment")
    del deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    found = kube_score(release.objects, "--ignore-test=container-image-pull-policy")
    assert any(
        "no configured security context" in line for line in found
    )  # a reviewer who finds nothing anywhere is none
