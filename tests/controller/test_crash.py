"""Ended at any request to either server, and started anew, the controller ends where it would have ended."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from typing_extensions import override

from milvus_rbac.kube.client import ClusterUnavailable
from support.controller_bed import LIMITS, ControllerBed, controller_bed
from support.crash import CREATED, EDITED, EDITED_HOLDERS, HOLDERS, ROTATED
from support.double.faults import Faults, Trouble
from support.double.server import Double
from support.kubernetes import Json, Kubernetes

PARTS = 4
"""Each part takes every fourth request, so that several workers share them."""
MISSES = 3
"""So many stories must end before the k-th request: how claims are gathered into turns differs from one to the next."""
MOST = 1000
"""No story makes so many requests: something would go round in circles."""


class Blow(Faults):
    """Counts the requests to both servers; the chosen one is done, its answer never arrives, and nothing follows it."""

    def __init__(self, kube: Kubernetes, chosen: int) -> None:
        super().__init__()
        self._kube, self._chosen = kube, chosen
        self._count = 0
        self.victim = ""
        """The request at which it struck."""
        self.has_fallen = False
        """Whether nothing gets through any more."""

    def mend(self) -> None:
        """Let everything through again; there is no second blow."""
        self.has_fallen = False

    def _is_chosen(self, what: str) -> bool:
        self._count += 1
        if self._count != self._chosen:
            return False
        self.victim, self.has_fallen = what, True
        return True

    @override
    async def meet(self, method: str, request: Any) -> Trouble | None:
        if self.has_fallen:
            return Trouble.REFUSED
        return Trouble.REPLY_LOST if self._is_chosen(method) else await super().meet(method, request)

    async def request(self, method: str, path: str, **how: Any) -> Json:
        """Stand where the HTTP client stands."""
        what = f"{method} {path}"
        if self.has_fallen:
            raise ClusterUnavailable(f"{what}: connection refused")
        is_chosen = self._is_chosen(what)
        answer = await self._kube.request(method, path, **how)
        if is_chosen:
            raise ClusterUnavailable(f"{what}: connection reset")
        return answer

    async def close(self) -> None:
        """Keep no connections."""


class Story:
    """A dozen resources are created, edited and deleted, while the controller ends at one request and is started anew."""

    def __init__(self, double: Double, chosen: int) -> None:
        self._double = double
        self._kube = Kubernetes()
        self.blow = self._double.faults = Blow(self._kube, chosen)
        self._bed = self._start()

    def _start(self) -> ControllerBed:
        return ControllerBed(self._double, self._kube, client=self.blow)

    async def run(self) -> Json:
        """Return what Milvus held before the end."""
        try:
            await self._bed.__aenter__()
            self._bed.connect(interval="24h")
            self._create()
            await self._served("what was created")
            self._edit()
            await self._served("what was edited")
            held = self._held()
            for plural, name in self._resources():
                self._kube.delete(plural, "milvus", name)
            await self._wait(lambda: not self._resources(), "what was deleted is gone")
            assert self._held() == {"users": {}, "roles": {}}
            return held
        finally:
            await self._bed.stop()

    def _create(self) -> None:
        for role, rows in CREATED.items():
            self._bed.role(role, rows)
        for user, roles in HOLDERS.items():
            self._bed.user(user, password=f"{user}-first", roles=roles)

    def _edit(self) -> None:
        for role, rows in EDITED.items():
            if rows is None:
                self._kube.delete("milvusroles", "milvus", role)
            else:
                self._bed.role(role, rows)
        for user, roles in EDITED_HOLDERS.items():
            if roles is None:
                self._kube.delete("milvususers", "milvus", user)
            else:
                self._bed.user(user, password=f"{user}-first", roles=roles)
        for user in ROTATED:
            self._bed.secret(user, password=f"{user}-second")

    def _held(self) -> Json:
        store = self._double.core.store
        users = {
            name: (account.password, sorted(account.roles))
            for name, account in store.users.items()
            if name != "root"
        }
        roles = {
            name: sorted(map(str, store.held(name)))
            for name in store.roles
            if name not in {"admin", "public"}
        }
        return {"users": users, "roles": roles}

    # --- going on after the blow

    async def _served(self, what: str) -> None:
        await self._wait(lambda: all(self._is_served(*one) for one in self._resources()), f"{what} is served")
        claims = [self._kube.objects[plural, "milvus", name] for plural, name in self._resources()]
        assert {body["status"]["claim"]["origin"] for body in claims} == {"Created"}

    def _resources(self) -> list[tuple[str, str]]:
        """Return plural and name of all users and roles."""
        return [
            (plural, name)
            for plural, _, name in self._kube.objects
            if plural in {"milvususers", "milvusroles"}
        ]

    def _is_served(self, plural: str, name: str) -> bool:
        body = self._kube.objects[plural, "milvus", name]
        if "deletionTimestamp" in body["metadata"] or not self._bed.is_ready(plural, name):
            return False
        if plural != "milvususers":
            return True
        secret = self._kube.objects["secrets", "milvus", name]
        seen = body["status"].get("password", {}).get("secretResourceVersion")
        return bool(seen == secret["metadata"]["resourceVersion"])

    async def _wait(self, condition: Callable[[], bool], what: str) -> None:
        await self._bed.wait(lambda: self.blow.has_fallen or condition(), what)
        if self.blow.has_fallen:
            await self._bed.stop()
            self.blow.mend()
            self._bed = await self._start().__aenter__()
            await self._bed.wait(condition, what)


async def _run(chosen: int) -> tuple[Json, str]:
    async with Double("3.0", LIMITS) as double:
        story = Story(double, chosen)
        async with asyncio.timeout(60):
            return await story.run(), story.blow.victim


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
async def test_ended_at_any_request_the_end_is_the_same(part: int) -> None:
    undisturbed, _ = await _run(0)
    assert undisturbed["users"]
    misses = 0
    for chosen in range(1 + part, MOST, PARTS):
        held, victim = await _run(chosen)
        assert held == undisturbed, f"ended at request {chosen}: {victim}"
        misses += not victim
        if misses == MISSES:
            break
    assert misses == MISSES


async def test_a_cancellation_that_gets_lost_on_the_way_ends_the_controller_all_the_same() -> None:
    """Its process would be killed only when its grace period is over, and a successor waits as long."""
    async with controller_bed() as bed:
        status = "PATCH .*/milvusconnections/prod/status$"
        writing = bed.kube.fail(status, delay=60, loses_cancellation=True)
        bed.connect()
        await bed.wait(lambda: writing.most_delayed, "its status is being written")
        async with asyncio.timeout(5):
            await bed.stop()
