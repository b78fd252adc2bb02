"""Gets the servers that the tests run: Kubernetes, etcd and helm built from source, Milvus from its wheel.

`python -m testbed.build` does it ahead of time; `ensure()` gives the paths, building what is missing.
"""

import dataclasses
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from testbed import cache

HERE = Path(__file__).parent
GO_MODULE = HERE / "go"
MILVUS_LOCK = HERE / "milvus-requirements.lock"
KUBERNETES_VERSION = "v1.37.2"
HELM_VERSION = "v4.3.1"

# The first two keep the Go compiler from collecting garbage for a fifth of its time; debuggers get nothing, stack
# traces still have their lines.
_GO_ENV = {"CGO_ENABLED": "0", "GOGC": "400"}
_GO_FLAGS = ("-trimpath", "-gcflags=all=-dwarf=false")
_REPORT_EVERY = 10.0


class BuildError(Exception):
    """A server cannot be had on this machine; the message says what to do."""


@dataclass(frozen=True)
class KubernetesBinaries:
    """The control plane and its clients."""

    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path
    helm: Path
    etcd: Path


@dataclass(frozen=True)
class MilvusBinary:
    """The Milvus server itself, with its libraries beside it, and the template of its configuration."""

    server: Path
    config_template: Path


@dataclass(frozen=True)
class Binaries(KubernetesBinaries):
    """Everything that the tests run."""

    milvus: MilvusBinary


def ensure() -> Binaries:
    """The paths of all servers; builds what is missing."""
    kubernetes = ensure_kubernetes()
    paths = {field.name: getattr(kubernetes, field.name) for field in dataclasses.fields(kubernetes)}
    return Binaries(milvus=ensure_milvus(), **paths)


def ensure_kubernetes() -> KubernetesBinaries:
    """The control plane: from $KUBEBUILDER_ASSETS as far as that has it, the rest from the cache or built."""
    found = _from_assets()
    missing = [field.name for field in dataclasses.fields(KubernetesBinaries) if field.name not in found]
    if missing:
        built = cache.entry(f"kubernetes-{go_key()}", _build_servers)
        found |= {name: built / _file_name(name) for name in missing}
    return KubernetesBinaries(**found)


def ensure_milvus() -> MilvusBinary:
    """Milvus: its wheel unpacked once, so that every server shares the same files."""
    lock = MILVUS_LOCK.read_bytes()
    folder = cache.entry(f"milvus-{cache.key(lock, sys.platform, os.uname().machine)}", _install_milvus)
    return MilvusBinary(server=folder / "bin" / "milvus", config_template=folder / "milvus.yaml.template")


def _file_name(field: str) -> str:
    return field.replace("_", "-")


def _from_assets() -> dict[str, Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        return {}
    candidates = {
        field.name: Path(assets) / _file_name(field.name) for field in dataclasses.fields(KubernetesBinaries)
    }
    return {name: path for name, path in candidates.items() if os.access(path, os.X_OK)}


def go_key(module: Path = GO_MODULE) -> str:
    """What tells one build of a module from another."""
    settings = [*_GO_FLAGS, _ld_flags(), *(f"{name}={value}" for name, value in _GO_ENV.items())]
    tool_chain = go("env", "GOVERSION", "GOOS", "GOARCH")
    sources = [module / "go.mod", module / "go.sum", *sorted(module.glob("*.go"))]
    return cache.key(*(source.read_bytes() for source in sources), *settings, tool_chain)


def _ld_flags() -> str:
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    # An empty commit: left alone, it is a template that every user agent would show.
    facts = {
        "gitVersion": KUBERNETES_VERSION,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamps = [f"-X {package}.{name}={value}" for package in packages for name, value in facts.items()]
    return " ".join(["-s", "-w", *stamps, f"-X helm.sh/helm/v4/internal/version.version={HELM_VERSION}"])


def go(*args: str, module: Path = GO_MODULE) -> str:
    """Run Go in a module; give what it printed."""
    go = shutil.which("go")
    if go is None:
        raise BuildError(
            "Go is not on the PATH, and the Kubernetes API server is built with it: install Go 1.26 or newer, "
            "or set KUBEBUILDER_ASSETS to a folder with kube-apiserver, kube-controller-manager, etcd, kubectl and helm."
        )
    done = subprocess.run([go, *args], cwd=module, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"`go {' '.join(args)}` failed:\n{done.stderr.strip()}")
    return done.stdout


def _build_servers(target: Path) -> None:
    what = f"Building Kubernetes {KUBERNETES_VERSION}, etcd and helm (once, about six minutes on two cores)"
    build_tools(what, GO_MODULE, target, "-ldflags", _ld_flags())
    (target / "server").rename(target / "etcd")  # Go names a binary after the last part of its package's path


def build_tools(what: str, module: Path, target: Path, *flags: str) -> None:
    """Build what a go.mod lists as tools, in one call, so that what they share is compiled once."""
    command = ["go", "build", *_GO_FLAGS, *flags, "-o", f"{target}{os.sep}", "tool"]
    _run_with_progress(what, command, cwd=module, env=os.environ | _GO_ENV)


def _install_milvus(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--require-hashes", "--target", folder, "--requirement", str(MILVUS_LOCK)]
        _run_with_progress("Installing Milvus", command, cwd=target, env=dict(os.environ))
        data = Path(folder) / "milvus" / "data"
        shutil.copy(data / "config.yaml.template", target / "milvus.yaml.template")
        shutil.copy(data / "glog.conf", target / "glog.conf")
        _unpack(data / "bin", target / "bin")


def _unpack(packed: Path, target: Path) -> None:
    target.mkdir()
    for archive in sorted(packed.glob("*.lzma")):
        file = target / archive.stem
        with lzma.open(archive) as source, file.open("wb") as sink:
            shutil.copyfileobj(source, sink)
        file.chmod(0o755)


def _run_with_progress(what: str, command: list[str], *, cwd: Path, env: dict[str, str]) -> None:
    start = time.monotonic()
    _say(f"{what} ...")
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT) as process:
            _wait(process, what, start)
        if process.returncode:
            raise BuildError(f"{what} failed:\n{_tail(output)}")
    _say(f"{what}: done in {time.monotonic() - start:.0f} s")


def _wait(process: subprocess.Popen[bytes], what: str, start: float) -> None:
    try:
        while True:
            try:
                process.wait(_REPORT_EVERY)
            except subprocess.TimeoutExpired:
                _say(f"{what}: {time.monotonic() - start:.0f} s")
            else:
                return
    except BaseException:
        process.terminate()
        raise


def _tail(output: IO[str], lines: int = 30) -> str:
    output.seek(0)
    return "\n".join(output.read().splitlines()[-lines:])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """The command line: build everything, say where it is."""
    try:
        binaries = ensure()
    except BuildError as error:
        _say(str(error))
        return 1
    _say(f"Ready: {binaries.kube_apiserver.parent} and {binaries.milvus.server.parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
