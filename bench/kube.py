"""What all sides of a measurement need of Kubernetes: one pooled session, requests, and a watch that knows who is Ready."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

WIDTH = 16
"""Requests at a time; more gain nothing from one API server."""


class Kube:
    """The API server as one account."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url
        self._width = asyncio.Semaphore(WIDTH)

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, ca: Path, token: str) -> AsyncIterator["Kube"]:
        """Open a session; connections are kept."""
        tls = ssl.create_default_context(cafile=str(ca))
        headers = {"Authorization": f"Bearer {token}"}
        connector = aiohttp.TCPConnector(ssl=tls, limit=WIDTH + 8)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            yield cls(session, url)

    async def send(self, method: str, path: str, body: Any, content_type: str = "application/json") -> Any:
        """Make one request; return its answer."""
        async with (
            self._width,
            self._session.request(
                method, self._url + path, data=json.dumps(body), headers={"Content-Type": content_type}
            ) as answer,
        ):
            if not answer.ok:
                raise RuntimeError(f"{method} {path}: {answer.status} {await answer.text()}")
            return await answer.json()

    async def post_all(self, bodies: Iterable[tuple[str, Any]]) -> None:
        """Create everything, each under its path."""
        await all_of(self.send("POST", path, body) for path, body in bodies)

    async def all_ready(self, path: str, count: int, *, watching: asyncio.Event) -> None:
        """Wait until that many resources of a collection are Ready; set `watching` as soon as none can be missed."""
        ready: set[str] = set()
        timeout = aiohttp.ClientTimeout(total=None)
        while (
            len(ready) < count
        ):  # the API server ends a watch whose client is slow; a new one begins with all there is
            async with self._session.get(f"{self._url}{path}?watch=1", timeout=timeout) as answer:
                watching.set()
                async for line in lines(answer.content):
                    body = json.loads(line)["object"]
                    if is_ready(body):
                        ready.add(body["metadata"]["name"])
                    if len(ready) == count:
                        return


async def lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Split a watch into its events, however long they are."""
    rest = b""
    async for chunk in stream.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line


def is_ready(body: dict[str, Any]) -> bool:
    """Return whether a resource is Ready: by its condition, or by the phase that the tutorial writes."""
    status = body.get("status") or {}
    conditions = status.get("conditions", ())
    by_condition = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return by_condition or status.get("phase") == "Ready"


async def all_of(works: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Do everything at once, as far as each client's width allows."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)
