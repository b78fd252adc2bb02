"""Builds and runs our image without Docker: the Dockerfile's own steps, on overlays of this machine in a mount namespace.

What stands for the base image is this machine with its Python. Whatever a step writes, installs or removes is in an overlay
that is gone with the namespace; the machine stays as it is. The network is the machine's.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

from support.dockerfile import DOCKERFILE, ROOT, Stage, ignore_patterns, is_in_context, stages, substitute
from support.operator import OperatorProcess
from testbed import cache
from testbed.chart import Release
from testbed.cluster import Cluster
from testbed.processes import Process

ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a Pod finds its ServiceAccount."""
_PYTHON: Final = Path(sys.base_prefix) / "bin"
_PATH: Final = f"{_PYTHON}:/usr/local/bin:/usr/bin:/bin"
_DEVICES: Final = ("null", "zero", "random", "urandom")
_STEP_SECONDS: Final = 240


class NoNamespaceError(Exception):
    """This machine lets us have no mount namespace with overlays; only root may on most."""


class Namespace:
    """Mounts that nobody else sees. They end with the process that holds them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="image."))
        hold = 'mount -t tmpfs -o mode=755 image "$0" && echo ready && exec sleep infinity'
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hold, str(self.folder)]
        self._holder = Process.start(command, Path(f"{self.folder}.log"))
        try:
            self._holder.wait_until(lambda: "ready" in self._holder.tail(), 10)
        except RuntimeError as problem:
            self.close()
            raise NoNamespaceError(str(problem)) from None
        # Whatever we mount would be everybody's, and so would the loss of what is under it.
        assert Path(f"/proc/{self._holder.pid}/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()

    def close(self) -> None:
        """Forget everything."""
        self._holder.stop()
        self._holder.log.unlink()
        self.folder.rmdir()

    @property
    def enter(self) -> list[str]:
        """What stands before a command that is to see the mounts."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--"]

    def outside(self, path: Path) -> Path:
        """The same file as everybody else can reach it."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def run(self, *argv: str | Path) -> str:
        """Run a command among the mounts; its output.

        Raises:
            RuntimeError: it failed.
        """
        command = [*self.enter, *map(str, argv)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_STEP_SECONDS, check=False, cwd="/"
        )
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def mount(self, *arguments: str | Path) -> None:
        """Mount something, over a folder that is made if it is not there."""
        self.run("mkdir", "-p", arguments[-1])
        self.run("mount", *arguments)

    def mount_kernel(self, root: Path) -> None:
        """Give a root what every program expects of the kernel, without a way to change this machine."""
        self.mount("--bind", "/proc", root / "proc")
        self.mount("-o", "remount,bind,ro", root / "proc")
        self.mount("-t", "tmpfs", "-o", "mode=755", "dev", root / "dev")
        for name in _DEVICES:
            self.run("touch", root / "dev" / name)
            self.run("mount", "--bind", f"/dev/{name}", root / "dev" / name)


class Layers:
    """The file system of one stage: this machine, and what the stage's steps changed."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        self.namespace = namespace
        folder = namespace.folder / name
        upper, work, self.root = folder / "upper", folder / "work", folder / "root"
        namespace.run("mkdir", "-p", upper, work, self.root)
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        namespace.mount("-t", "overlay", "-o", options, "overlay", self.root)
        namespace.mount_kernel(self.root)
        namespace.mount("-t", "tmpfs", "shm", self.inside("dev/shm"))
        namespace.mount("-t", "tmpfs", "tmp", self.inside("tmp"))
        self._offer_python()

    def inside(self, path: PurePath | str) -> Path:
        """Where a path of the image is among the mounts."""
        return self.root / str(path).lstrip("/")

    def run(self, argv: Sequence[str], environment: Mapping[str, str], folder: str = "/") -> str:
        """Run a command as root, with nothing but these variables."""
        variables = [f"{name}={value}" for name, value in environment.items()]
        return self.namespace.run(
            "chroot", self.root, "env", "--ignore-environment", f"--chdir={folder}", *variables, *argv
        )

    def _offer_python(self) -> None:
        """Give the interpreter the name that it has in the base image, for every user."""
        self.namespace.run("chmod", "o+x", *(self.inside(one) for one in _PYTHON.parents))
        python = self.inside(_PYTHON / "python")
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.namespace.run("sh", "-c", '[ -e "$0" ] || ln -s "$1" "$0"', python, name)


class Image:
    """Our image, built from the Dockerfile."""

    def __init__(self, namespace: Namespace, arguments: Mapping[str, str] | None = None) -> None:
        self.namespace = namespace
        self.stages = stages(DOCKERFILE.read_text())
        self.layers: dict[str, Layers] = {}
        for stage in self.stages:
            self._build(stage, dict(arguments or {}))
        self.config = self.stages[-1]
        self.environment = self.config.environment({"PATH": _PATH})

    @property
    def final(self) -> Layers:
        """The file system of a container."""
        return self.layers[""]

    def python(self, code: str) -> str:
        """What the image's Python says to some code."""
        return self.final.run(["/opt/milvus-rbac/bin/python", "-c", code], self.environment).strip()

    def _build(self, stage: Stage, given: Mapping[str, str]) -> None:
        layers = self.layers[stage.name or ""] = Layers(self.namespace, stage.name or "final")
        environment, folder = {"PATH": _PATH, **_machine()}, "/"
        for one in stage.instructions:
            match one.word:
                case "ARG":
                    environment |= {name: given.get(name, value) for name, value in one.pairs.items()}
                case "ENV":
                    known = dict(environment)
                    environment |= {name: substitute(value, known) for name, value in one.pairs.items()}
                case "WORKDIR":
                    folder = one.text
                    self.namespace.run("mkdir", "-p", layers.inside(folder))
                case "COPY":
                    self._copy(layers, folder, one.stage, one.paths)
                case "RUN":
                    if one.cache:
                        self.namespace.mount("--bind", _pip_cache(), layers.inside(one.cache))
                    layers.run(["sh", "-c", one.shell], environment, folder)
                    if one.cache:
                        self.namespace.run("umount", layers.inside(one.cache))
                case _:
                    pass  # it says how a container is run

    def _copy(self, layers: Layers, folder: str, origin: str | None, paths: Sequence[str]) -> None:
        *sources, target = paths
        place = layers.inside(PurePath(folder) / target)
        if origin is not None:
            (source,) = sources
            self.namespace.run("cp", "-a", self.layers[origin].inside(source), place)
            return
        for source in sources:
            is_into = (ROOT / source).is_file() and target.endswith("/")
            into = place / PurePath(source).name if is_into else place
            _copy_from_context(ROOT / source, self.namespace.outside(into))


class Container(OperatorProcess):
    """The operator as a Pod of the chart runs it: from the image, without root, and with nothing that it may write."""

    def __init__(self, image: Image, release: Release, cluster: Cluster, identity: str) -> None:
        self._image = image
        self._namespace = image.namespace
        self.root = Path(self._namespace.run("mktemp", "-d", "-p", self._namespace.folder).strip())
        self.user = str(release.pod["spec"]["securityContext"]["runAsUser"])
        self._mount(release, cluster)
        self.log = Path(tempfile.mkstemp(prefix="container-", suffix=".log")[1])
        self.environment = image.environment | release.environment(identity)
        self.environment |= {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(cluster.facts.port),
            "MILVUS_RBAC_HTTP_ADDRESS": "127.0.0.1:0",  # 8080 may be somebody else's here
            "MILVUS_RBAC_LOG_LEVEL": "DEBUG",
            "TEST_SESSION": os.environ.get("TEST_SESSION", ""),  # it is looked for when all tests are over
        }
        self.argv = self.command(*image.config.last("ENTRYPOINT").words, *release.arguments)
        self.process = Process.start(self.argv, self.log)

    def command(self, *argv: str) -> list[str]:
        """A command as the container's user runs it."""
        unprivileged = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        user = [f"--reuid={self.user}", f"--regid={self.user}", *unprivileged, "--pdeathsig=KILL"]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        enter = [*self._namespace.enter, "chroot", str(self.root), "setpriv", *user]
        return [*enter, "env", "--ignore-environment", "--chdir=/", *variables, *argv]

    def _mount(self, release: Release, cluster: Cluster) -> None:
        """Lay out what the kubelet does: a root that is read only, devices, and the ServiceAccount."""
        account = self._image.final.inside(ACCOUNT.replace("/var/run", "/run"))
        self._namespace.run("mkdir", "-p", account)
        self._namespace.run("mount", "--bind", self._image.final.root, self.root)
        self._namespace.run("mount", "-o", "remount,bind,ro", self.root)
        self._namespace.mount_kernel(self.root)
        self._namespace.run("mount", "-t", "tmpfs", "-o", "ro", "tmp", self.root / "tmp")
        token = cluster.service_account_token(release.namespace, release.account)
        self._mount_account(token, cluster.facts.ca.read_text(), release.namespace)

    def _mount_account(self, token: str, ca: str, namespace: str) -> None:
        place = self.root / ACCOUNT.replace("/var/run", "/run").lstrip("/")
        self._namespace.run("mount", "-t", "tmpfs", "-o", "mode=755", "account", place)
        for name, text in (("token", token), ("ca.crt", ca), ("namespace", namespace)):
            self._namespace.outside(place / name).write_text(text)
        self._namespace.run("mount", "-o", "remount,ro", place)


def _machine() -> dict[str, str]:
    """How this machine reaches its packages, which a builder is told in its own way."""
    wanted = ("PIP_", "SSL_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy")
    return {name: value for name, value in os.environ.items() if name.startswith(wanted)}


def _pip_cache() -> Path:
    folder = cache.root() / "pip"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _copy_from_context(source: Path, target: Path) -> None:
    """Copy a file, or what is in a folder, as far as .dockerignore lets Docker see it."""
    patterns = ignore_patterns()
    files = [source] if source.is_file() else [one for one in source.rglob("*") if one.is_file()]
    seen = [one for one in files if is_in_context(PurePath(one.relative_to(ROOT)), patterns)]
    if not seen:
        raise FileNotFoundError(f".dockerignore lets Docker see nothing of {source.name}")
    for one in seen:
        place = target / one.relative_to(source) if source.is_dir() else target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one, place)
