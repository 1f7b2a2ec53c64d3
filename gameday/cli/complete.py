"""Why: pressing Tab suggests what there is, and never prints an error into somebody's prompt.

Callbacks for Typer's ``autocompletion``. A catalogue that is broken or a journal that is missing
means no suggestions; the command itself will say what is wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path

Suggest = Callable[[str], list[str]]


def _quietly(names: Callable[[], Iterable[str]]) -> Suggest:
    @wraps(names)
    def suggest(incomplete: str) -> list[str]:
        logging.disable(logging.CRITICAL)
        try:
            return [name for name in names() if name.startswith(incomplete)]
        except Exception:
            return []

    # Typer looks at the signature to know what to pass: it must not find that of ``names``.
    suggest.__annotations__ = {"incomplete": str, "return": list[str]}
    del suggest.__wrapped__
    return suggest


@_quietly
def experiments() -> Iterable[str]:
    """The experiments of the catalogue."""
    from gameday.settings import load  # noqa: PLC0415 - only on Tab
    from gameday.spec.catalogue import Catalogue  # noqa: PLC0415 - only on Tab

    return Catalogue(load().experiments).names


@_quietly
def suites() -> Iterable[str]:
    """The suites of the catalogue."""
    from gameday.settings import load  # noqa: PLC0415 - only on Tab
    from gameday.spec.catalogue import Catalogue  # noqa: PLC0415 - only on Tab

    return Catalogue(load().experiments).suites


@_quietly
def services() -> Iterable[str]:
    """The services of platform.yaml."""
    from gameday.settings import load  # noqa: PLC0415 - only on Tab
    from gameday.spec.catalogue import Catalogue  # noqa: PLC0415 - only on Tab

    return [service.name for service in Catalogue(load().experiments).platform.services]


@_quietly
def teams() -> Iterable[str]:
    """The teams of platform.yaml."""
    from gameday.settings import load  # noqa: PLC0415 - only on Tab
    from gameday.spec.catalogue import Catalogue  # noqa: PLC0415 - only on Tab

    return [team.name for team in Catalogue(load().experiments).platform.teams]


def of(names: Iterable[str]) -> Suggest:
    """One of ``names``, which are always the same."""
    return _quietly(lambda: names)


@_quietly
def environments() -> Iterable[str]:
    """The environments of platform.yaml."""
    from gameday.settings import load  # noqa: PLC0415 - only on Tab
    from gameday.spec.catalogue import Catalogue  # noqa: PLC0415 - only on Tab

    return [environment.name for environment in Catalogue(load().experiments).platform.environments]


@_quietly
def runs() -> Iterable[str]:
    """The latest runs of the journal, the newest first."""
    import asyncio  # noqa: PLC0415 - only on Tab

    from sqlalchemy import make_url  # noqa: PLC0415 - only on Tab

    from gameday.journal.store import Journal  # noqa: PLC0415 - only on Tab
    from gameday.settings import load  # noqa: PLC0415 - only on Tab

    url = load().database_url
    file = make_url(url).database
    if url.startswith("sqlite") and not (file and Path(file).exists()):
        # Opening it would create it.
        return []

    async def latest() -> list[str]:
        async with Journal.open(url) as journal:
            return [record.run for record in await journal.latest()]

    return asyncio.run(latest())


def experiments_and_suites(incomplete: str) -> list[str]:
    """What can be planned and run."""
    return [*experiments(incomplete), *suites(incomplete)]


def experiments_and_runs(incomplete: str) -> list[str]:
    """What ``show`` knows by name."""
    return [*experiments_and_suites(incomplete), *runs(incomplete)]
