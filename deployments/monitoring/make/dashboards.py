"""Why: the three dashboards that the guide names, made from the platform that they show.

``chaos-overview`` is for whoever is on call, ``experiment-details`` for whoever runs an experiment,
``system-health`` for the platform itself, with or without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deployments.monitoring.make.panels import (
    BAD,
    CALM,
    GOOD,
    WARN,
    WIDTH,
    board,
    choice,
    guardrail,
    lines,
    links,
    number,
    query,
    spans,
)
from gameday.spec.base import Comparison
from gameday.spec.catalogue import Catalogue
from gameday.spec.platform import Signal

OVERVIEW: Final = "chaos-overview"
DETAILS: Final = "experiment-details"
HEALTH: Final = "system-health"
TITLES: Final = {OVERVIEW: "Chaos overview", DETAILS: "Experiment details", HEALTH: "System health"}

_EACH = 'service=~"$service"'
_ZERO_IS_GOOD: Final = ((None, GOOD), (1, BAD))


def dashboards(catalogue: Catalogue) -> dict[str, str]:
    """Each dashboard of the platform in ``catalogue`` as JSON, by its uid."""
    made = {OVERVIEW: _overview(catalogue), DETAILS: _details(catalogue), HEALTH: _health(catalogue)}
    found = {}
    for uid, one in made.items():
        for link in links(TITLES, uid):
            one.link(link)
        found[uid] = JSONEncoder(sort_keys=True, indent=2).encode(one.build()) + "\n"
    return found


def _limit(catalogue: Catalogue, signal: str) -> Comparison | None:
    limits = catalogue.guardrails.thresholds
    return next((one.abort_when for one in limits if one.signal == signal and one.scope == "service"), None)


def _signal(catalogue: Catalogue, signal: Signal, *, chosen: bool, span: int = 12) -> Any:
    limit = _limit(catalogue, signal.name)
    about = f"By service. A run is aborted where it is {limit}." if limit else "By service."
    # The query is the platform's own; what is not wanted is left out of its result.
    expression = f"({signal.query}) and on (service) up{{{_EACH}}}" if chosen else signal.query
    return lines(
        signal.title,
        about,
        query(expression, "{{service}}"),
        unit=signal.unit,
        limits=guardrail(limit),
        span=span,
    )


def _overview(catalogue: Catalogue) -> boards.Dashboard:
    made = board(OVERVIEW, TITLES[OVERVIEW], "What is being broken now, and whether anybody looks after it.")
    made.with_row(boards.Row("Now"))
    for panel in _now():
        made.with_panel(panel)
    made.with_row(boards.Row("What is in"))
    made.with_panel(
        spans(
            "Faults",
            "Chaos objects that may have a fault in. Without a run: made by hand, or by another tool.",
            query(
                "max by (run, experiment, stage, kind) (gameday_guard_faults)",
                "{{experiment}} {{stage}} {{kind}} {{run}}",
            ),
        )
    )
    made.with_row(boards.Row("The platform"))
    for name in ("availability", "errors", "p95"):
        made.with_panel(_signal(catalogue, catalogue.platform.signal(name), chosen=False, span=8))
    made.with_row(boards.Row("What the guard did"))
    made.with_panel(
        lines(
            "Offences",
            "What had to be ended, by the rule that it broke.",
            query("sum by (rule) (increase(gameday_guard_offences_total[$__rate_interval]))", "{{rule}}"),
        )
    )
    made.with_panel(
        lines(
            "Stops",
            "How they ended. Unproved: a fault may still be in, and a person must look.",
            query(
                "sum by (rule, outcome) (increase(gameday_guard_stops_total[$__rate_interval]))",
                "{{rule}}: {{outcome}}",
            ),
        )
    )
    return made


def _now() -> Iterator[Any]:
    yield number(
        "Safety lever",
        "1: everything is halted until `gameday resume`.",
        "max(gameday_guard_lever_engaged)",
        _ZERO_IS_GOOD,
    )
    yield number(
        "Faults in",
        "Chaos objects that may have a fault in, of any origin.",
        "max(gameday_guard_live_objects)",
        ((None, CALM), (1, WARN)),
    )
    yield number("Runs", "Runs that have a Lease.", "max(gameday_guard_runs)", ((None, CALM), (1, WARN)))
    yield number(
        "Past their time",
        "Faults that should be over and are not.",
        "max(gameday_guard_overdue_objects)",
        _ZERO_IS_GOOD,
    )
    yield number(
        "Runs without heartbeat",
        "Runs that no longer renew their Lease and left something that nobody has ended yet.",
        "max(gameday_guard_lapsed_runs)",
        _ZERO_IS_GOOD,
    )
    yield number(
        "Guards that lead",
        "Exactly one replica must.",
        "sum(gameday_guard_leader)",
        ((None, BAD), (1, GOOD), (2, BAD)),
    )


def _details(catalogue: Catalogue) -> boards.Dashboard:
    job = catalogue.platform.prometheus.job
    made = board(DETAILS, TITLES[DETAILS], "One run: what was in when, and what the signals did.")
    made.with_variable(choice("run", "Run", "label_values(gameday_guard_faults, run)"))
    made.with_variable(choice("service", "Service", f'label_values(up{{job="{job}"}}, service)'))
    made.with_panel(
        spans(
            "Faults of the run",
            "From the moment that the object was there until its fault was proved out.",
            query(
                'max by (experiment, stage, kind) (gameday_guard_faults{run=~"$run"})',
                "{{experiment}} {{stage}} {{kind}}",
            ),
        )
    )
    made.with_row(boards.Row("Signals, as a run judges them"))
    for signal in catalogue.platform.prometheus.signals:
        made.with_panel(_signal(catalogue, signal, chosen=True))
    made.with_row(boards.Row("How the services dealt with it"))
    for panel in _defences():
        made.with_panel(panel)
    return made


def _defences() -> Iterator[Any]:
    yield lines(
        "Circuit breakers",
        "0 closed, 1 half-open, 2 open; by who calls whom.",
        query(f"max by (service, callee) (circuit_breaker_state{{{_EACH}}})", "{{service}} to {{callee}}"),
    )
    yield lines(
        "Retries",
        "Calls that were tried again.",
        query(
            f"sum by (service, callee) (rate(http_client_retries_total{{{_EACH}}}[$__rate_interval]))",
            "{{service}} to {{callee}}",
        ),
        unit="reqps",
    )
    yield lines(
        "Calls that failed, and answers given without them",
        "A fallback answers although the call failed.",
        query(
            f"sum by (service, callee) (rate(http_client_failures_total{{{_EACH}}}[$__rate_interval]))",
            "{{service}} to {{callee}}: failed",
        ),
        query(
            f"sum by (service, callee) (rate(http_client_fallbacks_total{{{_EACH}}}[$__rate_interval]))",
            "{{service}} to {{callee}}: fallback",
        ),
        unit="reqps",
    )
    yield lines(
        "Database connections, of the pool",
        "1: all are taken, and whoever comes next waits.",
        query(
            f"max by (service) (db_pool_connections_in_use{{{_EACH}}} / db_pool_connections_max{{{_EACH}}})",
            "{{service}}",
        ),
        unit="ratio",
    )


def _health(catalogue: Catalogue) -> boards.Dashboard:
    job = catalogue.platform.prometheus.job
    made = board(HEALTH, TITLES[HEALTH], "Whether the platform is well, and those who watch it.")
    made.with_variable(choice("service", "Service", f'label_values(up{{job="{job}"}}, service)'))
    made.with_row(boards.Row("Services"))
    for signal in catalogue.platform.prometheus.signals:
        made.with_panel(_signal(catalogue, signal, chosen=True, span=8))
    made.with_row(boards.Row("Pods"))
    made.with_panel(
        lines(
            "Replicas that are missing",
            "Wanted less available.",
            query(
                "kube_deployment_spec_replicas - kube_deployment_status_replicas_available",
                "{{namespace}}/{{deployment}}",
            ),
        )
    )
    made.with_panel(
        lines(
            "Pods that are not ready",
            "By namespace.",
            query('sum by (namespace) (kube_pod_status_ready{condition="false"})', "{{namespace}}"),
        )
    )
    made.with_row(boards.Row("Stores"))
    for panel in _stores():
        made.with_panel(panel)
    made.with_row(boards.Row("The guard"))
    for panel in _guard():
        made.with_panel(panel)
    return made


def _stores() -> Iterator[Any]:
    yield lines(
        "Up",
        "1 where the exporter reaches the store.",
        query("min(pg_up)", "postgres"),
        query("min(redis_up)", "redis"),
        span=8,
    )
    yield lines(
        "Connections of PostgreSQL, of those it allows",
        "Active and idle together.",
        query("sum(pg_stat_activity_count) / max(pg_settings_max_connections)", "in use"),
        unit="ratio",
        span=8,
    )
    yield lines(
        "Hits of the cache",
        "Of all look-ups; a cold cache sends them to the database.",
        query(
            "sum(rate(redis_keyspace_hits_total[$__rate_interval])) / "
            "(sum(rate(redis_keyspace_hits_total[$__rate_interval]))"
            " + sum(rate(redis_keyspace_misses_total[$__rate_interval])))",
            "hits",
        ),
        unit="ratio",
        span=8,
    )


def _guard() -> Iterator[Any]:
    yield lines(
        "Blind for",
        "How long a kind of object, or the Leases, could not be watched.",
        query("max by (collection) (gameday_guard_blind_seconds) > 0", "{{collection}}"),
        unit="s",
        span=8,
    )
    yield lines(
        "A stop takes",
        "95 of 100 stops took at most so long.",
        query(
            "histogram_quantile(0.95, "
            "sum by (le) (rate(gameday_guard_stop_seconds_bucket[$__rate_interval])))",
            "P95",
        ),
        unit="s",
        span=8,
    )
    yield lines(
        "Messages",
        "Failed and dropped ones are those that nobody read.",
        query(
            "sum by (outcome) (increase(gameday_guard_messages_total[$__rate_interval]))",
            "{{outcome}}",
        ),
        span=WIDTH - 16,
    )
