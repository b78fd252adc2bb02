"""Health: a watch that is missing is missed, whether it ended or never began."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from milvus_rbac.cli.run import STARTING, _find_dead_watch

WATCHES = (
    "watcher for secrets.v1@team-a",
    "watcher for milvususers.v1alpha1.rbac.milvus.io@team-a",
    "watcher for milvusroles.v1alpha1.rbac.milvus.io@team-a",
)


@dataclass
class Watching:
    """What the manager says must be watched."""

    is_ready = True

    watched: Sequence[str] = field(default_factory=lambda: ["secrets", "milvususers", "milvusroles"])


def look(
    *names: str, namespaces: Sequence[str] | None = ("team-a",), ready: bool = True, age: float = STARTING + 1
) -> str | None:
    """What is said of a process of that age in which tasks of these names run."""
    manager: Any = Watching()

    async def check() -> str | None:
        tasks = [asyncio.create_task(asyncio.sleep(60), name=name) for name in names]
        flag = asyncio.Event()
        if ready:
            flag.set()
        said = _find_dead_watch(flag, manager, namespaces, time.monotonic() - age)
        for task in tasks:
            task.cancel()
        return said

    return asyncio.run(check())


def test_with_all_watches_all_is_well() -> None:
    assert look(*WATCHES) is None
    assert look(*(name.replace("@team-a", "@None") for name in WATCHES), namespaces=None) is None


@pytest.mark.parametrize("missing", range(3))
def test_a_watch_that_ended_is_named(missing: int) -> None:
    left = [name for number, name in enumerate(WATCHES) if number != missing]
    assert look(*left) == f"the watch of {Watching().watched[missing]} has ended"


def test_a_live_watch_of_one_namespace_hides_no_dead_one_of_another() -> None:
    assert look(*WATCHES, namespaces=("team-a", "team-b")) is not None


def test_watches_that_never_began_are_missed_after_a_while() -> None:
    assert look(ready=False) is not None
    assert look(ready=False, age=STARTING - 5) is None
