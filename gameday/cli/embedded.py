"""Why: the commands about the sandbox and the option ``--sandbox`` mean the same sandbox.

Which one is up, what it imitates, which limits its API server enforces, and how clients are pointed
at it. Starting one is left to ``sandbox`` and ``sandboxed``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.cli.output import note
from gameday.errors import OutsideError

if TYPE_CHECKING:
    from sandbox.process.options import SandboxState

STAGE = "staging"
"""The environment of platform.yaml that the sandbox stands for."""


def home() -> Path:
    """Where the sandbox of ``gameday sandbox up`` keeps its files."""
    from gameday.settings import load  # noqa: PLC0415 - only inside the call

    return load().state_dir / "sandbox"


def platform_file(experiments: Path | None = None) -> Path:
    """The platform.yaml that the sandbox imitates, of ``experiments`` or of the catalogue in force.

    Raises ``DeclarationError`` where it is wrong.
    """
    from gameday.settings import load  # noqa: PLC0415 - only inside the call
    from gameday.spec.catalogue import PLATFORM_FILE, Catalogue  # noqa: PLC0415 - only inside the call

    catalogue = Catalogue(experiments or load().experiments)
    # Read it here already: a mistake in it is then told with file, line and key.
    catalogue.platform.environment(STAGE)
    return (catalogue.directory / PLATFORM_FILE).resolve()


def running() -> SandboxState | None:
    """The sandbox that is up and ready, if any. Raises ``OutsideError`` where that cannot be told."""
    from pydantic import ValidationError  # noqa: PLC0415 - only inside the call

    from sandbox.process import presence  # noqa: PLC0415 - only inside the call

    directory = home()
    try:
        return presence.read(directory)
    except (OSError, ValidationError) as error:
        raise OutsideError(
            "sandbox",
            f"what {directory} says of it cannot be read ({type(error).__name__})",
            hint="Is it of another version, or somebody else's? GAMEDAY_STATE_DIR names another place.",
        ) from None


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
