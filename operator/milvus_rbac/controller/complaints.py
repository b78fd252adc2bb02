"""What could not be done about one resource and holds up no other: a line in the log."""

import logging

from milvus_rbac.controller.entry import Entry


def complain(logger: logging.Logger, entry: Entry, what: str, problem: object) -> None:
    """Log that something could not be done, and why."""
    logger.warning("%s %s/%s can't be %s: %s", entry.kind, *entry.name, what, problem, extra=entry.log_fields)
