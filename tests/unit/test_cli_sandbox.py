"""``gameday sandbox``: how a person starts, uses, breaks and ends the embedded platform."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from gameday.cli.levers import PARTS
from gameday.cli.main import run
from gameday.cli.sandboxed import sandboxed
from gameday.errors import ExitCode, UsageError
from sandbox.process import presence
from sandbox.process.launch import Sandbox, stop

Capture = pytest.CaptureFixture[str]
Start = Callable[..., Sandbox]

YOUNG = ["--rehearsal", "--history", "10s"]


@pytest.fixture
def home(isolated: Path) -> Iterator[Path]:
    """Where ``gameday sandbox up`` puts its files; whatever a test leaves up is ended."""
    directory = isolated / "sandbox"
    yield directory
    if (state := presence.read(directory)) is not None:
        stop(directory, state.pid)


def exports(printed: str) -> dict[str, str]:
    words = [shlex.split(line) for line in printed.splitlines()]
    assert all(word[0] == "export" for word in words)
    return dict(word[1].split("=", 1) for word in words)


def test_up_prints_nothing_but_the_lines_that_point_a_shell_at_it(home: Path, capsys: Capture) -> None:
    assert run(["sandbox", "up", *YOUNG]) == 0
    told = capsys.readouterr()
    state = presence.read(home)
    assert state is not None
    assert exports(told.out) == state.environment
    assert "gameday sandbox down" in told.err


def test_up_while_one_is_up_says_so_and_prints_the_same_lines(home: Path, capsys: Capture) -> None:
    run(["sandbox", "up", *YOUNG])
    first = capsys.readouterr().out
    assert run(["sandbox", "up", *YOUNG, "--seed", "2"]) == 0
    told = capsys.readouterr()
    assert told.out == first
    assert "already up" in told.err
    assert "seed 1" in told.err
    run(["sandbox", "env"])
    assert capsys.readouterr().out == first


def test_a_shell_that_loaded_it_is_told_how_to_forget_it(
    home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["sandbox", "up", *YOUNG])
    for name, value in exports(capsys.readouterr().out).items():
        monkeypatch.setenv(name, value)
    assert run(["sandbox", "down"]) == 0
    unset = capsys.readouterr().out.split()
    assert unset[0] == "unset"
    assert set(unset[1:]) == {
        "KUBECONFIG",
        "GAMEDAY_PROMETHEUS_URL",
        "GAMEDAY_SLACK_TOKEN",
        "GAMEDAY_SLACK_BASE_URL",
        "GAMEDAY_CLOCK_URL",
        "GAMEDAY_PLATFORM_URL",
    }
    assert not presence.is_up(home)


def test_down_without_one_is_no_error(home: Path, capsys: Capture) -> None:
    assert run(["sandbox", "down"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "No sandbox is up.\n")
    assert not home.exists()


def test_status_tells_what_is_up_for_people_and_for_programs(home: Path, capsys: Capture) -> None:
    assert run(["sandbox", "status", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"up": False}
    run(["sandbox", "up", *YOUNG, "--seed", "7"])
    capsys.readouterr()
    run(["sandbox", "status", "-o", "json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["up"], told["seed"], told["mode"]) == (True, 7, "rehearsal")
    run(["sandbox", "status"])
    assert f"{told['url']}, rehearsal, seed 7" in capsys.readouterr().out


def test_env_without_one_says_how_to_start_it(home: Path, capsys: Capture) -> None:
    assert run(["sandbox", "env"]) == ExitCode.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert 'eval "$(gameday sandbox up)"' in told.err
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rehearsal", "--speed", "2"], "--speed is for --live"),
        (["--speed", "0"], "--speed"),
        (["--history", "5"], "expected a duration with its unit"),
        (["--idle", "0s"], "--idle"),
        (["--port", "70000"], "--port"),
        (["--seed", "seven"], "--seed"),
    ],
)
def test_a_wrong_option_of_up_is_told_and_starts_nothing(
    arguments: list[str], complaint: str, home: Path, capsys: Capture
) -> None:
    assert run(["sandbox", "up", *arguments]) == ExitCode.USAGE
    told = capsys.readouterr()
    assert complaint in told.err
    assert told.out == ""
    assert not presence.is_up(home)


def test_a_port_that_is_taken_is_told_with_the_log(home: Path, capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["sandbox", "up", *YOUNG, "--port", port]) == ExitCode.ERROR
    assert f"port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err
    assert not presence.is_up(home)


def test_a_mistake_in_the_platform_is_told_with_file_and_line(
    home: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "platform.yaml").write_text("name: pyairtable\nservises: []\n", encoding="utf-8")
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(tmp_path))
    assert run(["sandbox", "up", *YOUNG]) == ExitCode.USAGE
    assert "platform.yaml:2: servises" in capsys.readouterr().err
    assert not home.exists()


def test_a_state_directory_that_cannot_be_made_is_told(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "file"))
    assert run(["sandbox", "status"]) == 0
    assert run(["sandbox", "up", *YOUNG]) == ExitCode.ERROR
    assert f"{tmp_path}/file/sandbox cannot be made: Not a directory" in capsys.readouterr().err


def test_a_state_file_of_another_version_is_told_and_nothing_is_ended(home: Path, capsys: Capture) -> None:
    run(["sandbox", "up", *YOUNG])
    written = (home / "sandbox.json").read_text(encoding="utf-8")
    (home / "sandbox.json").write_text('{"version": 2}', encoding="utf-8")
    assert run(["sandbox", "down"]) == ExitCode.ERROR
    assert "Is it of another version" in capsys.readouterr().err
    assert presence.is_up(home)
    (home / "sandbox.json").write_text(written, encoding="utf-8")


def test_after_a_sigkill_the_next_up_starts_a_new_one(home: Path, capsys: Capture) -> None:
    run(["sandbox", "up", *YOUNG])
    killed = presence.read(home)
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)
    while presence.is_up(home):
        pass
    assert run(["sandbox", "up", *YOUNG]) == 0
    assert "The sandbox is up" in capsys.readouterr().err.splitlines()[-1]


def test_every_lever_is_listed_pulled_and_put_back(home: Path, capsys: Capture) -> None:
    run(["sandbox", "up", *YOUNG])
    run(["sandbox", "break"])
    listed = capsys.readouterr().out
    for name, part in PARTS.items():
        for how, lever in part.levers.items():
            assert lever.effect in listed
            assert run(["sandbox", "break", name, how]) == 0
            run(["sandbox", "status", "-o", "json"])
            assert json.loads(capsys.readouterr().out)["broken"][name]
            assert run(["sandbox", "mend", name]) == 0
    run(["sandbox", "status", "-o", "json"])
    assert json.loads(capsys.readouterr().out)["broken"] == {}


def test_what_can_go_wrong_is_listed_for_programs_too(capsys: Capture) -> None:
    assert run(["sandbox", "break", "-o", "json"]) == ExitCode.HELD
    listed = json.loads(capsys.readouterr().out)
    assert [(one["part"], one["how"]) for one in listed] == [
        (name, how) for name, part in PARTS.items() for how in part.levers
    ]
    assert all(one["effect"] for one in listed)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["break", "slak", "failing"], "did you mean 'slack'?"),
        (["break", "slack"], "it can be refusing, failing, limited, stalling"),
        (["break", "slack", "stallin"], "did you mean 'stalling'?"),
        (["mend", "promtheus"], "did you mean 'prometheus'?"),
        (["break", "slack", "failing"], "no sandbox is up"),
        (["mend"], "no sandbox is up"),
    ],
)
def test_a_lever_that_cannot_be_pulled_says_what_can(
    arguments: list[str], complaint: str, home: Path, capsys: Capture
) -> None:
    assert run(["sandbox", *arguments]) == ExitCode.USAGE
    assert complaint in capsys.readouterr().err
    assert not home.exists()


def clock_answers() -> bool:
    return httpx.get(os.environ["GAMEDAY_CLOCK_URL"], trust_env=False).status_code == 200


def test_a_command_with_sandbox_uses_the_one_that_is_up(home: Path, capsys: Capture) -> None:
    run(["sandbox", "up", *YOUNG])
    url = exports(capsys.readouterr().out)["GAMEDAY_CLOCK_URL"]
    with sandboxed(True):
        assert os.environ["GAMEDAY_CLOCK_URL"] == url
        assert clock_answers()
    assert "GAMEDAY_CLOCK_URL" not in os.environ
    assert presence.is_up(home)


def test_a_command_with_sandbox_has_one_of_its_own_where_none_is_up(home: Path) -> None:
    before = dict(os.environ)
    with sandboxed(True):
        directory = Path(os.environ["KUBECONFIG"]).parent
        assert clock_answers()
        assert presence.is_up(directory)
    assert dict(os.environ) == before
    assert not directory.exists()
    assert not home.exists()


def test_its_own_sandbox_ends_with_a_command_that_fails(home: Path) -> None:
    directory = Path()

    def command() -> None:
        nonlocal directory
        with sandboxed(True):
            directory = Path(os.environ["KUBECONFIG"]).parent
            raise UsageError("the command fails")

    with pytest.raises(UsageError):
        command()
    assert directory.name.startswith("gameday-sandbox-")
    assert not directory.exists()


def test_a_command_without_sandbox_leaves_the_environment_alone(home: Path) -> None:
    before = dict(os.environ)
    with sandboxed(False):
        assert dict(os.environ) == before


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_ended_while_its_sandbox_starts_leaves_nothing_running(
    end: signal.Signals, home: Path
) -> None:
    arguments = ["sandbox", "up", "--rehearsal", "--history", "24h"]
    with subprocess.Popen(
        [sys.executable, "-m", "gameday.cli.main", *arguments], stdout=subprocess.PIPE
    ) as up:
        while not presence.is_up(home):
            pass
        up.send_signal(end)
        assert up.wait() == (130 if end is signal.SIGINT else -signal.SIGKILL)
    while presence.is_up(home):
        pass
    assert not (home / "sandbox.json").exists()
    assert "whoever launched this has gone" in (home / "sandbox.log").read_text(encoding="utf-8")
