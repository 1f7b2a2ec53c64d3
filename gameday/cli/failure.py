"""Why: whatever goes wrong, a person reads what happened, where, and what to do, and never a traceback.

Turns every exception that left a command into a message on stderr and an exit code. An error that
nobody foresaw is a bug: its traceback goes to a file that the message names, or to the screen where
``GAMEDAY_DEBUG=1`` is set.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
import tempfile
import traceback
from pathlib import Path

import typer
from rich.text import Text

from gameday.cli.output import stderr
from gameday.errors import DeclarationError, ExitCode, GamedayError, RefusedError
from gameday.redaction import redacted

_NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}


def report(error: Exception) -> int:
    """Tell ``error`` on stderr; returns the exit code."""
    if isinstance(error, GamedayError):
        return _report_known(error)
    if isinstance(error, typer.TyperException):
        return _report_usage(error)
    if isinstance(error, OSError) and error.errno in _NOT_WRITTEN and error.filename is None:
        _tell(f"the output could not be written: {error.strerror}", (), "Where does it go? Is the disk full?")
        return ExitCode.ERROR
    return _report_bug(error)


def _report_known(error: GamedayError) -> int:
    details: tuple[str, ...] = ()
    if isinstance(error, DeclarationError):
        details = error.problems
    elif isinstance(error, RefusedError):
        details = error.reasons
    _tell(error.message, details, error.hint)
    return error.exit_code


def _report_usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        # The help has been printed already.
        return ExitCode.USAGE
    details = (context.get_usage(),) if context is not None else ()
    hint = f"`{context.command_path if context is not None else 'gameday'} --help` explains."
    # Pydantic's way of saying that a validator of ours said no.
    _tell(error.format_message().replace("Value error, ", ""), details, hint)
    return ExitCode.USAGE


def _report_bug(error: Exception) -> int:
    text = redacted("".join(traceback.format_exception(error)))
    if os.environ.get("GAMEDAY_DEBUG", "") not in {"", "0"}:
        sys.stderr.write(text)
        return ExitCode.ERROR
    summary = redacted(f"unexpected {type(error).__name__}: {str(error).partition(chr(10))[0]}")
    path = _write_crash(text)
    hint = "Set GAMEDAY_DEBUG=1 to see the traceback here."
    if path is not None:
        hint = f"This is a bug. Please report it with {path}. {hint}"
    _tell(summary, (), hint)
    return ExitCode.ERROR


def _write_crash(text: str) -> Path | None:
    header = f"{' '.join(sys.argv)}\nPython {platform.python_version()} on {platform.platform()}\n\n"
    try:
        descriptor, name = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=_crash_directory())
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(header + text)
    except OSError:
        return None
    return Path(name)


def _crash_directory() -> Path:
    try:
        from gameday.settings import Settings  # noqa: PLC0415 - only where something crashed

        directory = Settings().state_dir / "crashes"
        directory.mkdir(parents=True, exist_ok=True)
    except Exception:
        # The settings may be what is broken; the traceback must still find a place.
        return Path(tempfile.gettempdir())
    return directory


def _tell(message: str, details: tuple[str, ...], hint: str) -> None:
    console = stderr()
    console.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    for detail in details:
        for number, line in enumerate(detail.splitlines()):
            console.print(
                Text(f"  {'- ' if number == 0 and len(details) > 1 else '  '}{line}"), soft_wrap=True
            )
    if hint:
        console.print(Text.assemble(("hint: ", "bold"), hint), soft_wrap=True)
