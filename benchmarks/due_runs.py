"""Why: what becomes of scheduled runs is up to Prefect's scheduler and its workers, so real ones are used.

Deploys the project as it is shipped, has runs fall due by real schedules, starts process workers, and
reads from Prefect's API what became of each run. What that means is the script's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx

from benchmarks.measuring import NotMeasuredError, peak_mib
from benchmarks.surroundings import PrefectServer, clean_environment, end_group
from deployments.prefect.apply import PROCESSES, ROOT, prefect_file

_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_LOOK_S = 1.0
_DEPLOY_LIMIT_S = 600
_SLUG = "due"


@dataclass(frozen=True, slots=True)
class DueRun:
    """A flow run as Prefect has it."""

    id: str
    deployment: str
    environment: str
    state: str
    """The state's name, such as ``Held``."""
    kind: str
    """The state's type, such as ``COMPLETED``."""
    executions: int
    """How often Prefect counts it as begun."""
    due: datetime
    began: datetime | None
    ended: datetime | None
    worker: str
    """Who took it, "" where nobody is known to have."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read it from an answer of the API."""

        def moment(key: str) -> datetime | None:
            return datetime.fromisoformat(answer[key]) if answer[key] else None

        due = moment("expected_start_time")
        assert due is not None
        return cls(
            id=answer["id"],
            deployment=answer["deployment_id"] or "",
            environment=answer["parameters"].get("environment", ""),
            state=answer["state_name"],
            kind=answer["state_type"],
            executions=answer["run_count"],
            due=due,
            began=moment("start_time"),
            ended=moment("end_time"),
            worker=(answer["labels"] or {}).get("prefect.worker.name", ""),
        )

    @property
    def final(self) -> bool:
        """Whether Prefect holds it for over."""
        return self.kind in _FINAL

    @property
    def late_s(self) -> float | None:
        """Seconds from when it was due until it began; None where it never did."""
        return (self.began - self.due).total_seconds() if self.began else None


class Prefect:
    """A Prefect server, seen through its API."""

    def __init__(self, server: PrefectServer) -> None:
        """See ``server``."""
        self.server = server
        self._client = httpx.Client(base_url=server.env["PREFECT_API_URL"], trust_env=False, timeout=60)

    def close(self) -> None:
        """Let go of it."""
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What a route answers, as JSON; None where it answers nothing."""
        answer = self._client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def deploy(self, directory: Path, own: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Deploy all that is shipped, schedules paused, and ``own`` beside it; the ids by name."""
        env = clean_environment(directory, self.server.env)
        _succeed([sys.executable, "-m", "deployments.prefect"], env)
        for one in self.ask("POST", "/deployments/filter", {}):
            for schedule in one["schedules"]:
                self.ask("PATCH", f"/deployments/{one['id']}/schedules/{schedule['id']}", {"active": False})
        file = directory / "prefect.yaml"  # JSON is YAML
        file.write_text(json.dumps({"name": "bench", "deployments": list(own)}), encoding="utf-8")
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        _succeed([*command, "--prefect-file", str(file)], env)
        return {one["name"]: one["id"] for one in self._deployments()}

    def _deployments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := self.ask("POST", "/deployments/filter", {"offset": len(found)}):
            found += page
        return found

    def fall_due(self, deployments: Sequence[str], at: datetime) -> None:
        """Give each of ``deployments`` (ids) a schedule that is due once, ``at`` that second."""
        once = f"DTSTART:{at:%Y%m%dT%H%M%S}\nRRULE:FREQ=DAILY;COUNT=1"
        schedule = {"slug": _SLUG, "active": True, "schedule": {"rrule": once, "timezone": "UTC"}}
        for deployment in deployments:
            self.ask("PATCH", f"/deployments/{deployment}", {"schedules": [schedule]})

    def start(self, deployment: str, parameters: Mapping[str, Any]) -> str:
        """Have a deployment (id) run now, as somebody would by the UI; the flow run's id."""
        run = self.ask("POST", f"/deployments/{deployment}/create_flow_run", {"parameters": parameters})
        return str(run["id"])

    def runs(self, deployments: Sequence[str], *, since: datetime) -> list[DueRun]:
        """The flow runs of ``deployments`` (ids) that were due at ``since`` or later."""
        asked = {
            "flow_runs": {
                "deployment_id": {"any_": list(deployments)},
                "expected_start_time": {"after_": since.isoformat()},
            }
        }
        found: list[DueRun] = []
        while page := self.ask("POST", "/flow_runs/filter", {**asked, "offset": len(found)}):
            found += [DueRun.of(one) for one in page]
        return found

    def workers(self) -> set[str]:
        """The names of the workers that are awake."""
        found = self.ask("POST", f"/work_pools/{PROCESSES}/workers/filter", {})
        return {one["name"] for one in found if one["status"] == "ONLINE"}


def _succeed(command: Sequence[str], env: Mapping[str, str]) -> None:
    step = subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_DEPLOY_LIMIT_S
    )
    if step.returncode:
        raise NotMeasuredError(f"{' '.join(command)}:\n{(step.stderr or step.stdout)[-2000:]}")


def like_shipped(name: str, environment: str, *, env: Mapping[str, str], duration: str) -> dict[str, Any]:
    """The deployment ``name`` of prefect.yaml for ``environment``, to which ``env`` leads."""
    shipped = next(one for one in prefect_file(PROCESSES, "")["deployments"] if one["name"] == name)
    return {
        **shipped,
        "name": environment,
        "parameters": {**shipped["parameters"], "environment": environment, "duration": duration},
        "schedules": [],
        "work_pool": {"name": PROCESSES, "job_variables": {"env": dict(env)}},
    }


@dataclass(frozen=True, slots=True)
class Worker:
    """A process worker that was started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def peak_mib(self) -> float:
        """The most memory that it has held itself; its runs are processes of their own."""
        return peak_mib(self.process.pid, alone=True)


@contextmanager
def worker(name: str, limit: int, *, env: Mapping[str, str], directory: Path) -> Iterator[Worker]:
    """A worker that carries out ``limit`` runs at once; it ends with the context, and its runs with it."""
    log = directory / f"{name}.log"
    command = [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--type", "process"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--pool", PROCESSES, "--name", name, "--limit", str(limit)],
            env=dict(env),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Worker(name, process, log)
    finally:
        end_group(process)


def until(condition: Callable[[], Any], what: str, *, limit_s: float) -> Any:
    """Ask ``condition`` each second until it answers with something. Raises ``NotMeasuredError``."""
    deadline = time.monotonic() + limit_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise NotMeasuredError(f"waited {limit_s:.0f} s in vain: {what}")
        time.sleep(_LOOK_S)
    return answer


def when_still(look: Callable[[], Sequence[DueRun]], *, still_s: float) -> None:
    """Return once all of ``look`` are over, or nothing has happened to any of them for ``still_s``."""
    states: set[tuple[str, str]] = set()
    changed = time.monotonic()
    while time.monotonic() - changed < still_s:
        seen = look()
        if all(run.final for run in seen):
            return
        if (now := {(run.id, run.state) for run in seen}) != states:
            states, changed = now, time.monotonic()
        time.sleep(_LOOK_S)
