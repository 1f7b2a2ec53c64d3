"""Why: Prometheus's operator takes rules as objects, and what is recorded follows from platform.yaml.

``deployments/prometheus`` holds rules as Prometheus itself reads them, which the sandbox evaluates as
well. Here they become PrometheusRules, and the platform's signals become recording rules: what a sample
asks for is then worked out once an interval, however many look at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import durationpy
import yaml

from gameday.errors import DeclarationError
from gameday.spec.platform import Platform, Signal

_FILES: Final = Path(__file__).resolve().parents[2] / "prometheus"
_PREFIX: Final = "service:gameday_"
_HEADER: Final = "# Made by `python -m deployments.monitoring.make` from {source}.\n"


def recorded_name(signal: Signal) -> str:
    """The series under which ``signal`` is recorded."""
    return f"{_PREFIX}{signal.name.replace('-', '_')}:signal"


def rules(platform: Platform) -> dict[str, str]:
    """Each PrometheusRule, by the name of its file."""
    made = {
        "services": ("deployments/prometheus/alerts.yaml", _groups("alerts.yaml")),
        "chaos": ("deployments/prometheus/chaos.yaml", _groups("chaos.yaml")),
        "signals": ("the signals of experiments/platform.yaml", [_recording(platform)]),
    }
    return {name: _rule(name, groups, source) for name, (source, groups) in made.items()}


def _groups(name: str) -> Sequence[Mapping[str, Any]]:
    content: Mapping[str, Sequence[Mapping[str, Any]]] = yaml.safe_load(
        (_FILES / name).read_text(encoding="utf-8")
    )
    return content["groups"]


def _recording(platform: Platform) -> dict[str, Any]:
    source = platform.prometheus
    for signal in source.signals:
        if _PREFIX in signal.query:
            raise DeclarationError(
                f"signal {signal.name} asks for a recorded series: a rule would record itself",
                hint="Make the rules from the platform.yaml with the queries themselves.",
            )
    recorded = [{"record": recorded_name(one), "expr": one.query} for one in source.signals]
    return {
        "name": "gameday-signals",
        "interval": durationpy.to_str(source.sample_interval),
        "rules": recorded,
    }


def _rule(name: str, groups: Sequence[Mapping[str, Any]], source: str) -> str:
    body = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": f"gameday-{name}",
            "namespace": "monitoring",
            "labels": {"app.kubernetes.io/name": "gameday"},
        },
        "spec": {"groups": list(groups)},
    }
    return _HEADER.format(source=source) + yaml.safe_dump(body, sort_keys=False, width=1000)
