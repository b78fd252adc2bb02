"""Notice that somebody keeps undoing the same change, and stop making it for a while. Time comes in as seconds."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from milvus_rbac.domain.changes import Change

SNAPSHOTS = 3
"""Needed again on so many interval snapshots running, a change is contested."""
LONGEST_HOLD = 86_400.0
"""Seconds: the hold-off doubles up to a day."""

Need = tuple[str, Change]
"""A claim's uid and the change that it needed."""


@dataclass(frozen=True, slots=True)
class Contention:
    """How often running a change was needed, and until when it is held off."""

    snapshots: int = 0
    holds: int = 0
    until: float = 0.0


def watch(
    contentions: Mapping[Need, Contention], needed: Iterable[Need], interval: float, now: float
) -> dict[Need, Contention]:
    """Count the changes that an interval snapshot needed; what was not needed this time is forgotten."""
    return {need: _again(contentions.get(need, Contention()), interval, now) for need in needed}


def contested(contentions: Mapping[Need, Contention], now: float) -> frozenset[Need]:
    """Name what is held off now."""
    return frozenset(need for need, contention in contentions.items() if contention.until > now)


def forget(contentions: Mapping[Need, Contention], claims: Collection[str]) -> dict[Need, Contention]:
    """Give claims (by uid) a fresh start: their spec, Secret or reconcile-at annotation changed."""
    return {need: contention for need, contention in contentions.items() if need[0] not in claims}


def _again(contention: Contention, interval: float, now: float) -> Contention:
    if contention.until > now:
        return contention
    if contention.snapshots + 1 < SNAPSHOTS:
        return Contention(contention.snapshots + 1, contention.holds, contention.until)
    hold = min(interval * SNAPSHOTS * 2 ** min(contention.holds, 20), LONGEST_HOLD)
    # After the hold-off the change is made once more; if that is undone too, the next hold-off is twice as long.
    return Contention(SNAPSHOTS - 2, contention.holds + 1, now + hold)
