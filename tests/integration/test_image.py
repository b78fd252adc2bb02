"""The container image: its Dockerfile's own steps, run here without Docker, and what comes out of them."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.dockerfile import DOCKERFILE, ROOT, ignore_patterns, is_in_context, stages
from support.image import Container, Image, Namespace, NoNamespaceError
from support.story import Story
from testbed.build import Binaries
from testbed.chart import render
from testbed.cluster import Cluster
from testbed.milvus_admin import MilvusAdmin

LOCK = ROOT / "requirements.lock"
RUNTIME_LOCK = ROOT / "operator" / "requirements.lock"
BUILD_LOCK = ROOT / "operator" / "build.lock"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
BASE = re.compile(r"python:(?P<version>3\.\d+)\.\d+-slim-\w+@sha256:[0-9a-f]{64}")
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
INSTALLED = "import importlib.metadata as m, json; print(json.dumps([(d.name, d.version) for d in m.distributions()]))"
BYTECODE = """
import json, pathlib, sys, sysconfig
from importlib.util import cache_from_source
lost = []
for path in [*pathlib.Path(sysconfig.get_path("purelib")).rglob("*.py"), *pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py")]:
    cached = pathlib.Path(cache_from_source(path))
    if not cached.exists() or cached.read_bytes()[4:8] != b"\\1\\0\\0\\0":  # by hash, and never checked
        lost.append(str(path))
print(json.dumps(lost))
"""


def locked(lock: Path) -> dict[str, str]:
    """What a lock lists: each requirement with its marker, and its hashes."""
    text = re.sub(r"^ *#.*\n?", "", lock.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    split = (re.split(r"\s+(?=--hash=)", line, maxsplit=1) for line in text.splitlines())
    return {requirement.strip(): hashes for requirement, hashes in split}


def names(requirements: Iterable[str]) -> set[str]:
    """Which packages are required."""
    return {canonicalize_name(Requirement(one).name) for one in requirements}


@pytest.fixture(scope="session")
def namespace_of_mounts() -> Iterator[Namespace]:
    try:
        namespace = Namespace()
    except NoNamespaceError as problem:
        if "CI" in os.environ:  # where nobody reads why something was skipped
            raise
        pytest.skip(str(problem))
    yield namespace
    namespace.close()


@pytest.fixture(scope="session")
def image(namespace_of_mounts: Namespace) -> Image:
    """The image, built once; nothing changes it."""
    return Image(namespace_of_mounts, EPOCH)


class TestDockerfile:
    def test_the_linter_has_nothing_to_say(self) -> None:
        linter = str(Path(sys.executable).parent / "hadolint")
        command = [
            linter,
            "--no-color",
            "--disable-ignore-pragma",
            "--failure-threshold=style",
            str(DOCKERFILE),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    def test_the_base_is_pinned_and_no_registry_is_named(self) -> None:
        build, final = stages(DOCKERFILE.read_text())
        assert BASE.fullmatch(final.base)
        assert build.base == final.base

    def test_a_container_is_what_the_chart_expects(self, binaries: Binaries) -> None:
        pod = render(binaries.helm).pod["spec"]
        (container,) = pod["containers"]
        final = stages(DOCKERFILE.read_text())[-1]
        user, group = (pod["securityContext"][key] for key in ("runAsUser", "runAsGroup"))
        assert final.last("USER").text == f"{user}:{group}"
        assert [one.text for one in final.of("EXPOSE")] == [str(container["ports"][0]["containerPort"])]
        assert final.last("CMD").words == container["args"]
        assert final.last("ENTRYPOINT").words == list(PROJECT["project"]["scripts"])
        assert final.last("STOPSIGNAL").text == "SIGTERM"

    def test_docker_sees_the_sources_of_the_operator_and_nothing_else(self) -> None:
        command = ["git", "ls-files", "--cached", "--others"]  # those that git ignores, too
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        patterns = ignore_patterns()
        seen = [name for name in listing.splitlines() if is_in_context(PurePath(name), patterns)]
        tops = {PurePath(name).parts[0] for name in seen}
        assert tops == {"LICENSE", "README.md", "operator", "pyproject.toml"}
        assert [name for name in seen if "__pycache__" in name] == []

    def test_make_image_says_what_is_missing_where_there_is_no_docker(self) -> None:
        command = ["make", "image", "DOCKER=no-such-docker"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode
        assert "`make image` needs Docker" in done.stderr


class TestLocks:
    def test_what_the_image_installs_is_what_the_tests_ran_with(self) -> None:
        tested, shipped = locked(LOCK), locked(RUNTIME_LOCK)
        assert {one: tested.get(one) for one in shipped} == shipped
        assert names(PROJECT["project"]["dependencies"]) <= names(shipped)

    def test_no_tool_of_developers_is_shipped(self) -> None:
        tools = names(PROJECT["dependency-groups"]["dev"])
        assert names(locked(RUNTIME_LOCK)) & tools == {"pyyaml", "urllib3"}  # which kubernetes needs, too

    def test_what_builds_the_wheel_is_locked(self) -> None:
        assert PROJECT["dependency-groups"]["build"] == PROJECT["build-system"]["requires"]
        assert "hatchling" in names(locked(BUILD_LOCK))

    @pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
    def test_the_image_needs_no_compiler(self, machine: str, tmp_path: Path) -> None:
        """Every package has a wheel for the Python of the image, on this architecture."""
        found = BASE.fullmatch(stages(DOCKERFILE.read_text())[-1].base)
        assert found is not None
        platforms = [f"--platform={name}_{machine}" for name in ("manylinux2014", "manylinux_2_28")]
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--dry-run",
        ]
        command += [f"--target={tmp_path}", f"--python-version={found['version']}", *platforms]
        command += ["--only-binary=:all:", "--no-deps", "--require-hashes", "-r", str(RUNTIME_LOCK)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


class TestContents:
    def test_what_is_installed_is_the_lock_and_the_operator(self, image: Image) -> None:
        installed = {
            canonicalize_name(name): version for name, version in json.loads(image.python(INSTALLED))
        }
        wanted = [Requirement(one) for one in locked(RUNTIME_LOCK)]
        versions = {
            one.name: str(one.specifier)[2:] for one in wanted if not one.marker or one.marker.evaluate()
        }
        assert installed == versions | {PROJECT["project"]["name"]: PROJECT["project"]["version"]}

    def test_nothing_in_it_can_install_anything(self, image: Image) -> None:
        code = "from importlib.util import find_spec; print([one for one in {} if find_spec(one)])"
        tools = ["pip", "setuptools", "wheel", "ensurepip", "hatchling"]
        assert image.python(code.format(tools)) == "[]"
        alone = image.final.run(
            ["python", "-c", code.format(tools)], {"PATH": image.environment["PATH"].partition(":")[2]}
        )
        assert alone.strip() == "[]"

    def test_all_bytecode_is_there_and_belongs_to_no_time(self, image: Image) -> None:
        assert json.loads(image.python(BYTECODE)) == []

    def test_the_same_sources_give_the_same_wheel(self, image: Image) -> None:
        build = image.layers["build"]
        (step,) = (one for one in image.stages[0].of("RUN") if "pip wheel" in one.shell)
        make_wheel = step.shell.partition("&&")[0]
        read = ["sh", "-c", "sha256sum /wheels/*"]
        environment = image.stages[0].environment({"PATH": "/usr/bin:/bin"}) | EPOCH
        before = build.run(read, environment)
        build.run(
            ["sh", "-c", f"find . -exec touch {{}} + && rm /wheels/* && {make_wheel}"], environment, "/src"
        )
        assert build.run(read, environment) == before
        assert before.count("\n") == 1


class TestContainer:
    @pytest.fixture
    def container(self, image: Image, stage: Story, control_plane: Cluster) -> Container:
        stage.connection()
        container = Container(image, stage.install(), control_plane, "one")
        stage.operators.append(container)
        return container

    def test_it_serves_without_root_and_without_a_place_to_write(
        self, container: Container, stage: Story, admin: MilvusAdmin
    ) -> None:
        role = stage.unique("role")
        stage.role("reader", role, {"privileges": ["Search"], "collections": ["orders"]})
        stage.wait_ready("MilvusRole", "reader")
        assert ("Collection", "orders", "default", "Search") in admin.grants(role)
        assert container.get("/readyz")
        status = Path(f"/proc/{container.process.pid}/status").read_text()
        assert re.search(rf"^Uid:\s+({container.user})\s+\1\s+\1\s+\1$", status, re.MULTILINE)
        assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
        find = container.command(
            "find", "/", "-xdev", "-maxdepth", "3", "-not", "-type", "l", "-writable", "-print", "-quit"
        )
        assert subprocess.run(find, capture_output=True, text=True, check=False).stdout == ""

    def test_it_runs_on_nothing_but_what_is_in_it(self, container: Container, stage: Story) -> None:
        stage.wait_ready("MilvusConnection", "prod")
        mapped = Path(f"/proc/{container.process.pid}/maps").read_text()
        modules = set(re.findall(r"\S+/site-packages/\S+", mapped))
        assert modules
        assert [name for name in modules if "/opt/milvus-rbac/lib/" not in name] == []
        assert [name for name in modules if "/pandas/" in name or "/numpy/" in name] == []

    def test_sigterm_ends_it_in_good_order(self, container: Container, stage: Story) -> None:
        stage.wait_ready("MilvusConnection", "prod")
        assert container.process.stop(grace=20) == 0
