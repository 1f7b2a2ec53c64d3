"""From a breach that Prometheus shows to the first DELETE of a fault, beside Chaos Toolkit's safeguards.

Live, at real speed: a harmless delay is in; at a moment that the seed chooses, all pods of another
service fail, and stay so until the measurement is over. From outside, fifty times a second, two
things are asked: whether the worst availability in Prometheus is past the guardrail, and whether the
fault is being deleted. The time between the two is the figure. ``gameday run`` looks every sample
interval; Chaos Toolkit's safeguard asks the same question of the same Prometheus at the same
interval, and its rollback deletes the object. Prometheus scrapes every second here: how late it
notices is not what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks import chaos_toolkit
from benchmarks.measuring import NotMeasuredError, Running, Spread, head, say, table
from benchmarks.surroundings import Box, clean_environment, gameday_command, prefect_server, sandbox
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.spec.catalogue import Catalogue, default_directory
from gameday.spec.kinds import API_VERSION

_LIMIT_S: Final = 120.0
_LOOK_S: Final = 0.02
_VICTIM: Final = "automation-services"
_FAULT: Final = {
    "action": "delay",
    "mode": "one",
    "delay": {"latency": "10ms"},
}
_EXPERIMENT: Final = {
    "name": "under-a-guardrail",
    "title": "A harmless delay while something else breaks",
    "hypothesis": "The guardrail ends the fault when the platform suffers, whatever the reason.",
    "category": "basic",
    "environments": ["staging"],
    "owner": "platform-team",
    "baseline": "10s",
    "steadyState": [{"name": "availability", "signal": "availability", "expect": ">= 0", "tolerate": ">= 0"}],
    "stages": [
        {
            "name": "delay",
            "duration": "10m",
            "faults": [{"target": "auth-service", "kind": "NetworkChaos", "spec": _FAULT}],
        }
    ],
    "recovery": {"timeout": "10s", "stableFor": "0s"},
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What both tools work with."""

    box: Box
    env: dict[str, str]
    directory: Path
    catalogue: Catalogue

    @property
    def interval(self) -> timedelta:
        """How often a run, and the safeguard, looks."""
        return self.catalogue.platform.prometheus.sample_interval

    @property
    def question(self) -> tuple[str, str]:
        """The signal and the limit past which a run is aborted."""
        guardrails = self.catalogue.guardrails
        found = next(one for one in guardrails.thresholds if one.signal == "availability")
        return self.catalogue.platform.signal("availability").query, str(found.abort_when)


def write_catalogue(directory: Path) -> Catalogue:
    """The catalogue that comes along, scraped every second, with the experiment that is measured."""
    directory.mkdir()
    for file in default_directory().glob("*"):
        text = file.read_text(encoding="utf-8")
        (directory / file.name).write_text(
            text.replace("scrapeInterval: 5s", "scrapeInterval: 1s"), encoding="utf-8"
        )
    # JSON is YAML.
    (directory / "under-a-guardrail.yaml").write_text(json.dumps(_EXPERIMENT), encoding="utf-8")
    catalogue = Catalogue(directory)
    if catalogue.platform.prometheus.scrape_interval != timedelta(seconds=1):
        raise NotMeasuredError("platform.yaml no longer says scrapeInterval: 5s")
    return catalogue


async def _until(condition: Callable[[], Awaitable[bool]], what: str) -> float:
    """The moment at which ``condition`` was first seen to hold."""
    deadline = time.perf_counter() + _LIMIT_S
    while not await condition():
        if time.perf_counter() > deadline:
            raise NotMeasuredError(f"not within {_LIMIT_S:.0f} s: {what}")
        await asyncio.sleep(_LOOK_S)
    return time.perf_counter()


class Breach:
    """Breaks the platform once and sees what follows."""

    def __init__(self, around: Surroundings, cluster: Cluster) -> None:
        """Look at what the environment of ``around`` names."""
        self._around = around
        self._chaos = ChaosMesh(cluster.api)

    async def latency(self, offset: timedelta) -> float:
        """Wait for the fault, break the platform ``offset`` later; seconds from breach to DELETE."""
        await _until(self._fault_is_in, "the fault is in")
        await asyncio.sleep(offset.total_seconds())
        broken = await self._chaos.create(self._outage())
        try:
            visible, deleted = await asyncio.gather(
                _until(self._is_visible, "the breach in Prometheus"),
                _until(self._is_deleted, "the DELETE of the fault"),
            )
        finally:
            await self._chaos.delete(broken.ref)
        return deleted - visible

    def _outage(self) -> dict[str, Any]:
        """Something that is neither tool's own: all pods of another service fail."""
        platform = self._around.catalogue.platform
        return {
            "apiVersion": API_VERSION,
            "kind": "PodChaos",
            "metadata": {"name": "outage", "namespace": platform.chaos_namespace},
            "spec": {
                "action": "pod-failure",
                "mode": "all",
                "duration": f"{_LIMIT_S + 60:.0f}s",
                "selector": {
                    "namespaces": [platform.environment("staging").namespace],
                    "labelSelectors": {"app": _VICTIM},
                },
            },
        }

    async def calm(self) -> None:
        """Wait until nothing is left of the last time."""
        await _until(self._is_well, "the platform is well again")

    async def _states(self) -> list[Any]:
        return list(await self._chaos.states("NetworkChaos"))

    async def _fault_is_in(self) -> bool:
        return any(state.injected for state in await self._states())

    async def _is_deleted(self) -> bool:
        return all(state.meta.deleting is not None for state in await self._states())

    async def _is_visible(self) -> bool:
        query, limit = self._around.question
        past = f"min({query}) {limit.replace('<', '< bool')}"
        return await asyncio.to_thread(self._around.box.value, past) == 1

    async def _is_well(self) -> bool:
        query, _ = self._around.question
        worst = await asyncio.to_thread(self._around.box.value, f"min({query})")
        left = [*await self._states(), *await self._chaos.states("PodChaos")]
        return worst == 1 and not left


def _gameday(around: Surroundings) -> Running:
    command = [*gameday_command(), "run", "under-a-guardrail", "--env", "staging", "--reason", "measured"]
    return Running(command, env=around.env, directory=around.directory)


def _chaos_toolkit(around: Surroundings, toolkit: chaos_toolkit.Toolkit) -> Running:
    platform = around.catalogue.platform
    query, limit = around.question
    body = {
        "apiVersion": API_VERSION,
        "kind": "NetworkChaos",
        "metadata": {"name": "under-a-safeguard", "namespace": platform.chaos_namespace},
        "spec": {
            **_FAULT,
            "duration": "10m",
            "selector": {
                "namespaces": [platform.environment("staging").namespace],
                "labelSelectors": {"app": "auth-service"},
            },
        },
    }
    document = chaos_toolkit.guarded_fault(
        body,
        query=query,
        # A safeguard says what is well, a guardrail what is not.
        limit=limit.replace("<", ">="),
        every=around.interval,
        prometheus_url=around.env["GAMEDAY_PROMETHEUS_URL"],
    )
    source = around.directory / "guarded.json"
    source.write_text(json.dumps(document))
    command: list[str | Path] = [
        toolkit.command,
        "--no-version-check",
        "--no-log-file",
        "run",
        "--rollback-strategy",
        "always",
        source,
    ]
    return Running(command, env=around.env, directory=around.directory)


async def _one(around: Surroundings, start: Callable[[], Running], offset: timedelta) -> float:
    async with Cluster.connect(clock=SystemClock()) as cluster:
        breach = Breach(around, cluster)
        await breach.calm()
        process = start()
        try:
            latency = await breach.latency(offset)
        except NotMeasuredError as error:
            finished = await asyncio.to_thread(process.finish, 0)
            raise NotMeasuredError(f"{error}\n{finished.out[-1000:]}{finished.err[-1000:]}") from None
        await asyncio.to_thread(process.finish, _LIMIT_S)
        return latency


def measure(
    around: Surroundings, name: str, start: Callable[[], Running], count: int, seed: int
) -> list[float]:
    """The latency of ``count`` breaches at moments that ``seed`` chooses."""
    moments = random.Random(seed)
    taken = []
    for number in range(1, count + 1):
        offset = around.interval * moments.random()
        taken.append(asyncio.run(_one(around, start, offset)))
        say(f"{name}, breach {number} of {count}: {taken[-1]:.2f} s")
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--breaches", type=int, default=50, help="of gameday (default: 50)")
    parser.add_argument("--theirs", type=int, default=20, help="of Chaos Toolkit (default: 20)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    head("From a breach in Prometheus to the first DELETE")
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        catalogue = write_catalogue(directory / "experiments")
        platform = directory / "experiments" / "platform.yaml"
        with prefect_server(directory) as prefect, sandbox(mode="live", platform=platform) as box:
            env = clean_environment(directory, prefect.env, box.env)
            env["GAMEDAY_EXPERIMENTS"] = str(directory / "experiments")
            around = Surroundings(box, env, directory, catalogue)
            # The clients of this process act on the sandbox, too.
            os.environ.update(box.env)
            toolkit = chaos_toolkit.install()
            ours = measure(around, "gameday", lambda: _gameday(around), options.breaches, options.seed)
            theirs = measure(
                around,
                "Chaos Toolkit",
                lambda: _chaos_toolkit(around, toolkit),
                options.theirs,
                options.seed,
            )
    interval = around.interval.total_seconds()
    table(
        ("seconds from breach to first DELETE", "spread", "within one interval + 1 s"),
        [
            (name, Spread.of(taken), f"{sum(one <= interval + 1 for one in taken)} of {len(taken)}")
            for name, taken in (("gameday run", ours), ("Chaos Toolkit", theirs))
        ],
    )
    say(f"Beside it: {toolkit.versions}.")
    ratio = Spread.of(ours).median / Spread.of(theirs).median
    say(f"Both look every {interval:g} s; medians {ratio:.2f} to 1.")


if __name__ == "__main__":
    main()
