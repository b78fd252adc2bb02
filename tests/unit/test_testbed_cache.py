"""The cache of built servers: filled once for all, whole or not at all, under a key of what decides what is built."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest

from testbed import build, cache


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MILVUS_RBAC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_many_ask_for_at_once_is_made_once() -> None:
    made: list[Path] = []

    def fill(folder: Path) -> None:
        made.append(folder)
        (folder / "binary").write_text("it")

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: cache.entry("server-1", fill), range(16)))
    assert len(made) == 1
    assert [(folder / "binary").read_text() for folder in found] == ["it"]


def test_half_a_build_is_never_seen_and_is_made_again(own_cache: Path) -> None:
    def break_off(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("no space left")

    with pytest.raises(RuntimeError):
        cache.entry("server-1", break_off)
    assert [path.name for path in own_cache.iterdir()] == ["server-1.lock"]
    assert cache.entry("server-1", lambda folder: (folder / "whole").touch()).is_dir()


def test_whatever_decides_what_is_built_is_in_the_key() -> None:
    assert cache.key("a", "bc") != cache.key("ab", "c")
    assert cache.key(b"a") == cache.key("a")


def test_binaries_that_are_there_already_are_used_and_nothing_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = [field.name for field in fields(build.KubernetesBinaries)]
    for name in names:
        (tmp_path / name.replace("_", "-")).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.setenv("PATH", "")  # without Go
    found = build.ensure_kubernetes()
    assert {getattr(found, name) for name in names} == {tmp_path / name.replace("_", "-") for name in names}
