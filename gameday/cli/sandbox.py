"""Why: a person with Python and nothing else can have a platform to break, and break even that.

``gameday sandbox``: start it, point a shell at it, make its parts misbehave, end it. What runs is
``sandbox.process``, imported only here, in ``sandboxed`` and in ``embedded``.
"""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gameday.cli.embedded import STAGE, enforce_limits, home, platform_file, pointed_at, running
from gameday.cli.levers import PARTS, Part
from gameday.cli.options import OutputOption, duration, examples
from gameday.cli.output import Format, emit, local_date_time, note, stdout, table
from gameday.errors import GamedayError, OutsideError, UsageError
from gameday.spec.base import nearest

if TYPE_CHECKING:
    from rich.console import Console

    from sandbox.process.options import SandboxState

_UP_HINT = 'Start one: eval "$(gameday sandbox up)"'


def _required() -> SandboxState:
    state = running()
    if state is None:
        raise UsageError("no sandbox is up", hint=_UP_HINT)
    return state


def up(
    *,
    live: Annotated[
        bool,
        typer.Option("--live/--rehearsal", help="Real time, or time that passes only while a run waits."),
    ] = True,
    speed: Annotated[
        float,
        typer.Option(min=0.01, max=1000, metavar="FACTOR", help="Live: how many seconds pass in a real one."),
    ] = 1.0,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Chance: the same seed, the same numbers.")] = 1,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="On 127.0.0.1; 0 takes a free one.")
    ] = 0,
    history: Annotated[
        timedelta,
        typer.Option(
            parser=duration, metavar="DURATION", show_default="10m", help="How long it has been running."
        ),
    ] = timedelta(minutes=10),
    idle: Annotated[
        timedelta,
        typer.Option(
            parser=duration, metavar="DURATION", show_default="1h", help="It ends when unused for so long."
        ),
    ] = timedelta(minutes=60),
    guardrails: Annotated[
        bool,
        typer.Option(
            "--guardrails/--no-guardrails", help="Whether its API server enforces guardrails.yaml by itself."
        ),
    ] = True,
) -> None:
    """Start the sandbox and print the variables that point this shell at it.

    Say eval "$(gameday sandbox up)": from then on, gameday and kubectl in this shell act on it.
    """
    if not live and speed != 1.0:
        raise UsageError("--speed is for --live: in rehearsal, time passes only while a run waits")
    state = running()
    if state is not None:
        note(
            f"A sandbox is already up ({_words(state)}). To start another: gameday sandbox down",
            style="yellow",
        )
    else:
        state = _start(
            mode="live" if live else "rehearsal",
            speed=speed,
            seed=seed,
            port=port,
            history=history,
            idle=idle,
        )
        if guardrails:
            _enforce_limits(state)
        note(f"The sandbox is up ({_words(state)}). It ends with: gameday sandbox down", style="green")
    _print_exports(state)


def _start(**options: Any) -> SandboxState:
    from pydantic import ValidationError  # noqa: PLC0415 - only inside the call

    from sandbox.process.launch import SandboxError, launch  # noqa: PLC0415 - only inside the call
    from sandbox.process.options import SandboxOptions  # noqa: PLC0415 - only inside the call

    try:
        wanted = SandboxOptions(directory=home(), platform=platform_file(), environment=STAGE, **options)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise UsageError(f"--{detail['loc'][0]}: {detail['msg']}") from None
    try:
        return launch(wanted).state
    except SandboxError as error:
        raise OutsideError("sandbox", str(error)) from None


def _enforce_limits(state: SandboxState) -> None:
    from sandbox.process.launch import stop  # noqa: PLC0415 - only inside the call

    try:
        with pointed_at(state.environment):
            enforce_limits()
    except GamedayError:
        # Whoever asked for limits must not be left with a sandbox that has none.
        stop(home(), state.pid)
        raise


def _words(state: SandboxState) -> str:
    pace = "rehearsal" if state.mode == "rehearsal" else f"live, speed {state.speed:g}"
    return f"{state.url}, {pace}, seed {state.seed}"


def _print_exports(state: SandboxState) -> None:
    for name, value in state.environment.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
    if not stdout().is_terminal:
        return
    note('These lines did nothing yet. Load them: eval "$(gameday sandbox env)"', style="yellow")


def env() -> None:
    """Print the variables of the sandbox that is up, for eval "$(gameday sandbox env)"."""
    _print_exports(_required())


def down() -> None:
    """End the sandbox.

    Where this shell still points at it, prints the lines that undo it: eval "$(gameday sandbox down)".
    """
    from sandbox.process import presence  # noqa: PLC0415 - only inside the call
    from sandbox.process.launch import SandboxError, stop  # noqa: PLC0415 - only inside the call

    directory = home()
    state = running()
    if state is None:
        if presence.is_up(directory):
            raise OutsideError("sandbox", "it is just starting", hint="Try again in a few seconds.")
        note("No sandbox is up.")
        return
    try:
        stop(directory, state.pid)
    except SandboxError as error:
        raise OutsideError("sandbox", str(error)) from None
    note("The sandbox is down.", style="green")
    loaded = [name for name, value in state.environment.items() if os.environ.get(name) == value]
    if loaded:
        typer.echo(f"unset {' '.join(loaded)}")


def _parts(incomplete: str) -> list[str]:
    return [name for name in PARTS if name.startswith(incomplete)]


def _levers(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    part = PARTS.get(context.params.get("part") or "")
    levers = part.levers if part else {}
    return [(name, lever.effect) for name, lever in levers.items() if name.startswith(incomplete)]


PartArgument = Annotated[
    str | None, typer.Argument(metavar="PART", help="Which part.", autocompletion=_parts)
]


def break_(
    part: PartArgument = None,
    how: Annotated[
        str | None, typer.Argument(metavar="HOW", help="In which way.", autocompletion=_levers)
    ] = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Make a part of the sandbox misbehave, until gameday sandbox mend.

    Without arguments, lists the parts and what can go wrong with each.
    """
    if part is None:
        _list_levers(output)
        return
    levers = _known_part(part).levers
    if how is None or how not in levers:
        complaint = f"say how {part} shall misbehave" if how is None else f"{part} cannot be {how!r}"
        hint = "" if how is None else nearest(how, levers)
        raise UsageError(f"{complaint}{hint or '; it can be ' + ', '.join(levers)}")
    state, lever = _required(), levers[how]
    _ask(state, lever.method, f"{PARTS[part].door}{lever.path}", lever.body)
    note(f"{PARTS[part].title}: {lever.effect} Mend it: gameday sandbox mend {part}", style="yellow")


def mend(part: PartArgument = None) -> None:
    """Mend a part of the sandbox, or all of them."""
    wanted = PARTS if part is None else {part: _known_part(part)}
    state = _required()
    for each in wanted.values():
        _ask(state, "DELETE", each.door)
    note(f"Mended: {', '.join(each.title for each in wanted.values())}.", style="green")


def _known_part(name: str) -> Part:
    part = PARTS.get(name)
    if part is None:
        hint = nearest(name, PARTS) or f"; known: {', '.join(PARTS)}"
        raise UsageError(f"no part of the sandbox is called {name!r}{hint}")
    return part


def _list_levers(output: Format) -> None:
    data = [
        {"part": name, "how": how, "effect": lever.effect}
        for name, part in PARTS.items()
        for how, lever in part.levers.items()
    ]

    def text(console: Console) -> None:
        rows = table("part", "how", "what people see")
        for one in data:
            rows.add_row(one["part"], one["how"], one["effect"])
        console.print(rows)

    emit(data, output, text)


def status(output: OutputOption = Format.TEXT) -> None:
    """Tell whether a sandbox is up, where, what time it is there and what is broken in it."""
    state = running()
    if state is None:
        emit({"up": False}, output, lambda console: console.print(f"No sandbox is up. {_UP_HINT}"))
        return
    clock = _ask(state, "GET", "/control/clock")
    info = _ask(state, "GET", "/control/info")
    broken = {name: part.broken(_ask(state, "GET", part.door)) for name, part in PARTS.items()}
    data = {
        "up": True,
        **state.model_dump(mode="json", exclude={"environment"}),
        "now": clock["now"],
        "broken": {name: how for name, how in broken.items() if how},
        "requests": info["requests"],
        "environment": state.environment,
    }
    emit(data, output, lambda console: _show_status(console, state, data))


def _show_status(console: Console, state: SandboxState, data: dict[str, Any]) -> None:
    rows = table("sandbox", "")
    rows.show_header = False
    rows.add_row("up", _words(state))
    rows.add_row("since", local_date_time(state.started))
    rows.add_row("time there", local_date_time(datetime.fromisoformat(data["now"])))
    for name, how in data["broken"].items():
        words = (value if isinstance(value, str) else key for key, value in how.items())
        rows.add_row("broken", f"{PARTS[name].title}: {', '.join(words)}")
    rows.add_row("process", str(state.pid))
    rows.add_row("kubeconfig", str(state.kubeconfig))
    rows.add_row("requests", ", ".join(f"{part} {count}" for part, count in sorted(data["requests"].items())))
    console.print(rows)


def _ask(state: SandboxState, method: str, path: str, body: Any = None) -> Any:
    import httpx  # noqa: PLC0415 - only inside the call

    try:
        response = httpx.request(
            method,
            f"{state.url}{path}",
            json=body,
            timeout=10.0,
            trust_env=False,
            verify=False,  # noqa: S501 - plain HTTP on loopback
        )
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise OutsideError(
            "sandbox",
            f"{path} does not answer as expected ({str(error).partition(chr(10))[0]})",
            hint=f"Its log: {state.kubeconfig.parent / 'sandbox.log'}",
        ) from None
    return response.json() if response.content else None


def register(app: typer.Typer) -> None:
    """Add ``gameday sandbox`` to ``app``."""
    group = typer.Typer(
        name="sandbox",
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="Start, break and end the embedded platform: PyAirtable in a box, with real HTTP APIs.",
    )
    group.command(
        epilog=examples('eval "$(gameday sandbox up)"', 'eval "$(gameday sandbox up --speed 10 --seed 7)"')
    )(up)
    group.command(epilog=examples('eval "$(gameday sandbox down)"'))(down)
    group.command(epilog=examples("gameday sandbox status", "gameday sandbox status -o json"))(status)
    group.command()(env)
    group.command(
        "break",
        epilog=examples(
            "gameday sandbox break", "gameday sandbox break prometheus stale", "gameday sandbox mend"
        ),
    )(break_)
    group.command(epilog=examples("gameday sandbox mend", "gameday sandbox mend slack"))(mend)
    app.add_typer(group)
