"""`kill -USR1` shows where the process is: every thread at once, then every task. Names of functions, never a value."""

import asyncio
import faulthandler
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO


def show_stacks_on_request() -> None:
    """Listen for SIGUSR1 from now on. Threads are shown even while the running loop is stuck, tasks when it is not."""
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
