"""How the process logs, and what it shows of itself at SIGUSR1.

There is one format for all, and no library writes bodies of requests or objects, whatever level is set. Passwords never
reach a logger; that is the duty of the code that holds them.
"""

import asyncio
import faulthandler
import logging
import signal
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import FrameType, MappingProxyType
from typing import Any, Literal, TextIO

from pythonjsonlogger.json import JsonFormatter

from milvus_rbac.domain.text import printable

CEILINGS = {
    "kopf": logging.INFO,  # at DEBUG it writes objects in full
    "kopf.objects": logging.WARNING,  # a line for every event of every object
    "kubernetes": logging.INFO,  # ... and this one the API server's answers
    "pymilvus": logging.ERROR,
    "grpc": logging.WARNING,
    "aiohttp": logging.WARNING,
    "aiohttp.access": logging.ERROR,  # a line for every probe
    "asyncio": logging.WARNING,
}
"""The least level of each library; a higher one of our own holds for them, too."""

AUDIT = "milvus_rbac.audit"
"""The logger of changes in Milvus. It writes whatever level is set: who may do what must be traceable."""

TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
KOPF_FIELDS = ("k8s_ref", "k8s_skip", "settings")
"""What Kopf attaches to its records: its whole settings, among others."""


_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


def about(**fields: str) -> None:
    """Add these fields to every line that this task logs from now on, and to those of the tasks that it starts."""
    _ABOUT.set({**_ABOUT.get(), **fields})


def set_up_logs(level: str, style: Literal["json", "text"], stream: TextIO | None = None) -> None:
    """Send everything that is logged to one stream (stderr by default); calling it again starts anew."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_json_formatter() if style == "json" else logging.Formatter(TEXT))
    handler.addFilter(_add_context)
    handler.addFilter(_escape)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, ceiling in CEILINGS.items():
        logging.getLogger(name).setLevel(max(ceiling, root.level))
    logging.getLogger(AUDIT).setLevel(min(logging.INFO, root.level))
    logging.captureWarnings(capture=True)


def _add_context(record: logging.LogRecord) -> bool:
    for name, value in _ABOUT.get().items():
        setattr(record, name, value)
    return True


def _escape(record: logging.LogRecord) -> bool:
    """Escape what a name from elsewhere could forge a line with."""
    record.msg, record.args = printable(record.getMessage()), None
    return True


def _json_formatter() -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
        json_ensure_ascii=False,
        reserved_attrs=[*_record_fields(), *KOPF_FIELDS],
    )


def _record_fields() -> list[str]:
    """Return what every record has; only what a call adds with `extra` becomes a field of its own."""
    bare = logging.LogRecord("", 0, "", 0, "", None, None)
    return [*vars(bare), "message", "asctime", "taskName"]


def show_stacks_on_request() -> None:
    """Show stacks at each SIGUSR1 from now on: of threads even while the event loop is stuck, of tasks when it is not."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, show_tasks, sys.stderr)
    faulthandler.register(signal.SIGUSR1, chain=True)


def show_tasks(stream: TextIO) -> None:
    """Write where each task of the running loop waits, from its own function to the innermost."""
    lines: list[str] = []
    for task in asyncio.all_tasks():
        lines.append(f"Task {task.get_name()}:")
        for frame in _frames(task.get_coro()):
            code = frame.f_code
            lines.append(f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_qualname}')
    stream.write("\n".join([*lines, ""]))
    stream.flush()


def _frames(waiting: Any) -> Iterator[FrameType]:
    """Follow what awaits what, as far as an asynchronous generator; a task's own get_stack ends at the first frame."""
    while waiting is not None:
        # What is awaited last may be a plain generator, which names the same things differently.
        frame = _first(waiting, "cr_frame", "gi_frame")
        if frame is not None:
            yield frame
        waiting = _first(waiting, "cr_await", "gi_yieldfrom")


def _first(owner: object, *names: str) -> Any:
    return next((found for name in names if (found := getattr(owner, name, None)) is not None), None)
