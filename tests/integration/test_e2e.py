"""What of `make e2e` can be seen without Docker: that its script and values are right, and that its stories can be told."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.double import ServerSettings
from support.double.thread import DoubleThread
from support.operator import OperatorProcess
from testbed.build import Binaries
from testbed.chart import render
from testbed.control_plane import ControlPlane

ROOT = Path(__file__).parents[2]
E2E = ROOT / "tests" / "e2e"
SCRIPT = E2E / "run.sh"
NEEDS_A_REAL_MILVUS = "test_taking_a_row_out_ends_what_the_user_may_do"
"""It asks about a collection, which the double has no calls for."""


def values(name: str) -> dict[str, Any]:
    """A YAML file of the folder."""
    read: dict[str, Any] = yaml.safe_load((E2E / f"{name}.yaml").read_text())
    return read


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, at the root of the repository."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_is_good_bash() -> None:
    linter = Path(sys.executable).parent / "shellcheck"
    for command in (("bash", "-n"), (linter,)):
        done = run(*command, SCRIPT)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_script_names_the_tool_that_is_missing(tmp_path: Path) -> None:
    for name in ("bash", "dirname"):  # and neither Docker nor kind, or it would begin
        (tmp_path / name).symlink_to(Path("/usr/bin") / name)
    done = run(tmp_path / "bash", SCRIPT, PATH=str(tmp_path))
    assert (done.returncode, done.stderr.strip()) == (1, "make e2e needs docker on the PATH.")


def test_the_operators_values_fit_the_chart_and_run_the_image_that_was_built(binaries: Binaries) -> None:
    release = render(binaries.helm, values("operator"))
    (container,) = release.pod["spec"]["containers"]
    built = re.search(r" image=(\S+)", SCRIPT.read_text())
    assert built is not None
    assert container["image"] == built[1]
    assert container["imagePullPolicy"] == "Never"


def test_the_tests_reach_milvus_where_the_cluster_offers_it() -> None:
    (node,) = values("kind")["nodes"]
    (port,) = node["extraPortMappings"]
    assert re.fullmatch(r"kindest/node:v1\.\d+\.\d+@sha256:[0-9a-f]{64}", node["image"])
    assert port["containerPort"] == values("milvus")["service"]["nodePort"]
    assert f"E2E_MILVUS_PORT={port['hostPort']}" in SCRIPT.read_text()


def test_milvus_asks_for_logins_and_has_room_for_the_stories() -> None:
    settings = yaml.safe_load(values("milvus")["extraConfigFiles"]["user.yaml"])
    assert settings["common"]["security"]["authorizationEnabled"] is True
    assert settings["proxy"]["maxRoleNum"] > 100


class TestStories:
    @pytest.fixture
    def double(self) -> Iterator[DoubleThread]:
        """The version of Milvus that the cluster gets."""
        version = values("milvus")["image"]["all"]["tag"].removeprefix("v").rpartition(".")[0]
        with DoubleThread(version, ServerSettings(max_user_num=2000, max_role_num=500)) as double:
            yield double

    @pytest.fixture
    def operator(self, fresh_control_plane: ControlPlane, binaries: Binaries) -> Iterator[OperatorProcess]:
        """An operator for all namespaces, with the settings and permissions of the e2e values."""
        release = render(binaries.helm, values("operator"))
        account = fresh_control_plane.service_account_kubeconfig(release.namespace, release.account)
        operator = OperatorProcess(release.arguments, release.environment("one"), account)
        yield operator
        operator.stop()

    def test_every_story_ends_well_on_the_test_bed(
        self, fresh_control_plane: ControlPlane, operator: OperatorProcess, double: DoubleThread
    ) -> None:
        facts = fresh_control_plane.facts
        done = run(
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", E2E / "stories.py"),
            f"--deselect=tests/e2e/stories.py::{NEEDS_A_REAL_MILVUS}",
            KUBECONFIG=str(facts.kubeconfig),
            PATH=f"{facts.kubectl.parent}:{facts.helm.parent}:{os.environ['PATH']}",
            E2E_MILVUS_URI=f"http://127.0.0.1:{double.port}",
            E2E_MILVUS_PORT=str(double.port),
        )
        assert done.returncode == 0, done.stdout + operator.output
        assert re.search(r"^12 passed, 1 deselected", done.stdout, re.MULTILINE)
