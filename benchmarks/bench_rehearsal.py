"""How long a 45-minute experiment takes in rehearsal, from the command's start to its end.

It is the whole way of a run: plan, health check, baseline, nine faults of six sorts with a sample
every five virtual seconds, recovery, verdict and report, as a Prefect flow against a server that is
up, on a sandbox whose users send 21 requests/s (the shipped 20 are drawn at random, and can be fewer
on average). Beside it stands the same world left alone for as
long: what the simulation itself costs. The target is 15 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.measuring import NotMeasuredError, Spread, head, say, table
from benchmarks.runs import Run, gameday_run
from benchmarks.surroundings import (
    Box,
    Counters,
    PrefectServer,
    clean_environment,
    gameday_command,
    prefect_server,
    sandbox,
)
from gameday.clock import RemoteClock
from gameday.spec.catalogue import GUARDRAILS_FILE, PLATFORM_FILE, default_directory

_TARGET_S = 15
_LIMIT_S = 300
_NAME = "forty-five-minutes"
_SHIPPED_RATE, _RATE = "requestsPerSecond: 20", "requestsPerSecond: 21"
_LENGTH = timedelta(minutes=45)
_USERS = "nginx_ingress_controller_requests"
_SERVICES = "http_requests_total"

# Mild on purpose: a steady state that breaks would end the run early.
_EXPERIMENT = f"""
name: {_NAME}
title: Nine faults in 45 minutes
hypothesis: Users keep getting answers all the time.
category: advanced
environments: [staging]
owner: platform-team
steadyState:
  - {{name: availability, signal: availability, expect: ">= 0.99", tolerate: ">= 0.6"}}
  - {{name: errors, signal: errors, expect: "<= 0.5", tolerate: "<= 9", for: 2m}}
  - {{name: p95, signal: p95, expect: "<= 1", tolerate: "<= 9", for: 2m}}
stages:
"""

_FAULTS = (
    ("api-gateway", "PodChaos", "{action: pod-kill, mode: one}"),
    ("api-gateway", "NetworkChaos", "{action: delay, mode: one, delay: {latency: 50ms, jitter: 10ms}}"),
    ("auth-service", "PodChaos", "{action: pod-kill, mode: one}"),
    ("platform-services", "StressChaos", "{mode: one, stressors: {cpu: {workers: 1, load: 30}}}"),
    ("platform-services", "NetworkChaos", '{action: loss, mode: one, loss: {loss: "5", correlation: "25"}}'),
    (
        "automation-services",
        "IOChaos",
        '{action: latency, mode: one, volumePath: /tmp, path: /tmp/**/*, delay: "20ms", percent: 20}',
    ),
    ("auth-service", "NetworkChaos", "{action: delay, mode: one, delay: {latency: 20ms}}"),
    ("platform-services", "PodChaos", "{action: pod-kill, mode: one}"),
    ("auth-service", "PodChaos", "{action: pod-failure, mode: one}"),
)


def write_catalogue(directory: Path) -> Path:
    """A catalogue with the shipped platform and guardrails, and an experiment of 45 minutes."""
    directory.mkdir()
    shutil.copy(default_directory() / GUARDRAILS_FILE, directory / GUARDRAILS_FILE)
    platform = (default_directory() / PLATFORM_FILE).read_text(encoding="utf-8")
    if _SHIPPED_RATE not in platform:
        raise NotMeasuredError(f"{PLATFORM_FILE} no longer says {_SHIPPED_RATE!r}")
    (directory / PLATFORM_FILE).write_text(platform.replace(_SHIPPED_RATE, _RATE), encoding="utf-8")
    settle = timedelta(minutes=1)
    lasts = _LENGTH / len(_FAULTS) - settle
    stages = "".join(
        f"  - name: stage-{number}\n"
        f"    duration: {lasts.total_seconds():.0f}s\n"
        f"    settle: {settle.total_seconds():.0f}s\n"
        f"    faults: [{{target: {target}, kind: {kind}, spec: {spec}}}]\n"
        for number, (target, kind, spec) in enumerate(_FAULTS, start=1)
    )
    (directory / f"{_NAME}.yaml").write_text(_EXPERIMENT + stages)
    return directory


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One rehearsal, seen from all sides."""

    run: Run
    counters: Counters
    virtual: timedelta
    sandbox_cpu_s: float
    prefect_cpu_s: float
    user_rate: float
    all_rate: float

    @property
    def cpu_s(self) -> float:
        """What command, sandbox and Prefect server used together: steadier than the wall time."""
        return self.run.finished.cpu_s + self.sandbox_cpu_s + self.prefect_cpu_s


def rehearse(command: list[str], catalogue: Path, prefect: PrefectServer, directory: Path) -> Rehearsal:
    """Rehearse in a fresh sandbox, by ``command``."""
    with sandbox(mode="rehearsal", platform=catalogue / PLATFORM_FILE) as box:
        env = clean_environment(directory, prefect.env, box.env)
        before, began = box.counters(), box.now()
        cpu, prefect_cpu = box.cpu_s, prefect.cpu_s
        run = gameday_run(
            command, _NAME, "--experiments", str(catalogue), env=env, directory=directory, limit_s=_LIMIT_S
        )
        cpu, prefect_cpu = box.cpu_s - cpu, prefect.cpu_s - prefect_cpu
        virtual = box.now() - began
        return Rehearsal(
            run=run,
            counters=box.counters().since(before),
            virtual=virtual,
            sandbox_cpu_s=cpu,
            prefect_cpu_s=prefect_cpu,
            user_rate=_rate(box, virtual, _USERS),
            all_rate=_rate(box, virtual, _SERVICES),
        )


def _rate(box: Box, window: timedelta, counter: str) -> float:
    """Requests a virtual second that ``counter`` has counted, on average over ``window``."""
    return box.value(f"sum(rate({counter}[{window.total_seconds():.0f}s]))")


def idle_world(catalogue: Path, length: timedelta) -> tuple[float, float]:
    """Seconds of wall and of CPU in which a sandbox that nobody uses lives through ``length``."""
    with sandbox(mode="rehearsal", platform=catalogue / PLATFORM_FILE) as box:
        clock = RemoteClock(box.env["GAMEDAY_CLOCK_URL"])
        cpu, began = box.cpu_s, time.perf_counter()
        asyncio.run(clock.sleep(length))
        return time.perf_counter() - began, box.cpu_s - cpu


def show_breakdown(path: Path, traced: Rehearsal) -> None:
    """Print where the time of the run that was watched from inside went."""
    measured = json.loads(path.read_text())
    wall = traced.run.finished.wall_s
    say(f"Where the time of one run went, by its HTTP calls (this run took {wall:.2f} s):")
    start = measured["before_first_call"]
    end = measured["after_last_call"]
    rows: list[tuple[object, ...]] = [
        ("start and imports, until the first call", "", "", "", wall - measured["wall"] + start)
    ]
    for name, one in sorted(measured["systems"].items(), key=lambda item: -item[1]["covered"]):
        rows.append((name, one["calls"], one["errors"], one["together"], one["covered"]))
    rows += [
        (
            "no call under way: its own work, and waits before a repeated call",
            "",
            "",
            "",
            measured["wall"] - start - end - measured["covered"],
        ),
        ("after the last call", "", "", "", end),
    ]
    table(("system", "calls", "5xx", "calls together, s", "wall while any was under way, s"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run instead of three")
    times = 1 if parser.parse_args().quick else 3
    head("a 45-minute experiment in rehearsal, end to end")
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        catalogue = write_catalogue(directory / "catalogue")
        with prefect_server(directory) as prefect:
            taken = [rehearse(gameday_command(), catalogue, prefect, directory) for _ in range(times)]
            result = directory / "calls.json"
            watch = [sys.executable, str(Path(__file__).with_name("timed_calls.py")), str(result)]
            traced = rehearse(watch, catalogue, prefect, directory)
        idle_s, idle_cpu_s = idle_world(catalogue, taken[-1].virtual)
        wall = Spread.of(one.run.finished.wall_s for one in taken)
        last = taken[-1]
        table(
            ("figure", "value"),
            [
                ("wall, s", wall),
                ("target, s", _TARGET_S),
                ("of the target", f"{wall.median / _TARGET_S:.0%}"),
                ("virtual time, s", last.virtual.total_seconds()),
                ("virtual seconds a second", last.virtual.total_seconds() / wall.median),
                ("stages carried out", f"{last.run.stages} of {len(_FAULTS)}"),
                ("verdict", last.run.verdict),
                ("samples", last.run.samples),
                ("users' requests/s at the ingress", last.user_rate),
                ("requests/s of all services", last.all_rate),
                ("Kubernetes calls", last.counters.kubernetes),
                ("Prometheus queries", last.counters.prometheus),
                ("CPU of the command, s", Spread.of(one.run.finished.cpu_s for one in taken)),
                ("CPU of the sandbox, s", Spread.of(one.sandbox_cpu_s for one in taken)),
                ("CPU of the Prefect server, s", Spread.of(one.prefect_cpu_s for one in taken)),
                ("CPU of all three, s", Spread.of(one.cpu_s for one in taken)),
                ("peak memory of the command, MiB", last.run.finished.peak_mib),
                ("the same world left alone: wall, s", idle_s),
                ("the same world left alone: CPU, s", idle_cpu_s),
                ("the run beside it", f"{wall.median / idle_s:.1f} x"),
            ],
        )
        for reason in last.run.reasons:
            say(f"The verdict's reason: {reason}")
        show_breakdown(result, traced)


if __name__ == "__main__":
    main()
