"""What the operator counts, per connection and never per resource, and one audit line for each change in Milvus.

No password is in any change. Knows the numbers, not how they are served.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from milvus_rbac.controller.cache import Standing
from milvus_rbac.controller.entry import Entry
from milvus_rbac.domain.changes import Change, describe
from milvus_rbac.domain.state import PasswordVerdict, State
from milvus_rbac.logs import AUDIT
from milvus_rbac.milvus.errors import MilvusRbacError, Unreachable
from milvus_rbac.milvus.port import CallResult, Check, Listener

ChangeResult = Literal["done", "failed", "unknown"]
"""`unknown`: the answer was lost, or never came."""

logger = logging.getLogger(AUDIT)

_Family = TypeVar("_Family", Counter, Gauge, Histogram)

_WAITS: Final = (0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)
"""Seconds: what the operator takes, then what people take to create a Secret or a role."""
_BLOCKS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_READS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Standings(Collector):
    """Shows what the cache has counted, when Prometheus asks."""

    def __init__(self, standings: Mapping[Standing, int], queued: Callable[[], Mapping[str, int]]) -> None:
        self._standings = standings
        self._queued = queued

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        claims = GaugeMetricFamily(
            "milvus_rbac_claims",
            "Resources by connection and the reason of their Ready condition.",
            labels=("connection", "reason"),
        )
        connections = GaugeMetricFamily(
            "milvus_rbac_connections",
            "MilvusConnections by the reason of their Ready condition: 1 for what is true now.",
            labels=("connection", "reason"),
        )
        intervals = GaugeMetricFamily(
            "milvus_rbac_interval_seconds",
            "How often everything is compared: spec.interval.",
            labels=("connection",),
        )
        queued = GaugeMetricFamily(
            "milvus_rbac_workqueue_depth", "Claims that wait to be reconciled.", labels=("connection",)
        )
        for one, count in self._standings.items():
            family = connections if one.is_connection else claims
            family.add_metric((one.connection, one.reason), count)
            if one.interval is not None:
                intervals.add_metric((one.connection,), one.interval)
        for connection, count in self._queued().items():
            queued.add_metric((connection,), count)
        yield from (claims, connections, intervals, queued)


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._of_connections: list[Counter | Gauge | Histogram] = []
        self.leader = Gauge(
            "milvus_rbac_leader", "1 while this process holds the Lease.", registry=self.registry
        )
        self.kubernetes_calls = Counter(
            "milvus_rbac_kubernetes_calls",
            "Requests to the Kubernetes API that are not watches, by method and result.",
            ("method", "result"),
            registry=self.registry,
        )
        self.missing_fields = Gauge(
            "milvus_rbac_missing_fields",
            "Fields that the operator knows and the kind's CustomResourceDefinition does not.",
            ("kind",),
            registry=self.registry,
        )
        self.dropped_events = Counter(
            "milvus_rbac_dropped_events",
            "Kubernetes Events that were never posted, because too many were waiting.",
            registry=self.registry,
        )
        self._unreadable = Gauge(
            "milvus_rbac_unreadable_namespace",
            "1 for each namespace that the operator serves and can't read now.",
            ("namespace",),
            registry=self.registry,
        )
        self.event_loop_block = Histogram(
            "milvus_rbac_event_loop_block_seconds",
            "For how long the process computed without looking at anything else.",
            registry=self.registry,
            buckets=_BLOCKS,
        )
        self.left_behind = self._counter(
            "left_behind", "Users, roles and privilege groups that stayed in Milvus when their resource went."
        )
        self.last_success = self._gauge(
            "last_success_timestamp_seconds", "When a look at the connection last ended well."
        )
        self.reconciliations = self._counter(
            "reconciliations", "Turns in which claims were reconciled, by result.", "result"
        )
        self.reconcile_seconds = self._histogram("reconcile_seconds", "Time of a turn.")
        self.snapshot_seconds = self._histogram("snapshot_seconds", "Time to read Milvus for a turn.", _READS)
        self.snapshot_objects = self._gauge(
            "snapshot_objects", "What the last turn saw in Milvus, by kind.", "kind"
        )
        self.changes = self._counter(
            "changes", "Changes made in Milvus, by verb and result.", "verb", "result"
        )
        self.drift = self._counter("drift", "Changes that put back what others had changed in Milvus.")
        self.time_to_ready = self._histogram(
            "time_to_ready_seconds",
            "From creation, or from when it was not Ready any more, to Ready.",
            _WAITS,
        )
        self.password_checks = self._counter(
            "password_checks",
            "Looks whether a password is in force, by how it was checked and what came out.",
            "check",
            "verdict",
        )
        self.milvus_calls = self._counter(
            "milvus_calls", "Calls to Milvus, by method and result.", "method", "result"
        )

    def count_kubernetes_call(self, method: str, result: str) -> None:
        """One request to the Kubernetes API ended."""
        self.kubernetes_calls.labels(method, result).inc()

    def note_unreadable(self, namespaces: Iterable[str]) -> None:
        """Note which namespaces can't be read now."""
        self._unreadable.clear()
        for namespace in namespaces:
            self._unreadable.labels(namespace).set(1)

    def forget(self, connection: str) -> None:
        """Leave out a connection that is gone: what it last was must not be taken for what is.

        What was left behind in Milvus stays to be told.
        """
        for family in self._of_connections:
            if family is not self.left_behind:
                family.remove_by_labels({"connection": connection})

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return self._keep(
            Counter(f"milvus_rbac_{name}", help_, ("connection", *labels), registry=self.registry)
        )

    def _gauge(self, name: str, help_: str, *labels: str) -> Gauge:
        return self._keep(
            Gauge(f"milvus_rbac_{name}", help_, ("connection", *labels), registry=self.registry)
        )

    def _histogram(
        self, name: str, help_: str, buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS
    ) -> Histogram:
        return self._keep(
            Histogram(f"milvus_rbac_{name}", help_, ("connection",), registry=self.registry, buckets=buckets)
        )

    def _keep(self, family: _Family) -> _Family:
        self._of_connections.append(family)
        return family


class ConnectionMetrics(Listener):
    """What one connection adds to the metrics."""

    def __init__(self, metrics: Metrics, connection: str) -> None:
        self._all = metrics
        self._connection = connection
        for counter in (metrics.drift, metrics.left_behind):
            counter.labels(connection)  # at zero: Prometheus sees no increase of what begins with one

    @override
    def called(self, method: str, result: CallResult) -> None:
        self._all.milvus_calls.labels(self._connection, method, result).inc()

    @override
    def checked(self, check: Check, verdict: PasswordVerdict) -> None:
        self._all.password_checks.labels(self._connection, check, verdict.value).inc()

    def went_well(self, now: float) -> None:
        """A look at the connection ended well at this time; with nothing claimed on it, Milvus may not have been asked."""
        self._all.last_success.labels(self._connection).set(now)

    def saw(self, observed: State, seconds: float) -> None:
        """Note what a turn has read in Milvus, and how long that took."""
        self._all.snapshot_seconds.labels(self._connection).observe(seconds)
        sizes = {"users": len(observed.users), "roles": len(observed.roles)}
        grants = [role.grants for role in observed.roles.values()]
        if observed.grant_count is not None:
            sizes["grants"] = observed.grant_count
        elif None not in grants:  # most turns look at the grants of a few roles
            sizes["grants"] = sum(len(held or ()) for held in grants)
        for kind, size in sizes.items():
            self._all.snapshot_objects.labels(self._connection, kind).set(size)

    def ended(self, result: Literal["ok", "trouble"], seconds: float) -> None:
        """Note that a turn is over."""
        self._all.reconciliations.labels(self._connection, result).inc()
        self._all.reconcile_seconds.labels(self._connection).observe(seconds)

    def changed(self, verb: str, result: ChangeResult) -> None:
        """A change was tried."""
        self._all.changes.labels(self._connection, verb, result).inc()

    def repaired(self, changes: int) -> None:
        """So many changes put back what others had changed."""
        self._all.drift.labels(self._connection).inc(changes)

    def became_ready(self, seconds: float) -> None:
        """A resource that was not Ready for so long is."""
        self._all.time_to_ready.labels(self._connection).observe(seconds)

    def forget(self) -> None:
        """The connection is gone."""
        self._all.forget(self._connection)


BOOTSTRAP = "Bootstrap"
"""The one change that no plan has: root of a fresh server gets its first own password."""


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

    def _write(self, entry: Entry, verb: str, text: str, error: BaseException | None) -> None:
        result = _result(error)
        self._metrics.changed(verb, result)
        facts = {"change": verb, "result": result}
        if isinstance(error, MilvusRbacError):
            facts |= {"reason": error.refusal.reason.value, "error": error.refusal.message}
        elif error is not None:
            facts["error"] = f"broken off: {type(error).__name__}"
        who = f"{entry.kind} {'/'.join(entry.name)}"
        logger.info("%s: %s: %s.", who, text, result, extra={**entry.log_fields, **facts})


def _result(error: BaseException | None) -> ChangeResult:
    if error is None:
        return "done"
    is_answer = isinstance(error, MilvusRbacError) and not isinstance(error, Unreachable)
    return "failed" if is_answer else "unknown"
