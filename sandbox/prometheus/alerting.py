"""Why: a fault that nobody would have been told of is a finding, so the sandbox must raise alarms.

Evaluates alerting rules as Prometheus 2.42 does (``rules/alerting.go`` there): pending until the
condition has held for ``for``, then firing, kept for ``keep_firing_for``; written as the series
``ALERTS`` and ``ALERTS_FOR_STATE``. The file is ``rulefile``'s, HTTP the API's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import promql_parser

from sandbox.prometheus.labels import NAME, Labels
from sandbox.prometheus.promql.engine import Engine, ScalarResult, VectorResult
from sandbox.prometheus.promql.errors import QueryError
from sandbox.prometheus.promql.values import Vector, format_value
from sandbox.prometheus.rulefile import AlertRule, Group, expanded
from sandbox.prometheus.storage import Series, Storage
from sandbox.world import World

State = Literal["inactive", "pending", "firing"]

_ORDER: Final[tuple[State, ...]] = ("inactive", "pending", "firing")
_ALERTNAME: Final = "alertname"
_SAME: Final = "vector contains metrics with the same labelset after applying alert labels"


@dataclass(slots=True)
class Alert:
    """One alert that is pending or firing. Times are milliseconds since the Unix epoch."""

    labels: Labels
    annotations: dict[str, str]
    state: State
    active_at: int
    value: float
    kept_since: int | None = None

    def render(self) -> dict[str, Any]:
        """As the API shows it."""
        kept = {} if self.kept_since is None else {"keepFiringSince": moment(self.kept_since)}
        return {
            "labels": self.labels.mapping,
            "annotations": self.annotations,
            "state": self.state,
            "activeAt": moment(self.active_at),
            **kept,
            "value": _scientific(self.value),
        }


@dataclass(slots=True)
class Rule:
    """One rule, with the alerts that it has raised."""

    spec: AlertRule
    active: dict[Labels, Alert] = field(default_factory=dict)
    error: str = ""
    evaluated_at: int | None = None
    _written: dict[Labels, Series] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """The worst state of its alerts."""
        return max((one.state for one in self.active.values()), key=_ORDER.index, default="inactive")

    def evaluate(self, engine: Engine, now: int) -> None:
        """Ask its expression at ``now``, and raise, keep or drop alerts."""
        self.evaluated_at = now
        try:
            found = self._found(_vector(engine, self.spec.expr, now), now)
            self.error = ""
        except QueryError as error:
            # As in Prometheus: what is active stays so, and its series age until it can be asked again.
            self.error = error.message
            return
        for labels, fresh in found.items():
            known = self.active.setdefault(labels, fresh)
            known.value, known.annotations = fresh.value, fresh.annotations
        for labels, alert in list(self.active.items()):
            if labels in found:
                alert.kept_since = None
            elif not self._kept(alert, now):
                del self.active[labels]
                continue
            if alert.state == "pending" and now - alert.active_at >= _ms(self.spec.hold):
                alert.state = "firing"

    def _found(self, vector: Vector, now: int) -> dict[Labels, Alert]:
        found: dict[Labels, Alert] = {}
        for labels, value in vector:
            own, text = labels.nameless().mapping, format_value(value)
            added = {name: expanded(one, own, text) for name, one in self.spec.labels.items()}
            key = Labels.of({**own, **added, _ALERTNAME: self.spec.alert})
            if key in found:
                raise QueryError(_SAME)
            notes = {name: expanded(one, own, text) for name, one in self.spec.annotations.items()}
            found[key] = Alert(key, notes, "pending", now, value)
        return found

    def _kept(self, alert: Alert, now: int) -> bool:
        """Whether an alert whose condition has ended goes on firing."""
        if alert.state != "firing" or not self.spec.keep_firing_for:
            return False
        alert.kept_since = now if alert.kept_since is None else alert.kept_since
        return now - alert.kept_since < _ms(self.spec.keep_firing_for)

    def write(self, storage: Storage, now: int) -> None:
        """Write down which alerts there are, and that others ended."""
        if self.error:
            return
        before, self._written = self._written, {}
        for labels, value in self._samples():
            series = self._written[labels] = storage.series(labels)
            series.append(now, value)
        for labels, series in before.items():
            if labels not in self._written:
                series.mark_stale(now)

    def _samples(self) -> Iterator[tuple[Labels, float]]:
        for alert in self.active.values():
            about = alert.labels.mapping
            yield Labels.of({**about, NAME: "ALERTS", "alertstate": alert.state}), 1.0
            yield Labels.of({**about, NAME: "ALERTS_FOR_STATE"}), float(alert.active_at // 1000)

    def render(self) -> dict[str, Any]:
        """As the API shows it."""
        spec = self.spec
        wrong = {"lastError": self.error} if self.error else {}
        return {
            "state": self.state,
            "name": spec.alert,
            "query": promql_parser.parse(spec.expr).prettify(),
            "duration": spec.hold.total_seconds(),
            "keepFiringFor": spec.keep_firing_for.total_seconds(),
            "labels": spec.labels,
            "annotations": spec.annotations,
            "alerts": [alert.render() for alert in self.active.values()],
            "health": "unknown" if self.evaluated_at is None else "err" if self.error else "ok",
            **wrong,
            "evaluationTime": 0,
            "lastEvaluation": moment(self.evaluated_at),
            "type": "alerting",
        }


class _GroupOfRules:
    """The rules of one group."""

    def __init__(self, spec: Group, default_interval: timedelta) -> None:
        self.name = spec.name
        self.interval = spec.interval or default_interval
        self.rules = [Rule(one) for one in spec.rules]

    def evaluate(self, engine: Engine, storage: Storage, now: int) -> None:
        for rule in self.rules:
            rule.evaluate(engine, now)
            rule.write(storage, now)

    def render(self, file: str, *, shown: bool) -> dict[str, Any]:
        last = max((rule.evaluated_at or 0 for rule in self.rules), default=0)
        return {
            "name": self.name,
            "file": file,
            "rules": [rule.render() for rule in self.rules] if shown else [],
            "interval": self.interval.total_seconds(),
            "limit": 0,
            "evaluationTime": 0,
            "lastEvaluation": moment(last or None),
        }


class Alerting:
    """All groups of one rule file."""

    def __init__(self, groups: Sequence[Group], storage: Storage, *, default_interval: timedelta) -> None:
        """Raise alerts over ``storage``. Nothing is evaluated before ``live_in`` or ``evaluate``."""
        self._storage = storage
        self._engine = Engine(storage)
        self._groups = [_GroupOfRules(group, default_interval) for group in groups]

    def live_in(self, world: World, now_ms: Callable[[], int]) -> None:
        """Evaluate each group at every interval of the virtual time from now on."""
        for group in self._groups:
            self._begin(world, group, now_ms)

    def _begin(self, world: World, group: _GroupOfRules, now_ms: Callable[[], int]) -> None:
        def beat() -> None:
            group.evaluate(self._engine, self._storage, now_ms())

        world.every(group.interval.total_seconds(), beat)

    def evaluate(self, now: int) -> None:
        """Evaluate every group at ``now``, in milliseconds since the Unix epoch."""
        for group in self._groups:
            group.evaluate(self._engine, self._storage, now)

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert that is pending or firing, as the API shows it."""
        rules = (rule for group in self._groups for rule in group.rules)
        return [alert.render() for rule in rules for alert in rule.active.values()]

    def groups(self, file: str, *, shown: bool = True) -> list[dict[str, Any]]:
        """Every group, as the API shows it; without its rules where ``shown`` is False."""
        return [group.render(file, shown=shown) for group in self._groups]


def _vector(engine: Engine, query: str, now: int) -> Vector:
    match engine.instant(query, now):
        case VectorResult(elements):
            return elements
        case ScalarResult(value):
            return [(Labels.of(()), value)]
    raise QueryError("rule result is not a vector or scalar")


def _ms(length: timedelta) -> int:
    return length // timedelta(milliseconds=1)


def moment(at: int | None) -> str:
    """A time as Go writes it: RFC 3339, with as many decimals as it takes; year 1 for none."""
    if at is None:
        return "0001-01-01T00:00:00Z"
    written = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f".{at % 1000:03d}".rstrip("0") if at % 1000 else ""
    return f"{written}{decimals}Z"


def _scientific(value: float) -> str:
    """As Go's ``FormatFloat(value, 'e', -1, 64)``: ``5e-01``."""
    if not math.isfinite(value):
        return format_value(value)
    digits = repr(value).replace("-", "").partition("e")[0].replace(".", "").strip("0")
    return f"{value:.{max(0, len(digits) - 1)}e}"
