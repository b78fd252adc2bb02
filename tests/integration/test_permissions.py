"""Every permission that the chart gives is needed: without it, something of a tour through all that the operator does fails."""

from typing import Any

import pytest

from support.quiet import watch_for
from support.story import CONNECTION, Story
from support.tour import Tour, idle, permissions, wait_for
from support.wide import WideStory
from testbed.build import Binaries
from testbed.chart import CHART, NAME, render
from testbed.cluster import MERGE_PATCH, Cluster

RBAC = "/apis/rbac.authorization.k8s.io/v1"
WIDE_PATH = f"{RBAC}/clusterroles/{NAME}"
SERVING = (
    "milvusconnections",
    "milvusconnections/status",
    "secrets",
    "configmaps",
    "milvuses",
    "events",
    "namespaces",
)
LEASE = ("leases", "leases")
"""The first resource of each rule of the two Roles, in their order: what tests are named by, before anything is rendered."""
RULES = [(NAME, *one) for one in enumerate(SERVING)] + [(f"{NAME}-lease", *one) for one in enumerate(LEASE)]

Rules = list[dict[str, Any]]


@pytest.fixture(scope="module")
def roles(binaries: Binaries) -> dict[str, Rules]:
    """The rules of an operator for some namespaces, by the name of their Role."""
    rendered = render(binaries.helm, {"watchNamespaces": ["default"]}).of_kind("Role")
    return {one["metadata"]["name"]: one["rules"] for one in rendered}


@pytest.fixture(scope="module")
def cluster_rules(binaries: Binaries) -> Rules:
    """The rules of an operator for all namespaces."""
    (role,) = (one for one in render(binaries.helm).of_kind("ClusterRole") if one["metadata"]["name"] == NAME)
    return list(role["rules"])


def about(rules: Rules, resource: str) -> dict[str, Any]:
    """The rule about a resource."""
    (rule,) = (rule for rule in rules if rule["resources"] == [resource])
    return rule


def take_away(cluster: Cluster, path: str, rules: Rules, taken: dict[str, Any]) -> None:
    """Let a role have all rules but one."""
    left = [one for one in rules if one["resources"] != taken["resources"] or one["verbs"] != taken["verbs"]]
    assert len(left) == len(rules) - 1
    status, answer = cluster.api("PATCH", path, {"rules": left}, MERGE_PATCH)
    assert status == 200, answer


def must_fail(story: Story, tour: Tour, taken: dict[str, Any]) -> None:
    """Something is refused that the rule allowed, and the tour does not get through."""
    missing = permissions(taken)
    wait_for(story, tour, lambda: bool(tour.requests(allowed=False) & missing), f"a refusal of {missing}")
    watch_for(2, lambda: not tour.is_complete(), lambda: "everything came all the same")


def test_with_all_permissions_of_some_namespaces_each_is_used(stage: Story, roles: dict[str, Rules]) -> None:
    tour = Tour(stage)
    tour.begin()
    wait_for(stage, tour, tour.is_complete, "everything of the tour")
    rules = [rule for role in roles.values() for rule in role]
    # The Lease is renewed after ten seconds only.
    wait_for(stage, tour, lambda: idle(rules, tour.requests(allowed=True)) == [], "a use of each rule")
    # It asks all the same if a kind is on its way out; the answer is taken from discovery then.
    assert tour.requests(allowed=False) <= {("apiextensions.k8s.io", "customresourcedefinitions", "get")}


@pytest.mark.parametrize(("role", "number", "resource"), RULES, ids=str)
def test_without_a_rule_something_fails(stage: Story, role: str, number: int, resource: str) -> None:
    stage.release = stage.install()
    path = f"{RBAC}/namespaces/{stage.namespace}/roles/{role}"
    rules = stage.cluster.get(path)["rules"]
    assert rules[number]["resources"][0] == resource
    take_away(stage.cluster, path, rules, rules[number])
    tour = Tour(stage)
    tour.begin()
    must_fail(stage, tour, rules[number])


def test_with_all_permissions_of_a_cluster_each_is_used(wide: WideStory, cluster_rules: Rules) -> None:
    wide.operator.stop()
    tour = Tour(wide)
    tour.begin()
    wait_for(wide, tour, tour.is_complete, "everything of the tour")
    wait_for(wide, tour, lambda: idle(cluster_rules, tour.requests(allowed=True)) == [], "a use of each rule")
    assert tour.requests(allowed=False) == set()


def test_without_the_right_to_list_namespaces_none_can_be_selected(
    wide: WideStory, cluster_rules: Rules
) -> None:
    wide.operator.stop()
    rule = about(cluster_rules, "namespaces")
    take_away(wide.cluster, WIDE_PATH, cluster_rules, rule)
    tour = Tour(wide)
    tour.begin()
    must_fail(wide, tour, rule)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_kind_that_comes_later_is_noticed_only_with_the_right_to_watch_definitions(
    wide: WideStory, cluster_rules: Rules, allowed: bool
) -> None:
    wide.operator.stop()
    crd = "milvusprivilegegroups.rbac.milvus.io"
    wide.cluster.kubectl("delete", "crd", crd)
    if not allowed:
        rule = about(cluster_rules, "customresourcedefinitions")
        take_away(wide.cluster, WIDE_PATH, cluster_rules, rule)
    wide.start_operator()
    wide.wait_ready("MilvusConnection", CONNECTION)
    wide.cluster.kubectl("create", f"--filename={CHART / 'crds' / 'milvusprivilegegroups.yaml'}")
    wide.cluster.kubectl("wait", "--for=condition=Established", f"crd/{crd}", "--timeout=30s")
    wide.group("group", "group", "Search")
    if allowed:
        wide.wait_reason("MilvusPrivilegeGroup", "group", "UnsupportedByServer")
    else:
        watch_for(5, lambda: wide.condition("MilvusPrivilegeGroup", "group") is None)


def test_every_rule_is_tried_above(roles: dict[str, Rules], cluster_rules: Rules) -> None:
    tried = [
        (name, number, rule["resources"][0])
        for name, rules in roles.items()
        for number, rule in enumerate(rules)
    ]
    assert sorted(tried) == sorted(RULES)
    only_wide = [rule["resources"] for rule in cluster_rules if rule not in roles[NAME]]
    assert only_wide == [["namespaces"], ["customresourcedefinitions"]]
