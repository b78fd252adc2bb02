"""Where built servers are kept: one folder per key, filled once, shared by every checkout of this user."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The cache folder of this project."""
    if own := os.environ.get("MILVUS_RBAC_CACHE"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    home = Path(base) if base else Path.home() / ".cache"
    return home.absolute() / "milvus-rbac-operator"


def key(*parts: bytes | str) -> str:
    """A short name for everything that decides what is built."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def entry(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder of that name; made by `fill` in a temporary place first, so that half a build is never seen."""
    done = root() / name
    if done.is_dir():
        return done
    with _locked(root() / f"{name}.lock"):
        if not done.is_dir():
            _fill(done, fill)
    return done


def _fill(done: Path, fill: Callable[[Path], None]) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=f"{done.name}.", dir=done.parent))
    try:
        fill(unfinished)
        unfinished.chmod(0o755)  # mkdtemp's folders are for one user only; a cache may be shared
        unfinished.rename(done)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
