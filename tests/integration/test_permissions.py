"""Every permission that the chart gives is needed: without it, something of a tour through all that the operator does fails."""

from typing import Any

import pytest

from support.quiet import watch_for
from support.story import CONNECTION, Story
from support.tour import Tour, idle, permissions, wait_for
from support.wide import WideStory
from testbed.build import ensure_kubernetes
from testbed.chart import CHART, render
from testbed.cluster import MERGE_PATCH, Cluster

RBAC = "/apis/rbac.authorization.k8s.io/v1"
NARROW = render(ensure_kubernetes().helm, {"watchNamespaces": ["default"]})
WIDE = render(ensure_kubernetes().helm)
PAIRS = [(role, number) for role in NARROW.of_kind("Role") for number in range(len(role["rules"]))]
(CLUSTER_ROLE,) = (
    one for one in WIDE.of_kind("ClusterRole") if one["metadata"]["name"] == "milvus-rbac-operator"
)
WIDE_PATH = f"{RBAC}/clusterroles/milvus-rbac-operator"
ONLY_WIDE = [rule for rule in CLUSTER_ROLE["rules"] if rule not in NARROW.of_kind("Role")[0]["rules"]]


def take_away(cluster: Cluster, path: str, rules: list[dict[str, Any]], taken: dict[str, Any]) -> None:
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


def test_with_all_permissions_of_some_namespaces_each_is_used(stage: Story) -> None:
    tour = Tour(stage)
    tour.begin()
    wait_for(stage, tour, tour.is_complete, "everything of the tour")
    rules = [rule for role in NARROW.of_kind("Role") for rule in role["rules"]]
    # The Lease is renewed after ten seconds only.
    wait_for(stage, tour, lambda: idle(rules, tour.requests(allowed=True)) == [], "a use of each rule")
    # It asks all the same if a kind is on its way out; the answer is taken from discovery then.
    assert tour.requests(allowed=False) <= {("apiextensions.k8s.io", "customresourcedefinitions", "get")}


@pytest.mark.parametrize(
    ("role", "number"), PAIRS, ids=[role["rules"][number]["resources"][0] for role, number in PAIRS]
)
def test_without_a_rule_something_fails(stage: Story, role: dict[str, Any], number: int) -> None:
    stage.release = stage.install()
    path = f"{RBAC}/namespaces/{stage.namespace}/roles/{role['metadata']['name']}"
    rules = stage.cluster.get(path)["rules"]
    take_away(stage.cluster, path, rules, rules[number])
    tour = Tour(stage)
    tour.begin()
    must_fail(stage, tour, rules[number])


def test_with_all_permissions_of_a_cluster_each_is_used(wide: WideStory) -> None:
    wide.operator.stop()
    tour = Tour(wide)
    tour.begin()
    wait_for(wide, tour, tour.is_complete, "everything of the tour")
    rules = CLUSTER_ROLE["rules"]
    wait_for(wide, tour, lambda: idle(rules, tour.requests(allowed=True)) == [], "a use of each rule")
    assert tour.requests(allowed=False) == set()


def test_without_the_right_to_list_namespaces_none_can_be_selected(wide: WideStory) -> None:
    wide.operator.stop()
    (rule,) = (rule for rule in ONLY_WIDE if rule["resources"] == ["namespaces"])
    take_away(wide.cluster, WIDE_PATH, CLUSTER_ROLE["rules"], rule)
    tour = Tour(wide)
    tour.begin()
    must_fail(wide, tour, rule)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_kind_that_comes_later_is_noticed_only_with_the_right_to_watch_definitions(
    wide: WideStory, allowed: bool
) -> None:
    wide.operator.stop()
    crd = "milvusprivilegegroups.rbac.milvus.io"
    wide.cluster.kubectl("delete", "crd", crd)
    (rule,) = (rule for rule in ONLY_WIDE if rule["resources"] == ["customresourcedefinitions"])
    if not allowed:
        take_away(wide.cluster, WIDE_PATH, CLUSTER_ROLE["rules"], rule)
    wide.start_operator()
    wide.wait_ready("MilvusConnection", CONNECTION)
    wide.cluster.kubectl("create", f"--filename={CHART / 'crds' / 'milvusprivilegegroups.yaml'}")
    wide.cluster.kubectl("wait", "--for=condition=Established", f"crd/{crd}", "--timeout=30s")
    wide.group("group", "group", "Search")
    if allowed:
        wide.wait_reason("MilvusPrivilegeGroup", "group", "UnsupportedByServer")
    else:
        watch_for(5, lambda: wide.condition("MilvusPrivilegeGroup", "group") is None)


def test_every_rule_that_only_a_cluster_needs_is_tried_above() -> None:
    assert [rule["resources"] for rule in ONLY_WIDE] == [["namespaces"], ["customresourcedefinitions"]]
