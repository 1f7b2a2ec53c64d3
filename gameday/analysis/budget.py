"""Why: an experiment costs its users something, and the price is told in the currency of their objectives.

Counts from rates how many requests were answered and how many failed since the first fault, and what
share of a service's error budget that is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gameday.analysis.model import BudgetSpent, Window
from gameday.analysis.series import Table
from gameday.spec.platform import Platform


def spent(
    table: Table, platform: Platform, before: Window | None, since: Window | None
) -> tuple[tuple[BudgetSpent, ...], tuple[str, ...]]:
    """What the time ``since`` the first fault cost each service that answers requests.

    The budget is what may fail in the objective's period at the rate that was usual ``before``. Answers
    also with why it is not known, where it is not.
    """
    requests, errors = platform.measuring("requests"), platform.measuring("errors")
    if requests is None or errors is None:
        return (), ("error budget: platform.yaml has no signals that measure requests and errors",)
    if before is None or since is None:
        return (), ("error budget: nothing was injected",)
    found, missing = [], []
    for service in platform.services:
        usual = table.finite(requests.name, service.name, before)
        if not len(usual):
            if service.health is not None:
                missing.append(f"error budget of {service.name}: no requests were counted before the faults")
            continue
        objective = service.objective or platform.objective
        expected = float(np.mean(usual)) * objective.period.total_seconds()
        answered = _total(table, requests.name, service.name, since)
        failed = _total(table, errors.name, service.name, since)
        allowed = (1 - objective.availability) * expected
        found.append(
            BudgetSpent.model_validate(
                {
                    "service": service.name,
                    "objective": objective.availability,
                    "period": objective.period,
                    "requests": answered,
                    "failed": failed,
                    "spent": failed / allowed if allowed > 0 else 0.0,
                }
            )
        )
    return tuple(found), tuple(missing)


def _total(table: Table, signal: str, service: str, window: Window) -> float:
    """A rate summed up over a window; gaps count as the mean of what is there."""
    values = table.finite(signal, service, window)
    return max(float(np.mean(values)), 0.0) * window.lasts.total_seconds() if len(values) else 0.0


def of_service(budgets: Iterable[BudgetSpent], service: str) -> BudgetSpent | None:
    """What ``service`` spent, where that is known."""
    return next((one for one in budgets if one.service == service), None)
