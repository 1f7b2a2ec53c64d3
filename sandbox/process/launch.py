"""Why: the command and the tests start and end sandboxes the same way, and are told when one fails.

The process is detached: it belongs to no terminal and outlives whoever started it. One that is
*held* ends by itself some time after its holder has gone, however the holder went; the time lets a
watchdog or a hook still end the faults of a killed run.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sandbox
from sandbox.process import presence
from sandbox.process.options import LOG_FILE, SandboxOptions, SandboxState

READY = b"ready\n"

_LOG_LINES = 15
_STOP_PATIENCE_S = 10.0
_STOP_POLL_S = 0.01


class SandboxError(RuntimeError):
    """The sandbox could not be started or ended; the message says why."""


class Sandbox:
    """A sandbox that is up. As a context manager, it ends with the context."""

    def __init__(self, directory: Path, state: SandboxState, hold: int | None = None) -> None:
        """Stand for the sandbox in ``directory``; ``hold`` is the end of the pipe that keeps it up."""
        self.directory = directory
        self.state = state
        self._hold = hold

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return self.state.url

    @property
    def env(self) -> dict[str, str]:
        """The variables that point every client at it."""
        return dict(self.state.environment)

    def release(self) -> None:
        """Hold it no longer: it ends by itself when it has been quiet for its ``linger``."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None

    def stop(self) -> None:
        """End it and wait until it is gone. Nothing happens where it is gone already."""
        stop(self.directory, self.state.pid)
        self.release()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """End it."""
        self.stop()


def stop(directory: Path, pid: int) -> None:
    """End the sandbox ``pid`` that lives in ``directory``: ask, wait 10 s at most, then kill it.

    Raises ``SandboxError`` where even that did not help.
    """
    for request in (signal.SIGTERM, signal.SIGKILL):
        if not presence.is_up(directory):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, request)
        deadline = time.monotonic() + _STOP_PATIENCE_S
        while presence.is_up(directory) and time.monotonic() < deadline:
            time.sleep(_STOP_POLL_S)
    if presence.is_up(directory):
        raise SandboxError(f"the sandbox (process {pid}) does not end, not even by SIGKILL")


def launch_temporary(*, patience: timedelta = timedelta(seconds=60), **options: Any) -> Sandbox:
    """Start a rehearsal sandbox in a temporary directory, held by this process.

    ``options`` are fields of ``SandboxOptions``. The directory goes when the sandbox goes.
    """
    directory = Path(tempfile.mkdtemp(prefix="gameday-sandbox-"))
    options = {"mode": "rehearsal", **options, "directory": directory, "ephemeral": True}
    return launch(SandboxOptions(**options), hold=True, patience=patience)


def launch(
    options: SandboxOptions, *, hold: bool = False, patience: timedelta = timedelta(seconds=60)
) -> Sandbox:
    """Start a sandbox and return when it is ready.

    With ``hold`` it stays up only as long as this process, or until ``release``, and its ``linger``.
    Raises ``SandboxError`` with the last lines of its log where it is not ready within ``patience``.
    """
    directory = options.directory
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SandboxError(f"{directory} cannot be made: {error.strerror}") from None
    if presence.is_up(directory):
        raise SandboxError(f"a sandbox is already up, or starting, in {directory}")
    ready, announce = os.pipe()
    held, holding = os.pipe() if hold else (-1, None)
    try:
        _spawn(options, announce, held)
    finally:
        os.close(announce)
        if hold:
            os.close(held)
    with os.fdopen(ready, "rb", buffering=0) as news:
        problem = _await_ready(news, patience)
    state = presence.read(directory)
    if problem is None and state is not None:
        return Sandbox(directory, state, holding)
    if holding is not None:
        os.close(holding)
    raise SandboxError(_failure(options, problem or "it ended as soon as it was ready"))


def _spawn(options: SandboxOptions, announce: int, held: int) -> None:
    root = str(Path(sandbox.__file__).parents[1])
    path = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root}
    with (options.directory / LOG_FILE).open("wb") as log:
        # The process forks at once and its parent returns: what lives on is nobody's child, so
        # nobody has to wait for it and it cannot become a zombie of a caller that never does.
        subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "sandbox.process", options.model_dump_json(), str(announce), str(held)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            pass_fds=[announce, held] if held >= 0 else [announce],
            check=False,
        )


def _await_ready(news: FileIO, patience: timedelta) -> str | None:
    pid = news.readline()
    if not pid:
        return "its interpreter did not start"
    readable, _, _ = select.select([news], [], [], patience.total_seconds())
    if readable:
        return None if news.readline() == READY else "it ended before it was ready"
    with suppress(ProcessLookupError):
        os.kill(int(pid), signal.SIGKILL)
    # The pipe is at its end as soon as the process is.
    news.read()
    return f"it was not ready after {patience.total_seconds():g} s"


def _failure(options: SandboxOptions, problem: str) -> str:
    directory = options.directory
    log = (directory / LOG_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    if options.ephemeral:
        shutil.rmtree(directory, ignore_errors=True)
    said = "\n".join(f"  {line}" for line in log[-_LOG_LINES:]) or "  (its log is empty)"
    return f"the sandbox did not start: {problem}. Its log ends:\n{said}"
