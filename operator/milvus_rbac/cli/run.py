"""The command line. `run` is the only place where everything meets: settings, doors, engine, Kopf."""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click
import kopf
from prometheus_client import ProcessCollector
from pydantic import ValidationError

from milvus_rbac.api.v1alpha1 import KINDS
from milvus_rbac.controller.manager import Manager
from milvus_rbac.controller.metrics import Metrics
from milvus_rbac.http_server import Serving
from milvus_rbac.kube.client import NoAccess
from milvus_rbac.kube.leader_election import Lease, LeaseName
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.kube.watch import OpenSession, build_registry, build_settings, open_session
from milvus_rbac.logs import set_up_logs, show_stacks_on_request
from milvus_rbac.settings import Settings

WATCHERS = "watcher for "
"""How Kopf names its watching tasks; what is watched and @ its namespace follow, or @None for all."""
STARTING = 60.0
"""Seconds in which nobody expects the watches to stand."""

logger = logging.getLogger("milvus_rbac")


@click.group()
def main() -> None:
    """Manage Milvus access control through Kubernetes custom resources."""


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Offer every setting as a flag of the same name; what is not given comes from the environment."""
    for name, field in reversed(Settings.model_fields.items()):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, name, default=None, help=field.description)(command)
    return command


@main.command()
@_with_settings
def run(**flags: Any) -> None:
    """Run the operator until it is told to stop."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        raise click.UsageError("; ".join(_say(one) for one in error.errors(include_input=False))) from None
    set_up_logs(settings.log_level, settings.log_format)
    try:
        asyncio.run(_run(settings))
    except NoAccess as problem:
        raise click.ClickException(str(problem)) from None


def _say(error: Any) -> str:
    setting = f"MILVUS_RBAC_{'_'.join(str(part) for part in error['loc']).upper()}"
    return f"{setting}: {error['msg']}"


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    _listen(stop)
    show_stacks_on_request()
    metrics = Metrics()
    ProcessCollector(registry=metrics.registry)
    session = await open_session(settings.kubeconfig)
    count = metrics.count_kubernetes_call
    async with await Cluster.connect(settings.kubeconfig, settings.namespaces, count=count) as cluster:
        lease = Lease(
            cluster.api, LeaseName(settings.lease_namespace, settings.lease_name), settings.identity
        )
        metrics.leader.set_function(lambda: float(lease.remaining() > 0))
        manager = Manager(cluster, lease, settings, metrics)
        ready = asyncio.Event()
        serving = Serving(
            settings.http_address,
            is_alive=partial(_find_dead_watch, ready, manager, settings.namespaces, time.monotonic()),
            is_ready=lambda: None if manager.is_ready else "the resources are still being read",
            registry=metrics.registry,
        )
        await serving.start()
        try:
            await _run_together(settings, manager, lease, session, stop, ready)
        finally:
            await serving.stop()
            await session.session.close()


async def _run_together(
    settings: Settings,
    manager: Manager,
    lease: Lease,
    session: OpenSession,
    stop: asyncio.Event,
    ready: asyncio.Event,
) -> None:
    """Run engine, lease and watches; stop writing first, give the lease back last."""
    leading = asyncio.create_task(lease.run(), name="lease")
    working = asyncio.create_task(manager.run(), name="manager")
    watching = asyncio.create_task(
        kopf.operator(
            registry=build_registry(
                session, (kind.plural for kind in KINDS), manager.on_resource, manager.on_secret
            ),
            settings=build_settings(clusterwide=settings.namespaces is None),
            clusterwide=settings.namespaces is None,
            namespaces=settings.namespaces or (),
            ready_flag=ready,
            stop_flag=stop,
        ),
        name="kopf",
    )
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


async def _obey(stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Wait until we are told to stop. Kopf takes the signals for itself as it starts, and would stop the engine last."""
    await ready.wait()
    _listen(stop)
    await stop.wait()


def _listen(stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def _find_dead_watch(
    ready: asyncio.Event, manager: Manager, namespaces: Sequence[str] | None, started: float
) -> str | None:
    """Say which watch has ended, or never began: Kopf does not always start it again (nolar/kopf#1276)."""
    if time.monotonic() < started + STARTING:
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


if __name__ == "__main__":
    sys.exit(main())
