"""Programs that judge what is written for others: manifests, rules of Prometheus, statuses. Built when first needed."""

import json
from functools import partial
from pathlib import Path
from typing import Final

from testbed import cache
from testbed.build import HERE, BuildError, build_tools, go, go_key

KUBE_SCORE_MODULE: Final = HERE / "go-checks"
PROMETHEUS_MODULE: Final = HERE / "go-prometheus"
KSTATUS_MODULE: Final = HERE / "go-kstatus"
MONITORING: Final = "github.com/prometheus-operator/prometheus-operator@v0.88.0"
MONITORING_SUM: Final = "h1:3T/dCQdk7CUVRqVfwRHoC5g66fC/ML6XQQLtQVL6Q5o="


def ensure_kube_score() -> Path:
    """kube-score, which judges manifests."""
    build = partial(build_tools, "Building kube-score", KUBE_SCORE_MODULE)
    return cache.entry(f"kube-score-{go_key(KUBE_SCORE_MODULE)}", build) / "kube-score"


def ensure_prometheus() -> Path:
    """The folder of prometheus and promtool, without the discovery of clouds and clusters."""
    what = "Building Prometheus (once, about a minute on two cores)"

    def build(target: Path) -> None:
        build_tools(what, PROMETHEUS_MODULE, target, "-tags=remove_all_sd")

    return cache.entry(f"prometheus-{go_key(PROMETHEUS_MODULE)}", build)


def ensure_kstatus() -> Path:
    """kstatus, by which Flux and others tell whether a resource is done."""
    build = partial(build_tools, "Building kstatus", KSTATUS_MODULE)
    return cache.entry(f"kstatus-{go_key(KSTATUS_MODULE)}", build) / "kstatus"


def monitoring_crds() -> list[Path]:
    """The CustomResourceDefinitions of Prometheus Operator."""
    told = json.loads(go("mod", "download", "-json", MONITORING, module=KUBE_SCORE_MODULE))
    if told["Sum"] != MONITORING_SUM:
        raise BuildError(f"{MONITORING} is not what it was: {told['Sum']}")
    return sorted((Path(told["Dir"]) / "example" / "prometheus-operator-crd").glob("*.yaml"))


def main() -> None:
    """Build them ahead of time."""
    ensure_kube_score()
    ensure_prometheus()
    ensure_kstatus()


if __name__ == "__main__":
    main()
