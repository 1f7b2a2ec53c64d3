"""Why: ``--sandbox`` means the same in every command: act on the embedded platform, and only there.

Uses the sandbox that is up, or starts one in rehearsal time for this command alone. Sets the
variables that clients read, so it must be entered before any client is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.cli.embedded import STAGE, enforce_limits, platform_file, pointed_at, running
from gameday.cli.output import note
from gameday.errors import OutsideError, UsageError

if TYPE_CHECKING:
    from sandbox.process.launch import Sandbox


@contextmanager
def sandboxed(
    wanted: bool, *, environment: str | None = None, seed: int = 1, experiments: Path | None = None
) -> Iterator[None]:
    """While open, and if ``wanted``, every client acts on the sandbox.

    Where none is up, one with ``seed`` is started and ends with the context; it imitates the
    platform.yaml of ``experiments`` (the catalogue in force where None). Where this process is killed
    first, it lives on until it has been quiet for a minute, so that a watchdog or a hook can still end
    the faults in it. Raises ``UsageError`` where ``environment`` is another one than it stands for and
    ``OutsideError`` where it does not start.
    """
    if not wanted:
        yield
        return
    if environment not in (None, STAGE):
        raise UsageError(f"the sandbox stands for {STAGE}, not for {environment}", hint=f"Say --env {STAGE}.")

    state = running()
    if state is not None:
        note(f"On the sandbox that is up: {state.url}")
        with pointed_at(state.environment):
            yield
        return
    with _temporary(seed, experiments) as sandbox, pointed_at(sandbox.env):
        enforce_limits(experiments)
        yield


def _temporary(seed: int, experiments: Path | None) -> Sandbox:
    from sandbox.process.launch import SandboxError, launch_temporary  # noqa: PLC0415 - only with --sandbox

    try:
        return launch_temporary(seed=seed, platform=platform_file(experiments), environment=STAGE)
    except SandboxError as error:
        raise OutsideError("sandbox", str(error)) from None
