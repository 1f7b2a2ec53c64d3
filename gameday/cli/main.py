"""Why: the entry point of ``gameday``: which commands there are, and what becomes of their errors.

A command's module is imported only when that command is called or its own help is asked for; the
table here holds the words that ``gameday --help`` needs. A module offers
``register(app: typer.Typer) -> None``, which adds its commands under the names of the table. What a
command does is its module's business.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


class Entry(NamedTuple):
    """Where a command is and what it is for."""

    module: str
    help: str
    panel: str


_LOOK = "Before a run"
_RUN = "A run"
_LEARN = "After a run"
_TRAIN = "Without a cluster"

COMMANDS: dict[str, Entry] = {
    "list": Entry("gameday.cli.catalogue", "List the experiments there are.", _LOOK),
    "show": Entry("gameday.cli.show", "Show an experiment, or a run with all that is known of it.", _LOOK),
    "validate": Entry("gameday.cli.catalogue", "Check experiment files; tells every mistake at once.", _LOOK),
    "import": Entry("gameday.cli.importing", "Make an experiment of manifests of Chaos Mesh.", _LOOK),
    "new": Entry("gameday.cli.new", "Write a new experiment, with what to think about.", _LOOK),
    "plan": Entry("gameday.cli.plan", "Show exactly what a run would do, and what would be refused.", _LOOK),
    "health": Entry(
        "gameday.cli.health", "Check the platform before a run (pre) or after one (post).", _LOOK
    ),
    "doctor": Entry("gameday.cli.doctor", "Look at everything runs lean on; say how to mend it.", _LOOK),
    "guardrails": Entry(
        "gameday.cli.guardrails", "Show the limits, and render them for the API server.", _LOOK
    ),
    "run": Entry("gameday.cli.run", "Run an experiment: inject, watch, end the faults, judge.", _RUN),
    "rehearse": Entry("gameday.cli.rehearse", "Foretell what an experiment will do, on the twin.", _LOOK),
    "approve": Entry("gameday.cli.approve", "Approve or reject a run that waits, or a proposal.", _RUN),
    "propose": Entry("gameday.cli.proposals", "Propose a run, to be approved ahead of its time.", _LOOK),
    "proposals": Entry("gameday.cli.proposals", "List, show and decide on proposals.", _LOOK),
    "monitor": Entry("gameday.cli.monitor", "Follow a run from another terminal.", _RUN),
    "status": Entry("gameday.cli.status", "Show every fault that is live in the cluster.", _RUN),
    "stop": Entry("gameday.cli.stop", "End the faults of a run, or all of them, now.", _RUN),
    "halt": Entry("gameday.cli.halt", "Stop everything, and let nothing new start.", _RUN),
    "resume": Entry("gameday.cli.halt", "Release the safety lever: runs may start again.", _RUN),
    "note": Entry("gameday.cli.history", "Write into a run's record what you see or do.", _RUN),
    "history": Entry("gameday.cli.history", "List the runs that there were, and how they ended.", _LEARN),
    "compare": Entry("gameday.cli.compare", "Set two runs side by side.", _LEARN),
    "report": Entry("gameday.cli.report", "Write the report of a run again.", _LEARN),
    "analyse": Entry("gameday.cli.analyse", "Work out again what an ended run teaches.", _LEARN),
    "actions": Entry("gameday.cli.actions", "List, assign and close what is to be done.", _LEARN),
    "review": Entry("gameday.cli.review", "Write the review of a quarter.", _LEARN),
    "suggest": Entry("gameday.cli.suggest", "Say what to try next, ranked, and why.", _LEARN),
    "export": Entry("gameday.cli.history", "Write runs as JSON Lines, for other programs.", _LEARN),
    "audit": Entry("gameday.cli.audit", "Show, check and export who did what.", _RUN),
    "guard": Entry("gameday.cli.guard", "Guard a cluster: end every fault that must not go on.", _RUN),
    "sandbox": Entry("gameday.cli.sandbox", "Start, break and end the embedded platform.", _TRAIN),
}

_CLOSED_PIPE = 141
"""The exit code where the reader of our output has gone: 128 + SIGPIPE, as the shell would say."""

_INTERRUPTED = 130
"""The exit code of Ctrl-C where there was nothing to stop: 128 + SIGINT."""


_GARBAGE: Final = 100_000  # objects made since the last look; Python's own is 700
_PATIENCE_S = 5.0
"""How long the process may take to end once everything has been said."""


class _ClosedPipeError(Exception):
    """Nobody reads our output any more."""


class _Placeholder(TyperCommand):
    """Stands in the help for a command whose module is not imported yet."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help, rich_help_panel=entry.panel)
        self._entry = entry

    def load(self) -> Any:
        """The command itself."""
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        importlib.import_module(self._entry.module).register(app)
        command = get_group(app).commands[self.name or ""]
        _reflow(command)
        return command


def _reflow(command: Any) -> None:
    """Let the help fill the screen's width: the source breaks its lines where the source is wide."""
    head, *paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join([head, *(" ".join(part.split()) for part in paragraphs)])
    for below in getattr(command, "commands", {}).values():
        _reflow(below)


class _LazyGroup(TyperGroup):
    """The group of all commands, each imported when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(_Placeholder(name, entry))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, _Placeholder) else command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # Typer would end with 1, which here means that a hypothesis was disproved.
            raise _ClosedPipeError from error


app = typer.Typer(
    name="gameday",
    cls=_LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 held, 1 disproved, 2 wrong usage or input, 3 refused, 4 aborted by a guardrail, "
        "5 stopped by a person, 6 error."
        "\n\n"
        "First steps, without a cluster: [bold]gameday list[/], then "
        "[bold]gameday run basic-pod-failure --env staging --sandbox[/]."
    ),
)


def _version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - costs 20 ms

    try:
        typer.echo(f"gameday {version('pyairtable-chaos')}")
    except PackageNotFoundError:
        typer.echo("gameday, run from its source tree without having been installed")
    raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Break things on purpose, and safely: chaos experiments on Kubernetes, from plan to verdict."""


def main() -> NoReturn:
    """Run the command and end the process with one of ``gameday.errors.ExitCode``."""
    # Nearly all that a command makes lives to its end, modules above all: looking for what can go, as
    # often as Python does by itself, is a fifth of a short command's time.
    gc.set_threshold(_GARBAGE)
    _open_streams()
    code = run()
    # At its end Python looks through all of it once more, twice: a quarter of a second for what the
    # end of the process frees anyway.
    gc.freeze()
    # What is left in the buffer is written now, while a closed pipe can still be met quietly.
    try:
        sys.stdout.flush()
    except OSError as error:
        code = _unwritable(error, code)
    if code == _CLOSED_PIPE:
        _discard_output()
    _end_for_certain(code)
    sys.exit(code)


def _end_for_certain(code: int) -> None:
    """See to it that the process ends with ``code`` although something in it still waits for others.

    A question to a Prometheus whose answer trickles in, the thread of a database connection whose
    closing was interrupted, a library that wants to send its last words: Python waits for each.
    """
    last = threading.Timer(_PATIENCE_S, os._exit, (code,))
    last.daemon = True
    last.start()


def _unwritable(error: OSError, code: int) -> int:
    """The exit code where the last of the output could not be written."""
    if isinstance(error, BrokenPipeError):
        return _CLOSED_PIPE
    _discard_output()
    if code != 0:
        # Why it is not 0 has been said, or it is a verdict.
        return code
    from gameday.cli.failure import report  # noqa: PLC0415 - only where it is needed

    return report(error)


def _discard_output() -> None:
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_streams() -> None:
    """See to it that writing to stdout and stderr works, whatever they are."""
    # Descriptors that the caller closed would be taken by the next file, and get our output.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        # A terminal that has no check mark must not end a run.
        getattr(sys, name).reconfigure(errors="replace")


def run(arguments: list[str] | None = None) -> int:
    """Run the command with ``arguments`` (the process's own where None); returns the exit code."""
    try:
        result = get_command(app).main(arguments, prog_name="gameday", standalone_mode=False)
    except _ClosedPipeError:
        return _CLOSED_PIPE
    except (typer.Abort, KeyboardInterrupt):
        with suppress(OSError):
            sys.stderr.write("Interrupted.\n")
        return _INTERRUPTED
    except Exception as error:
        from gameday.cli.failure import report  # noqa: PLC0415 - only where it is needed

        return report(error)
    return int(result) if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
