"""A run that is killed leaves everything that it was told is written."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gameday.journal.store import Journal

WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from gameday.journal.store import Event, Journal, Observation, RunRecord

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)

async def main(url, run):
    async with Journal.open(url) as journal:
        await journal.begin(RunRecord(run, "trial", "staging", "me", "why", NOW))
        number = 0
        while True:
            number += 1
            seen = [Observation(NOW, "s", "p95", f"service-{n}", float(number), None, "ok") for n in range(5)]
            await journal.observe(run, seen, Event(run, NOW, "sample", str(number)))
            print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def start(url: str, run: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, url, run], stdout=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], count: int) -> int:
    """Kill the writer in mid-run once it has acknowledged ``count``; returns its last acknowledgement."""
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= count:
            process.send_signal(signal.SIGKILL)
            break
    rest = process.stdout.read().split()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return max([count, *(int(number) for number in rest)])


@pytest.mark.parametrize("writers", [1, 4])
async def test_a_writer_that_is_killed_loses_nothing_that_was_acknowledged(
    writers: int, tmp_path: Path
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}"
    processes = {f"run-{number}": start(url, f"run-{number}") for number in range(writers)}
    acknowledged = {run: kill_after(process, 30) for run, process in processes.items()}
    async with Journal.open(url) as journal:
        for run, count in acknowledged.items():
            record = await journal.find(run)
            assert record is not None
            assert record.verdict is None
            messages = [event.message for event in await journal.events(run)]
            assert messages == [f"{n}" for n in range(1, len(messages) + 1)]
            assert len(messages) >= count
            # A sample is there whole or not at all.
            assert len(await journal.observations(run)) == 5 * len(messages)
