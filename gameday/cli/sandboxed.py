"""Why: ``--sandbox`` means the same in every command: act on the embedded platform, and only there.

Uses the sandbox that is up, or starts one in rehearsal time for this command alone. Sets the
variables that clients read, so it must be entered before any client is made.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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
    from gameday.cli.sandbox import STAGE, running  # noqa: PLC0415 - only with --sandbox

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
    from gameday.cli.sandbox import STAGE, platform_file  # noqa: PLC0415 - only with --sandbox
    from sandbox.process.launch import SandboxError, launch_temporary  # noqa: PLC0415 - only with --sandbox

    try:
        return launch_temporary(seed=seed, platform=platform_file(experiments), environment=STAGE)
    except SandboxError as error:
        raise OutsideError("sandbox", str(error)) from None


def enforce_limits(experiments: Path | None = None) -> None:
    """Have the API server that ``KUBECONFIG`` names, a sandbox's, enforce the limits of the catalogue.

    Raises ``DeclarationError`` where guardrails.yaml is wrong, ``OutsideError`` where it does not work.
    """
    from importlib.util import find_spec  # noqa: PLC0415 - only with --sandbox

    from gameday.cli.catalogue import open_catalogue  # noqa: PLC0415 - only with --sandbox
    from gameday.clients.kubernetes import Cluster  # noqa: PLC0415 - only with --sandbox
    from gameday.clock import SystemClock  # noqa: PLC0415 - only with --sandbox
    from gameday.safety.policy import render  # noqa: PLC0415 - only with --sandbox
    from gameday.safety.policy_install import install  # noqa: PLC0415 - only with --sandbox

    if find_spec("cel_expr_python") is None:
        note("The package cel-expr-python is missing: this sandbox admits faults past the limits.")
        return
    catalogue = open_catalogue(experiments)
    rendered = render(catalogue.guardrails, catalogue.platform)

    async def installed() -> None:
        async with Cluster.connect(clock=SystemClock(), check=False) as cluster:
            await install(cluster, rendered)

    asyncio.run(installed())


@contextmanager
def pointed_at(variables: dict[str, str]) -> Iterator[None]:
    """While open, the environment holds ``variables``."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
