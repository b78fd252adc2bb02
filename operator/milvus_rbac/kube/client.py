"""One connection pool to the API server for one purpose, and what can go wrong with a request.

    Exception
    ├── ClusterError
    │   ├── ClusterUnavailable   no answer that means anything: a write may or may not have been made; look again later
    │   └── ClusterRefused       a definite no: nothing was written, and asking the same again gives the same answer
    │       └── Outdated         the object has changed meanwhile in what was to be written
    └── LeaseLost                another operator may be writing by now: stop before the next write

Messages carry what the API server said about names and fields, never a Secret's data.
"""

import asyncio
from collections.abc import Callable, Mapping
from ssl import SSLContext
from typing import Any, Literal, Self
from urllib.parse import urlencode

import aiohttp
import orjson
from aiohttp import hdrs
from yarl import URL

from milvus_rbac.kube.access import Access, find_access

TIMEOUT = 15.0
"""Seconds for one request, from its token to the last byte of its answer."""
CONNECTIONS = 100
"""At most, opened when they are needed: several MilvusConnections work side by side, and some of their requests may hang."""
USER_AGENT = "milvus-rbac-operator"
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""The API server leaves everything but metadata out: a Secret's data never comes over the wire."""

CallResult = Literal["ok", "absent", "refused", "unavailable"]
Count = Callable[[str, CallResult], None]
"""Called with the method of each request and how it ended."""
Body = Mapping[str, Any] | list[dict[str, Any]]

MESSAGE_LIMIT = 500
UNAUTHORIZED = 401
_SUCCESS_ENDS, _ABSENT, _REQUEST_TIMEOUT, _TOO_MANY, _SERVER_ERROR = 300, 404, 408, 429, 500
_TLS_ERRORS = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)
NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)
_READ_BUFFER = 2**21
"""Bytes; one event of a watch can be longer than aiohttp's default."""


class ClusterError(Exception):
    """The base; never raised itself."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """The HTTP status; None when there was no answer at all."""


class ClusterUnavailable(ClusterError):
    """Timeouts and broken connections (no status), 5xx, 408, 429, and a 401 that fresh credentials did not mend.

    A status means that the API server answers: what is wrong may concern this object only.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after
        """Seconds that the API server asked to wait."""


class ClusterRefused(ClusterError):
    """Forbidden, invalid, a conflict: everything else that is not a success."""

    status: int

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)

    @property
    def reason(self) -> str:
        """What the API server said, without the request that it refused."""
        return self.message.partition(": ")[2] or self.message


class Outdated(ClusterRefused):
    """The object has another claim than the one on which the write was based: decide again."""

    def __init__(self, message: str, status: int, current: dict[str, Any]) -> None:
        super().__init__(message, status)
        self.current = current
        """The object as the API server has it now."""


class LeaseLost(Exception):
    """The lease does not last as long as what was about to be done."""


class Client:
    """A connection pool of its own: what waits for a connection here delays no other purpose."""

    def __init__(
        self,
        access: Access,
        connections: int = CONNECTIONS,
        timeout: float = TIMEOUT,
        count: Count = lambda *_: None,
    ) -> None:
        self.access = access
        self._count = count
        self._timeout = timeout
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={hdrs.USER_AGENT: USER_AGENT},
            proxy=access.proxy,
            read_bufsize=_READ_BUFFER,
        )

    @classmethod
    async def connect(
        cls, kubeconfig: str | None = None, timeout: float = TIMEOUT, count: Count = lambda *_: None
    ) -> Self:
        """Find the API server (see find_access); the first request opens the first connection."""
        return cls(await find_access(kubeconfig), timeout=timeout, count=count)

    @property
    def closed(self) -> bool:
        """Whether all connections are closed for good."""
        return self._session.closed

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Body | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> dict[str, Any]:
        """Send one request and return the answer's JSON.

        Raises:
            ClusterUnavailable: no answer in time, a broken connection, 5xx, 429, or credentials that are not accepted.
            ClusterRefused: any other answer that is not a success.
        """
        url = URL(self.access.server + path + (f"?{urlencode(query)}" if query else ""), encoded=True)
        headers: dict[str, str] = {hdrs.ACCEPT: accept, hdrs.CONTENT_TYPE: content_type}
        data = None if body is None else orjson.dumps(body)
        try:
            answer = await self._read(f"{method} {path}", self.send(method, url, headers, data))
        except ClusterRefused as refusal:
            self._count(method, "absent" if refusal.status == _ABSENT else "refused")
            raise
        except ClusterUnavailable:
            self._count(method, "unavailable")
            raise
        self._count(method, "ok")
        return answer

    async def _read(self, what: str, sending: Any) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout), await sending as response:
                raw = await response.read()
        except TimeoutError as problem:
            raise ClusterUnavailable(f"{what}: no answer within {self._timeout:g} s.") from problem
        except (aiohttp.ClientError, OSError) as problem:
            raise ClusterUnavailable(f"{what}: {explain(problem)}") from problem
        return _read_answer(what, response.status, raw, response.headers.get(hdrs.RETRY_AFTER))

    async def send(
        self,
        method: str,
        url: str | URL,
        headers: Mapping[str, str],
        data: bytes | None = None,
        timeout: aiohttp.ClientTimeout = NO_TIMEOUT,
    ) -> aiohttp.ClientResponse:
        """Send one request with our credentials and return the response, whatever its status, with its body unread.

        A refusal of the credentials (401: nothing was done) is answered once with fresh ones, a failed handshake
        (nothing was sent) once with certificates that are newer, if there are any.
        """

        async def attempt(authorization: str | None, tls: SSLContext) -> aiohttp.ClientResponse:
            return await self._session.request(
                method,
                url,
                headers={**headers, hdrs.AUTHORIZATION: authorization} if authorization else headers,
                data=data,
                ssl=tls,
                server_hostname=self.access.server_hostname,
                allow_redirects=False,
                timeout=timeout,
            )

        header, tls = await self.access.authorization(), self.access.tls()
        try:
            response = await attempt(header, tls)
        except _TLS_ERRORS:
            newer = await self.access.renew_tls(tls)
            if newer is None:
                raise
            response = await attempt(header, newer)
        if response.status != UNAUTHORIZED:
            return response
        response.release()
        return await attempt(await self.access.renew(), self.access.tls())


def explain(problem: Exception) -> str:
    """Return what went wrong with a connection, in words that are the same each time."""
    if isinstance(problem, aiohttp.ClientConnectorError):
        why = problem.os_error.strerror or str(problem.os_error)
        return f"no connection to {problem.host}:{problem.port}: {why}"
    return str(problem) or type(problem).__name__


def _read_answer(what: str, status: int, raw: bytes, retry_after: str | None) -> dict[str, Any]:
    try:
        answer = orjson.loads(raw)
    except ValueError:
        answer = None
    if status < _SUCCESS_ENDS:
        if not isinstance(answer, dict):
            raise ClusterUnavailable(f"{what}: the answer is not JSON.", status)
        return answer
    said = answer.get("message") if isinstance(answer, dict) else None
    message = f"{what}: {str(said or f'HTTP status {status}')[:MESSAGE_LIMIT]}"
    if status in {UNAUTHORIZED, _REQUEST_TIMEOUT, _TOO_MANY} or status >= _SERVER_ERROR:
        raise ClusterUnavailable(message, status, _read_seconds(retry_after))
    raise ClusterRefused(message, status)


def _read_seconds(retry_after: str | None) -> float | None:
    try:
        return float(retry_after) if retry_after else None
    except ValueError:  # a date: the API server never sends one, a proxy before it may
        return None
