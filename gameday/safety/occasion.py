"""Why: the same fault is right on a Tuesday morning and wrong in the Christmas freeze.

Judges when, where and beside what a run takes place: hours, freezes, categories, the safety lever,
other runs, the pause since the last one. Other runs are read from their Leases in the cluster, which
is the truth for everybody who starts runs from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from gameday.clients.kubernetes import Cluster
from gameday.clients.times import parsed
from gameday.clients.types import Lease
from gameday.errors import GamedayError
from gameday.safety.guardrails import Violation
from gameday.safety.lease import LAST_HIT, WAITS, Target, is_run_lease, target_lease
from gameday.safety.lever import read
from gameday.spec.base import format_duration
from gameday.spec.guardrails import Guardrails, Hours
from gameday.spec.load import Load
from gameday.spec.platform import Environment

_RELEASED: Final = "a released lever: gameday resume"
_HOURS: Final = "when runs may take place"
# No run is meant to take longer, whatever the hours.
_LONGEST: Final = timedelta(days=31)


def category(guardrails: Guardrails, environment: str, category: str) -> Iterator[Violation]:
    """Whether experiments of ``category`` may run in ``environment``; one without a rule may anywhere."""
    for rule in guardrails.categories:
        if rule.category == category and environment not in rule.environments:
            what = f"where {category} experiments may run"
            yield Violation("categories", what, environment, " or ".join(rule.environments))


def load(guardrails: Guardrails, environment: Environment, wanted: Load | None) -> Iterator[Violation]:
    """Whether a run may send this much there: as the rules say, or as the environment itself declares."""
    if wanted is None:
        return
    holding = [
        rule for rule in guardrails.load if not rule.environments or environment.name in rule.environments
    ]
    limits = [rule.requests_per_second for rule in holding]
    if not limits and environment.load is not None:
        limits = [environment.load.requests_per_second]
    if not limits or wanted.requests_per_second > min(limits):
        what = f"load that a run may bring to {environment.name}"
        limit = f"{min(limits):g} requests/s" if limits else "none: no rule names it, and it declares none"
        yield Violation("load.requestsPerSecond", what, f"{wanted.requests_per_second:g} requests/s", limit)


def durations(guardrails: Guardrails, takes: timedelta) -> Iterator[Violation]:
    """Whether the execution of a run is short enough."""
    if takes > guardrails.max_run_duration:
        words = format_duration(guardrails.max_run_duration)
        yield Violation("maxRunDuration", "the execution takes", format_duration(takes), words)


def moment(guardrails: Guardrails, environment: str, begins: datetime, ends: datetime) -> Iterator[Violation]:
    """Whether faults may be in from ``begins`` to ``ends``: hours and freezes."""
    rules = [rule for rule in guardrails.hours if not rule.environments or environment in rule.environments]
    if rules and not within(rules, begins, ends):
        wanted = " or ".join(_in_words(rule) for rule in rules)
        zones = {rule.timezone for rule in rules}
        value = f"{_at(begins, rules[0].timezone)} to {_at(ends, rules[0].timezone)}"
        value += f" {rules[0].timezone}" if len(zones) > 1 else ""
        yield Violation("hours", f"{_HOURS} in {environment}", value, wanted)
    for freeze in guardrails.freezes:
        if freeze.environments and environment not in freeze.environments:
            continue
        if freeze.meets(begins, ends):
            limit = f"none from {freeze.first} to {freeze.last} {freeze.timezone} ({freeze.name})"
            yield Violation("freezes", f"{_HOURS} in {environment}", _at(begins, freeze.timezone), limit)


def within(rules: Iterable[Hours], begins: datetime, ends: datetime) -> bool:
    """Whether ``rules`` leave no gap between ``begins`` and ``ends``, such as a night."""
    listed, at = list(rules), begins
    if ends - begins > _LONGEST:
        return False
    while at <= ends:
        closing = [closes for rule in listed if (closes := rule.until(at)) is not None]
        # As instants: local ones of two zones, or of two sides of a change of the clock, do not compare.
        last = max((closes.astimezone(UTC) for closes in closing), default=None)
        if last is None or last <= at:
            return False
        at = last
    return any(rule.contain(ends) for rule in listed)


def _in_words(rule: Hours) -> str:
    return f"{', '.join(rule.days)} {rule.opens:%H:%M} to {rule.closes:%H:%M} {rule.timezone}"


def _at(moment: datetime, timezone: str) -> str:
    return f"{Hours(timezone=timezone).local(moment):%a %Y-%m-%d %H:%M}"


async def others(
    cluster: Cluster,
    guardrails: Guardrails,
    *,
    environment: str,
    run: str,
    namespace: str,
    targets: Iterable[Target],
    now: datetime,
) -> tuple[Violation, ...]:
    """What speaks against ``run`` because of other runs, by the Leases in the chaos ``namespace``.

    Leases that cannot be read are a violation: nobody knows who else is at work.
    """
    engaged = await lever(cluster, namespace)
    try:
        leases = {lease.name: lease for lease in await cluster.leases(namespace)}
    except GamedayError as error:
        limit = str(guardrails.experiments_at_once)
        return (*engaged, Violation("experimentsAtOnce", "runs at once", f"unknown ({error.message})", limit))
    return (
        *engaged,
        *_at_once(leases, guardrails, run, now),
        *_gaps(leases, guardrails, environment, targets, now),
    )


async def lever(cluster: Cluster, namespace: str) -> tuple[Violation, ...]:
    """Whether the safety lever lets anything start; one that cannot be read does not."""
    try:
        state = await read(cluster, namespace)
    except GamedayError as error:
        return (Violation("lever", "whether anything may start", f"unknown ({error.message})", _RELEASED),)
    return (Violation("lever", "whether anything may start", str(state), _RELEASED),) if state.engaged else ()


def _at_once(
    leases: dict[str, Lease], guardrails: Guardrails, run: str, now: datetime
) -> Iterator[Violation]:
    live = sorted(
        lease.holder
        for lease in leases.values()
        if is_run_lease(lease.name)
        and not lease.lapsed(now)
        and lease.holder != run
        and not lease.annotations.get(WAITS)
    )
    limit = guardrails.experiments_at_once
    if len(live) + 1 > limit:
        value = f"{len(live) + 1}, with {', '.join(live)}"
        yield Violation("experimentsAtOnce", "runs at once", value, str(limit))


def _gaps(
    leases: dict[str, Lease],
    guardrails: Guardrails,
    environment: str,
    targets: Iterable[Target],
    now: datetime,
) -> Iterator[Violation]:
    rules = [rule for rule in guardrails.gaps if not rule.environments or environment in rule.environments]
    longest = max((rule.between_runs for rule in rules), default=timedelta(0))
    for target in sorted(targets):
        lease = leases.get(target_lease(target))
        last = parsed(lease.annotations.get(LAST_HIT)) if lease is not None else None
        if last is not None and now - last < longest:
            ago = format_duration(timedelta(seconds=round((now - last).total_seconds())))
            free = f"{format_duration(longest)}, until {last + longest:%H:%M:%S} UTC"
            what = f"pause since {target.service} was last hit"
            yield Violation("gaps", what, ago, free)
