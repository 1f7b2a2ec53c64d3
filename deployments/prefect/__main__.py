"""Deploy everything to the Prefect server that PREFECT_API_URL names: ``python -m deployments.prefect``."""

from __future__ import annotations

import argparse
import asyncio
import sys

from deployments.prefect.apply import KUBERNETES, PROCESSES, apply
from gameday.errors import ExitCode, GamedayError


def main() -> int:
    """Make the pools, deploy prefect.yaml, apply the automations; as often as wanted."""
    parser = argparse.ArgumentParser(prog="python -m deployments.prefect", description=main.__doc__)
    parser.add_argument(
        "--pool",
        choices=[PROCESSES, KUBERNETES],
        default=PROCESSES,
        help="where the runs go (default: %(default)s)",
    )
    parser.add_argument(
        "--directory", default="/app", help="where the image has this project (default: %(default)s)"
    )
    chosen = parser.parse_args()
    try:
        for line in asyncio.run(apply(chosen.pool, chosen.directory)):
            sys.stdout.write(f"{line}\n")
    except GamedayError as error:
        sys.stderr.write(f"{error.message} {error.hint}".strip() + "\n")
        return error.exit_code
    return ExitCode.HELD


if __name__ == "__main__":
    sys.exit(main())
