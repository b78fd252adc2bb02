"""One line for each change that was tried in Milvus: who asked, what, and what came of it. No password is in any change."""

import logging
from collections.abc import Mapping

from milvus_rbac.domain.changes import Change
from milvus_rbac.domain.wording import describe
from milvus_rbac.engine.entry import Entry
from milvus_rbac.engine.metrics import ChangeResult, ConnectionMetrics
from milvus_rbac.errors import MilvusRbacError, Unreachable
from milvus_rbac.logs import AUDIT

logger = logging.getLogger(AUDIT)


class Audit:
    """Of one round."""

    def __init__(self, entries: Mapping[str, Entry], metrics: ConnectionMetrics) -> None:
        self._entries = entries
        self._metrics = metrics

    def note(self, uid: str, change: Change, error: MilvusRbacError | None) -> None:
        """Write down and count what became of a change that this resource asked for."""
        result = _result(error)
        self._metrics.changed(change, result)
        entry = self._entries[uid]
        facts = {"change": type(change).__name__, "result": result}
        if error is not None:
            facts |= {"reason": error.refusal.reason.value, "error": error.refusal.message}
        who = f"{entry.kind} {'/'.join(entry.name)}"
        logger.info("%s: %s: %s.", who, describe(change), result, extra={**entry.log_fields, **facts})


def note_bootstrap(entry: Entry) -> None:
    """Write down that a MilvusConnection gave root of a fresh server its first own password."""
    facts = {"change": "Bootstrap", "result": "done"}
    where = "/".join(entry.name)
    logger.info("MilvusConnection %s: set the password of root.", where, extra={**entry.log_fields, **facts})


def _result(error: MilvusRbacError | None) -> ChangeResult:
    if error is None:
        return "done"
    return "unknown" if isinstance(error, Unreachable) else "failed"
