"""Killed at a call, the operator ends where it would have ended: seen from outside, at the forwarders.

tests/controller/test_crash.py strikes at every call, without processes.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from support.crash import Killer, Tale
from support.handmade import Handmade
from support.story import Story
from testbed.api_forwarder import ApiForwarder
from testbed.cluster import Cluster
from testbed.milvus import MilvusFacts, MilvusServer
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique

CHAINS = 4
"""So many operators at a time, each with a namespace and forwarders of its own."""
STRIDE = 4
"""The operator is killed at every fourth call: with a process for each, more would take minutes."""
MISSES = 2
"""How many stories must end before the k-th call: how claims are gathered into turns differs from one to the next."""
MOST = 400
"""No story makes so many calls: something would go round in circles."""


@contextmanager
def _stage(cluster: Cluster, milvus: MilvusFacts) -> Iterator[Story]:
    namespace = f"t-{secrets.token_hex(4)}"
    cluster.create_namespace(namespace)
    with MilvusForwarder(milvus.port) as way, ApiForwarder(cluster.url, cluster.facts.ca) as api:
        story = Story(cluster, namespace, way, api, Unique())
        try:
            yield story
        finally:
            story.close()
            cluster.delete_namespace(namespace)


class Survey:
    """Hands out the next k to whichever chain is free, until some find that there are not so many calls.

    With `only_start` it ends at the first write to Milvus or to a status: what follows is surveyed at work.
    """

    def __init__(self, *, only_start: bool) -> None:
        self._lock = threading.Lock()
        self._next = 1
        self._only_start = only_start
        self._misses = 0
        self.is_over = False
        self.least = MOST
        self.victims: list[str] = []

    def take(self) -> int | None:
        """Give the next k."""
        with self._lock:
            if self.is_over:
                return None
            assert self._next < MOST
            self._next += STRIDE
            return self._next - STRIDE

    def note(self, victim: str) -> None:
        """Remember which call it was; when there was none a few times, the survey ends."""
        with self._lock:
            if victim:
                self.victims.append(victim)
            else:
                self._misses += 1
            at_work = victim.startswith(("PATCH", "Create"))
            if self._misses == MISSES or (self._only_start and at_work):
                self.is_over = True

    def must_see(self, calls: int) -> None:
        """Remember how many calls an undisturbed story made."""
        with self._lock:
            self.least = min(self.least, calls)

    def fail(self) -> None:
        """End the survey: a chain failed."""
        self.is_over = True


def _run_chain(cluster: Cluster, milvus: MilvusFacts, survey: Survey, kind: str, *, cold: bool) -> None:
    with _stage(cluster, milvus) as story, milvus.admin() as admin:
        story.connection(interval="24h")
        story.start_operator()
        story.wait_ready("MilvusConnection", "prod")
        tale = Tale(story, admin)
        way = story.milvus if kind == "milvus" else story.api
        way.clear()
        undisturbed = tale.tell(cold=cold)
        assert undisturbed["users"]
        survey.must_see(len(way.calls))
        while (number := survey.take()) is not None:
            killer = Killer(story, way, number)
            try:
                dump = tale.tell(killer, cold=cold)
            except BaseException as problem:
                survey.fail()
                problem.add_note(f"killed at {kind} call {number}: {killer.victim}")
                raise
            _compare(dump, undisturbed, f"killed at {kind} call {number}: {killer.victim}")
            survey.note(killer.victim)


def _compare(dump: dict[str, Any], undisturbed: dict[str, Any], when: str) -> None:
    assert dump == undisturbed, when


@pytest.mark.timeout(900)
@pytest.mark.parametrize("cold", [False, True], ids=["at-work", "at-its-start"])
@pytest.mark.parametrize("kind", ["milvus", "api"])
def test_killed_at_a_call_the_end_is_the_same(
    control_plane: Cluster, fresh_milvus: Callable[[], MilvusServer], kind: str, cold: bool
) -> None:
    handmade = Handmade(fresh_milvus().facts, alone=True)
    survey = Survey(only_start=cold)
    began = time.monotonic()
    with ThreadPoolExecutor(CHAINS) as chains:
        runs = [
            chains.submit(_run_chain, control_plane, handmade.facts, survey, kind, cold=cold)
            for _ in range(CHAINS)
        ]
    for run in runs:
        run.result()
    handmade.must_be_the_same()
    assert survey.is_over
    assert survey.victims
    assert cold or len(survey.victims) >= survey.least // STRIDE - MISSES, (
        f"{survey.least} calls in an undisturbed story"
    )
    print(f"{time.monotonic() - began:.0f} s, {len(survey.victims)} calls: {_summary(survey.victims)}")


def _summary(victims: list[str]) -> str:
    names = [victim.split("?")[0].split("/namespaces/")[0] for victim in victims]
    return ", ".join(f"{names.count(name)} {name}" for name in sorted(set(names)))
