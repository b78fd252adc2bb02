"""The HTTP session that the watches use: same API server and identity as ours, and Secrets without their data.

It is an aiohttp session and nothing more; who watches what with it is not known here.
"""

import json
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

import aiohttp
import kopf
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, hdrs
from kubernetes.aio.client.rest import RESTClientObject

from milvus_rbac.kube.client import METADATA_LIST, USER_AGENT, Access, find_access
from milvus_rbac.kube.resources import GROUP_VERSION

CONNECTIONS = 40
"""More than there are watches (kinds times namespaces); without a limit a burst opens thousands."""
METADATA_WATCH = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

_NO_ITEMS = b'"items":null'
_OK = 200

OnEvent = Callable[[str | None, Mapping[str, Any]], None]
"""Called with an event's type (None for what a LIST returned) and the object."""

Middleware = Callable[[ClientRequest, ClientHandlerType], Awaitable[ClientResponse]]


class OpenSession(NamedTuple):
    """What a watcher needs; whoever opened the session closes it."""

    session: aiohttp.ClientSession
    server: str
    default_namespace: str


async def open_session(kubeconfig: str | None = None) -> OpenSession:
    """Find the API server as Cluster.connect does and open a session to it.

    Raises:
        NoAccess: neither a usable kubeconfig nor a ServiceAccount is there.
    """
    access = await find_access(kubeconfig)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=_ssl_context(access)),
        middlewares=(_authorize_with(access), read_secrets_without_data),
        headers={hdrs.USER_AGENT: USER_AGENT},
        proxy=access.configuration.proxy,
        trust_env=True,
    )
    return OpenSession(session, access.server, access.default_namespace)


def _ssl_context(access: Access) -> ssl.SSLContext:
    """Let the library turn CA, client certificate and switches of the kubeconfig into TLS settings."""
    context: ssl.SSLContext = RESTClientObject(access.configuration).ssl_context
    return context


def _authorize_with(access: Access) -> Middleware:
    async def authorize(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        header = await access.authorization()
        if header:
            request.headers[hdrs.AUTHORIZATION] = header
        if access.configuration.tls_server_name:
            request.server_hostname = access.configuration.tls_server_name
        return await handler(request)

    return authorize


async def read_secrets_without_data(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Ask for metadata only wherever Secrets are listed or watched.

    An empty list of metadata comes as `"items": null`, over which a watcher stumbles: it is answered as an empty list.
    """
    if request.method != hdrs.METH_GET or not request.url.path.endswith("/secrets"):
        return await handler(request)
    if request.url.query.get("watch") in {"true", "1"}:
        request.headers[hdrs.ACCEPT] = METADATA_WATCH
        return await handler(request)
    request.headers[hdrs.ACCEPT] = METADATA_LIST
    response = await handler(request)
    if response.status == _OK:
        raw = await response.read()
        if _NO_ITEMS in raw:
            response._body = _with_items(raw)  # noqa: SLF001 -- aiohttp has no other way to change an answer
    return response


def _with_items(raw: bytes) -> bytes:
    answer = json.loads(raw)
    if answer.get("items") is None:
        answer["items"] = []
    return json.dumps(answer).encode()


class NullDiffBase(kopf.DiffBaseStorage):
    """Remembers nothing: without it Kopf would write an annotation to every object that it handles."""

    def build(self, **_: Any) -> Any:
        """Find nothing worth comparing."""
        return {}

    def fetch(self, **_: Any) -> Any:
        """Remember nothing."""
        return {}

    def store(self, **_: Any) -> None:
        """Write nothing."""


def build_registry(
    session: OpenSession, plurals: Iterable[str], on_resource: OnEvent, on_secret: OnEvent
) -> kopf.OperatorRegistry:
    """Register the handlers: login, the kinds with these plurals, the metadata of Secrets."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            aiohttp_session=session.session,
            server=session.server,
            default_namespace=session.default_namespace,
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
    # Without leave to list namespaces Kopf would ask in vain for a minute; the list of them is fixed then anyway.
    settings.scanning.disabled = not clusterwide
    settings.queueing.idle_timeout = 1.0
    settings.watching.chunk_size = 500
    settings.watching.inactivity_timeout = 80
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    # About five minutes: an API server that is being upgraded is no reason to be restarted.
    settings.networking.error_backoffs = [1, 2, 4, 8] + [15] * 20
    settings.process.ultimate_exiting_timeout = 25
    return settings
