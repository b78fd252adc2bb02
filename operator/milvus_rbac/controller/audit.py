"""One line for each change that was tried in Milvus: who asked, what, and what came of it. No password is in any change."""

import logging
from collections.abc import Mapping

from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.metrics import ChangeResult, ConnectionMetrics
from milvus_rbac.domain.changes import Change, describe
from milvus_rbac.logs import AUDIT
from milvus_rbac.milvus.errors import MilvusRbacError, Unreachable

BOOTSTRAP = "Bootstrap"
"""The one change that no plan has: root of a fresh server gets its first own password."""

logger = logging.getLogger(AUDIT)


class Audit:
    """Of one connection's changes, which these resources ask for."""

    def __init__(self, entries: Mapping[str, Entry], metrics: ConnectionMetrics) -> None:
        self._entries = entries
        self._metrics = metrics

    def note(self, uid: str, change: Change, error: BaseException | None) -> None:
        """Write down and count what became of a change that this resource asked for."""
        self._write(self._entries[uid], type(change).__name__, describe(change), error)

    def note_bootstrap(self, uid: str, error: BaseException | None) -> None:
        """Write down and count what became of the bootstrap that this connection asked for."""
        self._write(self._entries[uid], BOOTSTRAP, "set the password of root", error)

    def _write(self, entry: Entry, verb: str, words: str, error: BaseException | None) -> None:
        result = _result(error)
        self._metrics.changed(verb, result)
        facts = {"change": verb, "result": result}
        if isinstance(error, MilvusRbacError):
            facts |= {"reason": error.refusal.reason.value, "error": error.refusal.message}
        elif error is not None:
            facts["error"] = f"broken off: {type(error).__name__}"
        who = f"{entry.kind} {'/'.join(entry.name)}"
        logger.info("%s: %s: %s.", who, words, result, extra={**entry.log_fields, **facts})


def _result(error: BaseException | None) -> ChangeResult:
    if error is None:
        return "done"
    is_answer = isinstance(error, MilvusRbacError) and not isinstance(error, Unreachable)
    return "failed" if is_answer else "unknown"
