"""Why: what runs in the sandbox's process, from the lock it takes to the files it removes.

It binds its port first, so that a taken one is told at once; lives through its history; announces
itself; and ends on a signal, on request, when nobody has used it for long, or when the world breaks.
What it serves is put together in ``assembly``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import shutil
import signal
import socket
import sys
from collections.abc import Coroutine, Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
import uvloop

from sandbox.process import kubeconfig, presence
from sandbox.process.activity import Activity
from sandbox.process.assembly import Assembly, assemble
from sandbox.process.launch import READY
from sandbox.process.options import (
    FRONT,
    KUBECONFIG_FILE,
    SLACK_TOKEN,
    STATE_FILE,
    SandboxOptions,
    SandboxState,
)

_HOST = "127.0.0.1"
_WARM_UP_SLICE = 10.0
_LOOK_FOR_IDLENESS_S = 0.25
_LAST_ANSWERS_S = 0.25

logger = logging.getLogger("sandbox")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to ``_Process``, which has files to remove before it ends."""
        yield


def run(options: SandboxOptions, ready: int, held: int) -> int:
    """Be the sandbox until told to end; returns the exit code of the process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    lock = presence.take(options.directory)
    if lock is None:
        logger.error("another sandbox is up in %s", options.directory)
        return 1
    try:
        return _serve_on_port(options, ready, held)
    finally:
        # Before the pipe to the launcher closes: who hears of the end may start another at once.
        os.close(lock)


def _serve_on_port(options: SandboxOptions, ready: int, held: int) -> int:
    try:
        listener = socket.create_server((_HOST, options.port), backlog=512)
    except OSError as error:
        logger.error("port %d of %s cannot be used: %s", options.port, _HOST, error.strerror)  # noqa: TRY400 - no traceback for people
        return 1
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Process(options, listener).live(ready, held))


def _nobody_reads(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return bool(poll.poll(0))


class _Process:
    def __init__(self, options: SandboxOptions, listener: socket.socket) -> None:
        self._options = options
        self._listener = listener
        self._port: int = listener.getsockname()[1]
        self._started = datetime.now(UTC)
        self._ending = asyncio.Event()
        self._exit_code = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def live(self, ready: int, held: int) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        start = self._options.start or self._started.replace(microsecond=0)
        assembly = assemble(
            self._options,
            epoch=start - self._options.history,
            url=f"http://{_HOST}:{self._port}",
            info=self._info,
            shut_down=self._ending.set,
        )
        try:
            await self._warm_up(assembly, ready)
            await self._serve(assembly, ready, held)
        finally:
            self._clean_up()
        return self._exit_code

    async def _warm_up(self, assembly: Assembly, ready: int) -> None:
        target = self._options.history.total_seconds()
        while assembly.world.elapsed < target and not self._ending.is_set():
            assembly.world.advance_to(min(target, assembly.world.elapsed + _WARM_UP_SLICE))
            if _nobody_reads(ready):
                logger.info("whoever launched this has gone: it ends")
                self._ending.set()
            await asyncio.sleep(0)

    async def _serve(self, assembly: Assembly, ready: int, held: int) -> None:
        activity = assembly.activity
        server = _Server(
            uvicorn.Config(
                activity,
                loop="none",
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                # Longer than a run's samples are apart: a connection closed just as it is used again fails.
                timeout_keep_alive=120,
                timeout_graceful_shutdown=1,
            )
        )
        if self._ending.is_set():
            return
        serving = asyncio.create_task(server.serve(sockets=[self._listener]))
        if self._options.mode == "live":
            self._start(assembly.keeper.follow_wall_clock())
        if held >= 0:
            asyncio.get_running_loop().add_reader(held, self._holder_gone, held, activity)
        self._start(self._end_when_idle(activity, held))
        self._announce(assembly, ready)
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        assembly.cluster.close()
        # Answers under way get a moment; a client that never hangs up would have us wait for ever.
        await asyncio.wait({serving}, timeout=_LAST_ANSWERS_S)
        server.force_exit = True
        await serving
        for task in (ending, *self._tasks):
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the sandbox broke and ends", exc_info=error)
            self._exit_code = 1
            self._ending.set()

    def _announce(self, assembly: Assembly, ready: int) -> None:
        url = f"http://{_HOST}:{self._port}"
        path = self._options.directory / KUBECONFIG_FILE
        kubeconfig.write(
            path, server=f"{url}/kubernetes", context=assembly.context, namespace=assembly.namespace
        )
        state = SandboxState(
            pid=os.getpid(),
            port=self._port,
            mode=self._options.mode,
            speed=assembly.keeper.speed,
            seed=self._options.seed,
            started=self._started,
            url=url,
            kubeconfig=path,
            environment={
                "KUBECONFIG": str(path),
                "GAMEDAY_PROMETHEUS_URL": f"{url}/prometheus",
                "GAMEDAY_SLACK_TOKEN": SLACK_TOKEN,
                "GAMEDAY_SLACK_BASE_URL": f"{url}/slack/api/",
                "GAMEDAY_PLATFORM_URL": f"{url}{FRONT}",
                "GAMEDAY_CLOCK_URL": f"{url}/control/clock",
            },
        )
        presence.announce(self._options.directory, state)
        logger.info("up on %s (%s, seed %d)", url, state.mode, state.seed)
        try:
            os.write(ready, READY)
        except BrokenPipeError:
            logger.info("whoever launched this has gone: it ends")
            self._ending.set()
        os.close(ready)

    def _info(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "python": sys.version.split()[0],
            "port": self._port,
            "seed": self._options.seed,
            "mode": self._options.mode,
            "started": self._started.isoformat(),
        }

    def _holder_gone(self, held: int, activity: Activity) -> None:
        asyncio.get_running_loop().remove_reader(held)
        os.close(held)
        activity.released()

    async def _end_when_idle(self, activity: Activity, held: int) -> None:
        limit: timedelta | None
        while True:
            await asyncio.sleep(_LOOK_FOR_IDLENESS_S)
            limit = self._options.idle if held < 0 else self._options.linger if activity.is_released else None
            if limit is not None and activity.quiet_for(limit):
                logger.info("nobody has used this sandbox for %s: it ends", limit)
                self._ending.set()
                return

    def _clean_up(self) -> None:
        directory = self._options.directory
        for name in (STATE_FILE, KUBECONFIG_FILE):
            (directory / name).unlink(missing_ok=True)
        if self._options.ephemeral:
            shutil.rmtree(directory, ignore_errors=True)
