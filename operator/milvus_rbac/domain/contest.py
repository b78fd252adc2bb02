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
class Quarrel:
    """How often running a change was needed, and until when it is held off."""

    snapshots: int = 0
    holds: int = 0
    until: float = 0.0


def watch(
    quarrels: Mapping[Need, Quarrel], needed: Iterable[Need], interval: float, now: float
) -> dict[Need, Quarrel]:
    """Count the changes that an interval snapshot needed; what was not needed this time is forgotten."""
    return {need: _again(quarrels.get(need, Quarrel()), interval, now) for need in needed}


def contested(quarrels: Mapping[Need, Quarrel], now: float) -> frozenset[Need]:
    """Name what is held off now."""
    return frozenset(need for need, quarrel in quarrels.items() if quarrel.until > now)


def forget(quarrels: Mapping[Need, Quarrel], claims: Collection[str]) -> dict[Need, Quarrel]:
    """Give claims (by uid) a fresh start: their spec, Secret or reconcile-at annotation changed."""
    return {need: quarrel for need, quarrel in quarrels.items() if need[0] not in claims}


def _again(quarrel: Quarrel, interval: float, now: float) -> Quarrel:
    if quarrel.until > now:
        return quarrel
    if quarrel.snapshots + 1 < SNAPSHOTS:
        return Quarrel(quarrel.snapshots + 1, quarrel.holds, quarrel.until)
    hold = min(interval * SNAPSHOTS * 2 ** min(quarrel.holds, 20), LONGEST_HOLD)
    # After the hold-off the change is made once more; if that is undone too, the next hold-off is twice as long.
    return Quarrel(SNAPSHOTS - 2, quarrel.holds + 1, now + hold)
