"""How fast a run's faults end after SIGKILL: by its watchdog, and by the guard where both were killed.

In a live sandbox at the speed of real time. A run is killed once its first fault is proved in; from
then on the cluster is looked at every few milliseconds: until the fault's DELETE is there, and until
nothing of the run is left. The guard may begin only when the run's Lease has lapsed, 30 s after its
last renewal, which is 0 to 10 s before the kill: that floor is printed beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from benchmarks.measuring import NotMeasuredError, Spread, head, say, table
from benchmarks.surroundings import clean_environment, gameday_command, prefect_server, sandbox
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.faults import ObjectMeta
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock

_EXPERIMENT: Final = "basic-pod-failure"
_KIND: Final = "PodChaos"
_LIMIT_S: Final = 120.0
_LOOK_S: Final = 0.005
_WATCHES: Final = re.compile(r"process (\d+) watches run")


@dataclass(frozen=True, slots=True)
class Death:
    """Seconds from the kill to the DELETE, and until nothing was left."""

    asked_s: float
    gone_s: float


@contextmanager
def started(*arguments: str, env: Mapping[str, str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A ``gameday`` command that goes on by itself; killed at the end if it still does."""
    with (directory / f"{arguments[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [*gameday_command(), *arguments],
            env=dict(env),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _until_in(chaos: ChaosMesh, run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not any(state.injected for state in await chaos.states(_KIND)):
        if run.poll() is not None or time.monotonic() > deadline:
            raise NotMeasuredError("the run ended, or took too long, before its first fault was in")
        await asyncio.sleep(0.1)


async def _death(run: subprocess.Popen[bytes], watchdog: int | None) -> Death:
    async with Cluster.connect(clock=SystemClock()) as cluster:
        chaos = ChaosMesh(cluster.api)
        await _until_in(chaos, run)
        if watchdog is None:
            os.kill(run.pid, signal.SIGKILL)
        else:
            os.kill(watchdog, signal.SIGKILL)
            os.kill(run.pid, signal.SIGKILL)
        began, asked_s = time.perf_counter(), None
        while True:
            left: list[ObjectMeta] = await chaos.metadata(_KIND)
            took = time.perf_counter() - began
            if asked_s is None and all(one.deleting is not None for one in left):
                asked_s = took
            if not left:
                return Death(asked_s if asked_s is not None else took, took)
            if took > _LIMIT_S:
                raise NotMeasuredError(f"{len(left)} faults are left {took:.0f} s after the kill")
            await asyncio.sleep(_LOOK_S)


async def _watchdog(state: Path) -> int:
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        for log in (state / "watchdogs").glob("*.log"):
            if match := _WATCHES.search(log.read_text()):
                return int(match[1])
        await asyncio.sleep(0.05)
    raise NotMeasuredError("the run has no watchdog")


async def _measured(run: subprocess.Popen[bytes], state: Path, *, by_guard: bool) -> Death:
    watchdog = await _watchdog(state)
    try:
        return await _death(run, watchdog if by_guard else None)
    finally:
        if not by_guard:
            os.kill(watchdog, signal.SIGKILL)  # it would look for late creations for a minute


def measure(times: int, *, by_guard: bool) -> list[Death]:
    """``times`` deaths, each of a run of its own in a sandbox of its own."""
    deaths = []
    with tempfile.TemporaryDirectory() as temporary, prefect_server(Path(temporary)) as prefect:
        for number in range(times):
            directory = Path(temporary) / str(number)
            directory.mkdir()
            with sandbox(mode="live", history=timedelta(minutes=6)) as box:
                env = clean_environment(directory, box.env, prefect.env)
                os.environ["KUBECONFIG"] = box.env["KUBECONFIG"]
                deaths.append(_one(env, directory, by_guard=by_guard))
            say(f"{'guard' if by_guard else 'watchdog'}: {deaths[-1].gone_s:.3f} s")
    return deaths


def _one(env: dict[str, str], directory: Path, *, by_guard: bool) -> Death:
    state = Path(env["GAMEDAY_STATE_DIR"])
    with started("run", _EXPERIMENT, env=env, directory=directory) as run:
        if not by_guard:
            return asyncio.run(_measured(run, state, by_guard=False))
        listen = ("--listen", "127.0.0.1:0")
        with started("guard", "--env", "staging", *listen, env=env, directory=directory):
            return asyncio.run(_measured(run, state, by_guard=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each once")
    parser.add_argument("--only", choices=["watchdog", "guard"], help="one of the two")
    options = parser.parse_args()
    head("From SIGKILL of a run to the end of its faults")
    rows = []
    for name, times, floor in (("watchdog", 10, "0"), ("guard", 3, "20 to 30")):
        if options.only in (None, name):
            deaths = measure(1 if options.quick else times, by_guard=name == "guard")
            asked = Spread.of(death.asked_s for death in deaths)
            rows.append((name, floor, asked, Spread.of(death.gone_s for death in deaths)))
    table(("by", "floor, s", "until the DELETE, s", "until all are gone, s"), rows)


if __name__ == "__main__":
    main()
