"""When an alert is raised, and when it is not: told by Prometheus' own promtool."""

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from testbed.chart import CHART
from testbed.checkers import ensure_prometheus

RULES = CHART / "files" / "alerts.yaml"
RELEASE = {"job": "m", "namespace": "s"}
PROD = {**RELEASE, "connection": "milvus/prod"}


class Case(NamedTuple):
    """What two Pods tell once a minute, and what is raised after so many minutes."""

    says: str
    alert: str
    series: dict[str, str]
    minutes: int
    raised: list[dict[str, str]]


CASES = [
    Case("one leads", "MilvusRbacNoLeader", {"leader{%s}": "1x60", "leader{%s}#2": "0x60"}, 30, []),
    Case("nobody leads", "MilvusRbacNoLeader", {"leader{%s}": "1x9 0x60", "leader{%s}#2": "0x60"}, 20,
         [RELEASE]),
    Case("nobody leads for a minute", "MilvusRbacNoLeader", {"leader{%s}": "1x9 0 1x60"}, 20, []),
    Case("there is no operator", "MilvusRbacNoLeader", {}, 10, [{}]),
    Case("a connection is not Ready", "MilvusRbacConnectionNotReady",
         {'connections{connection="milvus/prod",reason="Unreachable",%s}': "1x60"}, 15, [{**PROD, "reason": "Unreachable"}]),
    Case("a connection is suspended", "MilvusRbacConnectionNotReady",
         {'connections{connection="milvus/prod",reason="Suspended",%s}': "1x60"}, 15, []),
    Case("a connection is looked at", "MilvusRbacConnectionStale",
         {'last_success_timestamp_seconds{connection="milvus/prod",%s}': "0+60x60",
          'interval_seconds{connection="milvus/prod",%s}': "300x60"}, 50, []),
    Case("a connection is looked at by the other replica now", "MilvusRbacConnectionStale",
         {'last_success_timestamp_seconds{connection="milvus/prod",%s}': "60x60",
          'last_success_timestamp_seconds{connection="milvus/prod",%s}#2': "0+60x60",
          'interval_seconds{connection="milvus/prod",%s}': "300x60"}, 50, []),
    Case("a connection is not looked at any more", "MilvusRbacConnectionStale",
         {'last_success_timestamp_seconds{connection="milvus/prod",%s}': "60x60",
          'interval_seconds{connection="milvus/prod",%s}': "300x60"}, 30, [PROD]),
    Case("a suspended connection is not looked at", "MilvusRbacConnectionStale",
         {'last_success_timestamp_seconds{connection="milvus/prod",%s}': "60x60",
          'interval_seconds{connection="milvus/prod",%s}': "300x60",
          'connections{connection="milvus/prod",reason="Suspended",%s}': "1x60"}, 30, []),
    Case("somebody has to act", "MilvusRbacClaimsFailing",
         {'claims{connection="milvus/prod",reason="InvalidScope",%s}': "2x60",
          'claims{connection="milvus/prod",reason="InvalidScope",%s}#2': "2x60",
          'claims{connection="milvus/prod",reason="Ready",%s}': "50x60"}, 20, [{**PROD, "reason": "InvalidScope"}]),
    Case("somebody only waits", "MilvusRbacClaimsFailing",
         {'claims{connection="milvus/prod",reason="WaitingForSecret",%s}': "2x60"}, 20, []),
    Case("somebody waits for long", "MilvusRbacClaimsWaiting",
         {'claims{connection="milvus/prod",reason="WaitingForSecret",%s}': "2x90"}, 70, [{**PROD, "reason": "WaitingForSecret"}]),
    Case("the leader does not get through", "MilvusRbacBacklog",
         {'workqueue_depth{connection="milvus/prod",%s}': "9x60", "leader{%s}": "1x60"}, 40, [PROD]),
    Case("a suspended connection has everything before it", "MilvusRbacBacklog",
         {'workqueue_depth{connection="milvus/prod",%s}': "9x60", "leader{%s}": "1x60",
          'connections{connection="milvus/prod",reason="Suspended",%s}': "1x60"}, 40, []),
    Case("nobody has ever looked at a connection", "MilvusRbacConnectionNotReady",
         {'connections{connection="milvus/prod",reason="Unknown",%s}': "1x60"}, 15, [{**PROD, "reason": "Unknown"}]),
    Case("nobody has ever looked at a resource", "MilvusRbacClaimsWaiting",
         {'claims{connection="milvus/prod",reason="Unknown",%s}': "2x90"}, 70, [{**PROD, "reason": "Unknown"}]),
    Case("the other replica has everything before it", "MilvusRbacBacklog",
         {'workqueue_depth{connection="milvus/prod",%s}': "9x60", "leader{%s}": "0x60"}, 40, []),
    Case("something was put back", "MilvusRbacDrift",
         {'drift_total{connection="milvus/prod",%s}': "0x9 3x60"}, 20, [PROD]),
    Case("something was put back two hours ago", "MilvusRbacDrift",
         {'drift_total{connection="milvus/prod",%s}': "0x9 3x200"}, 150, []),
    Case("something was left behind", "MilvusRbacLeftBehind",
         {'left_behind_total{connection="milvus/prod",%s}': "0x9 1x60"}, 20, [PROD]),
    Case("the definitions were forgotten", "MilvusRbacDefinitionsOutdated",
         {'missing_fields{kind="MilvusUser",%s}': "2x60", 'missing_fields{kind="MilvusRole",%s}': "0x60"}, 30,
         [{**RELEASE, "kind": "MilvusUser"}]),
]  # fmt: skip


def as_test(case: Case) -> dict[str, Any]:
    """A case in promtool's words; `#2` marks the second Pod."""
    rules = [rule for group in as_rules()["groups"] for rule in group["rules"]]
    (rule,) = (rule for rule in rules if rule["alert"] == case.alert)
    series = []
    for name, values in case.series.items():
        metric, _, pod = name.partition("#")
        labels = f'job="m",namespace="s",instance="{pod or 1}"'
        series.append({"series": "milvus_rbac_" + metric % labels, "values": values})
    raised = [{"exp_labels": {**labels, **rule["labels"]}} for labels in case.raised]
    test = {"eval_time": f"{case.minutes}m", "alertname": case.alert, "exp_alerts": raised}
    return {"interval": "1m", "input_series": series, "alert_rule_test": [test]}


def as_rules() -> dict[str, Any]:
    """The rules without their texts, which promtool would compare, too."""
    rules: dict[str, Any] = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]
    return rules


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [ensure_prometheus() / "promtool", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.says}")
def test_an_alert_is_raised_when_it_should_and_only_then(case: Case, tmp_path: Path) -> None:
    rules, tests = tmp_path / "rules.json", tmp_path / "tests.json"
    rules.write_text(json.dumps(as_rules()))
    tests.write_text(json.dumps({"rule_files": [rules.name], "tests": [as_test(case)]}))
    promtool("test", "rules", tests)


def test_every_alert_is_seen_raised() -> None:
    rules = {rule["alert"] for group in as_rules()["groups"] for rule in group["rules"]}
    assert {case.alert for case in CASES if case.raised} == rules
