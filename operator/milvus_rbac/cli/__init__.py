"""The command line: one file per command. It obeys signals before it is loaded."""

import os
import signal


def main() -> None:
    """Run the command line.

    Loading everything takes most of a second. The first process of a container ignores signals that it does not
    handle, so a Pod that is stopped while it starts would wait for SIGKILL. Nothing was written yet: the process ends
    at once, until the event loop takes the signals for itself.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    from milvus_rbac.cli.run import main as run  # noqa: PLC0415 -- see above

    run()
