"""Why: a run that is killed can end nothing, so a process of its own stands by and does it.

This is the run's side: it starts the watchdog, detached, holds a pipe to it and says what matters.
The pipe closes however the run goes, and nothing but the word "done" tells the watchdog that all is
well. What it does then is in ``gameday.run.watchdog``, of which only the name is known here.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO, Final, Self

import gameday
from gameday.errors import RefusedError
from gameday.spec.base import Duration, Model

FAULTS: Final = b"faults\n"
DONE: Final = b"done\n"
READY: Final = b"ready\n"

_MODULE: Final = "gameday.run.watchdog"
# It imports for half a second; on a machine that is this slow nothing should be broken on purpose.
_PATIENCE: Final = timedelta(seconds=60)
_LOG_LINES: Final = 5


class Order(Model):
    """Whom to watch. ``longest`` counts from the first injection, in the run's time."""

    run: str
    context: str | None
    namespace: str
    longest: Duration
    log: Path | None = None


class Watchdog:
    """The watchdog of one run, as the run sees it."""

    def __init__(self, order: Order, process: subprocess.Popen[bytes], words: int, news: int) -> None:
        """Use ``spawn`` to start one."""
        self._order = order
        self._process = process
        self._words: int | None = words
        self._news: IO[bytes] | None = os.fdopen(news, "rb", buffering=0)
        self._reader = asyncio.StreamReader()
        self._transport: asyncio.ReadTransport | None = None

    @classmethod
    @contextmanager
    def spawn(cls, order: Order, logs: Path) -> Iterator[Self]:
        """Start it and go on at once; ``ready`` waits until it watches.

        It keeps its log in ``logs`` for as long as there is anything to read in it. It acts where the
        context ends before ``done`` was said. Raises ``RefusedError`` where no process can be started.
        """
        order = order.model_copy(update={"log": _log_file(logs, order.run)})
        # Python's pipes close on exec: no child that the run starts can hold its end open.
        held, words = os.pipe()
        news, announce = os.pipe()
        try:
            watchdog = cls(order, _start(order, announce, held), words, news)
        except OSError as error:
            os.close(words)
            os.close(news)
            raise _refused(f"its process cannot be started ({error})") from error
        finally:
            os.close(held)
            os.close(announce)
        try:
            yield watchdog
        finally:
            watchdog.close()

    async def ready(self) -> None:
        """Wait until it watches. Raises ``RefusedError`` where it does not."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), self._news
        )
        self._news = None  # the transport's now
        try:
            async with asyncio.timeout(_PATIENCE.total_seconds()):
                said = await self._reader.readline()
        except TimeoutError:
            raise _refused(f"it was not ready within {_PATIENCE.total_seconds():.0f} s") from None
        if said != READY:
            raise _refused(said.decode(errors="replace").strip() or self._last_words())
        # What started it has ended: for the rest of the run it need not stand in the table of processes.
        self._process.poll()

    @property
    def gone(self) -> bool:
        """Whether it has ended, which it should not before it was told."""
        return self._reader.at_eof()

    def faults_follow(self) -> None:
        """Say that injection begins: from now on a run that hangs or takes too long is ended."""
        self._say(FAULTS)

    def done(self) -> None:
        """Say that nothing of the run is left, and that its record is closed."""
        self._say(DONE)

    def _say(self, word: bytes) -> None:
        if self._words is not None:
            with suppress(BrokenPipeError):  # ``gone`` tells
                os.write(self._words, word)

    def close(self) -> None:
        """Let go of it."""
        if self._words is not None:
            os.close(self._words)
            self._words = None
        if self._transport is not None:
            self._transport.close()
        if self._news is not None:
            self._news.close()
            self._news = None
        # What was started forks and ends at once, if it started at all; the watchdog is nobody's child.
        self._process.kill()
        self._process.wait()

    def _last_words(self) -> str:
        with suppress(OSError):
            if self._order.log is not None:
                lines = self._order.log.read_text(encoding="utf-8", errors="replace").splitlines()
                return "it ended at once: " + " | ".join(lines[-_LOG_LINES:])
        return "it ended at once"


def _refused(why: str) -> RefusedError:
    return RefusedError(
        "The run has no watchdog",
        (f"no watchdog stands by to end the faults if this process is killed: {why}",),
        hint=f"`{sys.executable} -m {_MODULE}` must be able to start and to read the kubeconfig.",
    )


def _log_file(logs: Path, run: str) -> Path | None:
    try:
        logs.mkdir(parents=True, exist_ok=True)
        file = logs / f"{run}.log"
        file.touch()
    except OSError:  # it works without one
        return None
    return file


def _start(order: Order, announce: int, held: int) -> subprocess.Popen[bytes]:
    root = str(Path(gameday.__file__).parents[1])
    path = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root}
    log = order.log.open("ab") if order.log is not None else None
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", _MODULE, order.model_dump_json(by_alias=True), str(announce), str(held)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log if log is not None else subprocess.DEVNULL,
            env=environment,
            pass_fds=[announce, held],
            start_new_session=True,
        )
    finally:
        if log is not None:
            log.close()
