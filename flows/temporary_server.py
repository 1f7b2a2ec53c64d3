"""Why: a run started by hand needs a Prefect server, and Ctrl-C must end the run, not the server.

A terminal sends Ctrl-C to every process of the command. Prefect's own temporary server would die of
it while the run still has things to tell it, so the server runs in a session of its own here, and
ends with the pipe that its starter holds, however the starter goes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from gameday.errors import UnreachableError

# A cold database takes 20 s on two busy cores.
_PATIENCE_S: Final = 120.0
_STOP_PATIENCE_S: Final = 5.0


class _NotReadyError(Exception):
    """It does not answer yet."""


@contextmanager
def temporary_server() -> Iterator[str]:
    """A Prefect server for as long as the context is open; gives the address of its API.

    Raises ``UnreachableError`` where it does not come up.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = int(listening.getsockname()[1])
    with subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
        [sys.executable, "-m", "flows.temporary_server", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}/api"
            _wait_until_ready(process, url)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(_STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    try:
        for attempt in Retrying(
            stop=stop_after_delay(_PATIENCE_S),
            wait=wait_fixed(0.1),
            retry=retry_if_exception_type(_NotReadyError),
            reraise=True,
        ):
            with attempt:
                _ask(process, url)
    except _NotReadyError:
        raise UnreachableError(
            "Prefect",
            f"the server for this run was not ready within {_PATIENCE_S:.0f} s.",
            hint="Start one with `prefect server start` and set PREFECT_API_URL to it.",
        ) from None


def _ask(process: subprocess.Popen[bytes], url: str) -> None:
    if process.poll() is not None:
        raise UnreachableError(
            "Prefect",
            f"the server for this run ended at once (exit code {process.returncode}).",
            hint="`prefect server start` shows why; its database may be broken or of a newer version.",
        )
    try:
        httpx.get(f"{url}/health", timeout=5.0, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise _NotReadyError from error


def _serve(port: int) -> None:
    """Serve Prefect's API on 127.0.0.1 until standard input is closed."""
    os.environ |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    threading.Thread(target=_end_with_starter, daemon=True).start()
    import uvicorn  # noqa: PLC0415 - only in the server's own process

    uvicorn.run(
        "prefect.server.api.server:create_app", factory=True, host="127.0.0.1", port=port, log_level="error"
    )


def _end_with_starter() -> None:
    with suppress(OSError):
        while sys.stdin.buffer.read(1):
            pass
    os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
