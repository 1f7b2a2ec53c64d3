"""How many experiments one event loop carries: 100 at once, memory and lateness of their samples.

Each has a live sandbox of its own, as if it were a cluster of its own, and goes through the whole way of
a run: plan, health check, baseline, a fault of some minutes with a sample every five seconds, recovery,
verdict, analysis, report, by one process against one Prefect server and one journal on PostgreSQL, with
a watchdog beside each. One begins every eight seconds and one ends every three, so that all are under way
at once for two minutes; the sandboxes have few users, for it is not they that are measured. A sample is
late by what passed since the one before beyond its five seconds.
Beside it stands the same with one experiment alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.clusters import CATALOGUE, KUBECONFIG, clusters, environment
from benchmarks.measuring import NotMeasuredError, head, run, say, table
from benchmarks.surroundings import clean_environment, prefect_server
from flows.run_experiment import run_experiment
from gameday.journal.store import Journal
from gameday.settings import load
from tests.databases import new_database, postgresql_server

_MANY, _QUICK = 100, 5
_INTERVAL_S = 5.0
# What a run costs besides its samples, some two seconds of CPU, must not be what is measured.
_BEGINS_APART_S, _ENDS_APART_S = 8.0, 3.0
_TOGETHER_S = 120.0
_REQUESTS_PER_SECOND = 2
_LIMIT_S = 3600
_NAME = "crowd"

_EXPERIMENT = f"""
name: {_NAME}
title: One of many
hypothesis: Users notice nothing.
category: basic
owner: platform-team
baseline: 1m
steadyState:
  - {{name: availability, signal: availability, expect: ">= 0.99", tolerate: ">= 0.6"}}
  - {{name: errors, signal: errors, expect: "<= 0.5", tolerate: "<= 9", for: 2m}}
stages:
  - name: slow
    duration: STAGE
    faults:
      - target: auth-service
        kind: NetworkChaos
        spec: {{action: delay, mode: one, delay: {{latency: 20ms}}}}
recovery: {{timeout: 3m, stableFor: 10s}}
"""


def _duration(number: int, many: int) -> str:
    """How long the stage of run ``number`` lasts, so that all of ``many`` are under way for some minutes."""
    others_begin = (many - 1 - number) * _BEGINS_APART_S
    return f"{others_begin + _TOGETHER_S + number * _ENDS_APART_S:.0f}s"


def _experiment(many: int) -> Any:
    return yaml.safe_load(_EXPERIMENT.replace("STAGE", _duration(0, many)))


async def carried(many: int) -> dict[str, Any]:
    """What the measured process does: all of them at once on this loop."""

    async def one(number: int) -> Any:
        await asyncio.sleep(number * _BEGINS_APART_S)
        return await run_experiment(
            _NAME,
            environment(number),
            duration=_duration(number, many),
            requested_by="bench",
            reason="crowd",
            return_state=True,
        )

    states = await asyncio.gather(*map(one, range(many)), return_exceptions=True)
    late: list[float] = []
    verdicts: dict[str, int] = {}
    async with Journal.open(load().database_url) as journal:
        for record in await journal.latest(many):
            verdict = record.verdict.value if record.verdict else "none"
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
            samples = [event for event in await journal.events(record.run) if event.kind == "sample"]
            own = [event.at for event in samples if event.message.startswith("slow |")]
            late += [
                max((after - before).total_seconds() - _INTERVAL_S, 0.0) for before, after in pairwise(own)
            ]
    odd = Counter(str(state)[:200] for state in states if getattr(state, "name", "") != "Held")
    return {"verdicts": verdicts, "late": sorted(late), "odd": odd.most_common(3)}


def measure(many: int) -> list[tuple[str, Any]]:
    """Set everything up, have a process carry the experiments out, and read what it says."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgresql_server())
        database = new_database(server)
        boxes = stack.enter_context(
            clusters(
                directory,
                many,
                _experiment(many),
                mode="live",
                history=timedelta(minutes=2),
                requests_per_second=_REQUESTS_PER_SECOND,
            )
        )
        prefect = stack.enter_context(
            prefect_server(directory, {"PREFECT_API_DATABASE_CONNECTION_URL": new_database(server)})
        )
        env = clean_environment(directory, prefect.env) | {
            "KUBECONFIG": str(directory / KUBECONFIG),
            "GAMEDAY_EXPERIMENTS": str(directory / CATALOGUE),
            "GAMEDAY_DATABASE_URL": database,
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
        }
        command = [sys.executable, "-m", "benchmarks.bench_crowd", "--carry", str(many)]
        before = sum(box.cpu_s for box in boxes)
        finished = run(command, env=env, directory=Path.cwd(), limit_s=_LIMIT_S).require(0)
        told: dict[str, Any] = json.loads(re.findall(r"\{.*\}", finished.out)[-1])
        of_boxes = sum(box.cpu_s for box in boxes) - before
    late = told["late"]
    if not late:
        raise NotMeasuredError(f"no samples: {told}")
    return [
        ("verdicts", ", ".join(f"{count} {name}" for name, count in told["verdicts"].items())),
        ("wall of all together, s", finished.wall_s),
        ("CPU of the carrying process, s", finished.cpu_s),
        ("CPU of the sandboxes, s", of_boxes),
        ("memory of the process and what starts its watchdogs, peak, MiB", finished.peak_mib or 0.0),
        ("samples", len(late)),
        ("late by, median, s", late[len(late) // 2]),
        ("late by, 95 of 100, s", late[int(len(late) * 0.95)]),
        ("late by, most, s", late[-1]),
        *(
            [("what went otherwise", "; ".join(f"{count} times {what}" for what, count in told["odd"]))]
            if told["odd"]
            else []
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer at once")
    parser.add_argument("--many", type=int, help="so many at once")
    parser.add_argument("--carry", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.carry:
        print(json.dumps(asyncio.run(carried(arguments.carry))))
        return
    many = arguments.many or (_QUICK if arguments.quick else _MANY)
    head(f"{many} experiments at once on one event loop")
    try:
        columns = {count: dict(measure(count)) for count in (1, many)}
    except pytest.skip.Exception as missing:
        say(f"Not measured: {missing}")
        return
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    table(
        ("figure", *map(str, columns)),
        [(name, *(columns[count].get(name, "") for count in columns)) for name in names],
    )


if __name__ == "__main__":
    main()
