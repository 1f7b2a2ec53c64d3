"""Why: what is measured needs a Prefect server, a sandbox and an environment without the user's own.

Starts each on a free port of 127.0.0.1, in temporary directories, and ends it by its own pid. How
something is measured is ``measuring``'s business.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from benchmarks.measuring import NotMeasuredError, cpu_seconds
from sandbox.process.launch import Sandbox, launch_temporary

_HOST = "127.0.0.1"
_PREFECT_READY_S = 120.0
_PREFECT_END_S = 15.0
_QUIET_PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}
_NOT_OURS = ("GAMEDAY_", "PREFECT_", "KUBE", "CHAOS")
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}


def clean_environment(directory: Path, *more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without anything that leads elsewhere, and ``more``.

    ``directory`` becomes the home of whatever a command keeps.
    """
    found = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_NOT_OURS) and name.lower() not in _PROXIES
    }
    found["GAMEDAY_STATE_DIR"] = str(directory / "state")
    found["HOME"] = str(directory)
    for variables in more:
        found |= variables
    return found


def gameday_command() -> list[str]:
    """The command as it was installed, else as a module."""
    installed = Path(sys.executable).with_name("gameday")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "gameday.cli.main"]


def free_port() -> int:
    """A port that was free just now."""
    with socket.socket() as listener:
        listener.bind((_HOST, 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A Prefect server that is up and healthy."""

    pid: int
    env: dict[str, str]

    @property
    def cpu_s(self) -> float:
        """The CPU time that it has used."""
        return cpu_seconds(self.pid)


@contextmanager
def prefect_server(directory: Path, more: Mapping[str, str] | None = None) -> Iterator[PrefectServer]:
    """A Prefect server with a database of its own in ``directory``, ended with the context.

    ``more`` are variables for the server alone, such as another database. Raises ``NotMeasuredError``
    where it is not healthy in time.
    """
    port = free_port()
    home = directory / "prefect"
    home.mkdir()
    env = {**_QUIET_PREFECT, "PREFECT_HOME": str(home), "PREFECT_API_URL": f"http://{_HOST}:{port}/api"}
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", _HOST, "--port", str(port)],
            env=clean_environment(directory, env, more or {}),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _await_health(process, env["PREFECT_API_URL"], log)
        yield PrefectServer(process.pid, env)
    finally:
        end_group(process)


def _await_health(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _PREFECT_READY_S
    with httpx.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(httpx.HTTPError):
                if client.get(f"{url}/health").is_success:
                    return
            time.sleep(0.1)
    words = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise NotMeasuredError(f"the Prefect server is not healthy:\n{words}")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session of its own, and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PREFECT_END_S)
    process.wait()


@dataclass(frozen=True, slots=True)
class Counters:
    """How often the sandbox has been asked for what."""

    kubernetes: int
    """Calls of the Kubernetes API, watches included."""
    prometheus: int
    """Queries, whatever their kind."""
    requests: Counter[str]
    """Requests by part of the sandbox."""

    def since(self, before: Counters) -> Counters:
        """What has come since ``before``."""
        return Counters(
            self.kubernetes - before.kubernetes,
            self.prometheus - before.prometheus,
            self.requests - before.requests,
        )


class Box:
    """A sandbox that is up, seen through its control routes."""

    def __init__(self, sandbox: Sandbox) -> None:
        """See ``sandbox``."""
        self.sandbox = sandbox
        self._client = httpx.Client(base_url=sandbox.url, trust_env=False, timeout=60)

    @property
    def env(self) -> dict[str, str]:
        """The variables that point clients at it."""
        return self.sandbox.env

    @property
    def cpu_s(self) -> float:
        """The CPU time that its process has used."""
        return cpu_seconds(self.sandbox.state.pid)

    def get(self, path: str, **query: str) -> Any:
        """What a route of it answers, as JSON."""
        answer = self._client.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def now(self) -> datetime:
        """Its time."""
        return datetime.fromisoformat(self.get("/control/clock")["now"])

    def counters(self) -> Counters:
        """What it has been asked so far."""
        return Counters(
            int(self.get("/control/kubernetes/calls")["total"]),
            int(self.get("/control/prometheus/")["queries"]["total"]),
            Counter(self.get("/control/info")["requests"]),
        )

    def value(self, query: str) -> float:
        """The only value of a PromQL query."""
        result = self.get("/prometheus/api/v1/query", query=query)["data"]["result"]
        if len(result) != 1:
            raise NotMeasuredError(f"{query}: expected one series, found {len(result)}")
        return float(result[0]["value"][1])

    def close(self) -> None:
        """End the sandbox."""
        self._client.close()
        self.sandbox.stop()


@contextmanager
def sandbox(*, mode: str, history: timedelta = timedelta(minutes=10), **options: Any) -> Iterator[Box]:
    """A sandbox of its own, ended with the context."""
    box = Box(launch_temporary(mode=mode, history=history, **options))
    try:
        yield box
    finally:
        box.close()
