"""Where the API server is and how to get in: credentials, certificates and the proxy, kept fresh while the process runs.

The `kubernetes` library reads kubeconfigs, asks plugins and knows a Pod's ServiceAccount; nothing else of it is used.
"""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from milvus_rbac.kube.proxy import find_proxy

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
RELOAD_AFTER = 60.0
"""Seconds after which a token file is read again, and a plugin asked whose token has expired."""
RENEW_PAUSE = 1.0
"""Seconds between two looks at the credentials when the API server refuses them."""
LOOK_AFTER = 5.0
"""Seconds after which the files of certificates are looked at again."""
LOAD_TIMEOUT = 10.0
"""Seconds that a plugin may take."""
PROXY_SCHEMES = {"http", "https"}

Reload = Callable[[], Awaitable[None]]
Stamp = tuple[tuple[str, int, int, int] | None, ...]
"""What changes with the files of certificates: path, inode, time and size of each."""

logger = logging.getLogger(__name__)


class NoAccess(Exception):
    """Neither a usable kubeconfig nor a Pod's ServiceAccount was found."""


def own_namespace() -> str:
    """Return the namespace of this Pod; outside of a Pod it is `default`, as for kubectl."""
    try:
        return NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


async def find_access(kubeconfig: str | None = None) -> "Access":
    """Use the given kubeconfig, else $KUBECONFIG, else the Pod's ServiceAccount.

    Raises:
        NoAccess: nothing usable is there.
    """
    path = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        return await _from_kubeconfig(path) if path else await _from_pod()
    except Exception as problem:  # the library trips over a malformed file with any exception
        where = f"The kubeconfig {path}" if path else "The Pod's ServiceAccount"
        raise NoAccess(f"{where} gives no access to Kubernetes: {problem}") from problem


async def _from_pod() -> "Access":
    configuration = Configuration()

    async def load() -> None:
        config.load_incluster_config(client_configuration=configuration, try_refresh_token=False)

    await load()
    return Access(configuration, own_namespace(), load, load)


async def _from_kubeconfig(path: str) -> "Access":
    configuration = Configuration()
    loader: Any = None

    async def load() -> None:
        nonlocal loader
        loader = await config.load_kube_config(
            config_file=path, client_configuration=configuration, persist_config=False
        )

    async def refresh() -> None:
        await loader.load_and_set(configuration)  # a plugin's token is kept until it expires

    await load()
    namespace = loader.current_context["context"].get("namespace") or "default"
    return Access(configuration, namespace, refresh, load)


class Access:
    """One API server and the identity to use there. All connection pools share it."""

    def __init__(self, configuration: Any, default_namespace: str, refresh: Reload, reload: Reload) -> None:
        self.server: str = configuration.host
        """The URL of the API server, without a slash at its end."""
        self.default_namespace = default_namespace
        self.proxy = _choose_proxy(configuration)
        """The URL of the proxy on the way; None without one."""
        self._configuration = configuration
        self._refresh = refresh
        self._reload = reload
        self._refreshed = time.monotonic()
        self._renewed = -RENEW_PAUSE
        self._renewing = asyncio.Lock()
        self._looked = time.monotonic()
        self._stamp = self._read_stamp()
        self._tls = self._build_tls()

    @property
    def server_hostname(self) -> str | None:
        """The name that the API server's certificate must have, where it is not the URL's."""
        name: str | None = self._configuration.tls_server_name
        return name

    async def authorization(self) -> str | None:
        """Return the Authorization header, with credentials that were read at most a minute ago."""
        now = time.monotonic()
        if now - self._refreshed >= RELOAD_AFTER:
            self._refreshed = now
            await self._try(self._refresh)
        return self._header()

    async def renew(self) -> str | None:
        """Read the credentials anew, after the API server refused them, and return the Authorization header.

        Everything is read: a kubeconfig or token file that was replaced, a plugin that still believes in its token.
        Requests that are refused together share one look, and there is one look a second at most.
        """
        asked = time.monotonic()
        async with self._renewing:
            if self._renewed < asked:
                await asyncio.sleep(self._renewed + RENEW_PAUSE - time.monotonic())
                await self._try(self._reload)
                self._renewed = self._refreshed = time.monotonic()
        return self._header()

    def tls(self) -> ssl.SSLContext:
        """Return the TLS settings for new connections; a new object after a file of certificates has changed."""
        now = time.monotonic()
        if now - self._looked >= LOOK_AFTER:
            self._looked = now
            self._read_certificates_again()
        return self._tls

    async def renew_tls(self, failed: ssl.SSLContext) -> ssl.SSLContext | None:
        """Look for new certificates, after a handshake failed; return newer TLS settings, None if there are none."""
        await self.renew()  # a kubeconfig holds certificates, too
        self._read_certificates_again()
        return self._tls if self._tls is not failed else None

    def _header(self) -> str | None:
        header: str | None = self._configuration.api_key.get("BearerToken")
        return header.strip() if header else None

    async def _try(self, load: Reload) -> None:
        """Load credentials; when that fails the old ones are used on, which may be good for a long time."""
        try:
            async with asyncio.timeout(LOAD_TIMEOUT):
                await load()
        except Exception as problem:  # noqa: BLE001 -- as in find_access
            why = str(problem) or type(problem).__name__
            logger.warning("The credentials for Kubernetes can't be read again: %s", why)

    def _read_certificates_again(self) -> None:
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        try:
            self._tls = self._build_tls()
        except (
            OSError,
            ValueError,
        ) as problem:  # an SSLError is an OSError: the file is half written, perhaps
            logger.warning("The certificates for Kubernetes can't be read again: %s", problem)
            return
        self._stamp = stamp
        logger.info("The certificates for Kubernetes have changed and were read again.")

    def _read_stamp(self) -> Stamp:
        known = self._configuration
        return tuple(_stamp(path) for path in (known.ssl_ca_cert, known.cert_file, known.key_file))

    def _build_tls(self) -> ssl.SSLContext:
        """Let the library turn CA, client certificate and switches into TLS settings."""
        context: ssl.SSLContext = RESTClientObject(self._configuration).ssl_context
        return context


def _stamp(path: str | None) -> tuple[str, int, int, int] | None:
    if not path:
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 -- a link is followed: a Pod's volume is replaced by turning one
    except OSError:
        return path, 0, 0, 0
    return path, found.st_ino, found.st_mtime_ns, found.st_size


def _choose_proxy(configuration: Any) -> str | None:
    """Return the kubeconfig's proxy, else the environment's.

    Raises:
        ValueError: the proxy speaks neither HTTP nor HTTPS.
    """
    proxy: str | None = configuration.proxy or find_proxy(configuration.host, os.environ)
    if proxy and urlsplit(proxy).scheme.lower() not in PROXY_SCHEMES:
        raise ValueError(f"the proxy {urlsplit(proxy).scheme}:// is neither http:// nor https://")
    return proxy
