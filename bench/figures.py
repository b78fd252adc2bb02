"""What a run comes to."""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Took:
    """What the process of a side took, in seconds and MiB."""

    seconds: float
    cpu: float
    """User and system."""
    memory: float
    """At the end."""
    foreign: float
    """The share of the machine's CPU that other programs had meanwhile, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one side took to have one load in Milvus and all its statuses written, and what it did for that."""

    size: int
    """The number of resources."""
    took: Took
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
        return 1000 * self.took.cpu / self.size
