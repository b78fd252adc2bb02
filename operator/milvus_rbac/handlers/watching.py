"""Every event of the watched kinds goes to the scheduler; Kopf itself is kept from writing anything."""

from collections.abc import Mapping
from typing import Any

import kopf

from milvus_rbac.engine.scheduler import Scheduler
from milvus_rbac.kinds import GROUP, KINDS, VERSION
from milvus_rbac.kube.session import OpenSession


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


def build_registry(scheduler: Scheduler, session: OpenSession) -> kopf.OperatorRegistry:
    """Register the handlers: login, our kinds, the metadata of Secrets."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            aiohttp_session=session.session,
            server=session.server,
            default_namespace=session.default_namespace,
        )

    async def on_resource(event: Mapping[str, Any], **_: Any) -> None:
        scheduler.on_resource(event["type"], event["object"])

    async def on_secret(event: Mapping[str, Any], **_: Any) -> None:
        scheduler.on_secret(event["type"], event["object"])

    for kind in KINDS:
        kopf.on.event(GROUP, VERSION, kind.plural, registry=registry)(on_resource)
    kopf.on.event("", "v1", "secrets", registry=registry)(on_secret)
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
