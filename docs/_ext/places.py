"""Why: queries and contacts that stand in an appendix and nowhere else are wrong after the next change.

Read from the catalogue that comes along, ``experiments/``, and from the alert rules that clusters get.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from docs._ext.markdown import cell, code, table
from gameday.spec.base import format_duration
from gameday.spec.catalogue import Catalogue, default_directory
from gameday.spec.guardrails import Threshold

_RULES = Path(__file__).resolve().parents[2] / "deployments" / "prometheus" / "alerts.yaml"


def signals() -> str:
    """Every signal of ``platform.yaml`` with its query."""
    rows = (
        (code(one.name), cell(one.title), one.unit or "none", code(one.query))
        for one in _catalogue().platform.prometheus.signals
    )
    return table(("Signal", "What", "Unit", "Query"), rows)


def thresholds() -> str:
    """What aborts every run, with the query that shows it."""
    catalogue = _catalogue()
    rows = (
        (
            code(f"{one.signal} {one.abort_when}"),
            format_duration(one.breach_for) if one.breach_for else "at once",
            "the platform's mean" if one.scope == "platform" else "each service",
            code(_passed(one, catalogue.platform.signal(one.signal).query)),
        )
        for one in catalogue.guardrails.thresholds
    )
    return table(("Aborts when", "For", "Of", "Query"), rows)


def _passed(threshold: Threshold, query: str) -> str:
    whole = threshold.scope == "platform"
    return f"{f'avg({query})' if whole else query} {threshold.abort_when}"


def alert_rules() -> str:
    """The alerts that come along, with what they are raised by."""
    groups: list[dict[str, Any]] = yaml.safe_load(_RULES.read_text(encoding="utf-8"))["groups"]
    rows = (
        (
            code(rule["alert"]),
            rule.get("labels", {}).get("severity", ""),
            rule.get("for", "at once"),
            code(rule["expr"]),
        )
        for group in groups
        for rule in group["rules"]
        if "alert" in rule
    )
    return table(("Alert", "Severity", "For", "Query"), rows)


def contacts() -> str:
    """Who is told what, and where."""
    catalogue = _catalogue()
    platform = catalogue.platform
    rows = []
    if platform.incidents:
        rows.append((code(platform.incidents), "whoever manages incidents", "an emergency stop"))
    rows += [
        (code(one.channel), f"everybody who works with {one.name}", "each run there, from start to verdict")
        for one in platform.environments
    ]
    rows += [
        (code(one.slack), one.name, "its services: " + (", ".join(_owned(one.name)) or "none"))
        for one in platform.teams
    ]
    approvers = ", ".join(catalogue.guardrails.approvals.approvers) or "nobody is named"
    return f"{table(('Channel', 'Who', 'For what'), rows)}\nWho may approve: {approvers}.\n"


def owners() -> str:
    """Every service with its team, its channel, and whom it takes along when it falls."""
    platform = _catalogue().platform
    rows = []
    for service in platform.services:
        team = platform.team(service.owner)
        callers = [one.name for one in platform.services if service.name in one.calls]
        channel = code(team.slack) if team is not None else "none"
        rows.append((service.name, service.owner, channel, ", ".join(callers) or "users"))
    return table(("Service", "Team", "Channel", "Called by"), rows)


def _owned(team: str) -> list[str]:
    return [one.name for one in _catalogue().platform.services if one.owner == team]


@cache
def _catalogue() -> Catalogue:
    return Catalogue(default_directory())
