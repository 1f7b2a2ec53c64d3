"""Why: people apply the limits to a cluster themselves, and want to see which ones hold.

``gameday guardrails``: render guardrails.yaml for the API server, and show it beside what is
installed. What is rendered is ``gameday.safety.policy``'s.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gameday.cli import complete
from gameday.cli.options import ExperimentsOption, OutputOption, SandboxOption, examples
from gameday.cli.output import Format, emit, note, table
from gameday.errors import ExitCode, UsageError


def render(
    experiments: ExperimentsOption = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write it here instead of printing it.")
    ] = None,
) -> None:
    """Render guardrails.yaml for the API server.

    Two ValidatingAdmissionPolicies with their bindings, the ConfigMap with the limits, and the safety
    lever's, for kubectl apply -f. Needs Kubernetes 1.30. It never releases an engaged lever.
    """
    from gameday.cli.catalogue import open_catalogue  # noqa: PLC0415 - only inside the call
    from gameday.safety.policy import as_yaml  # noqa: PLC0415 - only inside the call
    from gameday.safety.policy import render as rendered  # noqa: PLC0415 - only inside the call

    catalogue = open_catalogue(experiments)
    text = as_yaml(rendered(catalogue.guardrails, catalogue.platform))
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror}") from None
    note(f"Written to {to}. Apply it: kubectl apply -f {to}")


def show(
    env: Annotated[
        str | None,
        typer.Option(
            "--env",
            "-e",
            help="Also look whether they are installed there.",
            autocompletion=complete.environments,
        ),
    ] = None,
    output: OutputOption = Format.TEXT,
    sandbox: SandboxOption = False,
    experiments: ExperimentsOption = None,
) -> int:
    """Show the limits as the API server reads them, and with --env whether it has them.

    Exit code 3 where they are not installed there, or differ from the file.
    """
    from gameday.cli.catalogue import open_catalogue  # noqa: PLC0415 - only inside the call
    from gameday.cli.sandboxed import sandboxed  # noqa: PLC0415 - only inside the call
    from gameday.safety.policy import limits  # noqa: PLC0415 - only inside the call

    env = "staging" if sandbox and env is None else env
    catalogue = open_catalogue(experiments)
    data: dict[str, Any] = {"limits": limits(catalogue.guardrails, catalogue.platform)}
    if env is not None:
        with sandboxed(sandbox, environment=env, experiments=experiments):
            data["drift"] = asyncio.run(_drift(env, experiments))
    emit(data, output, lambda console: _print(console, data, env))
    return ExitCode.REFUSED if data.get("drift") else ExitCode.HELD


async def _drift(environment: str, experiments: Path | None) -> list[str]:
    from gameday.cli.catalogue import open_catalogue  # noqa: PLC0415 - only inside the call
    from gameday.clients.kubernetes import Cluster  # noqa: PLC0415 - only inside the call
    from gameday.safety.policy import render as rendered  # noqa: PLC0415 - only inside the call
    from gameday.safety.policy_install import drift  # noqa: PLC0415 - only inside the call
    from gameday.settings import clock, load  # noqa: PLC0415 - only inside the call

    settings, catalogue = load(), open_catalogue(experiments)
    where = catalogue.platform.environment(environment)
    connection = Cluster.connect(
        where.context, clock=clock(settings), call_timeout=settings.kubernetes_timeout
    )
    async with connection as cluster:
        return await drift(cluster, rendered(catalogue.guardrails, catalogue.platform))


def _print(console: Console, data: dict[str, Any], env: str | None) -> None:
    rows = table("LIMIT", "VALUE")
    for key, value in data["limits"].items():
        rows.add_row(key, value)
    console.print(rows)
    if env is None:
        return
    for sentence in data["drift"]:
        console.print(sentence, style="bold red", soft_wrap=True)
    if data["drift"]:
        console.print("Install them: gameday guardrails render | kubectl apply -f -", soft_wrap=True)
    else:
        console.print(f"The API server of {env} enforces them.", style="green")


def register(app: typer.Typer) -> None:
    """Add ``gameday guardrails`` to ``app``."""
    group = typer.Typer(
        name="guardrails",
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="Show the limits of guardrails.yaml, and render them for the API server.",
    )
    group.command(
        epilog=examples(
            "gameday guardrails render | kubectl apply -f -",
            "gameday guardrails render --to deployments/base/guardrails.yaml",
        )
    )(render)
    group.command(epilog=examples("gameday guardrails show", "gameday guardrails show --env production"))(
        show
    )
    app.add_typer(group)
