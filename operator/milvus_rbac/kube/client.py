"""What can go wrong with the Kubernetes API. The class says what to do about it.

    Exception
    ├── ClusterError
    │   ├── ClusterUnavailable   no answer that means anything: a write may or may not have been made; look again later
    │   └── ClusterRefused       a definite no: nothing was written, and asking the same again gives the same answer
    └── LeaseLost                another operator may be writing by now: stop before the next write

Messages carry what the API server said about names and fields, never a Secret's data.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException


class ClusterError(Exception):
    """The base; never raised itself."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """The HTTP status, where there was one."""


class ClusterUnavailable(ClusterError):
    """Timeouts, broken connections, 5xx and 429."""

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after
        """Seconds that the API server asked to wait."""


class ClusterRefused(ClusterError):
    """Forbidden, invalid, a conflict: everything else that is not a success."""

    status: int

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)


class Outdated(ClusterRefused):
    """The object has another `status.claim` by now than the one that the write was decided from."""

    def __init__(self, message: str, current: Mapping[str, Any]) -> None:
        super().__init__(message, 409)
        self.current = current
        """The object as it is now."""


class LeaseLost(Exception):
    """The lease does not last as long as what was about to be done."""


NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def own_namespace() -> str:
    """Give the namespace of this Pod; outside of one it is `default`, as for kubectl."""
    try:
        return NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


RELOAD_AFTER = 60.0
"""Seconds after which a kubeconfig's token file or plugin is asked again; in a Pod the library does the same."""


class NoAccess(Exception):
    """Neither a usable kubeconfig nor a Pod's ServiceAccount was found."""


@dataclass(frozen=True, slots=True)
class Access:
    """One API server and the identity to use there."""

    configuration: Any
    """The library's Configuration; it reloads its token by itself."""
    server: str
    default_namespace: str

    async def authorization(self) -> str | None:
        """Give the Authorization header, with a token that is at most a minute old."""
        header: str | None = await self.configuration.get_api_key_with_prefix("BearerToken")
        return header


async def find_access(kubeconfig: str | None = None) -> Access:
    """Use the given kubeconfig, else $KUBECONFIG, else the Pod's ServiceAccount.

    Raises:
        NoAccess: nothing usable is there.
    """
    path = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        return await _from_kubeconfig(path) if path else _from_pod()
    except (
        Exception
    ) as problem:  # the library trips over a malformed file with whatever its code happens to meet
        where = f"The kubeconfig {path}" if path else "The Pod's ServiceAccount"
        raise NoAccess(f"{where} gives no access to Kubernetes: {problem}") from problem


def _from_pod() -> Access:
    configuration = Configuration()
    config.load_incluster_config(client_configuration=configuration)
    return Access(configuration, configuration.host, own_namespace())


async def _from_kubeconfig(path: str) -> Access:
    configuration = Configuration()
    loader = await config.load_kube_config(
        config_file=path, client_configuration=configuration, persist_config=False
    )
    configuration.refresh_api_key_hook = _reload_with(loader)
    namespace = loader.current_context["context"].get("namespace") or "default"
    return Access(configuration, configuration.host, namespace)


def _reload_with(loader: Any) -> Callable[[Any], Awaitable[None]]:
    """Read token files again and let exec plugins renew what expired: the library does it for Pods only."""
    loaded_at = time.monotonic()

    async def reload(configuration: Any) -> None:
        nonlocal loaded_at
        now = time.monotonic()
        if now - loaded_at < RELOAD_AFTER:
            return
        loaded_at = now
        await loader.load_and_set(configuration)

    return reload


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
