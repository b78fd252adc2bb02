"""docs/messages.md: every mistake of the tables with what is said to it. `python -m support.mistakes.page` writes it anew."""

import asyncio
import json
import re
from functools import partial
from pathlib import Path
from typing import Final

from milvus_rbac.api.v1alpha1 import KINDS
from milvus_rbac.domain.text import printable
from support.controller_bed import ControllerBed, controller_bed
from support.mistakes.refused import REFUSED, Written, answer
from support.mistakes.told import SCENES, Scene, Told
from testbed.bed import TestBed
from testbed.cluster import Cluster

PAGE: Final = Path(__file__).parents[3] / "docs" / "messages.md"
REFUSED_TITLE: Final = "Refused at once"
TOLD_TITLE: Final = "Said in the condition Ready"
_LONGEST: Final = 80
_SETTLED: Final = 0.5
"""Seconds in which no message changes."""
NAMESPACE: Final = "messages"
SERVER: Final = "milvus:19530"
"""What stands for the address of the double."""

HEAD: Final = f"""# What it says when …

What people write by mistake, and the answer to it: first what the API server refuses, then what the operator says in the condition
`Ready`. [Troubleshooting](troubleshooting.md) has more about each reason. This page is written by `make messages`, and tests compare it with what
is really said.

- [{REFUSED_TITLE}](#refused-at-once)
- [{TOLD_TITLE}](#said-in-the-condition-ready)
"""


def refused_lines(cluster: Cluster) -> list[str]:
    """Return the part about the API server, line by line."""
    cluster.create_namespace(NAMESPACE)
    lines = [
        f"## {REFUSED_TITLE}",
        "",
        "`kubectl apply` and `kubectl apply --dry-run=server` say, and nothing is stored:",
    ]
    for kind in KINDS:
        lines += ["", f"### {kind.__name__}", "", "| written | it says |", "|---|---|"]
        for written in REFUSED[kind.plural]:
            said = answer(cluster, NAMESPACE, kind.plural, written)
            lines.append(f"| {_written(written)} | {_cell(_without_head(said))} |")
    return lines


def _written(written: Written) -> str:
    """Return what is written in words and, where that is short, as JSON."""
    text = json.dumps(written.spec)[1:-1]
    change = "" if written.before is None else ", as a change"
    what = f"{written.what}{change}"
    return what if len(text) > _LONGEST or None in written.spec.values() else f"{what}: `{text}`"


def _without_head(said: str) -> str:
    """Return an answer without what is the same in all of them, and without regular expressions."""
    text = re.sub(r'^\d+: (\w+\.rbac\.milvus\.io "example" is invalid: )?', "", said)
    text = re.sub(
        r"^\[(.*), <nil>: Invalid value: null: some validation rules were not checked.*\]$", r"\1", text
    )
    return re.sub(r"should match '\^.*\$'", "should match a regular expression", text)


async def told_lines() -> list[str]:
    """Return the part about conditions, line by line."""
    lines = [f"## {TOLD_TITLE}"]
    for scene, found in zip(SCENES, await asyncio.gather(*map(_lines_of, SCENES)), strict=True):
        lines += [
            "",
            f"### {scene.title}",
            "",
            "| what is wrong | reason | it says |",
            "|---|---|---|",
            *found,
        ]
    return lines


async def _lines_of(scene: Scene) -> list[str]:
    async with controller_bed(scene.dress, scene.server, **scene.settings) as bed:
        scene.prepare(bed)
        plurals = {name: _make(bed, name, told) for name, told in scene.told.items()}
        for name, told in scene.told.items():
            is_told = partial(_is_told, bed, plurals[name], name, told)
            await bed.wait(is_told, f"{plurals[name]} {name} says {told.reason}")
        lines: list[str] = []
        while lines != (found := [_told(bed, plurals[name], name, one) for name, one in scene.told.items()]):
            lines = found
            await asyncio.sleep(_SETTLED)
        return lines


def _make(bed: ControllerBed, name: str, told: Told) -> str:
    if told.before is not None:
        told.before(bed)
    return told.apply(bed, name)


def _is_told(bed: ControllerBed, plural: str, name: str, told: Told) -> bool:
    return bed.reason(plural, name, told.namespace) == told.reason


def _told(bed: ControllerBed, plural: str, name: str, told: Told) -> str:
    ready = bed.condition(plural, name, told.namespace)
    server = bed.double.uri.removeprefix("http://")
    return f"| {told.what} | `{ready['reason']}` | {_cell(ready['message'].replace(server, SERVER))} |"


def _cell(text: str) -> str:
    """Return a text as one cell of a table."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def part(title: str) -> list[str]:
    """Return the lines of one part of the page as it is."""
    _, _, rest = PAGE.read_text().partition(f"## {title}\n")
    return [f"## {title}", *rest.partition("\n## ")[0].rstrip().splitlines()]


def main() -> None:
    """Write the page anew."""
    bed = TestBed()
    try:
        parts = [refused_lines(bed.control_plane()), asyncio.run(told_lines())]
    finally:
        bed.close()
    PAGE.write_text("\n".join([HEAD, *("\n".join([*lines, ""]) for lines in parts)]))


if __name__ == "__main__":
    main()
