"""What a run comes to, and what the operating system says about a process."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figures:
    """What one side took to have one load in Milvus and all its statuses written."""

    size: int
    """The number of resources."""
    seconds: float
    cpu: float
    """Seconds of its own process, both user and system."""
    memory: float
    """MiB of its own process, at the end."""
    writes: tuple[int, ...]
    """For each resource, the writes to it."""
    events: int
    others: int
    """Writes to anything else in Kubernetes."""
    calls: Counter[str]
    """Of Milvus, by method."""

    @property
    def cpu_per_resource(self) -> float:
        """Milliseconds."""
        return 1000 * self.cpu / self.size


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Return the MiB that a process holds now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0
