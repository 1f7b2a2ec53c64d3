"""Whatever goes away, the guard goes on, says what it cannot see, and acts as soon as it can."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.guard.leader import LEASE
from gameday.journal.audit import Audit
from gameday.journal.store import Journal
from gameday.safety.lease import RunLeases
from tests.flows.conftest import Process, until
from tests.flows.emergency_fixtures import fault, inject
from tests.guard.conftest import CHAOS, SECOND, Levers, StartGuard, gone, left, metric, ready, told, turns

GAMEDAY = (sys.executable, "-m", "gameday.cli.main")
StartProcess = Callable[..., Process]


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[StartProcess]:
    """Start commands; they end with the test."""
    started: list[Process] = []

    def start(*command: str, **environment: str) -> Process:
        process = Process(list(command), tmp_path / f"process-{len(started)}.log", environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


async def test_a_lost_api_server_is_survived_and_what_came_meanwhile_is_ended(
    chaos: ChaosMesh, levers: Levers, start_guard: StartGuard, cluster: Cluster
) -> None:
    guard = await start_guard()
    await ready(guard)
    levers.pull("fail", status=500)
    levers.pull("watches/drop", abrupt=True)

    async def blind() -> bool:
        return not guard.ready().well or not guard.election.leading

    await until(blind, "a guard that says it is blind")
    assert guard.alive().well, "restarting it would help nobody"
    levers.pull("objects", objects=[fault("NetworkChaos", "bad", run="", duration="2h")])
    levers.mend()
    await gone(chaos, "bad")
    await ready(guard)

    async def synced() -> bool:
        return metric(guard, "gameday_guard_synced") == 1

    await until(synced, "a metric that says it sees everything again")


async def test_calls_that_hang_are_survived(
    chaos: ChaosMesh, levers: Levers, start_guard: StartGuard, cluster: Cluster
) -> None:
    guard = await start_guard()
    await ready(guard)
    levers.pull("stall")

    async def blind() -> bool:
        return not guard.view.synced

    await until(blind, "a guard that says it is blind")
    levers.pull("objects", objects=[fault("NetworkChaos", "bad", run="", duration="2h")])
    levers.mend()
    await gone(chaos, "bad")


async def test_a_run_that_lives_is_not_ended_because_the_server_was_away(
    chaos: ChaosMesh, levers: Levers, start_guard: StartGuard, cluster: Cluster, clock: RemoteClock
) -> None:
    leases = RunLeases(cluster, "run-a", [], namespace=CHAOS, clock=clock)
    await leases.acquire()
    await inject(chaos, fault("NetworkChaos", "of-a-run"))
    guard = await start_guard()
    await ready(guard)
    for _ in range(4):
        # Watches of the Leases are broken all the time: only a direct look shows that the run lives.
        levers.pull("fail", path="leases\\?.*watch")
        levers.pull("watches/drop", abrupt=True)
        await clock.sleep(10 * SECOND)
        await leases.renew()
    await turns(guard, 5)
    assert await left(chaos) == {"of-a-run"}


async def test_a_guard_that_starts_before_the_api_server_waits_for_it(
    levers: Levers, start_guard: StartGuard, cluster: Cluster
) -> None:
    levers.pull("fail", status=503)
    guard = await start_guard()
    await turns(guard)
    assert not guard.election.leading
    levers.mend()
    await ready(guard)


async def test_a_slack_that_is_silent_holds_up_nothing(
    chaos: ChaosMesh, levers: Levers, start_guard: StartGuard, cluster: Cluster
) -> None:
    levers.client.put("/slack/fault", json={"kind": "stalling"}).raise_for_status()
    guard = await start_guard()
    await ready(guard)
    for name in ("first", "second", "third"):
        await chaos.create(fault("NetworkChaos", name, run="", duration="2h"))
        await gone(chaos, name)
    levers.mend()
    await told(levers, "first", "second", "third")


async def test_a_message_that_is_refused_is_counted(
    chaos: ChaosMesh, levers: Levers, start_guard: StartGuard, cluster: Cluster
) -> None:
    levers.client.put("/slack/fault", json={"kind": "error", "error": "invalid_auth"}).raise_for_status()
    guard = await start_guard()
    await ready(guard)
    await chaos.create(fault("NetworkChaos", "bad", run="", duration="2h"))

    async def counted() -> bool:
        return metric(guard, "gameday_guard_messages_total", outcome="failed") == 1

    await until(counted, "the failure counted")
    assert await left(chaos) == set()


async def address(process: Process) -> str:
    """Where the guard's own server listens."""

    async def said() -> re.Match[str] | None:
        return re.search(r"(http://127\.0\.0\.1:\d+)/metrics", process.output)

    found: re.Match[str] = await until(said, "the address of its metrics", process=process)
    return found[1]


def ask(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False, timeout=10)


async def leads(url: str, process: Process) -> None:
    async def is_leading() -> bool:
        return ask(f"{url}/readyz").text.strip() == "leading"

    await until(is_leading, "a guard that leads", process=process)


def guard_command(*more: str) -> tuple[str, ...]:
    return (*GAMEDAY, "guard", "--env", "staging", "--listen", "127.0.0.1:0", *more)


async def test_the_command_guards_answers_probes_and_ends_cleanly_on_sigterm(
    chaos: ChaosMesh, levers: Levers, cluster: Cluster, start_process: StartProcess
) -> None:
    process = start_process(*guard_command())
    url = await address(process)
    await leads(url, process)
    assert ask(f"{url}/healthz").status_code == 200
    await chaos.create(fault("NetworkChaos", "bad", run="", duration="2h"))
    await gone(chaos, "bad")
    exposed = ask(f"{url}/metrics")
    assert exposed.headers["content-type"].startswith("text/plain")
    assert "gameday_guard_leader 1.0" in exposed.text
    assert 'gameday_guard_offences_total{rule="guardrails"} 1.0' in exposed.text
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0, process.output
    assert (await cluster.lease(CHAOS, LEASE)).holder == "", "the Lease was given back"
    assert "Traceback" not in process.output
    await told(levers, "bad")


async def test_what_it_does_is_in_the_audit_trail_where_there_is_a_journal(
    chaos: ChaosMesh, levers: Levers, cluster: Cluster, start_process: StartProcess, tmp_path: Path
) -> None:
    database = f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}"
    process = start_process(*guard_command(), GAMEDAY_DATABASE_URL=database)
    await leads(await address(process), process)
    await chaos.create(fault("NetworkChaos", "bad", run="", duration="2h"))
    await gone(chaos, "bad")
    await told(levers, "bad")
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0, process.output
    async with Journal.open(database) as journal:
        (entry,) = await Audit(journal).latest()
    assert (entry.action, entry.by) == ("guard", "guard")
    assert any("bad" in line for line in entry.detail["lines"])


async def test_the_second_replica_takes_over_from_one_that_ends(
    chaos: ChaosMesh, cluster: Cluster, levers: Levers, start_process: StartProcess
) -> None:
    first = start_process(*guard_command())
    await leads(await address(first), first)
    second = start_process(*guard_command())
    url = await address(second)

    async def stands_by() -> bool:
        answer = ask(f"{url}/readyz")
        return answer.status_code == 200 and "standing by" in answer.text

    await until(stands_by, "a second guard that stands by", process=second)
    first.signal(signal.SIGTERM)
    assert await first.ended() == 0, first.output
    await leads(url, second)
    await chaos.create(fault("NetworkChaos", "bad", run="", duration="2h"))
    await gone(chaos, "bad")


async def test_the_guard_needs_neither_prefect_nor_a_database(
    levers: Levers, cluster: Cluster, start_process: StartProcess
) -> None:
    code = (
        "import sys; from gameday.cli import guard; import gameday.guard.guard, gameday.guard.web; "
        "import gameday.cli.catalogue, gameday.settings, gameday.clients.slack; "
        "heavy = {'prefect', 'sqlalchemy', 'pandas', 'numpy', 'simpy', 'sandbox'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    process = start_process(sys.executable, "-c", code)
    assert await process.ended() == 0, process.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("guard", "--env", "staging", "--listen", "8484"), "expected HOST:PORT"),
        (("guard", "--env", "nowhere"), "unknown environment"),
        (("guard", "--env", "staging", "--listen", "127.0.0.1:{taken}"), "Nothing can listen on"),
    ],
)
async def test_what_is_wrong_with_the_command_is_said_in_one_message(
    levers: Levers, start_process: StartProcess, arguments: tuple[str, ...], words: str
) -> None:
    taken = str(levers.client.base_url.port)
    process = start_process(*GAMEDAY, *(one.replace("{taken}", taken) for one in arguments))
    assert await process.ended() == 2, process.output
    assert words in process.output
    assert "Traceback" not in process.output


async def test_without_a_prometheus_it_does_not_begin(levers: Levers, start_process: StartProcess) -> None:
    process = start_process(*guard_command(), GAMEDAY_PROMETHEUS_URL="")
    assert await process.ended() == 2, process.output
    assert "No Prometheus is known" in process.output
