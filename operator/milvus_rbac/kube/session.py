"""The HTTP session that the watches use: same API server and identity as ours, and Secrets without their data.

It is an aiohttp session and nothing more; who watches what with it is not known here.
"""

import json
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, hdrs
from kubernetes.aio.client.rest import RESTClientObject

from milvus_rbac.kube.access import Access, find_access
from milvus_rbac.kube.api import METADATA_LIST, USER_AGENT

CONNECTIONS = 40
"""More than there are watches (kinds times namespaces); without a limit a burst opens thousands."""
METADATA_WATCH = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

_NO_ITEMS = b'"items":null'
_OK = 200

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
