"""`make picture`: docs/dashboard.png, the chart's dashboard with the data of a run. Prometheus is real, the drawing is ours.

Grafana is not to be had here, so its panels are drawn from the same file: their place, title, unit, queries and legends.
"""

import json
import re
import secrets
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from support.story import Story
from testbed.api_forwarder import ApiForwarder
from testbed.bed import TestBed
from testbed.chart import CHART
from testbed.checkers import ensure_prometheus
from testbed.forwarder import Action
from testbed.milvus import STANDARD
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique
from testbed.processes import Process, accepts, free_port, release_port

TARGET: Final = CHART.parents[1] / "docs" / "dashboard.png"
DASHBOARD: Final = CHART / "files" / "dashboard.json"
SECONDS: Final = 150
USERS, ROLES, BEGINNING = 60, 20, 10
MEDDLES, ROTATES, FORGETS, MISSPELLS = 7, 11, 9, 20
"""Every how many seconds somebody takes a grant away or changes a password; every which user has no Secret, or comes with a
misspelt privilege."""
AWAY: Final = (80, 100)
"""The seconds between which Milvus does not answer."""
RATE: Final = "15s"
COLUMNS, UNIT_HEIGHT, WIDTH = 24, 0.36, 19.2
"""Of Grafana's grid; inches."""
BACK, PANEL, TEXT = "#111217", "#181b1f", "#ccccdc"
COLORS: Final = [
    "#73bf69",
    "#f2cc0c",
    "#5794f2",
    "#ff9830",
    "#f2495c",
    "#b877d9",
    "#8ab8ff",
    "#fade2a",
    "#96d98d",
]


class Prometheus:
    """Reads one operator every second, and answers queries about it."""

    def __init__(self, operator_port: int, folder: Path) -> None:
        self.port = free_port()
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [
                {"job_name": "operator", "static_configs": [{"targets": [f"127.0.0.1:{operator_port}"]}]}
            ],
        }
        (folder / "prometheus.json").write_text(json.dumps(config))
        flags = {
            "config.file": folder / "prometheus.json",
            "storage.tsdb.path": folder / "data",
            "web.listen-address": f"127.0.0.1:{self.port}",
        }
        options = [f"--{name}={value}" for name, value in flags.items()]
        command = [str(ensure_prometheus() / "prometheus"), *options]
        self._process = Process.start(command, folder / "prometheus.log")
        self._process.wait_until(lambda: accepts(self.port), 30)

    def ask(
        self, query: str, start: float, end: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """Give the series of a query, each with its labels, a point a second."""
        asked = {"query": query, "start": start, "end": end, "step": 1}
        url = f"http://127.0.0.1:{self.port}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = json.load(answer)["data"]["result"]
        return [(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in found]

    def stop(self) -> None:
        """End it."""
        self._process.stop()
        release_port(self.port)


# --- what happens


def play(story: Story, admin: MilvusAdmin, way: MilvusForwarder) -> None:
    """Let a platform live through two and a half minutes: applications come, somebody meddles, Milvus is away for a while."""
    started = time.monotonic()
    token = story.unique.token
    for number in range(BEGINNING, ROLES):
        story.role(
            f"r{number}",
            f"role_{token}_{number}",
            {"privileges": ["Search", "Query"], "collections": ["orders"]},
        )
    number = 0
    while (passed := time.monotonic() - started) < SECONDS:
        if number < USERS:
            _add_user(story, token, number)
        if number and number % MEDDLES == 0:
            admin.revoke(f"role_{token}_{BEGINNING}", "Collection", "orders", "Search", "default")
        if number and number % ROTATES == 0:
            story.password("u1", f"Rotated-{number}-x")
        way.hook = _refuse if AWAY[0] < passed < AWAY[1] else None
        number += 1
        time.sleep(1)


def _add_user(story: Story, token: str, number: int) -> None:
    if (number + 1) % FORGETS:
        story.password(f"u{number}", f"Secret-{number}")
    role = f"role_{token}_{BEGINNING + number % (ROLES - BEGINNING)}"
    story.user(f"u{number}", f"user_{token}_{number}", role)
    if (number + 1) % MISSPELLS == 0:
        story.role(f"w{number}", f"role_{token}_w{number}", {"privileges": ["Qwery"], "collections": ["*"]})


def _refuse(_: Any) -> Any:
    return Action.DROP


@contextmanager
def stage(folder: Path) -> Iterator[tuple[Story, MilvusAdmin, MilvusForwarder, Prometheus]]:
    """An operator at work, and a Prometheus that looks at it."""
    bed = TestBed()
    try:
        cluster, milvus = bed.control_plane(), bed.milvus(STANDARD)
        namespace = f"milvus-{secrets.token_hex(2)}"
        cluster.create_namespace(namespace)
        with (
            MilvusForwarder(milvus.facts.port) as way,
            ApiForwarder(cluster.url, cluster.facts.ca) as api,
            milvus.facts.admin() as admin,
        ):
            story = Story(cluster, namespace, way, api, Unique())
            story.connection(interval="10s")
            operator = story.start_operator(log_level="INFO")
            prometheus = Prometheus(operator.port, folder)
            try:
                yield story, admin, way, prometheus
            finally:
                prometheus.stop()
                story.close()
    finally:
        bed.close()


# --- how it is drawn


def draw(prometheus: Prometheus, start: float, end: float) -> None:
    """Draw every panel where it stands in Grafana."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    mpl.rcParams.update(
        {
            "text.color": TEXT,
            "axes.labelcolor": TEXT,
            "xtick.color": TEXT,
            "ytick.color": TEXT,
            "font.size": 8,
        }
    )
    figure = Figure(figsize=(WIDTH, height * UNIT_HEIGHT), facecolor=BACK)
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] / COLUMNS, 1 - place["y"] / height
        width, tall = place["w"] / COLUMNS, place["h"] / height
        if panel["type"] == "row":
            figure.text(left + 0.005, top - tall * 0.7, panel["title"], fontsize=11, weight="bold")
            continue
        box = (left + 0.028, top - tall * 0.9, width - 0.036, tall * 0.72)
        axes = figure.add_axes(box, facecolor=PANEL)
        axes.set_title(panel["title"], loc="left", fontsize=9, weight="bold")
        lines = [
            (_legend(target["legendFormat"], labels), points)
            for target in panel["targets"]
            for labels, points in prometheus.ask(_filled(target["expr"]), start, end)
        ]
        (_draw_number if panel["type"] == "stat" else _draw_lines)(axes, panel, lines, start)
    figure.savefig(TARGET, dpi=75, facecolor=BACK)


def _draw_number(axes: Axes, panel: dict[str, Any], lines: list[Any], start: float) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    value = lines[0][1][-1][1] if lines else 0.0
    color = COLORS[0]
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = {"green": COLORS[0], "orange": COLORS[3], "red": COLORS[4]}[step["color"]]
    if lines:
        axes.plot(
            [at - start for at, _ in lines[0][1]],
            [number for _, number in lines[0][1]],
            color=color,
            alpha=0.3,
        )
    unit = panel["fieldConfig"]["defaults"]["unit"]
    text = f"{value:.0f}{' s' if unit == 's' else ''}"
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=24, color=color)


def _draw_lines(axes: Axes, panel: dict[str, Any], lines: list[Any], start: float) -> None:
    axes.grid(color="#2c3235", linewidth=0.5)
    for name in ("top", "right"):
        axes.spines[name].set_visible(b=False)
    lines = sorted(
        (line for line in lines if any(value > 0 for _, value in line[1])), key=lambda line: -line[1][-1][1]
    )
    stacked = "stacking" in panel["fieldConfig"]["defaults"].get("custom", {})
    floor: dict[float, float] = {}
    for index, (label, points) in enumerate(lines):
        color = COLORS[index % len(COLORS)]
        times = [at - start for at, _ in points]
        below = [floor.get(at, 0.0) for at, _ in points]
        values = (
            [value + base for (_, value), base in zip(points, below, strict=True)]
            if stacked
            else [v for _, v in points]
        )
        axes.plot(times, values, color=color, linewidth=1, label=label)
        if stacked:
            axes.fill_between(times, below, values, color=color, alpha=0.4)
            floor |= dict(zip((at for at, _ in points), values, strict=True))
    axes.set_ylim(bottom=0, top=1.45 * axes.get_ylim()[1] if lines else None)  # the legend is above
    if panel["fieldConfig"]["defaults"]["unit"] == "bytes":
        axes.yaxis.set_major_formatter(lambda value, _: f"{value / 2**20:.0f} MiB")
    if lines:
        axes.legend(loc="upper left", fontsize=6, frameon=False, ncols=2)


def _filled(query: str) -> str:
    return query.replace("$__rate_interval", RATE).replace("$connection", ".*")


def _legend(pattern: str, labels: dict[str, str]) -> str:
    return re.sub(
        r"\{\{(\w+)\}\}", lambda found: re.sub("milvus-....", "milvus", labels.get(found[1], "")), pattern
    )


def main() -> int:
    """The command line."""
    with TemporaryDirectory() as name, stage(Path(name)) as (story, admin, way, prometheus):
        started = time.time()
        play(story, admin, way)
        draw(prometheus, started, time.time())
    sys.stdout.write(f"{TARGET}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
