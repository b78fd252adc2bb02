"""What Argo CD shows of a resource and offers to do with it, for statuses as the operator writes them; no server."""

import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaError

from milvus_rbac.api.v1alpha1 import KINDS, Resource
from milvus_rbac.domain.conditions import Condition, Patience, Reason, Refusal, patience, summarize_ready
from support.argocd import PAGE, STATUSES, ArgoCD, Health, blocks, run
from testbed import argocd

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SAID = "What is wrong, and what to do."
EXPECTED = {Patience.STALLED: "Degraded", Patience.WAITING: "Progressing", Patience.QUIET: "Suspended"}
HOPELESS = {Reason.INTERNAL_ERROR}
"""Tried again, and so waiting; but nothing that a sync should wait for."""
NOW = re.compile(r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\dZ")
ANNOTATION = "rbac.milvus.io/"

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@pytest.fixture(scope="module")
def argo() -> ArgoCD:
    return ArgoCD.of_the_manifests()


def resource(
    status: Json | None = None, kind: str = "MilvusRole", spec: Json | None = None, **metadata: Any
) -> Json:
    """An object of generation 2."""
    body: Json = {
        "apiVersion": "rbac.milvus.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "one", "namespace": "ns", "generation": 2, **metadata},
        "spec": {"grants": [], **(spec or {})},
    }
    return body if status is None else body | {"status": status}


def said(*conditions: Condition, observed: int = 2, **more: Any) -> Json:
    """A status with these conditions."""
    written = [
        {"type": one.type, "status": one.status, "reason": one.reason, "message": one.message}
        for one in conditions
    ]
    return {"observedGeneration": observed, "conditions": written, **more}


def refused(reason: Reason) -> tuple[Condition, ...]:
    return summarize_ready([Refusal(reason, SAID)], "", 2)


READY = summarize_ready([], "All is well.", 2)


class TestConfigMap:
    def test_the_config_map_is_made_of_the_scripts_beside_it(self) -> None:
        assert argocd.CONFIG_MAP.read_text() == argocd.render(), "run python -m testbed.argocd"

    def test_every_script_has_a_place_in_it(self) -> None:
        used = {name for kind in KINDS for name in argocd.actions_of(kind)} | {"discovery"}
        assert {path.stem for path in (argocd.FOLDER / "actions").iterdir()} == used

    @pytest.mark.parametrize(
        "word", ["string.upper('a')", "math.floor(1)", "io", "os.time()", "('a'):upper()"]
    )
    def test_the_scripts_are_tried_without_what_argo_cd_does_not_have(self, word: str) -> None:
        with pytest.raises(LuaError):
            run(f"return {word} .. ''", {})

    def test_what_argo_cd_requires_is_the_clock_and_nothing_else(self) -> None:
        assert run("return require('os').date('!%Y') ~= nil", {}) is True
        assert run("return require('os').execute == nil", {}) is True
        with pytest.raises(LuaError):
            run("return require('io')", {})


class TestHealth:
    @every_kind
    def test_nothing_is_known_before_the_operator_has_looked(
        self, argo: ArgoCD, kind: type[Resource]
    ) -> None:
        for status in (None, {}, {"observedGeneration": -1}):
            health = argo.health(resource(status, kind.__name__))
            assert health.status == "Progressing"
            assert "has not looked at it yet" in health.message

    @every_kind
    def test_what_is_ready_is_healthy(self, argo: ArgoCD, kind: type[Resource]) -> None:
        assert argo.health(resource(said(*READY), kind.__name__)) == Health("Healthy", "All is well.")

    @pytest.mark.parametrize("conditions", [READY, refused(Reason.CONFLICT)], ids=["ready", "refused"])
    def test_what_was_said_before_the_last_change_does_not_count(
        self, argo: ArgoCD, conditions: tuple[Condition, ...]
    ) -> None:
        health = argo.health(resource(said(*conditions, observed=1)))
        assert health == Health("Progressing", "The operator has not looked at the last change yet.")

    @pytest.mark.parametrize("reason", [one for one in Reason if one is not Reason.READY])
    def test_every_reason_is_shown_by_what_it_waits_for(self, argo: ArgoCD, reason: Reason) -> None:
        status = "Degraded" if reason in HOPELESS else EXPECTED[patience(reason)]
        assert argo.health(resource(said(*refused(reason)))) == Health(status, SAID)

    def test_an_unknown_reason_waits_for_a_person(self, argo: ArgoCD) -> None:
        ready = Condition("Ready", "False", "OfNextYear", SAID, 2)
        assert argo.health(resource(said(ready))) == Health("Degraded", SAID)

    def test_a_status_without_ready_is_no_verdict(self, argo: ArgoCD) -> None:
        foreign = Condition("example.com/Audited", "True", "Audited", "Looked at.", 2)
        assert argo.health(resource(said(foreign))).status == "Progressing"
        assert argo.health(resource(said(foreign, *READY))).status == "Healthy"
        unknown = Condition("Ready", "Unknown", "Ready", "", 2)
        assert argo.health(resource(said(unknown))).status == "Progressing"

    def test_other_conditions_do_not_outvote_ready(self, argo: ArgoCD) -> None:
        drifted = Condition("Drifted", "False", "Observed", "", 2)
        assert argo.health(resource(said(drifted, *READY))).status == "Healthy"

    def test_a_deletion_goes_on_until_it_is_blocked(self, argo: ArgoCD) -> None:
        deleted: Json = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
        for status in (None, said(*READY), said(*refused(Reason.CONFLICT), observed=1)):
            health = argo.health(resource(status, **deleted))
            assert health.status == "Progressing"
            assert health.message.startswith("Is being deleted.")
        blocked = said(*refused(Reason.DELETION_BLOCKED))
        assert argo.health(resource(blocked, **deleted)) == Health("Degraded", SAID)

    def test_warnings_of_a_connection_are_read_out(self, argo: ArgoCD) -> None:
        warnings = [
            {"reason": "KnownWeakness", "message": "It lets in too many."},
            {"reason": "LimitReached", "message": "Nearly."},
        ]
        health = argo.health(resource(said(*READY, warnings=warnings), "MilvusConnection"))
        assert health.status == "Healthy"
        assert health.message == (
            "All is well. Warning: KnownWeakness: It lets in too many. Warning: LimitReached: Nearly."
        )


class TestActions:
    @pytest.mark.parametrize(
        ("kind", "spec", "metadata", "choices"),
        [
            ("MilvusConnection", {}, {}, {"reconcile"}),
            ("MilvusConnection", {"suspend": True}, {}, set()),
            ("MilvusRole", {}, {}, {"reconcile", "orphan"}),
            ("MilvusPrivilegeGroup", {}, {}, {"reconcile", "orphan"}),
            ("MilvusUser", {"passwordSecretRef": {"name": "a"}}, {}, {"reconcile", "orphan"}),
            ("MilvusUser", {"generatePassword": {"secretName": "a"}}, {}, {"reconcile", "rotate", "orphan"}),
            ("MilvusUser", {"generatePassword": {"secretName": "a"}, "suspend": True}, {}, {"orphan"}),
            (
                "MilvusUser",
                {"generatePassword": {"secretName": "a"}},
                {"deletionTimestamp": "2026-01-01T00:00:00Z"},
                {"reconcile", "orphan"},
            ),
            (
                "MilvusRole",
                {},
                {"annotations": {f"{ANNOTATION}force-retain": "true"}},
                {"reconcile", "unorphan"},
            ),
            (
                "MilvusRole",
                {},
                {
                    "annotations": {f"{ANNOTATION}force-retain": "true"},
                    "deletionTimestamp": "2026-01-01T00:00:00Z",
                },
                {"reconcile"},
            ),
        ],
    )
    def test_only_what_would_do_something_can_be_chosen(
        self, argo: ArgoCD, kind: str, spec: Json, metadata: Json, choices: set[str]
    ) -> None:
        offered = argo.offered(resource(None, kind, spec, **metadata))
        assert {name for name, enabled in offered.items() if enabled} == choices

    @pytest.mark.parametrize(("action", "key"), [("reconcile", "reconcile-at"), ("rotate", "rotate")])
    @pytest.mark.parametrize("annotations", [None, {}, {"example.com/mine": "kept"}])
    def test_an_action_changes_one_annotation_to_the_time_and_nothing_else(
        self, argo: ArgoCD, action: str, key: str, annotations: Json | None
    ) -> None:
        metadata = {} if annotations is None else {"annotations": annotations}
        spec = {"generatePassword": {"secretName": "a"}, "roles": [], "nothing": {}}
        patch = argo.patch(resource(said(*READY), "MilvusUser", spec, **metadata), action)
        moment = patch["metadata"]["annotations"].pop(f"{ANNOTATION}{key}")
        assert NOW.fullmatch(moment)
        assert patch == {"metadata": {"annotations": {}}}

    def test_the_time_of_an_action_is_that_of_greenwich(
        self, argo: ArgoCD, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as far_away:
            far_away.setenv("TZ", "FAR-9")
            time.tzset()
            patch = argo.patch(resource(said(*READY)), "reconcile")
        time.tzset()
        moment = datetime.fromisoformat(patch["metadata"]["annotations"][f"{ANNOTATION}reconcile-at"])
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)

    @every_kind
    def test_orphan_can_be_taken_back(self, argo: ArgoCD, kind: type[Resource]) -> None:
        body = resource(said(*READY), kind.__name__)
        if "orphan" not in argo.offered(body):
            assert kind.__name__ == "MilvusConnection"
            return
        mark, unmark = ({f"{ANNOTATION}force-retain": word} for word in ("true", "false"))
        assert argo.patch(body, "orphan") == {"metadata": {"annotations": mark}}
        for annotations in (mark, {**mark, "example.com/mine": "kept"}):
            body["metadata"]["annotations"] = annotations
            assert argo.patch(body, "unorphan") == {"metadata": {"annotations": unmark}}


class TestPage:
    def test_every_block_of_the_page_can_be_read(self) -> None:
        for block in (*blocks("yaml"), *blocks("yml")):
            for one in yaml.safe_load_all(block):
                assert {"apiVersion", "kind"} <= one.keys()
        for block in blocks("bash"):
            subprocess.run(["bash", "-n"], input=block, text=True, check=True)
        assert len(blocks("yml")) == 4
        assert blocks("bash")

    def test_the_application_of_the_operator_is_for_the_chart_that_is_here(self) -> None:
        (source,) = (one["spec"]["source"] for one in applications() if "helm" in one["spec"]["source"])
        chart = ROOT / source["path"]
        values = yaml.safe_load((chart / "values.yaml").read_text())
        for name, inner in source["helm"]["valuesObject"].items():
            assert inner.keys() <= values[name].keys()
        assert source["helm"]["valuesObject"]["image"]["tag"] == chart_version(chart)

    def test_the_page_names_every_action_and_no_other(self) -> None:
        rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
        assert rows == list(dict.fromkeys(name for kind in KINDS for name in argocd.actions_of(kind)))

    def test_the_page_tells_of_every_health_and_no_other(self) -> None:
        section = PAGE.read_text().partition("| Argo CD shows |")[2].partition("\n\n")[0]
        assert set(re.findall(r"^\| (\w+) \|", section, re.MULTILINE)) == set(STATUSES)

    def test_the_waves_of_the_page_put_a_user_after_what_it_needs(self) -> None:
        resources = [one for block in blocks("yaml") for one in yaml.safe_load_all(block)]
        waves = {
            one["kind"]: int(one["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
            for one in resources
        }
        assert waves["MilvusConnection"] < waves["MilvusRole"] < waves["MilvusUser"]


def applications() -> Iterator[Json]:
    for block in blocks("yml"):
        yield from (one for one in yaml.safe_load_all(block) if one["kind"] == "Application")


def chart_version(chart: Path) -> str:
    return str(yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"])
