"""What the chart says beside its templates: values, alerts, dashboard. The templates themselves are rendered elsewhere."""

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from house.repository import DOCS, ROOT, headings
from milvus_rbac.controller.metrics import Metrics, Standings
from milvus_rbac.domain.conditions import Reason

CHART = ROOT / "helm" / "milvus-rbac-operator"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

OTHERS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
"""Metrics that prometheus-client adds."""
REASON_MATCHER = re.compile(r'reason(?:=|!=|=~|!~)"([^"]*)"')


def expressions() -> Iterator[tuple[str, str]]:
    """Every query, by where it stands."""
    yield from ((alert["alert"], alert["expr"]) for alert in ALERTS)
    for panel in PANELS:
        for target in panel["targets"]:
            # What Grafana puts in before it asks.
            filled = target["expr"].replace("$__rate_interval", "5m").replace("$connection", ".*")
            yield panel["title"], filled


every_expression = pytest.mark.parametrize(("where", "expression"), list(expressions()))


def metric_names(node: Any) -> set[str]:
    """The metrics that a parsed query reads."""
    if isinstance(node, promql_parser.VectorSelector):
        return {str(node.name)}
    parts = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector", "param")]
    inner = [*parts, *(getattr(node, "args", None) or ())]
    return set().union(*(metric_names(part) for part in inner if part is not None))


def known_metrics() -> set[str]:
    """The names of the series that the operator serves."""
    names = set(OTHERS)
    for family in (*Metrics().registry.collect(), *Standings({}, dict).collect()):
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        names |= {f"{family.name}{suffix}" for suffix in suffixes.get(family.type, ("",))}
    return names


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}", inner
        yield from leaves(inner, f"{path}{name}.")


class TestValues:
    def test_every_value_has_a_default_and_every_default_is_in_the_schema(self) -> None:
        def keys(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
            for name, value in values.items():
                yield f"{path}{name}"
                inner = schema.get("properties", {}).get(name, {})
                if "properties" in inner:
                    yield from keys(value, inner, f"{path}{name}.")

        optional = {"global", *(f"{one}Probe.{name}" for one in ("liveness", "readiness") for name in
                    ("initialDelaySeconds", "successThreshold"))}  # fmt: skip
        described = {path for path, _ in leaves(SCHEMA)}
        assert set(keys(VALUES, SCHEMA)) == described - optional - {"enabled"}

    def test_every_value_is_described_and_no_other_is_taken(self) -> None:
        assert [path for path, schema in leaves(SCHEMA) if len(schema.get("description", "")) < 8] == []
        closed = [schema for _, schema in leaves(SCHEMA) if "properties" in schema]
        assert all(schema["additionalProperties"] is False for schema in (SCHEMA, *closed))


class TestQueries:
    @every_expression
    def test_a_query_parses_and_asks_for_metrics_that_there_are(self, where: str, expression: str) -> None:
        names = metric_names(promql_parser.parse(expression))
        assert names, where
        assert names <= known_metrics()

    @every_expression
    def test_a_query_names_only_reasons_that_there_are(self, where: str, expression: str) -> None:
        known = {*Reason, "Unknown"}
        for matcher in REASON_MATCHER.findall(expression):
            for word in matcher.split("|"):
                assert any(re.fullmatch(word, reason) for reason in known), f"{where}: {word}"


class TestAlerts:
    def test_every_alert_has_a_runbook_and_every_runbook_an_alert(self) -> None:
        assert headings(DOCS / "alerts.md", 2) == [alert["alert"] for alert in ALERTS]

    def test_every_alert_says_how_bad_it_is_and_what_it_means(self) -> None:
        for alert in ALERTS:
            assert alert["labels"]["severity"] in {"critical", "warning", "info"}
            assert alert["annotations"].keys() == {"summary", "description"}


class TestDashboard:
    def test_every_panel_says_what_it_shows_and_no_two_are_in_one_place(self) -> None:
        assert [panel["title"] for panel in PANELS if len(panel["description"]) < 5] == []
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS]
        assert len(set(places)) == len(places)

    def test_every_metric_of_the_operator_is_shown(self) -> None:
        shown = set().union(*(metric_names(promql_parser.parse(query)) for _, query in expressions()))
        unseen = {name for name in known_metrics() - shown if not name.endswith(("_count", "_sum"))}
        assert unseen == set()
