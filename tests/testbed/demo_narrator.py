"""What the demo prints: numbered lines, each of them only after it was found to be true."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console

_MOST_DETAILS = 20


class BrokenPromiseError(Exception):
    """A line of the demo is not true; the message says what was seen instead."""


class Narrator:
    """Counts and prints; colours and a spinner on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._count = 0

    def say(self, text: str = "") -> None:
        """Prints something that promises nothing."""
        self._console.print(text)

    @contextmanager
    def step(self, promise: str) -> Iterator[list[str]]:
        """Prints the promise when what is inside has checked it; what is put into the list is shown below."""
        self._count += 1
        details: list[str] = []
        start = time.monotonic()
        try:
            with self._console.status(promise) if self._console.is_terminal else nullcontext():
                yield details
        except Exception as error:
            self._line("FAILED", promise, "bold red", start)
            self._show([str(error) or type(error).__name__])
            raise BrokenPromiseError(promise) from error
        self._line("ok", promise, "green", start)
        self._show(details)

    def _line(self, verdict: str, promise: str, style: str, start: float) -> None:
        self._console.print(f"{self._count:2} ", end="")
        self._console.print(verdict, style=style, end=" ")
        self._console.print(f"{promise} ({time.monotonic() - start:.1f} s)")

    def _show(self, details: list[str]) -> None:
        lines = [line for text in details for line in text.splitlines()]
        for line in lines[-_MOST_DETAILS:]:
            self._console.print(f"      {line}".rstrip(), style="dim")


def wait_until(holds: Callable[[], bool], what: str, timeout: float = 30.0, pause: float = 0.05) -> None:
    """Waits until something holds; BrokenPromiseError if it does not within that many seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise BrokenPromiseError(f"not within {timeout:.0f} s: {what}")
        time.sleep(pause)


def expect(holds: object, otherwise: str) -> None:
    """Ends the demo if something does not hold."""
    if not holds:
        raise BrokenPromiseError(otherwise)
