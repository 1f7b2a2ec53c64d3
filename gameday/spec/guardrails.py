"""Why: the limits stand in one file, and every part that enforces one reads it here.

This models ``experiments/guardrails.yaml``. Who compares what with it, and when, is decided by the
plan and the monitor.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from gameday.spec.base import Duration, Limit, Model, Name


class Threshold(Model):
    """A signal of platform.yaml and the limit past which a run is aborted."""

    signal: Name
    abort_when: Limit
    breach_for: Annotated[Duration, Field(alias="for")] = timedelta(0)


class Guardrails(Model):
    """All limits of the platform."""

    thresholds: Annotated[tuple[Threshold, ...], Field(min_length=1)]
    no_data_grace: Annotated[
        Duration, Field(description="how long a signal may be unknown while faults are in")
    ] = timedelta(seconds=30)
    max_fault_duration: Duration = timedelta(minutes=30)
    max_run_duration: Duration = timedelta(hours=1)
    forbidden_namespaces: tuple[str, ...] = ()
