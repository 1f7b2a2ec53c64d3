"""``gameday halt`` and ``resume``: everything ends, nothing starts, people know, whatever else is broken."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from gameday.cli.main import run
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.errors import ExitCode
from gameday.journal.audit import Audit, Entry
from gameday.journal.store import Journal
from gameday.safety import lever
from gameday.settings import load
from sandbox.process.launch import Sandbox

Capture = pytest.CaptureFixture[str]

NAMESPACE = "chaos-engineering"
PODS = "pyairtable-staging"


def post(sandbox: Sandbox, door: str, /, **body: Any) -> None:
    httpx.post(f"{sandbox.url}/control/{door}", json=body, trust_env=False).raise_for_status()


def fault(sandbox: Sandbox, name: str = "somebodys", kind: str = "NetworkChaos", **spec: Any) -> None:
    """A fault of somebody goes in, in a pod of auth-service."""
    what = {"action": "delay", "delay": {"latency": "50ms"}} if kind == "NetworkChaos" else {}
    selector = {"namespaces": [PODS], "labelSelectors": {"app": "auth-service"}}
    body = {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {}},
        "spec": {"mode": "one", "duration": "10m", "selector": selector, **what, **spec},
    }
    post(sandbox, "kubernetes/objects", object=body)
    in_cluster(lambda cluster: cluster.api.clock.sleep(timedelta(seconds=5)))


def in_cluster(do: Callable[[Cluster], Coroutine[Any, Any, Any]]) -> Any:
    async def done() -> Any:
        async with Cluster.connect(clock=RemoteClock(str(load().clock_url))) as cluster:
            return await do(cluster)

    return asyncio.run(done())


def state() -> lever.LeverState:
    found: lever.LeverState = in_cluster(lambda cluster: lever.read(cluster, NAMESPACE))
    return found


def live() -> int:
    return len(in_cluster(lambda cluster: ChaosMesh(cluster.api).live()).objects)


def trail() -> list[Entry]:
    async def read() -> list[Entry]:
        async with Journal.open(load().database_url) as journal:
            return await Audit(journal).latest(50)

    return asyncio.run(read())


def said(sandbox: Sandbox, channel: str) -> list[str]:
    answer = httpx.get(f"{sandbox.url}/control/slack/messages", params={"channel": channel}, trust_env=False)
    return [one["text"] for one in answer.json()]


def halt(*arguments: str, reason: str = "checkout is down") -> int:
    return run(["halt", "--reason", reason, "--by", "ann", *arguments])


def test_it_engages_the_lever_ends_every_fault_and_tells_everybody(
    sandbox: Sandbox, capsys: Capture, isolated: Path
) -> None:
    fault(sandbox)
    assert halt() == ExitCode.HELD
    told = capsys.readouterr()
    assert "Halted by ann: nothing new starts until `gameday resume`." in told.out
    assert "1 of 1 chaos objects ended" in told.out
    assert live() == 0
    assert (state().engaged, state().by, state().reason) == (True, "ann", "checkout is down")
    (message,) = said(sandbox, "#chaos-staging")
    assert "HALTED: nothing new starts" in message
    assert "checkout is down" in message
    incident, review = said(sandbox, "#incidents")
    assert "gameday halt was called" in incident
    assert [(one.action, one.by, one.source) for one in trail()] == [
        ("halt", "ann", "command"),
        ("stop", "ann", "command"),
    ]
    (file,) = (isolated / "reports").glob("incident-*.md")
    assert file.name in review
    text = file.read_text(encoding="utf-8")
    assert "NetworkChaos chaos-engineering/somebodys-0" in text
    assert "Known: ann: checkout is down" in text
    assert "| availability | auth-service |" in text
    assert "Yes, proved for all 1 objects" in text


def test_halting_once_more_does_no_harm_and_tells_nobody_twice(sandbox: Sandbox, capsys: Capture) -> None:
    assert halt() == ExitCode.HELD
    assert run(["halt", "--reason", "me too", "--by", "ben"]) == ExitCode.HELD
    assert "It was halted already: the safety lever is engaged since" in capsys.readouterr().out
    assert (state().by, len(state().history)) == ("ann", 1)
    assert len(said(sandbox, "#chaos-staging")) == 1
    assert [one.by for one in trail() if one.action == "halt"] == ["ann", "ben"]


def test_a_fault_that_came_since_is_ended_by_halting_once_more(sandbox: Sandbox) -> None:
    assert halt() == ExitCode.HELD
    fault(sandbox)
    assert halt("--no-incident") == ExitCode.HELD
    assert live() == 0


def test_it_works_with_everything_else_down(
    sandbox: Sandbox, capsys: Capture, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(sandbox)
    httpx.put(
        f"{sandbox.url}/control/slack/fault", json={"kind": "unavailable"}, trust_env=False
    ).raise_for_status()
    httpx.put(f"{sandbox.url}/control/prometheus/", json={"mode": "gone"}, trust_env=False).raise_for_status()
    (isolated / "journal.db").write_bytes(b"not a database, " * 64)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("GAMEDAY_INCIDENT_WEBHOOK_URL", "http://127.0.0.1:9/a-secret-path")
    # As well as by the variable: Prefect reads that once a process.
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert halt() == ExitCode.HELD
    assert live() == 0
    assert state().engaged
    told = capsys.readouterr().err
    for line in ("#chaos-staging was not told", "The audit trail does not have this", "Incident webhook"):
        assert line in told
    assert "Prefect does not show it" in told
    assert "a-secret-path" not in told
    assert "Traceback" not in told
    assert list((isolated / "reports").glob("incident-*.md"))


def test_a_lever_that_cannot_be_engaged_delays_no_stop_and_is_no_success(
    sandbox: Sandbox, capsys: Capture
) -> None:
    fault(sandbox)
    post(sandbox, "kubernetes/forbid", resources=["configmaps"], verbs=["create", "update", "patch"])
    assert halt("--no-incident") == ExitCode.ERROR
    told = capsys.readouterr().out
    assert "The safety lever is not engaged" in told
    assert "New runs can start!" in told
    assert "1 of 1 chaos objects ended" in told
    assert live() == 0


def test_a_lever_that_hangs_delays_the_stop_by_seconds_only(sandbox: Sandbox, capsys: Capture) -> None:
    fault(sandbox)
    post(sandbox, "kubernetes/stall", path=".*configmaps.*")
    assert halt("--no-incident") == ExitCode.ERROR
    assert "1 of 1 chaos objects ended" in capsys.readouterr().out


def test_what_it_says_can_be_read_by_programs(sandbox: Sandbox, capsys: Capture) -> None:
    fault(sandbox)
    assert halt("-o", "json") == ExitCode.HELD
    told = json.loads(capsys.readouterr().out)
    assert (told["lever"]["engaged"], told["lever"]["by"], told["clean"]) == (True, "ann", True)
    assert [one["name"] for one in told["objects"]] == ["somebodys-0"]
    assert told["restarted"] == []


@pytest.mark.usefixtures("shared_sandbox")
@pytest.mark.parametrize("arguments", [[], ["--reason", "  "]])
def test_a_halt_needs_a_reason(arguments: list[str]) -> None:
    assert run(["halt", *arguments]) == ExitCode.USAGE


def test_nothing_starts_while_it_is_engaged(sandbox: Sandbox, capsys: Capture) -> None:
    assert halt() == ExitCode.HELD
    assert run(["plan", "basic-pod-failure"]) == ExitCode.REFUSED
    assert "engaged since" in capsys.readouterr().out
    assert run(["resume", "--by", "ben", "--reason", "it is back"]) == ExitCode.HELD
    assert run(["plan", "basic-pod-failure"]) == ExitCode.HELD


@pytest.mark.parametrize(
    ("arguments", "missing"), [([], "--by"), (["--by", "ben"], "--reason"), (["--reason", "x"], "--by")]
)
def test_nobody_resumes_without_a_name_and_a_reason(
    arguments: list[str], missing: str, sandbox: Sandbox, capsys: Capture
) -> None:
    assert halt("--no-incident") == ExitCode.HELD
    assert run(["resume", *arguments]) == ExitCode.USAGE
    assert f"{missing} is missing" in capsys.readouterr().err
    assert state().engaged


def test_resuming_says_what_is_still_live_and_is_told_and_kept(sandbox: Sandbox, capsys: Capture) -> None:
    assert halt("--no-incident") == ExitCode.HELD
    fault(sandbox)
    assert run(["resume", "--by", "ben", "--reason", "it is back"]) == ExitCode.HELD
    assert "Still live: NetworkChaos chaos-engineering/somebodys-0." in capsys.readouterr().out
    assert not state().engaged
    assert "The safety lever is released" in said(sandbox, "#chaos-staging")[-1]
    assert [(one.action, one.by) for one in trail()][-1] == ("resume", "ben")
    assert run(["resume", "--by", "ben", "--reason", "again"]) == ExitCode.HELD
    assert "It was not engaged" in capsys.readouterr().out


def test_status_shows_how_the_lever_stands_and_who_turned_it(sandbox: Sandbox, capsys: Capture) -> None:
    assert run(["status", "-o", "json"]) == ExitCode.HELD
    assert json.loads(capsys.readouterr().out)["lever"]["engaged"] is False
    halt("--no-incident")
    capsys.readouterr()
    assert run(["status"]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert "HALTED since" in told
    assert "by ann (command): checkout is down" in told
    run(["resume", "--by", "ben", "--reason", "it is back"])
    capsys.readouterr()
    assert run(["status", "-o", "json"]) == ExitCode.HELD
    shown = json.loads(capsys.readouterr().out)["lever"]
    assert (shown["engaged"], shown["by"], shown["reason"]) == (False, "ben", "it is back")
    assert [(one["action"], one["by"]) for one in shown["history"]] == [
        ("engaged", "ann"),
        ("released", "ben"),
    ]


def test_status_never_calls_a_lever_released_that_it_cannot_read(sandbox: Sandbox, capsys: Capture) -> None:
    post(sandbox, "kubernetes/forbid", resources=["configmaps"], verbs=["get"])
    assert run(["status", "-o", "json"]) == ExitCode.ERROR
    assert json.loads(capsys.readouterr().out)["lever"]["engaged"] is None


def test_only_the_services_that_were_hit_are_restarted_and_the_rollout_is_awaited(
    sandbox: Sandbox, capsys: Capture
) -> None:
    before = pods()
    fault(sandbox)
    assert run(["stop", "--all", "--restart", "--no-incident", "--by", "ann", "-o", "json"]) == ExitCode.HELD
    (restarted,) = json.loads(capsys.readouterr().out)["restarted"]
    assert (restarted["workload"], restarted["ok"]) == (f"Deployment {PODS}/auth-service", True)
    gone = before - pods()
    assert {name.rsplit("-", 2)[0] for name in gone} == {"auth-service"}
    assert len(gone) == 3
    assert [one.action for one in trail()] == ["stop", "restart"]


def test_the_service_of_a_killed_pod_is_restarted_though_the_pod_is_gone(
    sandbox: Sandbox, capsys: Capture
) -> None:
    fault(sandbox, kind="PodChaos", action="pod-kill")
    assert run(["stop", "--all", "--restart", "--no-incident", "-o", "json"]) == ExitCode.HELD
    (restarted,) = json.loads(capsys.readouterr().out)["restarted"]
    assert restarted["workload"] == f"Deployment {PODS}/auth-service"


def test_a_restart_that_is_refused_is_said_and_is_no_success(sandbox: Sandbox, capsys: Capture) -> None:
    fault(sandbox)
    post(sandbox, "kubernetes/forbid", resources=["deployments"], verbs=["patch"])
    assert run(["stop", "--all", "--restart", "--no-incident"]) == ExitCode.ERROR
    assert "is not proved to be restarted" in capsys.readouterr().err
    assert live() == 0


def pods() -> set[str]:
    found = in_cluster(lambda cluster: cluster.pods(PODS))
    return {one.name for one in found if one.deleting is None}


class _Hook(BaseHTTPRequestHandler):
    """Answers with what it was told to, and keeps what it got."""

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append(json.loads(body))
        self.send_response(server.answers.pop(0) if server.answers else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.got: list[dict[str, Any]] = []
        self.answers: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hooks/a-long-secret-path"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    """An incident webhook."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("GAMEDAY_INCIDENT_WEBHOOK_URL", server.url)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_incident_management_gets_everything_in_one_document_and_once_more_after_an_error(
    sandbox: Sandbox, hook: _Server, capsys: Capture
) -> None:
    fault(sandbox)
    hook.answers = [503]
    assert halt(reason="checkout is down, token=abc123") == ExitCode.HELD
    first, again = hook.got
    assert first == again
    assert (first["event"], first["severity"], first["by"], first["clean"]) == (
        "halt", "warning", "ann", True,
    )  # fmt: skip
    assert first["id"].startswith("incident-")
    assert first["environment"] == "staging"
    assert [one["name"] for one in first["objects"]] == ["somebodys-0"]
    assert first["lever"]["engaged"] is True
    assert "abc123" not in json.dumps(first)
    assert "Told incident management." in capsys.readouterr().err


def test_a_webhook_that_refuses_is_one_line_without_its_address(
    sandbox: Sandbox, hook: _Server, capsys: Capture
) -> None:
    hook.answers = [404, 404, 404]
    assert halt() == ExitCode.HELD
    told = capsys.readouterr().err
    assert len(hook.got) == 1
    assert "it answered 404" in told
    assert "a-long-secret-path" not in told


def test_ending_one_run_is_no_incident_unless_somebody_says_so(sandbox: Sandbox, hook: _Server) -> None:
    assert run(["stop", "--all"]) == ExitCode.HELD
    assert hook.got == []
    fault(sandbox)
    assert run(["stop", "--all", "--no-incident"]) == ExitCode.HELD
    assert hook.got == []
    fault(sandbox, name="another")
    assert run(["stop", "--all", "--reason", "enough"]) == ExitCode.HELD
    (body,) = hook.got
    assert (body["event"], body["lever"], body["reason"]) == ("stop", None, "enough")


def test_on_a_terminal_resume_asks_for_the_name_and_the_reason(sandbox: Sandbox) -> None:
    assert halt("--no-incident") == ExitCode.HELD
    ours, theirs = os.openpty()
    try:
        os.write(ours, b"ben\nit is back\n")
        done = subprocess.run(
            [sys.executable, "-m", "gameday.cli.main", "resume"],
            check=False,
            stdin=theirs,
            capture_output=True,
            text=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == ExitCode.HELD, done.stderr
    assert "Who releases the safety lever" in done.stderr
    assert "Why is it safe again" in done.stderr
    assert (state().engaged, state().by, state().reason) == (False, "ben", "it is back")
