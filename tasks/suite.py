"""Why: a run that is part of a suite is carried out as every run is, and must know so little more.

Holds the suite that this process carries out, for its runs, and does the steps between and after them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE

from gameday.clock import Clock
from gameday.run.context import Requested, Run
from gameday.run.suite import Interval, SuiteRun


@dataclass
class ActiveSuite:
    """A suite in this process, with what its runs share: who wants them, and their time."""

    going: SuiteRun
    requested: Requested
    clock: Clock
    interval: Interval
    run: Run | None = None  # the one that goes on, or went on last


_active: ContextVar[ActiveSuite | None] = ContextVar("suite", default=None)


@contextmanager
def activated(suite: ActiveSuite) -> Iterator[None]:
    """Let the runs that begin meanwhile in this task know that they are part of ``suite``."""
    token = _active.set(suite)
    try:
        yield
    finally:
        _active.reset(token)


def active_suite() -> ActiveSuite | None:
    """The suite that a run which begins here is part of, if it is of any."""
    return _active.get()


@task(name="health-between", task_run_name="health between {before} and {after}", cache_policy=NO_CACHE)
async def wait_until_well(before: str, after: str, settle_s: float, timeout_s: float) -> tuple[str, ...]:
    """Wait until the platform is well; answers what still is not."""
    del before, after
    suite = active_suite()
    assert suite is not None
    return await suite.interval.until_well(timedelta(seconds=settle_s), timedelta(seconds=timeout_s))
