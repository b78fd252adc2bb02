"""Changes that another client keeps undoing: they are noticed, and not made again for a while. Times are in seconds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from milvus_rbac.domain.changes import Change

SNAPSHOTS = 3
"""A change is contested when this many consecutive interval snapshots need it."""
LONGEST_HOLD = 86_400.0
"""The hold-off doubles up to a day."""

Need = tuple[str, Change]
"""The uid of a claim, and a change that it needs."""


@dataclass(frozen=True, slots=True)
class Contention:
    """How many consecutive snapshots needed a change, and until when it is held off."""

    snapshots: int = 0
    holds: int = 0
    until: float = 0.0


def watch(
    contentions: Mapping[Need, Contention], needed: Iterable[Need], interval: float, now: float
) -> dict[Need, Contention]:
    """Return the contentions after an interval snapshot that needed these changes; the others are forgotten."""
    return {need: _again(contentions.get(need, Contention()), interval, now) for need in needed}


def _again(contention: Contention, interval: float, now: float) -> Contention:
    if contention.until > now:
        return contention
    if contention.snapshots + 1 < SNAPSHOTS:
        return Contention(contention.snapshots + 1, contention.holds, contention.until)
    hold = min(interval * SNAPSHOTS * 2 ** min(contention.holds, 20), LONGEST_HOLD)
    # After the hold-off the change is made once more. If it is undone again, the next hold-off is twice as long.
    return Contention(SNAPSHOTS - 2, contention.holds + 1, now + hold)
