"""How fast ``gameday stop --all`` ends everything, cold, beside ``kubectl delete`` of each kind.

In a live sandbox, with 0, 1, 100 and 1,000 faults that are in, of four kinds: from the start of the
process until its end, and nothing is left then. ``kubectl`` gets a process for each kind, all at
once, knows the kinds and the namespace beforehand, and finds its discovery cached; ``gameday``
looks for every kind in every namespace, Schedules and Workflows first, and reads whether each fault
was recovered. The controller takes a few milliseconds for each fault, one after another within a
kind, as Chaos Mesh's does: that floor is the same for both. ``kubectl`` deletes and awaits object by
object and throttles itself while it does; that, not the server, is most of its time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from benchmarks.measuring import Finished, NotMeasuredError, Running, Spread, head, run, say, table
from benchmarks.surroundings import Box, clean_environment, gameday_command, sandbox
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.spec.catalogue import Catalogue
from gameday.spec.kinds import API_VERSION

_LIMIT_S: Final = 300
_INJECTION_S: Final = 120
_AT_ONCE: Final = 32
_SIZES: Final = {0: 5, 1: 5, 100: 5, 1000: 3}
_QUICK: Final = {1: 1, 100: 1, 1000: 1}
_SPECS: Final[dict[str, dict[str, Any]]] = {
    "PodChaos": {"action": "pod-failure"},
    "NetworkChaos": {"action": "delay", "delay": {"latency": "10ms"}},
    "StressChaos": {"stressors": {"cpu": {"workers": 1, "load": 1}}},
    "IOChaos": {"action": "latency", "volumePath": "/tmp", "delay": "1ms", "percent": 1},
}


@dataclass
class Taken:
    """What one way of stopping took, over several times."""

    walls: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)

    def add(self, wall_s: float, calls: int, *finished: Finished) -> None:
        """Once more."""
        self.walls.append(wall_s)
        self.calls.append(calls)
        self.peaks.append(sum(one.peak_mib or 0.0 for one in finished))


def manifests(count: int) -> Iterator[dict[str, Any]]:
    """``count`` faults, kind by kind in turn, each on one pod of one of the services in turn."""
    platform = Catalogue().platform
    namespace = platform.environment("staging").namespace
    services = [service for service in platform.services if not service.stateful]
    pairs = islice(zip(cycle(_SPECS), cycle(services), strict=False), count)
    for number, (kind, service) in enumerate(pairs):
        yield {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": f"bench-{number}", "namespace": platform.chaos_namespace},
            "spec": {
                **_SPECS[kind],
                "mode": "one",
                "duration": "30m",
                "selector": {"namespaces": [namespace], "labelSelectors": {"app": service.labels["app"]}},
            },
        }


async def create(count: int) -> float:
    """Create ``count`` faults and wait until each is in; the seconds that the creation took."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async with Cluster.connect(clock=SystemClock()) as cluster:
        chaos = ChaosMesh(cluster.api)

        async def one(body: dict[str, Any]) -> None:
            async with gate:
                await chaos.create(body)

        began = time.perf_counter()
        await asyncio.gather(*(one(body) for body in manifests(count)))
        took = time.perf_counter() - began
        deadline = time.monotonic() + _INJECTION_S
        while not await _all_in(chaos):
            if time.monotonic() > deadline:
                raise NotMeasuredError(f"{count} faults were not in within {_INJECTION_S} s")
            await asyncio.sleep(0.2)
    return took


async def _all_in(chaos: ChaosMesh) -> bool:
    found = await asyncio.gather(*(chaos.states(kind) for kind in _SPECS))
    return all(state.injected for states in found for state in states)


async def left() -> int:
    """How many faults are still there."""
    async with Cluster.connect(clock=SystemClock()) as cluster:
        chaos = ChaosMesh(cluster.api)
        return sum(len(found) for found in await asyncio.gather(*map(chaos.metadata, _SPECS)))


def stop_by_gameday(env: dict[str, str], directory: Path) -> tuple[float, list[Finished]]:
    """Everything, by the emergency stop."""
    command = [*gameday_command(), "stop", "--all", "--no-incident", "--within", "5m"]
    finished = run(command, env=env, directory=directory, limit_s=_LIMIT_S).require(0)
    return finished.wall_s, [finished]


def stop_by_kubectl(env: dict[str, str], directory: Path) -> tuple[float, list[Finished]]:
    """The four kinds of the one namespace, in parallel."""
    namespace = Catalogue().platform.chaos_namespace
    cache = directory / "kubectl"
    began = time.perf_counter()
    running = [
        Running(
            ["kubectl", "--cache-dir", cache, "delete", kind.lower(), "--all", "-n", namespace, "--wait"],
            env=env,
            directory=directory,
        )
        for kind in _SPECS
    ]
    finished = [one.finish(_LIMIT_S) for one in running]
    wall_s = time.perf_counter() - began
    return wall_s, [one.require(0) for one in finished]


_WAYS: Final = {"gameday stop --all": stop_by_gameday, "kubectl delete": stop_by_kubectl}


def measure(box: Box, count: int, times: int, directory: Path) -> tuple[dict[str, Taken], list[float]]:
    """Both ways in turn, ``times`` times, each with ``count`` faults in."""
    env = clean_environment(directory, box.env)
    taken = {name: Taken() for name in _WAYS}
    creations = []
    for _ in range(times):
        for name, way in _WAYS.items():
            creations.append(asyncio.run(create(count)))
            before = box.counters()
            wall_s, finished = way(env, directory)
            calls = box.counters().since(before).kubernetes
            taken[name].add(wall_s, calls, *finished)
            if remaining := asyncio.run(left()):
                raise NotMeasuredError(f"{name} ended well, but {remaining} of {count} faults are left")
    return taken, creations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each once")
    sizes = _QUICK if parser.parse_args().quick else _SIZES
    if shutil.which("kubectl") is None:
        raise SystemExit("kubectl is not on the PATH: there is nothing to compare with")
    head("gameday stop --all, cold, beside kubectl delete of each kind in parallel")
    rows: list[tuple[object, ...]] = []
    for count, times in sizes.items():
        # A sandbox for each size: what a thousand failures did to the platform must not slow the next.
        with tempfile.TemporaryDirectory() as temporary, sandbox(mode="live") as box:
            os.environ["KUBECONFIG"] = box.env["KUBECONFIG"]
            # Once for nothing, so that kubectl has its discovery cached.
            stop_by_kubectl(clean_environment(Path(temporary), box.env), Path(temporary))
            taken, creations = measure(box, count, times, Path(temporary))
        spreads = {name: Spread.of(one.walls) for name, one in taken.items()}
        base = spreads["kubectl delete"].median
        for name, one in taken.items():
            ratio = f"{spreads[name].median / base:.2f} x"
            rows.append((count, name, spreads[name], ratio, max(one.calls), max(one.peaks)))
        if count:
            rate = count / Spread.of(creations).median
            say(f"{count} live: creating them took, s: {Spread.of(creations)}; {rate:.0f} a second")
    print()
    table(("faults", "by", "until all are gone, s", "of kubectl", "calls", "peak, MiB"), rows)


if __name__ == "__main__":
    main()
