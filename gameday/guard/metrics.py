"""Why: somebody must be able to see, and be alerted, when the guard itself does not see.

The guard's own metrics, in a registry of their own: nothing of the process but these. Described in
``docs/reference/guard-metrics.md``, which a test holds against this file.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Everything that one guard counts."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        registry = self.registry
        self.leader = Gauge(
            "gameday_guard_leader", "1 where this replica leads and may act.", registry=registry
        )
        self.synced = Gauge(
            "gameday_guard_synced",
            "1 where this replica sees every chaos object and every Lease.",
            registry=registry,
        )
        self.blind = Gauge(
            "gameday_guard_blind_seconds",
            "For how long a collection cannot be watched; 0 where it can.",
            ["collection"],
            registry=registry,
        )
        self.restarts = Gauge(
            "gameday_guard_watch_restarts",
            "How often a watch began anew since the start, by why: closed, failed, gone, stalled, unchecked.",
            ["collection", "reason"],
            registry=registry,
        )
        self.objects = Gauge(
            "gameday_guard_objects", "Chaos objects that there are.", ["kind"], registry=registry
        )
        self.live = Gauge(
            "gameday_guard_live_objects", "Chaos objects that may have a fault in.", registry=registry
        )
        self.faults = Gauge(
            "gameday_guard_faults",
            'Chaos objects that may have a fault in, by the run that made them; "" for others\' objects.',
            ["run", "experiment", "stage", "kind"],
            registry=registry,
        )
        self.overdue = Gauge(
            "gameday_guard_overdue_objects",
            "Chaos objects that may have a fault in although their time was up a while ago.",
            registry=registry,
        )
        self.runs = Gauge("gameday_guard_runs", "Runs that have a Lease.", registry=registry)
        self.lapsed = Gauge(
            "gameday_guard_lapsed_runs",
            "Runs that no longer renew their Lease, and may have left something that nobody has ended.",
            registry=registry,
        )
        self.offences = Counter(
            "gameday_guard_offences", "What had to be ended, by rule.", ["rule"], registry=registry
        )
        self.stops = Counter(
            "gameday_guard_stops",
            "Stops, by rule and outcome: clean, unproved, cut-short.",
            ["rule", "outcome"],
            registry=registry,
        )
        self.stop_seconds = Histogram(
            "gameday_guard_stop_seconds",
            "How long a stop took until its last object was gone or given up.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.notice_seconds = Histogram(
            "gameday_guard_notice_seconds",
            "From the moment an offence was noticed until its stop began.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.unknown = Gauge(
            "gameday_guard_signals_unknown", "Signals without data at the last look.", registry=registry
        )
        self.over = Gauge(
            "gameday_guard_thresholds_broken",
            "Thresholds past their limit at the last look.",
            registry=registry,
        )
        self.engaged = Gauge(
            "gameday_guard_lever_engaged",
            "1 while the safety lever is engaged, or cannot be told from engaged.",
            registry=registry,
        )
        self.lever = Counter(
            "gameday_guard_lever_engagements",
            "How often this replica tried to engage the safety lever, by outcome: engaged, failed.",
            ["outcome"],
            registry=registry,
        )
        self.messages = Counter(
            "gameday_guard_messages",
            "Messages to people, by outcome: sent, failed, dropped.",
            ["outcome"],
            registry=registry,
        )

    def count_faults(self, faults: Mapping[tuple[str, str, str, str], int]) -> None:
        """Show what is in now, by run, experiment, stage and kind; what is over is shown no more."""
        self.faults.clear()
        for labels, count in faults.items():
            self.faults.labels(*labels).set(count)

    @property
    def unproved(self) -> int:
        """How many stops so far did not prove that all of theirs is over."""
        outcomes = [sample for metric in self.stops.collect() for sample in metric.samples]
        return sum(
            int(one.value)
            for one in outcomes
            if one.name.endswith("_total") and one.labels["outcome"] != "clean"
        )

    def exposition(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)
