"""The worst outage is the one in which nothing came at all; an analysis must not lose it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic_core import to_json

from gameday.journal.store import FaultRecord, Observation
from gameday.plan.model import PlannedStage
from gameday.run.analyse import gather
from gameday.run.kept import Kept
from gameday.run.work_out import work_out
from gameday.spec.platform import Signal
from tests.unit.test_clients_prometheus import EPOCH, Bench, bench
from tests.unit.test_report import CATALOGUE, RECORD, plan

__all__ = ["bench"]

STAGE = {"name": "split", "title": "t", "starts": "0s", "duration": "60s", "settle": "60s", "faults": ()}


def second(number: float) -> datetime:
    return EPOCH + timedelta(seconds=number)


def split() -> Kept:
    """A run whose front door answered nobody while its fault was in, from 300 s to 360 s."""
    seen = [
        Observation(second(at), "split", "front", "", math.inf if 300 <= at < 360 else 0.005, None, "ok")
        for at in range(240, 420, 5)
    ]
    fault = FaultRecord("f", "NetworkChaos", "ns", "split", second(300))
    return Kept(
        replace(RECORD, ended_at=second(420)),
        plan(
            watches=[{"name": "front", "unit": "s", "tolerate": "<= 1"}],
            stages=[PlannedStage.model_validate(STAGE)],
            baseline="1m",
        ),
        events=(),
        faults=[replace(fault, injected_at=second(300), ended_at=second(360))],
        observations=(),
        beside=seen,
    )


async def test_what_never_came_and_what_is_past_every_bucket_is_in_the_analysis(bench: Bench) -> None:
    past = Signal.model_validate(
        {"name": "past", "title": "t", "query": "sum by (service) (requests_total) / 0", "unit": "s"}
    )
    prometheus = CATALOGUE.platform.prometheus.model_copy(update={"signals": (past,)})
    platform = CATALOGUE.platform.model_copy(update={"prometheus": prometheus})
    kept = split()
    series, missing = await gather(kept, platform, bench.client)
    gateway = next(one for one in series if one.service == "api-gateway")
    assert set(gateway.values) == {math.inf}
    found = work_out(kept, platform, series, missing, second(420))
    (front,) = [one for one in found.effects if one.signal == "front"]
    assert front.words == "worse, past every bucket or limit"
    assert front.during is not None
    assert (front.during.count, front.during.median, front.back) == (12, math.inf, True)
    assert b"NaN" not in to_json(found, inf_nan_mode="strings")
