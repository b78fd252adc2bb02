"""docs/performance.md: its commands are taken, they measure all sides, and what is claimed can turn out to be untrue."""

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
import yaml
from bench.apply import SIDES, parser
from bench.bare import batches
from bench.figures import Figures, Took
from bench.report import BARE, OPERATOR, TUTORIAL, Size, broken_claims
from bench.resources import Load

from support.reader import ROOT, commands
from testbed.build import Binaries

PAGE = ROOT / "docs" / "performance.md"
COMMANDS = [line for block in commands(PAGE.read_text()) for line in block.splitlines() if line]
TOOK = Took(seconds=10.0, cpu=3.0, memory=100.0, foreign=0.0)
FIGURES = Figures(1050, TOOK, (2,) * 1050, 0, 3, Counter({"CreateCredential": 1000}))


def options(command: str) -> list[str]:
    """What a command of the page, a target of make, passes to the bench."""
    make = [*shlex.split(command), "--dry-run", "PYTHON=false"]
    printed = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (found,) = re.findall(r"-m bench\.apply *(.*)$", printed, re.MULTILINE)
    return shlex.split(found)


def test_the_page_has_commands_with_and_without_sizes() -> None:
    assert {"--sizes" in options(command) for command in COMMANDS} == {True, False}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_is_taken_as_it_stands(command: str) -> None:
    taken = parser().parse_args(options(command))
    assert taken.sizes
    assert taken.rounds


def test_every_side_is_measured_and_the_table_says_what_is_not_as_claimed(binaries: Binaries) -> None:
    assert binaries.kube_apiserver.exists()
    small = [sys.executable, "-m", "bench.apply", *options("make bench SIZES=10 ROUNDS=1")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(small, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "10 users and 1 roles applied at once" in done.stdout, done.stderr
    for side in SIDES:
        assert re.search(rf"10 users: {side.name}, \d+\.\d\d s", done.stdout)
    rows = {
        cells[0].strip(): cells[1:]
        for line in done.stdout.splitlines()
        if len(cells := re.split("[│]", line)) > 1
    }
    for row in re.findall(r"^\| ([^|`]+) \|", PAGE.read_text(), re.MULTILINE):
        if row not in {"line", "---"}:
            assert row in rows, f"{row} is in docs/performance.md and not in the table"
    writes, calls = (
        [float(cell) for cell in rows[row]] for row in ("Kubernetes writes per resource", "... that write")
    )
    # On a busy machine an operator meets a user before its role, and writes once more.
    assert writes[1] == 2 == min(writes)
    assert calls[1] == 23 == min(calls)
    assert done.returncode == int("Not as claimed" in done.stdout)


def test_no_batch_has_more_intents_than_a_connection_holds() -> None:
    definition = yaml.safe_load((ROOT / "crds" / "milvusconnections.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    parts = batches(Load("n", 1000, 50).bodies())
    assert sum(map(len, parts)) == 1050
    assert max(map(len, parts)) <= status["properties"]["inFlight"]["maxItems"]


def taking(seconds: float, cpu: float = 3.0) -> Figures:
    return replace(FIGURES, took=replace(TOOK, seconds=seconds, cpu=cpu))


def test_a_claim_that_is_not_true_is_named() -> None:
    slow = taking(20.0)
    good = {OPERATOR: [FIGURES], BARE: [FIGURES], TUTORIAL: [slow]}
    assert broken_claims(Size(1000, 50, good)) == []
    assert [side.name for side in SIDES] == list(good)

    def named(users: int, figures: Figures) -> str:
        return "\n".join(broken_claims(Size(users, 50, good | {OPERATOR: [figures]})))

    assert "as long as the bare script" in named(1000, taking(13.6))
    assert "as long as the bare script" in named(5000, taking(12.6))
    assert named(200, taking(19.0)) == ""
    assert "not faster than the tutorial" in named(200, slow)
    assert "the CPU of the bare script" in named(1000, taking(10.0, cpu=8.0))
    assert "3 writes" in named(200, replace(FIGURES, writes=(2, 3)))
