"""What both sides of a measurement need of Kubernetes: one pooled session, requests, and a watch that tells who is Ready."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

API = "/apis/rbac.milvus.io/v1alpha1"
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
        """Make one request; its answer."""
        async with (
            self._width,
            self._session.request(
                method, self._url + path, data=json.dumps(body), headers={"Content-Type": content_type}
            ) as answer,
        ):
            answer.raise_for_status()
            return await answer.json()

    async def all_ready(self, namespace: str, plural: str, count: int) -> None:
        """Wait until so many resources of a kind are Ready."""
        ready: set[str] = set()
        path = f"{self._url}{API}/namespaces/{namespace}/{plural}?watch=1"
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(path, timeout=timeout) as answer:
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
    """Tell whether a resource is Ready."""
    conditions = body.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def all_of(works: Iterable[Awaitable[Any]]) -> None:
    """Do everything at a time; the width of each door limits it."""
    await asyncio.gather(*works)
