"""The command `run`, the only place where everything meets: settings, doors, controller, Kopf."""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from importlib import metadata
from typing import Any

import click
import uvloop
from prometheus_client import ProcessCollector
from pydantic import ValidationError

from milvus_rbac.api.v1alpha1 import KINDS
from milvus_rbac.controller.manager import Manager
from milvus_rbac.controller.metrics import Metrics
from milvus_rbac.http_server import Serving
from milvus_rbac.kube.access import NoAccess, find_access
from milvus_rbac.kube.client import Client
from milvus_rbac.kube.leader_election import LEASE_CONNECTIONS, Lease, LeaseName
from milvus_rbac.kube.resources import EVENT_CONNECTIONS, Cluster
from milvus_rbac.kube.watch import Watch
from milvus_rbac.logs import set_up_logs, show_stacks_on_request
from milvus_rbac.settings import Settings

WATCHERS = "watcher for "
"""How Kopf names its watching tasks; what is watched and @ its namespace follow, or @None for all."""
GARBAGE = (10_000, 10, 100)
"""After so many new objects the young ones are searched for garbage, after ten such searches the older ones, and after a hundred
of those all: with ten thousand users that blocks the loop for a tenth of a second, and has found nothing."""
STARTING = 60.0
"""Seconds after which the watches must have been started."""

logger = logging.getLogger("milvus_rbac")


def _find_version() -> str:
    try:
        return metadata.version("milvus-rbac-operator")
    except metadata.PackageNotFoundError:
        return "unknown, it runs from its sources"


@click.group()
@click.version_option(_find_version(), prog_name="milvus-rbac")
def main() -> None:
    """Manage Milvus access control through Kubernetes custom resources."""


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Offer every setting as a flag of the same name; one that is absent comes from the environment."""
    for name, field in reversed(Settings.model_fields.items()):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, name, default=None, help=field.description)(command)
    return command


@main.command()
@_with_settings
def run(**flags: Any) -> None:
    """Run the operator until SIGTERM or SIGINT."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        raise click.UsageError(
            "; ".join(_describe(one) for one in error.errors(include_input=False))
        ) from None
    set_up_logs(settings.log_level, settings.log_format)
    gc.freeze()  # what the libraries have built stays, so it need not be searched for garbage
    gc.set_threshold(*GARBAGE)
    try:
        uvloop.run(_run(settings))
    except NoAccess as problem:
        raise click.ClickException(str(problem)) from None


def _describe(error: Any) -> str:
    setting = f"MILVUS_RBAC_{'_'.join(str(part) for part in error['loc']).upper()}"
    return f"{setting}: {error['msg']}"


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    _listen(stop)
    show_stacks_on_request()
    metrics = Metrics()
    ProcessCollector(registry=metrics.registry)
    access = await find_access(settings.kubeconfig)
    count = metrics.count_kubernetes_call
    async with (
        Client(access, LEASE_CONNECTIONS, count=count) as lease_client,
        Cluster(
            Client(access, count=count),
            settings.namespaces,
            events=Client(access, EVENT_CONNECTIONS, count=count),
            instance=settings.identity,
        ) as cluster,
    ):
        lease = Lease(
            lease_client, LeaseName(settings.lease_namespace, settings.lease_name), settings.identity
        )
        metrics.leader.set_function(lambda: float(lease.remaining() > 0))
        manager = Manager(cluster, lease, settings, metrics)
        plurals = [kind.plural for kind in KINDS]
        watch = Watch(
            access,
            plurals,
            settings.namespaces,
            manager.on_resource,
            manager.on_secret,
            manager.cache.has_version,
        )
        ready = asyncio.Event()
        serving = Serving(
            settings.http_address,
            is_alive=partial(_find_dead_watch, ready, manager, settings.namespaces, time.monotonic()),
            is_ready=lambda: None if manager.is_ready else "the resources are still being read",
            registry=metrics.registry,
        )
        await serving.start()
        try:
            await _run_together(
                manager, lease, partial(watch.run, settings.identity, ready, stop), stop, ready
            )
        finally:
            await serving.stop()


async def _run_together(
    manager: Manager,
    lease: Lease,
    watch: Callable[[], Coroutine[Any, Any, None]],
    stop: asyncio.Event,
    ready: asyncio.Event,
) -> None:
    """Run controller, Lease and watches; stop writing first, give the Lease back last."""
    leading = asyncio.create_task(lease.run(), name="lease")
    working = asyncio.create_task(manager.run(), name="manager")
    watching = asyncio.create_task(_watch_when_read(manager, watch), name="kopf")
    obeying = asyncio.create_task(_obey(stop, ready), name="signals")
    try:
        running = {leading, working, watching, obeying}
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        obeying.cancel()
        for task in (working, watching, leading):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _watch_when_read(manager: Manager, watch: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Begin to watch when everything was read: what is known then need not be taken apart by Kopf, too."""
    await manager.complete.wait()
    gc.freeze()  # most of it stays for as long as the process
    await watch()


async def _obey(stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Wait for a signal. Kopf takes the signals for itself as it starts, and would stop the controller last."""
    waiting = [asyncio.create_task(event.wait()) for event in (ready, stop)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    _listen(stop)
    await stop.wait()


def _listen(stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def _find_dead_watch(
    ready: asyncio.Event, manager: Manager, namespaces: Sequence[str] | None, started: float
) -> str | None:
    """Return which watch has ended, or never began: Kopf does not always start it again (nolar/kopf#1276)."""
    if time.monotonic() < started + STARTING or not manager.is_ready:
        return None
    if not ready.is_set():
        return "the watches have not been started"
    tasks = [task.get_name() for task in asyncio.all_tasks()]
    wanted = [(plural, namespace) for plural in manager.watched for namespace in namespaces or (None,)]
    dead = [
        plural
        for plural, namespace in wanted
        if not any(one.startswith(f"{WATCHERS}{plural}.") and one.endswith(f"@{namespace}") for one in tasks)
    ]
    return f"the watch of {', '.join(dict.fromkeys(dead))} has ended" if dead else None
