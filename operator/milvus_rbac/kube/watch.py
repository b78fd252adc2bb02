"""Kopf's watches of our kinds and of Secrets, and all that tames Kopf.

Kopf lists, watches and reconnects. It decides and writes nothing, it gets Secrets without their data, and no answer of
the API server ends the process: Kopf gives up when its credentials are refused once, when a namespace can't be read
for some minutes, when a kind is gone, and at errors in a watch. So it reads through `_Session`, which answers for the
API server in these cases.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
import kopf
import orjson
from aiohttp import hdrs

from milvus_rbac.kube.access import Access
from milvus_rbac.kube.client import JSON, METADATA_LIST, UNAUTHORIZED, USER_AGENT, Client, explain
from milvus_rbac.kube.resources import GROUP_VERSION
from milvus_rbac.kube.watch_stream import RELIST, Seen, pass_on

METADATA_WATCH = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
QUIET = 10.0
"""Seconds between two attempts to watch what can't be read."""
BACKOFFS = (1, 2, 4, 8, 15)
"""Seconds between attempts while the API server fails; the last one is repeated for as long as it takes."""
NO_LIMIT = 0
"""A watch needs a connection for itself, and Kopf asks for nothing else: there are as many as kinds times namespaces."""
ANY_VERSION = "0"
"""A watch from here begins with all objects that there are."""

_OK, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERRORS = 200, 403, 404, 429, 500
_CLOSED_TLS = "[SSL: APPLICATION_DATA_AFTER_CLOSE_NOTIFY]"
"""Kopf takes this for the end of its credentials."""

OnEvent = Callable[[str | None, Mapping[str, Any]], None]
"""Called with an event's type (None for what a LIST returned) and the object."""

logger = logging.getLogger(__name__)


class Watch:
    """All watches of this process, on a connection pool of their own; it is open until `run` ends."""

    def __init__(
        self,
        access: Access,
        plurals: Iterable[str],
        namespaces: Sequence[str] | None,
        on_resource: OnEvent,
        on_secret: OnEvent,
        seen: Seen = lambda _: False,
    ) -> None:
        """Prepare the watches.

        Args:
            access: the API server.
            plurals: the kinds of ours that are watched.
            namespaces: where; None is everywhere.
            on_resource: called with each event of these kinds that is no echo.
            on_secret: called with each event of a Secret, without its data.
            seen: whether a resourceVersion of ours is known already; such events are echoes, and dropped unread.
        """
        self._namespaces = namespaces
        self._session = _Session(Client(access, NO_LIMIT), seen)
        self._registry = _build_registry(self._session, access, plurals, on_resource, on_secret)

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The namespaces that can't be watched now, and why: their Role is gone, perhaps with them."""
        return MappingProxyType({where.namespace: why for where, why in self._session.unreadable.items()})

    async def run(self, identity: str, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Watch until stopped.

        Args:
            identity: who we are, for Kopf's logs; without one Kopf asks the name server, and blocks for seconds.
            ready: set by Kopf as soon as the watches are started.
            stop: ends the watches.
        """
        as_identity: Any = identity  # a str with a type that Kopf does not export
        try:
            await kopf.operator(
                registry=self._registry,
                settings=build_settings(clusterwide=self._namespaces is None),
                clusterwide=self._namespaces is None,
                namespaces=self._namespaces or (),
                identity=as_identity,
                ready_flag=ready,
                stop_flag=stop,
            )
        finally:
            await self._session.close()


# --- what Kopf is set up with


class NullDiffBase(kopf.DiffBaseStorage):
    """Remembers nothing: without it Kopf would write an annotation to every object that it handles."""

    def build(self, **_: Any) -> Any:
        """Return nothing worth comparing."""
        return {}

    def fetch(self, **_: Any) -> Any:
        """Return nothing: nothing was stored."""
        return {}

    def store(self, **_: Any) -> None:
        """Write nothing."""


class NullProgress(kopf.ProgressStorage):
    """Remembers nothing: no handler that Kopf would try again is registered, and the default looks through every object."""

    def fetch(self, **_: Any) -> None:
        """Return nothing: nothing was stored."""

    def store(self, **_: Any) -> None:
        """Write nothing."""

    def purge(self, **_: Any) -> None:
        """Remove nothing."""

    def touch(self, **_: Any) -> None:
        """Write nothing."""

    def clear(self, *, essence: Any) -> Any:
        """Return an object's essence as it is: nothing was written to it."""
        return essence


class _Backoffs:
    """Never exhausted: Kopf would end the process. It writes nothing that could wait for ever for this."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain(BACKOFFS, itertools.repeat(BACKOFFS[-1]))


def _build_registry(
    session: "_Session",
    access: Access,
    plurals: Iterable[str],
    on_resource: OnEvent,
    on_secret: OnEvent,
) -> kopf.OperatorRegistry:
    """Register the handlers: login, the kinds with these plurals, the metadata of Secrets."""
    registry = kopf.OperatorRegistry()
    as_session: Any = session

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            aiohttp_session=as_session, server=access.server, default_namespace=access.default_namespace
        )

    def passing(on_event: OnEvent) -> Callable[..., Awaitable[None]]:
        async def handle(event: Mapping[str, Any], **_: Any) -> None:
            on_event(event["type"], event["object"])

        return handle

    group, _, version = GROUP_VERSION.partition("/")
    for plural in plurals:
        kopf.on.event(group, version, plural, registry=registry)(passing(on_resource))
    kopf.on.event("", "v1", "secrets", registry=registry)(passing(on_secret))
    return registry


def build_settings(*, clusterwide: bool) -> kopf.OperatorSettings:
    """Set Kopf up to watch patiently and to write nothing."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = NullDiffBase()
    settings.persistence.progress_storage = NullProgress()
    # Without leave to list namespaces Kopf would ask in vain for a minute; the list of them is fixed then anyway.
    settings.scanning.disabled = not clusterwide
    settings.queueing.idle_timeout = 1.0
    settings.watching.chunk_size = 50
    settings.watching.inactivity_timeout = 80
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _Backoffs()
    settings.process.ultimate_exiting_timeout = 25
    return settings


# --- what Kopf reads through


@dataclass(frozen=True, slots=True)
class _Target:
    """What one request of Kopf is about."""

    plural: str
    namespace: str
    """Empty for all namespaces."""
    is_ours: bool
    is_watch: bool

    @classmethod
    def of(cls, url: str) -> Self | None:
        """Read a URL; None when it is no list or watch."""
        parts = urlsplit(url)
        match parts.path.strip("/").split("/"):
            case ["api", _, *rest]:
                is_ours = False
            case ["apis", group, version, *rest]:
                is_ours = f"{group}/{version}" == GROUP_VERSION
            case _:
                return None
        match rest:
            case ["namespaces", namespace, plural]:
                pass
            case [plural]:
                namespace = ""
            case _:
                return None
        return cls(plural, namespace, is_ours, "true" in parse_qs(parts.query).get("watch", ()))

    @property
    def accept(self) -> str:
        """The form of the answer: Secrets come as metadata only."""
        if self.plural != "secrets":
            return JSON
        return METADATA_WATCH if self.is_watch else METADATA_LIST

    @property
    def where(self) -> str:
        """What is logged."""
        return f"{self.plural} in {self.namespace}" if self.namespace else self.plural


class _Session:
    """What Kopf takes for its aiohttp session: the same API server, with answers that Kopf survives."""

    def __init__(self, client: Client, seen: Seen) -> None:
        self.headers = {hdrs.USER_AGENT: USER_AGENT}
        self.unreadable: dict[_Target, str] = {}
        self._client = client
        self._seen = seen
        self._failures: dict[_Target, int] = {}

    @property
    def closed(self) -> bool:
        """Whether Kopf has ended."""
        return self._client.closed

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        timeout: aiohttp.ClientTimeout,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> "aiohttp.ClientResponse | _Answer":
        """Send a request of Kopf, which only reads."""
        if json is not None or headers:
            raise NotImplementedError("Kopf has nothing to write")
        target = _Target.of(url)
        accept = target.accept if target else JSON
        try:
            response = await self._client.send(method, url, {hdrs.ACCEPT: accept}, timeout=timeout)
        except aiohttp.ClientConnectionError as problem:
            why = explain(problem).replace(_CLOSED_TLS, "TLS was closed")
            raise aiohttp.ClientConnectionError(why) from problem
        if response.status == UNAUTHORIZED:
            response.release()
            raise aiohttp.ClientConnectionError("the API server does not accept our credentials")
        if target is None:
            return response
        return await (self._good if response.status == _OK else self._bad)(target, response)

    async def _good(self, target: _Target, response: aiohttp.ClientResponse) -> "_Answer":
        self._note_readable(target)
        if not target.is_watch:
            answer = orjson.loads(await response.read())
            if answer.get("items") is None:  # an empty list of metadata, over which Kopf would stumble
                answer["items"] = []
            if target.is_ours:
                # What the cache has already need not be taken apart, remembered and passed on.
                answer["items"] = [
                    one for one in answer["items"] if not self._seen(one["metadata"]["resourceVersion"])
                ]
            return _Answer(answer)
        chunks = response.content.iter_chunked(2**20)
        seen = self._seen if target.is_ours else None

        def forget_failures() -> None:
            self._failures.pop(_place(target), None)

        lines = pass_on(chunks, seen, forget_failures, lambda: self._pause(target))
        return _Answer(lines=lines, response=response)

    async def _bad(
        self, target: _Target, response: aiohttp.ClientResponse
    ) -> "aiohttp.ClientResponse | _Answer":
        status = response.status
        if status == _TOO_MANY or status >= _SERVER_ERRORS:
            return response  # Kopf tries again by itself
        is_definition = target.plural == "customresourcedefinitions"
        if status == _FORBIDDEN and not target.namespace and not is_definition:
            return response
        why = await _read_reason(response)
        if status not in {_FORBIDDEN, _NOT_FOUND}:
            logger.warning("The %s can't be listed or watched (%d): %s", target.where, status, why)
            await self._pause(target)
            return _Answer.relist(target)
        if status == _FORBIDDEN and target.namespace:
            self._note_unreadable(target, why)
        if target.is_watch:
            await asyncio.sleep(QUIET)
        return _Answer.nothing()

    async def _pause(self, target: _Target) -> None:
        place = _place(target)
        failures = self._failures.get(place, 0)
        self._failures[place] = failures + 1
        await asyncio.sleep(BACKOFFS[min(failures, len(BACKOFFS) - 1)])

    def _note_unreadable(self, target: _Target, why: str) -> None:
        place = _place(target)
        if place not in self.unreadable:
            logger.warning("The %s can't be watched any more; others are: %s", target.where, why)
        self.unreadable[place] = why

    def _note_readable(self, target: _Target) -> None:
        if self.unreadable.pop(_place(target), None) is not None:
            logger.info("The %s can be watched again.", target.where)


def _place(target: _Target) -> _Target:
    """Return the same for list and watch."""
    return _Target(target.plural, target.namespace, target.is_ours, is_watch=False)


async def _read_reason(response: aiohttp.ClientResponse) -> str:
    try:
        answer = orjson.loads(await response.read())
    except ValueError:
        answer = None
    said = answer.get("message") if isinstance(answer, dict) else None
    return str(said or f"HTTP status {response.status}")


class _Answer:
    """What Kopf uses of a response, with a body of ours."""

    status = _OK
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        body: Mapping[str, Any] | None = None,
        lines: AsyncIterator[bytes] | None = None,
        response: aiohttp.ClientResponse | None = None,
    ) -> None:
        self._body = body
        self._lines = lines
        self._response = response

    @classmethod
    def nothing(cls) -> Self:
        """Return an empty list, or a watch in which nothing happens."""
        return cls({"items": [], "metadata": {"resourceVersion": ANY_VERSION}}, _lines())

    @classmethod
    def relist(cls, target: _Target) -> Self:
        """Have everything listed anew.

        Raises:
            ClientPayloadError: as if the answer to a list had been broken off.
        """
        if not target.is_watch:
            raise aiohttp.ClientPayloadError("the list can't be continued")
        return cls(lines=_lines(RELIST))

    async def json(self) -> Any:
        """Return the body of a list."""
        return self._body

    @property
    def content(self) -> Self:
        """The body of a watch."""
        return self

    def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        """Return the lines of a watch as they come."""
        return self._lines or _lines()

    def close(self) -> None:
        """Break the watch off."""
        if self._response is not None:
            self._response.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


async def _lines(*lines: bytes) -> AsyncIterator[bytes]:
    for line in lines:
        yield line + b"\n"
