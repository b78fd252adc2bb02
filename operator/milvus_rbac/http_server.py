"""The HTTP server for probes and metrics: /healthz, /readyz and /metrics. What healthy means, the caller decides."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from milvus_rbac.settings import HttpAddress

Check = Callable[[], str | None]
"""Returns what is wrong, in a sentence, or None. It runs on the event loop, so a loop that hangs fails its probe."""

logger = logging.getLogger(__name__)


class Serving:
    """Serves until stopped, on the event loop of everything else and without a thread of its own."""

    def __init__(
        self, address: HttpAddress, is_alive: Check, is_ready: Check, registry: CollectorRegistry
    ) -> None:
        self.port = address.port
        """The port that is served; with port 0 known after start."""
        self._host = address.host
        self._registry = registry
        application = web.Application()
        application.router.add_get("/healthz", _answer_with(is_alive))
        application.router.add_get("/readyz", _answer_with(is_ready))
        application.router.add_get("/metrics", self._show_metrics)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)

    async def start(self) -> None:
        """Listen, and log where."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host or None, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        logger.info("Probes and metrics are served on %s:%d.", self._host or "*", self.port)

    async def stop(self) -> None:
        """Stop listening; open requests get a second."""
        await self._runner.cleanup()

    async def _show_metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


def _answer_with(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        problem = check()
        return web.Response(text="ok\n") if problem is None else web.Response(status=503, text=f"{problem}\n")

    return answer
