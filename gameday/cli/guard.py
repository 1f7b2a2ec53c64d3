"""Why: the guard is a command like any other, so that it runs in a pod and on a desk alike.

Opens what the guard needs, and nothing more: no Prefect, and a database only where one is named,
for the audit trail. What it does is ``gameday.guard``'s business.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from gameday.cli.options import EnvironmentOption, ExperimentsOption, SandboxOption, examples
from gameday.cli.output import note
from gameday.cli.sandboxed import sandboxed
from gameday.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gameday.clock import Clock
    from gameday.guard.telling import Record
    from gameday.guard.web import Listen
    from gameday.settings import Settings


def _listen(value: str | Listen) -> Listen:
    from gameday.guard.web import Listen  # noqa: PLC0415 - only where it is called

    if isinstance(value, Listen):
        return value
    try:
        return Listen.parse(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r}: {error}") from None


def guard(
    env: EnvironmentOption,
    listen: Annotated[
        str,
        typer.Option(
            "--listen", metavar="HOST:PORT", help="Where /metrics, /healthz and /readyz are; port 0: any."
        ),
    ] = "127.0.0.1:8484",
    observe: Annotated[
        bool, typer.Option("--observe", help="Only tell what it would end; touch nothing, lead nothing.")
    ] = False,
    experiments: ExperimentsOption = None,
    sandbox: SandboxOption = False,
) -> int:
    """Guard a cluster: end every fault, whoever made it, that must not go on.

    Ends what breaks guardrails.yaml, what outlives its time, what belongs to a run that died, what
    began while everything was halted, and everything where a threshold of the platform is broken or
    nothing can be seen. Several may run: one leads and acts. Needs neither Prefect nor a database.

    Runs until SIGTERM or Ctrl-C; exit code 0 then.
    """
    with sandboxed(sandbox, environment=env, experiments=experiments):
        return asyncio.run(_guard(env, _listen(listen), observe, experiments))


async def _guard(env: str, listen: Listen, observe: bool, experiments: Path | None) -> int:
    from gameday.cli.catalogue import open_catalogue  # noqa: PLC0415 - after --sandbox has set its variables
    from gameday.clients.kubernetes import Cluster  # noqa: PLC0415
    from gameday.clients.prometheus import Prometheus, prometheus_url  # noqa: PLC0415
    from gameday.clients.slack import messenger  # noqa: PLC0415
    from gameday.clock import SystemClock  # noqa: PLC0415
    from gameday.guard.guard import Guard  # noqa: PLC0415
    from gameday.guard.web import serving  # noqa: PLC0415
    from gameday.settings import clock, load  # noqa: PLC0415

    settings = load()
    logging.basicConfig(
        stream=sys.stderr, level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    catalogue = open_catalogue(experiments)
    where = catalogue.platform.environment(env)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with (
        # Its retries wait in real time: a guard never moves a rehearsal's clock. Nor does it need
        # the API server to begin: it waits for one.
        Cluster.connect(
            where.context, clock=SystemClock(), call_timeout=settings.kubernetes_timeout, check=False
        ) as cluster,
        Prometheus(
            prometheus_url(settings, where),
            clock=(time := clock(settings)),
            timeout=settings.prometheus_timeout,
        ) as prometheus,
        AsyncExitStack() as stack,
    ):
        found = Guard(
            cluster,
            prometheus,
            messenger(settings, note),
            catalogue,
            where,
            clock=time,
            observe=observe,
            record=await _record(stack, settings, time),
        )
        async with serving(listen, alive=found.alive, ready=found.ready, metrics=found.exposition) as port:
            note(f"Guarding {env} as {found.election.name}; metrics on http://{listen.host}:{port}/metrics")
            await found.run(stopping)
    return ExitCode.HELD


async def _record(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Record | None:
    """What writes into the audit trail, where a database is named. A guard guards without one, too."""
    if "database_url" not in settings.model_fields_set:
        return None
    from gameday.journal.audit import Action, Audit  # noqa: PLC0415 - SQLAlchemy, only where it is wanted
    from gameday.journal.store import Journal, JournalError  # noqa: PLC0415

    try:
        audit = Audit(await stack.enter_async_context(Journal.open(settings.database_url)))
    except JournalError as error:
        note(f"{error.message} What the guard does is not written down.", style="yellow")
        return None

    async def write(title: str, lines: Sequence[str]) -> str:
        detail = {"what": title, "lines": list(lines)}
        return await audit.attempt(Action.GUARD, by="guard", source="guard", at=clock.now(), detail=detail)

    return write


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "guard",
        epilog=examples(
            "gameday guard --env staging --observe",
            "gameday guard --env production --listen 0.0.0.0:8484",
        ),
    )(guard)
