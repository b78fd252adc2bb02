"""Where the API server is and how to identify to it: from a kubeconfig or from the Pod. Sends nothing itself."""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

from milvus_rbac.kube.pod import own_namespace

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
