"""What the operating system says about CPU and memory."""

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from support.listeners import own_processes

_TICK: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Moment:
    """The seconds of CPU that were used up to now: by the whole machine, and by this process and all that descend from it."""

    time: float
    everything: float
    ours: float

    @classmethod
    def now(cls) -> Self:
        """Return this moment."""
        user, nice, system, _, _, *others = map(
            int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
        )
        ours = sum(_used(pid, with_children=True) for pid in own_processes())
        return cls(time.monotonic(), sum((user, nice, system, *others)) / _TICK, ours)

    def foreign_since(self, earlier: Self) -> float:
        """Return which share of the machine's CPU, from 0 to 1, was not ours since an earlier moment."""
        foreign = self.everything - earlier.everything - (self.ours - earlier.ours)
        return max(0.0, foreign / (self.time - earlier.time) / (os.cpu_count() or 1))


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    return _used(pid)


def memory(pid: int) -> float:
    """Return the MiB that a process holds now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


def _used(pid: int, *, with_children: bool = False) -> float:
    """Return the CPU of a process; its children are those that have ended."""
    with suppress(OSError):  # it has ended meanwhile
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11 : 15 if with_children else 13])) / _TICK
    return 0.0
