"""What ends faults is itself not ended, by no cancellation and no signal short of SIGKILL."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap

import pytest

from gameday.safety.shield import shielded

PROGRAM = """
import asyncio, signal, sys
from gameday.safety.shield import shielded

def say(text):
    print(text, flush=True)

async def stop():
    say("stopping")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    say("stopped")

async def main():
    {before}
    try:
        await shielded(stop())
    except asyncio.CancelledError as error:
        say(f"cancelled: {{error}}")
    say(f"handlers restored: {{signal.getsignal(signal.SIGTERM) == handler}}")

handler = signal.getsignal(signal.SIGTERM)
asyncio.run(main())
"""

LOOP_HANDLER = """
    def interrupted():
        say("the loop's handler ran")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, interrupted)
    global handler
    handler = signal.getsignal(signal.SIGTERM)
"""


def start(before: str = "pass") -> subprocess.Popen[str]:
    program = PROGRAM.format(before=textwrap.dedent(before).strip().replace("\n", "\n    "))
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("before", ["pass", LOOP_HANDLER], ids=["plain", "handler of the event loop"])
def test_ctrl_c_and_sigterm_during_a_stop_count_only_after_it(before: str) -> None:
    with start(before) as process:
        assert said(process) == "stopping"
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        out, _ = process.communicate("go on\n")
    stopped, cancelled, restored = out.splitlines()
    assert stopped == "stopped"
    assert cancelled in {
        "cancelled: SIGTERM came while faults were being ended",
        "cancelled: SIGINT came while faults were being ended",
    }
    assert restored == "handlers restored: True"
    assert process.returncode == 0


def test_without_an_interruption_nothing_is_raised() -> None:
    with start() as process:
        assert said(process) == "stopping"
        out, _ = process.communicate("go on\n")
    assert out.splitlines() == ["stopped", "handlers restored: True"]


async def test_it_is_done_however_often_its_task_is_cancelled() -> None:
    going, done = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def stop() -> str:
        going.set()
        await done.wait()
        ended.append("all")
        return "report"

    task = asyncio.create_task(shielded(stop()))
    await going.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    done.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["all"]


async def test_in_the_finally_of_a_cancelled_run_it_returns_its_result() -> None:
    waiting = asyncio.Event()
    reports: list[str] = []

    async def stop() -> str:
        await asyncio.sleep(0)
        return "report"

    async def run() -> None:
        try:
            waiting.set()
            await asyncio.Event().wait()
        finally:
            reports.append(await shielded(stop()))

    task = asyncio.create_task(run())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reports == ["report"]


async def test_what_goes_wrong_inside_is_told() -> None:
    async def stop() -> None:
        raise LookupError("no such run")

    with pytest.raises(LookupError, match="no such run"):
        await shielded(stop())
