"""One request to the API server: plain dictionaries in and out, one attempt, every failure as a ClusterError.

It knows HTTP and nothing of what is asked: the library's models cost more time than the requests.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.config.config_exception import ConfigException

from milvus_rbac.kube.access import Access, find_access
from milvus_rbac.kube.errors import ClusterRefused, ClusterUnavailable

TIMEOUT = 15.0
"""Seconds for one request, from its token to the last byte of its answer."""
CONNECTIONS = 20
USER_AGENT = "milvus-rbac-operator"
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""The API server leaves everything but metadata out: a Secret's data never comes over the wire."""

CallResult = Literal["ok", "absent", "refused", "unavailable"]
Count = Callable[[str, CallResult], None]
"""Told the method of each request and how it ended."""

MESSAGE_LIMIT = 500
_SUCCESS_ENDS, _ABSENT, _REQUEST_TIMEOUT, _TOO_MANY, _SERVER_ERROR = 300, 404, 408, 429, 500


class Api:
    """A connection pool to one API server."""

    def __init__(self, access: Access, timeout: float = TIMEOUT, count: Count = lambda *_: None) -> None:
        self._access = access
        self._count = count
        self._timeout = timeout
        access.configuration.connection_pool_maxsize = CONNECTIONS
        self._client = ApiClient(access.configuration)

    @classmethod
    async def connect(
        cls, kubeconfig: str | None = None, timeout: float = TIMEOUT, count: Count = lambda *_: None
    ) -> Self:
        """Find the API server (see find_access); the first request opens the first connection."""
        return cls(await find_access(kubeconfig), timeout, count)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | list[dict[str, Any]] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> dict[str, Any]:
        """Send one request and give the answer's JSON.

        Raises:
            ClusterUnavailable: no answer in time, a broken connection, 5xx or 429.
            ClusterRefused: any other answer that is not a success.
        """
        try:
            answer = await self._request(method, path, query, body, content_type, accept)
        except ClusterRefused as refusal:
            self._count(method, "absent" if refusal.status == _ABSENT else "refused")
            raise
        except ClusterUnavailable:
            self._count(method, "unavailable")
            raise
        self._count(method, "ok")
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, Any] | list[dict[str, Any]] | None,
        content_type: str,
        accept: str,
    ) -> dict[str, Any]:
        url = self._access.server + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": USER_AGENT}
        what = f"{method} {path}"
        try:
            async with asyncio.timeout(self._timeout):
                status, raw, retry_after = await self._send(method, url, headers, body)
        except TimeoutError as problem:
            raise ClusterUnavailable(f"{what}: no answer within {self._timeout:g} s.") from problem
        except (aiohttp.ClientError, OSError, ConfigException) as problem:
            raise ClusterUnavailable(f"{what}: {problem or type(problem).__name__}") from problem
        return _read_answer(what, status, raw, retry_after)

    async def _send(
        self, method: str, url: str, headers: dict[str, str], body: object
    ) -> tuple[int, bytes, str | None]:
        authorization = await self._access.authorization()
        if authorization:
            headers["authorization"] = authorization
        answer = await self._client.call_api(
            method, url, headers, body, _request_timeout=aiohttp.ClientTimeout(total=self._timeout)
        )
        return answer.status, await answer.read(), answer.getheader("Retry-After")


def _read_answer(what: str, status: int, raw: bytes, retry_after: str | None) -> dict[str, Any]:
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if status < _SUCCESS_ENDS:
        if not isinstance(answer, dict):
            raise ClusterUnavailable(f"{what}: the answer is not JSON.", status)
        return answer
    said = answer.get("message") if isinstance(answer, dict) else None
    message = f"{what}: {str(said or f'HTTP status {status}')[:MESSAGE_LIMIT]}"
    if status in {_REQUEST_TIMEOUT, _TOO_MANY} or status >= _SERVER_ERROR:
        raise ClusterUnavailable(message, status, _read_seconds(retry_after))
    raise ClusterRefused(message, status)


def _read_seconds(retry_after: str | None) -> float | None:
    try:
        return float(retry_after) if retry_after else None
    except ValueError:  # a date: the API server never sends one, a proxy before it may
        return None
