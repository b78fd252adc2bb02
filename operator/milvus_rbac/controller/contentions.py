"""The memory of who keeps undoing what: which changes were made, and how often they were needed again."""

import time
from collections.abc import Collection, Mapping, Sequence

from milvus_rbac.domain import contention
from milvus_rbac.domain.changes import Change
from milvus_rbac.domain.contention import Contention, Need
from milvus_rbac.domain.plan import Proposal


class ContentionMemory:
    """Of one connection; in memory, so a restart starts afresh."""

    def __init__(self) -> None:
        self._made: dict[str, frozenset[Change]] = {}
        self._quarrels: dict[Need, Contention] = {}

    def note(self, done: Mapping[str, Sequence[Change]]) -> None:
        """Remember what was made for each claim (by uid): only what was made can be undone."""
        for uid, changes in done.items():
            if changes:
                self._made[uid] = self._made.get(uid, frozenset()) | frozenset(changes)

    def forget(self, uids: Collection[str]) -> None:
        """Give these claims a fresh start: somebody changed what they ask for."""
        for uid in uids:
            self._made.pop(uid, None)
        self._quarrels = contention.forget(self._quarrels, uids)

    def contested(
        self, proposals: Sequence[Proposal], by_clock: Collection[str], interval: float
    ) -> frozenset[Need]:
        """Count what an interval's snapshot needs again, and name what is held off."""
        now = time.monotonic()
        if by_clock:
            needed = [
                (proposal.desired.claim.ref.uid, change)
                for proposal in proposals
                if proposal.desired.claim.ref.uid in by_clock
                for change in proposal.changes
            ]
            undone = [need for need in needed if self._was_undone(need)]
            others = contention.forget(self._quarrels, by_clock)
            self._quarrels = {**others, **contention.watch(self._quarrels, undone, interval, now)}
            for uid, change in undone:
                self._made[uid] = self._made.get(uid, frozenset()) - {change}
        return contention.contested(self._quarrels, now)

    def _was_undone(self, need: Need) -> bool:
        """Tell whether what is needed was made since the last look, or is held off since an earlier one."""
        uid, change = need
        standing = need in self._quarrels and self._quarrels[need].holds > 0
        return standing or change in self._made.get(uid, ())
