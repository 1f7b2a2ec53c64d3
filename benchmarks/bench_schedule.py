"""Fifty scheduled runs that fall due in the same second: none lost, none doubled, how late each begins.

Prefect's server and the journal stand on one PostgreSQL, everything is deployed as it is shipped, and
two process workers take the runs. Each run is the shipped basic-pod-failure in a cluster of its own, a
sandbox in rehearsal time, by a deployment and a schedule of its own: guardrails allow three at once in
one cluster and would refuse the rest. A run is lost that has no verdict in the journal, and doubled
where Prefect counts two executions, the journal two records, or the cluster more faults than one run
has. Beside it fewer runs by one worker and by two. ``--kill-a-worker`` kills one of two while a fault of
its run is in, or while it starts one, in real time, and tells what becomes of its runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.clusters import CATALOGUE, KUBECONFIG, clusters, environment
from benchmarks.due_runs import DueRun, Prefect, Worker, like_shipped, until, when_still, worker
from benchmarks.measuring import NotMeasuredError, head, peak_mib, say, table
from benchmarks.surroundings import Box, clean_environment, prefect_server
from gameday.journal.store import FaultRecord, Journal, RunRecord
from gameday.spec.catalogue import default_directory
from tests.databases import new_database, postgresql_server
from tests.flows.conftest import watchdogs

_EXPERIMENT = "basic-pod-failure"
_OBJECTS = "/kubernetes/apis/chaos-mesh.org/v1alpha1/podchaos"
_EVENTS = "/kubernetes/api/v1/events"
_MANY, _FEW, _QUICK, _KILLED = 50, 12, 4, 8
_SHORT = "1m"
_NOBODY = "20261123t101530-nobody-0000"
_BREAKING, _STARTING = "breaking", "starting"
_HISTORY = timedelta(minutes=6)
# Prefect's scheduler looks for new schedules once a minute. Automations hear of a run that was scheduled
# less than five minutes ahead only later: its events wait for one that the scheduler never sends.
_AHEAD, _AHEAD_FOR_AUTOMATIONS = timedelta(seconds=75), timedelta(seconds=330)
_PATIENCE_S = 600.0
_STILL_S, _STILL_LIVE_S = 120.0, 240.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run that was due, and what there is of it."""

    run: DueRun
    records: Sequence[tuple[RunRecord, Sequence[FaultRecord]]]
    """What the journal has of it, one pair unless something went wrong."""
    injected: int
    """How many faults its cluster saw injected meanwhile."""

    @property
    def verdict(self) -> str:
        """The journal's; ``open`` for a record without one, ``no record`` where there is none."""
        if not self.records:
            return "no record"
        verdict = self.records[0][0].verdict
        return verdict.value if verdict is not None else "open"

    @property
    def lost(self) -> bool:
        """Whether nobody can read how it ended."""
        return self.verdict in {"no record", "open"}

    @property
    def doubled(self) -> bool:
        """Whether it was carried out, or one of its faults was injected, more than once."""
        stages = Counter(fault.stage for _, faults in self.records for fault in faults)
        again = any(count > 1 for count in stages.values()) or self.injected > stages.total()
        return self.run.executions > 1 or len(self.records) > 1 or again


@dataclass(frozen=True, slots=True)
class Round:
    """Runs that were due at once."""

    places: int
    """How many could be carried out at once."""
    outcomes: Sequence[Outcome]
    left: int
    """Chaos objects that were still there at the end."""
    told: Sequence[DueRun]
    """What Prefect's automations started meanwhile."""
    stop: DueRun | None
    """An emergency stop that somebody asked for once all places were taken."""
    killed: str
    worker_mib: Sequence[float]
    server_cpu_s: float

    @property
    def late_s(self) -> list[float]:
        """How late each began that did."""
        return sorted(one.run.late_s for one in self.outcomes if one.run.late_s is not None)

    @property
    def took_s(self) -> float:
        """From the second in which all were due to the end of the last."""
        ends = [(one.run.ended - one.run.due).total_seconds() for one in self.outcomes if one.run.ended]
        return max(ends, default=0.0)

    def rows(self) -> list[tuple[str, Any]]:
        """Its figures, by name."""
        late, verdicts = self.late_s, Counter(one.verdict for one in self.outcomes)
        if not late:
            raise NotMeasuredError("no run began")
        at_once = late[: self.places]
        started = Counter(one.state for one in self.told)
        return [
            ("due in the same second", len(self.outcomes)),
            ("places, all workers together", self.places),
            ("verdicts in the journal", _counts(verdicts)),
            ("states in Prefect", _counts(Counter(one.run.state for one in self.outcomes))),
            ("lost", sum(one.lost for one in self.outcomes)),
            ("doubled", sum(one.doubled for one in self.outcomes)),
            ("faults left", self.left),
            ("began late by, median, s", _share(late, 0.5)),
            ("began late by, 95 of 100, s", _share(late, 0.95)),
            ("began late by, most, s", late[-1]),
            ("of those that found a place at once, median, s", _share(at_once, 0.5)),
            ("of those, most, s", at_once[-1]),
            ("all over after, s", self.took_s),
            ("runs a minute", len(self.outcomes) / self.took_s * 60 if self.took_s else 0.0),
            ("a stop that is asked for meanwhile begins after, s", self.stop.late_s if self.stop else None),
            ("started by automations", _counts(started) or "nothing"),
            ("memory of each worker, peak, MiB", ", ".join(f"{mib:.0f}" for mib in self.worker_mib)),
            ("CPU of Prefect's server for each run, s", self.server_cpu_s / len(self.outcomes)),
        ]


def _without(variables: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in variables.items() if key != name}


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(found.items()))


def _share(taken: Sequence[float], share: float) -> float:
    return taken[min(int(len(taken) * share), len(taken) - 1)]


class Bench:
    """Servers, clusters and deployments that several rounds use one after another."""

    def __init__(self, prefect: Prefect, boxes: Sequence[Box], env: Mapping[str, str], home: Path) -> None:
        """Deploy a run for each of ``boxes``; ``env`` is a worker's, ``home`` keeps its log."""
        self._prefect = prefect
        self._boxes = {environment(number): box for number, box in enumerate(boxes)}
        self._env = env
        self._home = home
        own = [
            # The worker's kubeconfig knows all clusters; the rest of what leads to one is its own.
            like_shipped(_EXPERIMENT, name, env=_without(box.env, "KUBECONFIG"), duration=_SHORT)
            for name, box in self._boxes.items()
        ]
        known = prefect.deploy(home, own)
        self._due = [known[name] for name in self._boxes]
        self._followers = [known["tell-team"], known["emergency-stop"]]
        self._rounds = 0

    def round(self, many: int, workers: int, limit: int, *, kill: str = "") -> Round:
        """Have ``many`` runs fall due and ``workers`` carry them out, each ``limit`` at once."""
        self._rounds += 1
        before, cpu_before = self._injected(), self._prefect.server.cpu_s
        # Workers take runs some seconds before they are due.
        began = datetime.now(UTC)
        ahead = _AHEAD_FOR_AUTOMATIONS if kill else _AHEAD
        due = (began + ahead).replace(microsecond=0)
        wanted = self._due[:many]
        self._prefect.fall_due(wanted, due)
        names = [f"worker-{self._rounds}-{number}" for number in range(workers)]
        with ExitStack() as stack:
            started = [
                stack.enter_context(worker(name, limit, env=self._env, directory=self._home))
                for name in names
            ]
            until(lambda: self._prefect.workers() >= set(names), "the workers are awake", limit_s=_PATIENCE_S)
            self._scheduled(wanted, due)
            say(f"{many} runs are due at {due:%H:%M:%S} UTC, for {workers} workers with {limit} places each")
            killed = self._kill(started[0], kill, wanted, due) if kill else ""
            stop = self._stop(wanted, due, min(many, workers * limit))
            still_s = _STILL_LIVE_S if kill else _STILL_S
            everything = [*wanted, *self._followers]
            when_still(lambda: self._prefect.runs(everything, since=began), still_s=still_s)
            peaks = [one.peak_mib for one in started if one.name != killed]
        runs = self._prefect.runs(wanted, since=due)
        more = self._prefect.runs(self._followers, since=began)
        records = asyncio.run(_records(self._env["GAMEDAY_DATABASE_URL"]))
        after = self._injected()
        return Round(
            places=workers * limit,
            outcomes=[
                Outcome(run, records.get(run.id, []), len(after[run.environment] - before[run.environment]))
                for run in runs
            ],
            left=sum(len(box.get(_OBJECTS)["items"]) for box in self._boxes.values()),
            told=[run for run in more if run.id != stop],
            stop=next((run for run in more if run.id == stop), None),
            killed=killed,
            worker_mib=peaks,
            server_cpu_s=self._prefect.server.cpu_s - cpu_before,
        )

    def _scheduled(self, wanted: Sequence[str], due: datetime) -> None:
        """Wait until Prefect has made the runs. Raises ``NotMeasuredError`` unless it is one for each."""

        def made() -> list[DueRun] | None:
            runs = self._prefect.runs(wanted, since=due)
            return runs if len(runs) >= len(wanted) else None

        runs = until(made, "Prefect has made the scheduled runs", limit_s=_PATIENCE_S)
        if Counter(run.deployment for run in runs) != Counter(wanted) or datetime.now(UTC) > due:
            raise NotMeasuredError(f"{len(runs)} runs were made for {len(wanted)} schedules, or too late")

    def _stop(self, wanted: Sequence[str], due: datetime, places: int) -> str:
        """Ask for a stop, of a run that there is not, once all places are taken; the flow run's id."""

        def taken() -> bool:
            return sum(bool(run.worker) for run in self._prefect.runs(wanted, since=due)) >= places

        until(taken, "all places are taken", limit_s=_PATIENCE_S)
        given = {"reason": "a rehearsal", "run": _NOBODY, "environment": environment(0)}
        return self._prefect.start(self._followers[1], given)

    def _kill(self, victim: Worker, while_: str, wanted: Sequence[str], due: datetime) -> str:
        """Kill ``victim``, and nothing else, while it starts a run, or a fault of one is in; its name."""

        def reached() -> bool:
            runs = [run for run in self._prefect.runs(wanted, since=due) if run.worker == victim.name]
            if while_ == _STARTING:
                return any(run.kind == "PENDING" for run in runs)
            return any(self._boxes[run.environment].get(_OBJECTS)["items"] for run in runs)

        until(reached, f"{victim.name} is {while_}", limit_s=_PATIENCE_S)
        os.kill(victim.process.pid, signal.SIGKILL)
        say(f"{victim.name} was killed")
        return victim.name

    def _injected(self) -> dict[str, set[str]]:
        """The chaos objects, by environment, of which its cluster remembers that they were injected."""
        return {
            name: {
                event["involvedObject"]["uid"]
                for event in box.get(_EVENTS)["items"]
                if event["reason"] == "Applied" and event["involvedObject"]["kind"] == "PodChaos"
            }
            for name, box in self._boxes.items()
        }

    def versions(self) -> str:
        """What was measured."""
        packages = ", ".join(f"{name} {version(name)}" for name in ("prefect", "sqlalchemy", "asyncpg"))
        return f"PostgreSQL {asyncio.run(_postgresql(self._env['GAMEDAY_DATABASE_URL']))}, {packages}"

    @property
    def server_mib(self) -> float:
        """The most memory that Prefect's server has held."""
        return peak_mib(self._prefect.server.pid)


async def _records(database: str) -> dict[str, list[tuple[RunRecord, Sequence[FaultRecord]]]]:
    """The journal's runs with their faults, by flow run."""
    found: dict[str, list[tuple[RunRecord, Sequence[FaultRecord]]]] = {}
    async with Journal.open(database) as journal:
        for record in await journal.latest(10_000):
            found.setdefault(record.flow_run or "", []).append((record, await journal.faults(record.run)))
    return found


async def _postgresql(database: str) -> str:
    engine = create_async_engine(database)
    async with engine.connect() as connection:
        found = (await connection.execute(text("SHOW server_version"))).scalar_one()
    await engine.dispose()
    return str(found).split()[0]


@contextmanager
def bench(many: int, mode: str) -> Iterator[Bench]:
    """Everything that ``many`` runs at once need, ended with the context."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgresql_server())
        shipped = yaml.safe_load((default_directory() / f"{_EXPERIMENT}.yaml").read_text(encoding="utf-8"))
        boxes = stack.enter_context(clusters(home, many, shipped, mode=mode, history=_HISTORY))
        prefect = stack.enter_context(
            prefect_server(home, {"PREFECT_API_DATABASE_CONNECTION_URL": new_database(server)})
        )
        env = clean_environment(home, prefect.env) | {
            "KUBECONFIG": str(home / KUBECONFIG),
            "GAMEDAY_EXPERIMENTS": str(home / CATALOGUE),
            "GAMEDAY_DATABASE_URL": new_database(server),
            "PREFECT_LOGGING_LEVEL": "INFO",
        }
        stack.callback(_end_watchdogs, Path(env["GAMEDAY_STATE_DIR"]))
        yield Bench(stack.enter_context(closing(Prefect(prefect))), boxes, env, home)


def _end_watchdogs(state: Path) -> None:
    """Those of runs that were cut off would go on trying, for minutes, in clusters that are gone."""
    for pid in watchdogs(state).values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def measure(many: int, few: int, workers: int, limit: int) -> None:
    """Few runs by one worker, the same by several, and many by several."""
    with bench(max(many, few), "rehearsal") as bed:
        plan = [(few, 1), *([(few, workers)] if workers > 1 else []), (many, workers)]
        rounds = [bed.round(count, those, limit) for count, those in plan]
        titles = [f"{those} worker{'s' * (those > 1)}, {count} runs" for count, those in plan]
        _print(list(zip(titles, rounds, strict=True)))
        if workers > 1:
            ratio = rounds[0].took_s / rounds[1].took_s
            say(f"{workers} workers carried {few} runs out {ratio:.2f} x as fast as one.")
        say(f"Memory of Prefect's server, peak: {bed.server_mib:.0f} MiB. {bed.versions()}.")


def measure_killed(many: int, limit: int, while_: str) -> None:
    """Two workers, one of which is killed."""
    with bench(many, "live") as bed:
        one = bed.round(many, 2, limit, kill=while_)
        _print([("one of 2 workers killed", one)])
        say(f"What became of the runs that {one.killed} had:")
        table(
            ("environment", "state in Prefect", "verdict", "why", "faults injected, ended"),
            [
                (own.run.environment, own.run.state, own.verdict, *_end_of(own))
                for own in one.outcomes
                if own.run.worker == one.killed
            ],
        )
        say(f"{bed.versions()}.")


def _end_of(own: Outcome) -> tuple[str, str]:
    """Why it ended, and how many of its faults went in and came out."""
    faults = [fault for _, of_record in own.records for fault in of_record]
    why = "; ".join(record.summary or "" for record, _ in own.records)
    return why, f"{own.injected}, {sum(fault.ended_at is not None for fault in faults)}"


def _print(rounds: Sequence[tuple[str, Round]]) -> None:
    columns = [dict(one.rows()) for _, one in rounds]
    table(
        ("figure", *(name for name, _ in rounds)),
        [(name, *(column[name] for column in columns)) for name in columns[0]],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    parser.add_argument("--runs", type=int, help=f"so many due at once (default: {_MANY})")
    parser.add_argument("--workers", type=int, default=2, help="process workers (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=2, help="places of each (default: %(default)s)")
    parser.add_argument(
        "--kill-a-worker",
        nargs="?",
        const=_BREAKING,
        choices=[_BREAKING, _STARTING],
        help="one of two, while a fault of its run is in (default), or while it starts a run",
    )
    chosen = parser.parse_args()
    # Whoever ends this ends all that it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    many = chosen.runs or (_KILLED if chosen.kill_a_worker else _QUICK if chosen.quick else _MANY)
    head(f"{many} scheduled runs of {_EXPERIMENT} due in the same second")
    try:
        if chosen.kill_a_worker:
            measure_killed(many, chosen.limit, chosen.kill_a_worker)
        else:
            measure(many, min(_FEW, many), chosen.workers, chosen.limit)
    except pytest.skip.Exception as missing:
        say(f"Not measured: {missing}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; all that was started has ended.")


if __name__ == "__main__":
    main()
