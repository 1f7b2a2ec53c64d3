"""Why: a person reads each reason once, however many signals and services it holds for.

Only words; what is a reason is decided by ``gameday.monitor``.
"""

from __future__ import annotations

from collections.abc import Sequence


def grouped(reasons: Sequence[str]) -> tuple[str, ...]:
    """The reasons ``signal at service: why``, those with the same why as one.

    A Prometheus that is blind says the same of every signal and service.
    """
    of_why: dict[str, dict[str, list[str]]] = {}
    for reason in reasons:
        where, _, why = reason.partition(": ")
        signal, _, service = where.partition(" at ")
        of_why.setdefault(why, {}).setdefault(signal, []).append(service)
    return tuple(
        f"{', '.join(_where(signal, services) for signal, services in signals.items())}: {why}"
        if why
        else "; ".join(signals)
        for why, signals in of_why.items()
    )


def _where(signal: str, services: Sequence[str]) -> str:
    named = [service for service in services if service]
    if len(named) > 2:
        return f"{signal} at {len(named)} services"
    return f"{signal} at {' and '.join(named)}" if named else signal
