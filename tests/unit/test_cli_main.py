"""What a person may rely on whatever command they give: a clear message, a right exit code, no wait."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.main import get_group

from gameday.cli.failure import report
from gameday.cli.main import COMMANDS, Entry, app, run
from gameday.cli.output import Format, emit, note, table
from gameday.errors import (
    DeclarationError,
    ExitCode,
    GamedayError,
    OutsideError,
    RefusedError,
    UnreachableError,
    UsageError,
)

Capture = pytest.CaptureFixture[str]
Offer = Callable[[Callable[[], object]], None]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Make ``gameday trial`` do whatever a test wants to see the end of."""

    def offer(action: Callable[[], object]) -> None:
        module = ModuleType("trial_command")

        def register(app: typer.Typer) -> None:
            app.command("trial")(action)

        module.register = register  # type: ignore[attr-defined] # a module made for the test
        monkeypatch.setitem(sys.modules, "trial_command", module)
        monkeypatch.setitem(COMMANDS, "trial", Entry("trial_command", "Try something.", "Trials"))

    return offer


def test_the_help_names_every_command(capsys: Capture) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"│ {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: Capture) -> None:
    assert run([command, "--help"]) == 0
    assert f"Usage: gameday {command}" in capsys.readouterr().out


def test_the_help_and_the_version_import_nothing_heavy() -> None:
    heavy = ["kubernetes", "prefect", "sqlalchemy", "httpx", "simpy", "starlette", "pydantic", "sandbox"]
    script = (
        "import sys; from gameday.cli.main import run; run(['--help']); run(['--version']);"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"


def test_no_command_needs_prefect_or_the_sandbox_before_it_uses_them() -> None:
    modules = sorted({entry.module for entry in COMMANDS.values()})
    heavy = ["prefect", "flows", "tasks", "sandbox"]
    script = (
        "import importlib, sys;"
        f"[importlib.import_module(name) for name in {modules}];"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"


def test_the_commands_that_can_come_to_need_prefect_are_those_that_are_documented() -> None:
    root = Path(__file__).resolve().parents[2]
    imports = re.compile(r"(?:from|import) (?:flows|tasks|prefect)\b|import_module, \"flows")
    command = root / "gameday" / "cli"
    found = {path.stem for path in command.glob("*.py") if imports.search(path.read_text(encoding="utf-8"))}
    # ``rehearse`` goes through ``run``; ``protocol`` shows the lever for ``halt`` and ``resume``.
    assert found == {"run", "doctor", "protocol"}
    page = (root / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("## Which commands need Prefect")[2].partition("\n## ")[0]
    assert [name for name in COMMANDS if f"`{name}`" in section] == [
        "doctor",
        "run",
        "rehearse",
        "halt",
        "resume",
    ]


def every_command() -> Iterator[tuple[str, Any]]:
    """Each command by its whole name, those of groups included."""

    def walked(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for below, one in getattr(command, "commands", {}).items():
            yield from walked(f"{name} {below}", one)

    for name, placeholder in get_group(app).commands.items():
        loaded: Any = placeholder
        yield from walked(name, loaded.load())


def test_how_output_is_printed_is_asked_for_in_the_same_way_everywhere() -> None:
    asked = {}
    for name, command in every_command():
        context = command.make_context(name, [], resilient_parsing=True)
        for option in command.params:
            if {"-o", "--output"}.intersection(option.opts):
                asked[name] = option.get_help_record(context)[0]
    assert {"import", "sandbox break", "history", "stop"} <= set(asked)
    assert set(asked.values()) == {"-o, --output <text|json|yaml>"}, asked


def test_the_version_is_told(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("gameday ")


def test_nothing_at_all_shows_the_help_and_counts_as_wrong_usage(capsys: Capture) -> None:
    assert run([]) == ExitCode.USAGE
    assert "Usage: gameday" in capsys.readouterr().out


def test_a_misspelt_command_is_answered_with_the_nearest(capsys: Capture) -> None:
    assert run(["sandbx"]) == ExitCode.USAGE
    assert "No such command 'sandbx'. Did you mean 'sandbox'?" in capsys.readouterr().err


def test_a_wrong_option_names_the_help_that_explains_it(capsys: Capture) -> None:
    assert run(["sandbox", "up", "--sped", "3"]) == ExitCode.USAGE
    told = capsys.readouterr()
    assert "--sped" in told.err
    assert "`gameday sandbox up --help` explains." in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no such thing"), ExitCode.USAGE),
        (DeclarationError("x.yaml: 1 mistake"), ExitCode.USAGE),
        (RefusedError("the run is refused"), ExitCode.REFUSED),
        (OutsideError("Slack", "said no"), ExitCode.ERROR),
        (UnreachableError("Prometheus", "no answer"), ExitCode.ERROR),
    ],
)
def test_each_known_error_has_its_exit_code_and_one_message(
    error: GamedayError, code: ExitCode, offer: Offer, capsys: Capture
) -> None:
    def fail() -> None:
        raise error

    offer(fail)
    assert run(["trial"]) == code
    assert capsys.readouterr().err == f"error: {error.message}\n"


def test_every_mistake_of_a_file_stands_on_its_own_line_and_is_never_cut(capsys: Capture) -> None:
    problems = tuple(f"/experiments/{'x' * 120}.yaml:{line}: key: [staging] is wrong" for line in (3, 9))
    report(DeclarationError("x.yaml: 2 mistakes", problems, hint="Mend them."))
    assert capsys.readouterr().err.splitlines() == [
        "error: x.yaml: 2 mistakes",
        f"  - {problems[0]}",
        f"  - {problems[1]}",
        "hint: Mend them.",
    ]


def test_a_verdict_is_the_exit_code(offer: Offer) -> None:
    offer(lambda: ExitCode.DISPROVED)
    assert run(["trial"]) == 1


def test_a_bug_ends_with_a_short_message_and_a_file_with_the_traceback(
    offer: Offer, capsys: Capture, isolated: Path
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("something nobody foresaw\nin two lines")

    offer(fail)
    assert run(["trial"]) == ExitCode.ERROR
    told = capsys.readouterr().err
    (crash,) = (isolated / "crashes").iterdir()
    assert "unexpected ZeroDivisionError: something nobody foresaw" in told
    assert str(crash) in told
    assert "Traceback" not in told
    assert "Traceback" in crash.read_text(encoding="utf-8")


def test_a_bug_shows_its_traceback_where_that_is_asked_for(
    offer: Offer, capsys: Capture, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setenv("GAMEDAY_DEBUG", "1")
    offer(fail)
    assert run(["trial"]) == ExitCode.ERROR
    assert "Traceback" in capsys.readouterr().err
    assert not (isolated / "crashes").exists()


def test_ctrl_c_where_nothing_has_to_be_stopped_ends_as_shells_expect(offer: Offer) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    offer(interrupt)
    assert run(["trial"]) == 130


def test_a_reader_that_has_gone_is_no_error(isolated: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = subprocess.run(
        [sys.executable, "-m", "gameday.cli.main", "sandbox", "status"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (command.returncode, command.stderr) == (141, b"")


def complete(words: str, **variables: str) -> tuple[list[str], str]:
    """What Bash is offered for the last of ``words``, and what stderr got."""
    parts = words.split(" ")
    environment = {
        **os.environ,
        **variables,
        "_GAMEDAY_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(parts) - 1),
    }
    script = "import sys; sys.argv[0] = 'gameday'; from gameday.cli.main import main; main()"
    command = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    return command.stdout.split(), command.stderr


def test_the_process_ends_with_its_code_although_something_in_it_waits_for_ever() -> None:
    script = (
        "import sys, threading\n"
        "from gameday.cli.main import main\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "sys.argv = ['gameday', 'show', 'no-such-experiment']\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == ExitCode.USAGE
    assert "unknown experiment 'no-such-experiment'" in ended.stderr


def test_what_is_infinite_is_valid_json(capsys: Capture) -> None:
    emit({"value": math.inf, "other": -math.inf}, Format.JSON, lambda _: None)
    told = capsys.readouterr().out
    assert json.loads(told, parse_constant=pytest.fail) == {"value": "Infinity", "other": "-Infinity"}


def test_tab_completes_commands_and_subcommands() -> None:
    assert complete("gameday sand") == (["sandbox"], "")
    offered, said = complete("gameday sandbox ")
    assert {"up", "down", "status", "env", "break", "mend"} <= set(offered)
    assert said == ""


def test_tab_completes_the_experiments_of_the_catalogue_in_force(tmp_path: Path) -> None:
    (tmp_path / "redis-lost.yaml").write_text("name: redis-lost\n", encoding="utf-8")
    (tmp_path / "platform.yaml").write_text("name: x\n", encoding="utf-8")
    assert complete("gameday show red", GAMEDAY_EXPERIMENTS=str(tmp_path)) == (["redis-lost"], "")


@pytest.mark.parametrize("words", ["gameday show x", "gameday plan x --env x", "gameday monitor x"])
def test_tab_says_nothing_where_the_settings_are_broken(words: str) -> None:
    assert complete(words, GAMEDAY_EXPERIMENTS="/no/such/place", GAMEDAY_LOG_LEVEL="loud") == ([], "")


STEERING = "all is well\x1b[2J\x07\x9b31m\u202e"


def test_what_somebody_typed_never_steers_the_terminal_of_whoever_reads_it(
    offer: Offer, capsys: Capture
) -> None:
    def say() -> None:
        rows = table("BY", "WHY")
        rows.add_row(STEERING, "a\tb\n\x1b]0;title")
        note(STEERING, style="bold")
        emit(STEERING, Format.TEXT, lambda console: console.print(rows, STEERING))
        emit({"why": STEERING}, Format.JSON, lambda console: None)
        emit({"why": STEERING[:-1]}, Format.YAML, lambda console: None)
        raise RefusedError(STEERING, (STEERING,), hint=STEERING)

    offer(say)
    assert run(["trial"]) == ExitCode.REFUSED
    out, err = capsys.readouterr()
    assert not set("\x1b\x07\x9b\u202e") & set(out + err)
    assert "all is well" in out
    assert "all is well" in err


def test_json_says_what_somebody_typed_to_the_letter(capsys: Capture) -> None:
    emit({"why": STEERING}, Format.JSON, lambda console: None)
    assert json.loads(capsys.readouterr().out) == {"why": STEERING}
