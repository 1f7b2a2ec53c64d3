"""How long the analysis and the report of a large run take, and how much memory: 5 s and 500 MB at most.

A run of 60 minutes with four stages on a platform of 20 services, of which 8 signals were taken every
5 s: 160 series of 780 values with the baseline, and as many samples of its own. A process of its own
reads it from the journal, analyses it, keeps what it found, and writes page, Markdown, chart and the
change of the runbook. Beside it stands what the usual way would cost: the same medians compared with
scipy's bootstrap (BCa, 9,999 resamples), on a few series and multiplied.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.measuring import Spread, head, run, say, table
from benchmarks.surroundings import clean_environment
from gameday.analysis.model import SignalSeries
from gameday.journal.results import Results
from gameday.journal.store import Event, FaultRecord, Journal, Observation, RunRecord, Verdict
from gameday.plan.model import Plan
from gameday.report.publish import publish_kept
from gameday.run.analyse import analyse
from gameday.spec.catalogue import PLATFORM_FILE, Catalogue

_SERVICES, _STEP = 20, timedelta(seconds=5)
_LENGTH, _BASELINE = timedelta(minutes=60), timedelta(minutes=5)
_STAGES = 4
_LIMIT_S, _TARGET_S, _TARGET_MB = 120, 5, 500
_COMPARED = 3
_BEGIN = datetime(2026, 11, 23, 10, tzinfo=UTC)
_RUN = "20261123t100000-large-7f3a"
# What is measured, its usual value, and how far a hit service moves from it.
_SIGNALS = {
    "availability": (1.0, -0.3),
    "errors": (0.0, 4.0),
    "latency": (0.1, 1.5),
    "requests": (20.0, -6.0),
    "call-failures": (0.0, 2.0),
    "cpu": (0.3, 0.4),
    "memory": (0.5, 0.1),
    "pool-use": (0.4, 0.5),
}


def _query(name: str) -> str:
    return f"avg by (service) ({name.replace('-', '_')})"


def platform() -> dict[str, Any]:
    """A platform of 20 services in a chain, with 8 signals."""
    services = [
        {"name": f"service-{number:02}", "owner": "platform-team", "tier": "backend", "port": 8000}
        | {"labels": {"app": f"service-{number:02}"}, "health": "/health"}
        | {"calls": [f"service-{number + 1:02}"] if number < _SERVICES else []}
        for number in range(1, _SERVICES + 1)
    ]
    signals = [
        {
            "name": name,
            "title": name,
            "query": f"avg by (service) ({name.replace('-', '_')})",
            "measures": name,
        }
        for name in _SIGNALS
    ]
    return {
        "name": "large",
        "teams": [{"name": "platform-team", "slack": "#platform-team"}],
        "services": services,
        "prometheus": {"job": "services", "scrapeInterval": "5s", "signals": signals},
        "environments": [{"name": "staging", "namespace": "large-staging", "channel": "#chaos"}],
    }


def plan() -> Plan:
    """Four stages of 12 minutes with 3 minutes between, each on one service."""
    stages = []
    for number in range(_STAGES):
        name = f"service-{5 * number + 1:02}"
        fault = {
            "name": f"{_RUN}-s{number}f1",
            "kind": "NetworkChaos",
            "what": "delay 1s",
            "mode": "all",
            "oneShot": False,
            "atMost": 3,
            "candidates": [],
            "shares": [{"service": name, "hit": 3, "of": 3}],
            "chaosObject": {"spec": {"action": "delay"}},
        }
        stages.append(
            {"name": f"stage-{number}", "title": f"Slow {name}", "starts": f"{15 * number}m"}
            | {"duration": "12m", "settle": "3m", "faults": [fault]}
        )
    watches = [{"name": name, "query": _query(name), "tolerate": "<= 3"} for name in _SIGNALS]
    values: dict[str, Any] = {
        "run": _RUN,
        "createdAt": _BEGIN,
        "experiment": "large",
        "title": "Large",
        "hypothesis": "Users notice nothing.",
        "category": "advanced",
        "owner": "platform-team",
        "environment": "staging",
        "namespace": "large-staging",
        "chaosNamespace": "chaos-engineering",
        "declared": "60m",
        "duration": "60m",
        "baseline": "5m",
        "recovery": {},
        "watches": watches,
        "stages": stages,
        "refusals": [],
        "warnings": [],
    }
    return Plan.model_validate(values)


def series() -> list[SignalSeries]:
    """What Prometheus would have given: restless, the hit services worse while their stage is in."""
    chance = np.random.default_rng(20261123)
    count = int((_LENGTH + _BASELINE) / _STEP)
    found = []
    for signal, (usual, moved) in _SIGNALS.items():
        for number in range(1, _SERVICES + 1):
            values = usual + 0.03 * max(usual, 0.1) * chance.standard_normal(count)
            if number % 5 == 1:
                begin = int((_BASELINE + (number // 5) * timedelta(minutes=15)) / _STEP)
                values[begin : begin + int(timedelta(minutes=12) / _STEP)] += moved
            found.append(
                SignalSeries.model_validate(
                    {"signal": signal, "service": f"service-{number:02}", "begin": _BEGIN - _BASELINE}
                    | {"step": _STEP, "values": [float(max(value, 0.0)) for value in values]}
                )
            )
    return found


async def fill(url: str, made: list[SignalSeries]) -> None:
    """Write the run into a journal as it would have been written."""
    async with Journal.open(url) as journal:
        wanted = plan()
        record = RunRecord(_RUN, "large", "staging", "platform-team", "why", _BEGIN, digest=wanted.digest)
        await journal.begin(record)
        await journal.amend(_RUN, plan=wanted.model_dump(mode="json", by_alias=True))
        for stage in wanted.stages:
            begin = _BEGIN + stage.starts
            fault = FaultRecord(stage.faults[0].name, "NetworkChaos", "chaos-engineering", stage.name, begin)
            ended = FaultRecord(
                fault.name, fault.kind, fault.namespace, fault.stage, begin, begin, begin + stage.duration
            )
            await journal.put_fault(_RUN, ended)
        skipped = int(_BASELINE / _STEP)
        for place in range(int(_LENGTH / _STEP)):
            at = _BEGIN + place * _STEP
            seen = [
                Observation(at, "stage", one.signal, one.service, one.values[skipped + place], None, "ok")
                for one in made
            ]
            await journal.observe(_RUN, seen, Event(_RUN, at, "sample", "stage | left | words"))
        await journal.conclude(_RUN, Verdict.HELD, "", _BEGIN + _LENGTH)
        written = [one.model_dump(mode="json", by_alias=True) for one in made]
        await Results(journal).keep_series(_RUN, written)


async def measured(directory: Path) -> None:
    """What the process that is measured does; prints how long each part took."""
    catalogue = Catalogue(directory / "experiments")
    async with Journal.open(_url(directory)) as journal:
        began = time.perf_counter()
        found = await analyse(journal, _RUN, catalogue.platform, None, lambda: _BEGIN + _LENGTH)
        analysed = time.perf_counter()
        published = await publish_kept(journal, _RUN, catalogue, directory / "reports")
        ended = time.perf_counter()
    counts = {
        "analysis": analysed - began,
        "report": ended - analysed,
        "effects": len(found.effects),
        "worse": sum(one.change == "worse" for one in found.effects),
        "page": published.page.stat().st_size / 1024,
    }
    print(json.dumps(counts))


def _url(directory: Path) -> str:
    return f"sqlite+aiosqlite:///{directory / 'journal.db'}"


def usual_way(made: list[SignalSeries]) -> float:
    """Seconds for one comparison by scipy's bootstrap, on the mean of a few series."""
    took = []
    skipped = int(_BASELINE / _STEP)
    for one in made[:: len(made) // _COMPARED][:_COMPARED]:
        values = np.array([value for value in one.values if value is not None])
        began = time.perf_counter()
        stats.bootstrap(
            (values[:skipped], values[skipped:]),
            lambda a, b, axis=-1: np.median(b, axis=axis) - np.median(a, axis=axis),
            vectorized=True,
            method="BCa",
            batch=500,
        )
        took.append(time.perf_counter() - began)
    return sum(took) / len(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--measured", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measured:
        asyncio.run(measured(arguments.measured))
        return
    head("Analysis and report of a 60-minute run: 20 services, 8 signals, every 5 s")
    made = series()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        (directory / "experiments").mkdir()
        (directory / "experiments" / PLATFORM_FILE).write_text(json.dumps(platform()), encoding="utf-8")
        asyncio.run(fill(_url(directory), made))
        walls, peaks, parts = [], [], []
        for _ in range(2 if arguments.quick else 5):
            command = [sys.executable, "-m", "benchmarks.bench_analysis", "--measured", str(directory)]
            env = clean_environment(directory)
            finished = run(command, env=env, directory=Path.cwd(), limit_s=_LIMIT_S).require(0)
            walls.append(finished.wall_s)
            peaks.append(finished.peak_mib or 0.0)
            last = re.findall(r"\{.*\}", finished.out)[-1]
            parts.append(json.loads(last))
    rows = [
        (f"wall of the process, imports and all, s (target {_TARGET_S})", Spread.of(walls)),
        ("of it the analysis, s", Spread.of([one["analysis"] for one in parts])),
        ("of it the report, s", Spread.of([one["report"] for one in parts])),
        (f"peak memory, MiB (target {_TARGET_MB} MB)", Spread.of(peaks)),
        ("series compared", parts[0]["effects"]),
        ("of them worse (32 were made so)", parts[0]["worse"]),
        ("the page, KiB", parts[0]["page"]),
    ]
    table(("figure", "value"), rows)
    each = usual_way(made)
    analysis = Spread.of([one["analysis"] for one in parts]).median
    whole = each * len(made) * _STAGES
    say(f"scipy's BCa bootstrap of the same medians: {each:.3f} s a comparison, {whole:.0f} s for all")
    say(f"{len(made) * _STAGES}; the analysis takes {analysis / whole:.4f} of that.")


if __name__ == "__main__":
    main()
