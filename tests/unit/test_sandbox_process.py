"""What whoever starts a sandbox may rely on: it comes up or says why not, and it always ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from ruamel.yaml import YAML

from sandbox.process import presence
from sandbox.process.launch import Sandbox, SandboxError, launch
from sandbox.process.options import LOCK_FILE, SandboxOptions

Start = Callable[..., Sandbox]

YOUNG = timedelta(seconds=10)


def wait_until_gone(directory: Path) -> None:
    """Wait for the lock that the process holds as long as it lives."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.close(descriptor)


def get(sandbox: Sandbox, path: str) -> httpx.Response:
    return httpx.get(f"{sandbox.url}{path}", trust_env=False)


def test_it_listens_on_loopback_only_and_points_every_client_at_itself(shared_sandbox: Sandbox) -> None:
    url = shared_sandbox.url
    assert url.startswith("http://127.0.0.1:")
    assert shared_sandbox.env == {
        "KUBECONFIG": str(shared_sandbox.state.kubeconfig),
        "GAMEDAY_PROMETHEUS_URL": f"{url}/prometheus",
        "GAMEDAY_SLACK_TOKEN": shared_sandbox.env["GAMEDAY_SLACK_TOKEN"],
        "GAMEDAY_SLACK_BASE_URL": f"{url}/slack/api/",
        "GAMEDAY_CLOCK_URL": f"{url}/control/clock",
        "GAMEDAY_PLATFORM_URL": f"{url}/platform",
    }


def test_after_its_history_it_is_as_late_as_the_wall_clock_was_at_its_start(start_sandbox: Start) -> None:
    sandbox = start_sandbox(history=YOUNG)
    now = datetime.fromisoformat(get(sandbox, "/control/clock").json()["now"])
    assert now == sandbox.state.started.replace(microsecond=0)


def test_its_time_can_begin_where_one_wants(start_sandbox: Start) -> None:
    start = datetime(2027, 1, 4, 9, 30, tzinfo=UTC)
    sandbox = start_sandbox(history=YOUNG, start=start)
    assert get(sandbox, "/control/clock").json() == {
        "now": "2027-01-04T09:30:00Z",
        "mode": "rehearsal",
        "speed": 1.0,
    }


def story(sandbox: Sandbox) -> tuple[list[str], object]:
    """Which pods there are, and how fast they have answered after two more minutes."""
    until = datetime.fromisoformat(get(sandbox, "/control/clock").json()["now"]) + timedelta(minutes=2)
    httpx.post(f"{sandbox.url}/control/clock/sleep", json={"until": until.isoformat()}, trust_env=False)
    pods = get(sandbox, "/kubernetes/api/v1/namespaces/pyairtable-staging/pods").json()["items"]
    latency = "sum by (service) (http_request_duration_seconds_sum)"
    answer = get(sandbox, f"/prometheus/api/v1/query?query={latency}").json()
    return [pod["metadata"]["name"] for pod in pods], answer["data"]["result"]


def test_the_seed_decides_everything(start_sandbox: Start) -> None:
    start = datetime(2027, 1, 4, 9, 30, tzinfo=UTC)
    one, same, other = (story(start_sandbox(history=YOUNG, start=start, seed=seed)) for seed in (3, 3, 4))
    assert one == same
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_what_it_points_clients_at_answers_as_that(shared_sandbox: Sandbox) -> None:
    env = shared_sandbox.env
    token = {"Authorization": f"Bearer {env['GAMEDAY_SLACK_TOKEN']}"}
    assert "gitVersion" in get(shared_sandbox, "/kubernetes/version").json()
    up = httpx.get(f"{env['GAMEDAY_PROMETHEUS_URL']}/api/v1/query?query=up", trust_env=False).json()
    assert len(up["data"]["result"]) >= 13
    assert httpx.post(f"{env['GAMEDAY_SLACK_BASE_URL']}auth.test", headers=token, trust_env=False).json()[
        "ok"
    ]
    assert httpx.get(env["GAMEDAY_CLOCK_URL"], trust_env=False).json()["mode"] == "rehearsal"


def test_it_ends_promptly_although_a_watch_is_open(start_sandbox: Start) -> None:
    sandbox = start_sandbox(history=YOUNG)
    watch = f"{sandbox.url}/kubernetes/api/v1/pods?watch=true"
    with httpx.stream("GET", watch, trust_env=False, timeout=60) as stream:
        assert stream.status_code == 200
        sandbox.stop()
        stream.read()
    assert not presence.is_up(sandbox.directory)


def test_it_tells_what_it_is_and_counts_who_asked_what(start_sandbox: Start) -> None:
    sandbox = start_sandbox(history=YOUNG, seed=7)
    httpx.post(f"{sandbox.url}/slack/api/api.test", trust_env=False)
    info = get(sandbox, "/control/info").json()
    assert (info["seed"], info["mode"], info["pid"]) == (7, "rehearsal", sandbox.state.pid)
    assert info["requests"] == {"slack": 1, "control": 1}


@pytest.mark.parametrize("body", ["", "{}", '{"until": "tomorrow"}', '{"until": "2026-01-01T00:00:00"}'])
def test_a_sleep_without_a_proper_time_is_refused(shared_sandbox: Sandbox, body: str) -> None:
    response = httpx.post(f"{shared_sandbox.url}/control/clock/sleep", content=body, trust_env=False)
    assert response.status_code == 422
    assert response.json()["error"]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_it_leaves_nothing_behind(start_sandbox: Start, end: signal.Signals) -> None:
    sandbox = start_sandbox(history=YOUNG)
    os.kill(sandbox.state.pid, end)
    wait_until_gone(sandbox.directory)
    assert not sandbox.directory.exists()


def test_it_ends_on_request(start_sandbox: Start) -> None:
    sandbox = start_sandbox(history=YOUNG)
    assert httpx.post(f"{sandbox.url}/control/shutdown", trust_env=False).status_code == 202
    wait_until_gone(sandbox.directory)
    assert presence.read(sandbox.directory) is None


def test_it_ends_promptly_although_a_client_still_waits(start_sandbox: Start) -> None:
    sandbox = start_sandbox(history=YOUNG)
    fault = httpx.put(f"{sandbox.url}/control/slack/fault", json={"kind": "stalling"}, trust_env=False)
    assert fault.status_code == 200
    with socket.create_connection(("127.0.0.1", sandbox.state.port)) as waiting:
        waiting.sendall(b"POST /slack/api/auth.test HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        sandbox.stop()
    assert not presence.is_up(sandbox.directory)


def test_after_a_sigkill_nobody_takes_it_for_alive_and_the_next_one_starts(tmp_path: Path) -> None:
    options = SandboxOptions(directory=tmp_path, mode="rehearsal", history=YOUNG)
    first = launch(options)
    os.kill(first.state.pid, signal.SIGKILL)
    wait_until_gone(tmp_path)
    assert (tmp_path / "sandbox.json").exists()
    assert presence.read(tmp_path) is None
    with launch(options) as second:
        assert get(second, "/control/info").json()["pid"] == second.state.pid != first.state.pid


def test_a_second_one_in_the_same_place_is_refused_and_the_first_lives_on(tmp_path: Path) -> None:
    options = SandboxOptions(directory=tmp_path, mode="rehearsal", history=YOUNG)
    with launch(options) as first:
        with pytest.raises(SandboxError, match="already up"):
            launch(options)
        assert presence.read(tmp_path) == first.state
        assert get(first, "/control/clock").status_code == 200


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=rf"port {port} of 127.0.0.1 cannot be used: Address already"):
            launch(SandboxOptions(directory=tmp_path, port=port))
    assert not presence.is_up(tmp_path)


def test_a_platform_that_cannot_be_read_is_told_with_the_log(tmp_path: Path) -> None:
    platform = tmp_path / "platform.yaml"
    platform.write_text("name: [", encoding="utf-8")
    with pytest.raises(SandboxError, match=r"did not start(.|\n)*platform.yaml"):
        launch(SandboxOptions(directory=tmp_path / "sandbox", platform=platform))


def test_one_that_is_not_ready_in_time_is_ended_and_told(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="not ready after 0 s"):
        launch(SandboxOptions(directory=tmp_path, mode="rehearsal"), patience=timedelta(0))
    assert not presence.is_up(tmp_path)
    assert not (tmp_path / "sandbox.json").exists()


def test_it_ends_by_itself_when_nobody_has_used_it_for_its_idle_time(tmp_path: Path) -> None:
    sandbox = launch(SandboxOptions(directory=tmp_path, history=YOUNG, idle=timedelta(milliseconds=10)))
    wait_until_gone(sandbox.directory)
    assert not (tmp_path / "sandbox.json").exists()


HOLDER = """
import json, os, signal, sys
from datetime import timedelta
from sandbox.process.launch import launch_temporary
sandbox = launch_temporary(history=timedelta(seconds=10), linger=timedelta(seconds=float(sys.argv[1])))
print(json.dumps({"directory": str(sandbox.directory), "url": sandbox.url}), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_holder(linger_seconds: float) -> tuple[Path, str]:
    """A process that holds a sandbox and is killed: where its sandbox was, and its address."""
    holder = subprocess.run(
        [sys.executable, "-c", HOLDER, str(linger_seconds)], stdout=subprocess.PIPE, check=False, text=True
    )
    assert holder.returncode == -signal.SIGKILL
    told = json.loads(holder.stdout)
    return Path(told["directory"]), told["url"]


def test_it_outlives_its_killed_holder_so_that_the_faults_can_be_ended() -> None:
    directory, url = killed_holder(60)
    assert httpx.get(f"{url}/control/clock", trust_env=False).status_code == 200
    httpx.post(f"{url}/control/shutdown", trust_env=False)
    wait_until_gone(directory)


def test_it_ends_some_time_after_its_holder_was_killed() -> None:
    directory, _ = killed_holder(0)
    wait_until_gone(directory)
    assert not directory.exists()


def test_one_that_is_released_ends_by_itself(start_sandbox: Start) -> None:
    sandbox = start_sandbox(history=YOUNG, linger=timedelta(0))
    sandbox.release()
    wait_until_gone(sandbox.directory)
    assert not sandbox.directory.exists()


def test_the_kubeconfig_is_the_users_alone_and_names_the_staging_context(shared_sandbox: Sandbox) -> None:
    path = shared_sandbox.state.kubeconfig
    config = YAML(typ="safe").load(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert config["current-context"] == "pyairtable-staging"
    assert config["contexts"][0]["name"] == "pyairtable-staging"
    assert config["contexts"][0]["context"]["namespace"] == "pyairtable-staging"
    assert config["clusters"][0]["cluster"]["server"] == f"{shared_sandbox.url}/kubernetes"
