"""Why: flows are tested against a real Prefect server, a sandbox, and nothing pretended.

The server is started once a session, in a directory of its own. ``cluster_view`` looks at the
sandbox through the clients that production uses.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tenacity import Retrying, retry, retry_if_exception_type, stop_after_delay, wait_fixed

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.faults import FaultState
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.spec.catalogue import default_directory

PREFECT_ENV = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_CLI_PROMPT": "false",
}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API's address of a Prefect server of this session's own."""
    home = tmp_path_factory.mktemp("prefect")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, **PREFECT_ENV, "PREFECT_HOME": str(home), "PREFECT_SERVER_UI_API_URL": url}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        for attempt in Retrying(
            stop=stop_after_delay(120), wait=wait_fixed(0.2), retry=retry_if_exception_type(httpx.HTTPError)
        ):
            with attempt:
                httpx.get(f"{url}/health", timeout=5, trust_env=False).raise_for_status()
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture
def prefect_env(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment that points a process at the session's Prefect server; set for this test."""
    home = tmp_path_factory.mktemp("prefect-home")
    variables = {**PREFECT_ENV, "PREFECT_API_URL": prefect_server, "PREFECT_HOME": str(home)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def in_prefect(prefect_env: dict[str, str]) -> Iterator[None]:
    """Have flows that are called in this process use the session's Prefect server."""
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_LOGGING_LEVEL,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )

    settings = {
        PREFECT_API_URL: prefect_env["PREFECT_API_URL"],
        PREFECT_LOGGING_LEVEL: "CRITICAL",
        # The sender would try for a minute to deliver its last lines to a server that has gone.
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(settings):
        yield


@asynccontextmanager
async def chaos_mesh() -> AsyncIterator[ChaosMesh]:
    """Chaos Mesh of the sandbox that the environment points at, in real time."""
    async with Cluster.connect(clock=SystemClock()) as cluster:
        yield ChaosMesh(cluster.api)


async def live_faults() -> list[FaultState]:
    """Every chaos object that is in the cluster now."""
    async with chaos_mesh() as chaos:
        census = await chaos.live()
    assert census.complete
    return list(census.objects)


async def until(
    condition: Callable[[], Any],
    what: str,
    *,
    process: Process | None = None,
    within: timedelta = timedelta(seconds=180),
) -> Any:
    """Ask ``condition`` (async) again and again, in real time, until it answers with something.

    Gives up where ``process``, which should bring it about, has ended.
    """
    clock = SystemClock()
    deadline = clock.now() + within
    while True:
        if answer := await condition():
            return answer
        if process is not None and process.has_ended:
            pytest.fail(f"{what}: the process ended before\n{process.output}")
        if clock.now() > deadline:
            said = process.output if process is not None else ""
            pytest.fail(f"waited {within.total_seconds():.0f} s in vain: {what}\n{said}")
        await clock.sleep(timedelta(milliseconds=100))


async def a_fault_is_in() -> list[FaultState]:
    """The live faults, once at least one is proved in."""
    return [one for one in await live_faults() if one.injected]


def _heed_sigint() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Process:
    """A command of ours in a process group of its own, with what it printed."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        """Start ``command``; its output goes to ``log``."""
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **(environment or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A runner in the background ignores SIGINT, and hands that down.
                preexec_fn=_heed_sigint,  # noqa: PLW1509 - it only sets a handler
            )

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and all that it started, as a terminal does."""
        os.killpg(self._process.pid, number)

    async def ended(self, within: timedelta = timedelta(seconds=180)) -> int:
        """Wait until it has ended; answers with its exit code."""
        return await asyncio.to_thread(self._process.wait, within.total_seconds())

    def end(self) -> None:
        """End what is left of it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start commands; they end with the test."""
    started: list[Process] = []

    def start(*command: str, **environment: str) -> Process:
        process = Process(list(command), tmp_path / f"process-{len(started)}.log", environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.end()


def watchdogs(state: Path) -> dict[str, int]:
    """The watchdogs whose state directory is ``state`` and that still watch: run and process."""
    found = {}
    for log in (state / "watchdogs").glob("*.log"):
        for line in log.read_text(encoding="utf-8").splitlines():
            if match := re.search(r"process (\d+) watches run (\S+)", line):
                found[match[2]] = int(match[1])
    return {run: pid for run, pid in found.items() if _is_watchdog(pid, run)}


def _is_watchdog(pid: int, run: str) -> bool:
    """Whether that process still is this run's watchdog: numbers are used again."""
    command = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return "gameday.run.watchdog" in listed.stdout and run in listed.stdout


@pytest.fixture(autouse=True)
def no_watchdog_stays(isolated: Path) -> Iterator[None]:
    """End the watchdogs that would go on trying, for minutes, in a sandbox that is gone."""
    yield
    for pid in watchdogs(isolated).values():
        os.kill(pid, signal.SIGKILL)


ROOT = Path(__file__).resolve().parents[2]
PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")
POOL = "chaos-processes"


@pytest.fixture(scope="session")
def _deployed(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = str(tmp_path_factory.mktemp("prefect-home"))
    environment = {**os.environ, **PREFECT_ENV, "PREFECT_API_URL": prefect_server, "PREFECT_HOME": home}
    command = [sys.executable, "-m", "deployments.prefect"]
    step = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert step.returncode == 0, step.stdout + step.stderr
    # Nothing shall run in a test that the test has not started, least of all the sweep, each minute.
    with httpx.Client(base_url=prefect_server, trust_env=False, timeout=60) as client:
        for one in client.post("/deployments/filter", json={}).raise_for_status().json():
            for schedule in one["schedules"]:
                _pause(client, f"/deployments/{one['id']}/schedules/{schedule['id']}")


@retry(retry=retry_if_exception_type(httpx.HTTPStatusError), stop=stop_after_delay(60), wait=wait_fixed(0.2))
def _pause(client: httpx.Client, path: str) -> None:
    # Prefect on SQLite answers 503 while it makes the runs of a schedule that is new.
    client.patch(path, json={"active": False}).raise_for_status()


@pytest.fixture
def deployed(_deployed: None, prefect_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that prefect.yaml declares, deployed to the session's Prefect server."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def worker(deployed: None, start_process: Callable[..., Process]) -> Process:
    """A process worker of the pool that the deployments name."""
    return start_process(*PREFECT, "worker", "start", "--pool", POOL, PREFECT_WORKER_QUERY_SECONDS="1")


@pytest.fixture
def demanding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have staging demand something of every run."""
    directory = tmp_path / "experiments"
    shutil.copytree(default_directory(), directory)
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(directory))

    def demand(what: str, *, waits: str = "5m", valid: str = "168h") -> None:
        file = directory / "guardrails.yaml"
        levels = f"    staging: {{low: {what}, medium: {what}, high: {what}}}"
        text = re.sub(r"    staging: .*", levels, file.read_text())
        text = re.sub(r"waits: .*", f"waits: {waits}", text)
        file.write_text(re.sub(r"proposalValid: .*", f"proposalValid: {valid}", text))

    return demand
