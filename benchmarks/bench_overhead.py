"""What a run of basic-pod-failure costs beyond the time it was told to take, beside Chaos Toolkit.

Against a Prefect server that is up: the wall time less what is declared, the calls of Kubernetes
and Prometheus, and the peak of memory; in rehearsal, where declared time costs nothing, and live at
real speed. Chaos Toolkit then kills the same pods of a sandbox of its own, equal to the first, with
the same probes and pauses: once asking before and after, as it does by default, and once also every
five seconds in between, as a run does.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks import chaos_toolkit
from benchmarks.measuring import Finished, Spread, head, say, table
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
from gameday.spec.base import format_duration
from gameday.spec.catalogue import Catalogue

_EXPERIMENT = "basic-pod-failure"
_DURATION = timedelta(seconds=60)
_LIMIT_S = 600
_CONTINUOUSLY = ("--hypothesis-strategy", "continuously", "--hypothesis-frequency", "5")

# What the comparison does not show: what each of the two did in its time.
_NOT_DONE = (
    "Chaos Toolkit kills the pods itself; a run asks Chaos Mesh to, by server-side dry run first, and",
    "reads its records until each fault is proved in and proved gone. Chaos Toolkit does not:",
    "- look during the faults, unless told to (the last row), and then without thresholds of its own;",
    "- judge with a time for which a breach is tolerated, or tell no data from good data;",
    "- check the platform's health, the plan, or who else is at work there (Leases) before it starts;",
    "- measure a baseline, wait until the platform is well again, or prove it: it asks once at the end;",
    "- tell people, keep a journal as things happen, write a report, or show the run in a UI;",
    "- end its faults if its process is killed (a killed pod leaves nothing to end).",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one execution cost."""

    finished: Finished
    declared: timedelta
    recovery: timedelta
    proving: timedelta | None
    counters: Counters
    samples: int
    how: str

    @property
    def overhead_s(self) -> float:
        """Wall time less what was declared, and less the watch for the recovery."""
        return self.finished.wall_s - (self.declared + self.recovery).total_seconds()


def ours(box: Box, prefect: PrefectServer, directory: Path, *, live: bool) -> Cost:
    """A run of gameday; in rehearsal nothing is taken off, as no declared second is waited for."""
    env = clean_environment(directory, prefect.env, box.env)
    before = box.counters()
    run: Run = gameday_run(
        gameday_command(),
        _EXPERIMENT,
        "--duration",
        format_duration(_DURATION),
        env=env,
        directory=directory,
        limit_s=_LIMIT_S,
    )
    return Cost(
        finished=run.finished,
        declared=_DURATION if live else timedelta(0),
        recovery=run.recovery_watch if live else timedelta(0),
        proving=run.proving if live else None,
        counters=box.counters().since(before),
        samples=run.samples,
        how=run.verdict,
    )


def theirs(toolkit: chaos_toolkit.Toolkit, box: Box, directory: Path, *options: str) -> Cost:
    """The same pod kills by Chaos Toolkit."""
    catalogue = Catalogue()
    platform = catalogue.platform
    document, paused = chaos_toolkit.same_experiment(
        catalogue.experiment(_EXPERIMENT),
        platform,
        platform.environment("staging"),
        duration=_DURATION,
        prometheus_url=box.env["GAMEDAY_PROMETHEUS_URL"],
        tolerant=bool(options),
    )
    env = clean_environment(directory, box.env)
    before = box.counters()
    finished = chaos_toolkit.carry_out(
        toolkit, document, *options, env=env, directory=directory, limit_s=_LIMIT_S
    )
    counters = box.counters().since(before)
    return Cost(
        finished=finished,
        declared=paused,
        recovery=timedelta(0),
        proving=None,
        counters=counters,
        samples=counters.prometheus // len(catalogue.experiment(_EXPERIMENT).steady_state),
        how=chaos_toolkit.outcome(directory),
    )


def row(name: str, costs: list[Cost]) -> tuple[object, ...]:
    """The figures of the same thing done several times."""
    last = costs[-1]
    peaks = [cost.finished.peak_mib for cost in costs if cost.finished.peak_mib is not None]
    return (
        name,
        Spread.of(cost.overhead_s for cost in costs),
        Spread.of(cost.finished.wall_s for cost in costs).median,
        last.declared.total_seconds(),
        last.recovery.total_seconds(),
        last.proving.total_seconds() if last.proving is not None else None,
        Spread.of(cost.finished.cpu_s for cost in costs).median,
        last.counters.kubernetes,
        last.counters.prometheus,
        last.samples,
        max(peaks) if peaks else None,
        last.how,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each once")
    quick = parser.parse_args().quick
    rehearsals, lives = (1, 1) if quick else (5, 2)
    head(f"overhead of {_EXPERIMENT}, its execution shortened to {format_duration(_DURATION)}")
    toolkit = chaos_toolkit.install()
    names = ("gameday, rehearsal", "gameday, live", "Chaos Toolkit, live", "Chaos Toolkit, live, every 5 s")
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        with prefect_server(directory) as prefect:
            for _ in range(rehearsals):
                with sandbox(mode="rehearsal") as box:
                    costs[names[0]].append(ours(box, prefect, directory, live=False))
            for _ in range(lives):
                with sandbox(mode="live") as box:
                    costs[names[1]].append(ours(box, prefect, directory, live=True))
                with sandbox(mode="live") as box:
                    costs[names[2]].append(theirs(toolkit, box, directory))
                with sandbox(mode="live") as box:
                    costs[names[3]].append(theirs(toolkit, box, directory, *_CONTINUOUSLY))
    table(
        (
            "what",
            "overhead, s",
            "wall, s",
            "declared, s",
            "watch for recovery, s",
            "of the overhead, waiting for proofs, s",
            "CPU, s",
            "Kubernetes calls",
            "Prometheus queries",
            "looks",
            "peak, MiB",
            "ended",
        ),
        [row(name, taken) for name, taken in costs.items()],
    )
    medians = {name: Spread.of(cost.overhead_s for cost in taken).median for name, taken in costs.items()}
    say(f"gameday live beside Chaos Toolkit: {medians[names[1]] / medians[names[2]]:.2f} x its overhead;")
    say(f"beside Chaos Toolkit asking every 5 s: {medians[names[1]] / medians[names[3]]:.2f} x.")
    say(f"Compared with: {toolkit.versions}.")
    for line in _NOT_DONE:
        say(line)


if __name__ == "__main__":
    main()
