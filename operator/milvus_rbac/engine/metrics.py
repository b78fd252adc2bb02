"""What the operator counts, per connection and never per resource. Knows the numbers, not how they are served."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class ClaimReasons(Collector):
    """Counts resources by the reason of their Ready condition, when somebody asks."""

    def __init__(self, read: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Count once, for one answer."""
        family = GaugeMetricFamily(
            "milvus_rbac_claims",
            "Resources by connection and the reason of their Ready condition.",
            labels=("connection", "reason"),
        )
        for (connection, reason), count in Tally(self._read()).items():
            family.add_metric((connection, reason), count)
        yield family


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rounds = Counter(
            "milvus_rbac_rounds",
            "Rounds, by connection and result.",
            ("connection", "result"),
            registry=self.registry,
        )
        self.round_seconds = Histogram(
            "milvus_rbac_round_seconds", "Time of a round.", ("connection",), registry=self.registry
        )
        self.changes = Counter(
            "milvus_rbac_changes",
            "Changes made in Milvus, by connection, verb and result.",
            ("connection", "verb", "result"),
            registry=self.registry,
        )
        self.dirty = Gauge(
            "milvus_rbac_dirty_claims",
            "Resources that wait to be looked at.",
            ("connection",),
            registry=self.registry,
        )
        self.left_behind = Counter(
            "milvus_rbac_left_behind",
            "Users, roles and privilege groups that stayed in Milvus when their resource went.",
            ("connection",),
            registry=self.registry,
        )
        self.last_success = Gauge(
            "milvus_rbac_last_success_timestamp_seconds",
            "When a round last reached Milvus.",
            ("connection",),
            registry=self.registry,
        )
        self.leader = Gauge(
            "milvus_rbac_leader", "1 while this process holds the Lease.", registry=self.registry
        )
