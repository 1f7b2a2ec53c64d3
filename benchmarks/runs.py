"""Why: several scripts run ``gameday run`` and read from the journal what it did meanwhile.

The command is used as a person uses it, in a process of its own; the journal is read afterwards.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.measuring import Finished, run
from gameday.journal.store import Event, Journal

_VERDICTS = (0, 1)
"""Held and disproved: the run went through all its stages or saw the platform break."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended."""

    finished: Finished
    verdict: str
    reasons: tuple[str, ...]
    events: tuple[Event, ...]

    @property
    def samples(self) -> int:
        """How often it looked at the platform."""
        return sum(event.kind == "sample" for event in self.events)

    @property
    def stages(self) -> int:
        """How many stages were carried out."""
        return sum(event.kind == "stage" for event in self.events)

    @property
    def recovery_watch(self) -> timedelta:
        """The run's own time between the end of the last stage and the proof of recovery."""
        ended = [event.at for event in self.events if event.kind == "phase"][-1]
        return next(event.at for event in self.events if event.kind == "recovery") - ended

    @property
    def proving(self) -> timedelta:
        """The run's own time until every fault was proved in, and later until it was proved gone."""
        total = timedelta(0)
        asked = None
        for event in self.events:
            if event.kind == "stage":
                asked = event.at
            elif event.kind == "injected" and asked is not None:
                # The faults of a stage are proved together.
                total += event.at - asked
                asked = None
            elif event.kind == "ended":
                total += timedelta(seconds=event.data["took_s"])
        return total


def gameday_run(
    command: Sequence[str | Path],
    experiment: str,
    *options: str,
    env: Mapping[str, str],
    directory: Path,
    limit_s: float,
) -> Run:
    """Run ``experiment`` on staging by ``command``. Raises ``NotMeasuredError`` unless it went through."""
    whole = [*command, "run", experiment, "--env", "staging", "-o", "json", *options]
    finished = run(whole, env=env, directory=directory, limit_s=limit_s).require(*_VERDICTS)
    answer = json.loads(finished.out)
    events = asyncio.run(_events(answer["run"], Path(env["GAMEDAY_STATE_DIR"])))
    return Run(finished, answer["verdict"], tuple(answer["reasons"]), tuple(events))


async def _events(run_id: str, state: Path) -> list[Event]:
    async with Journal.open(f"sqlite+aiosqlite:///{(state / 'journal.db').as_posix()}") as journal:
        return await journal.events(run_id)
