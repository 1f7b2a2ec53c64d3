"""Print platform.yaml asking for what is recorded: ``python -m deployments.monitoring.recorded``.

Every comment stays. The rules are made from the file with the queries themselves: keep that one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ruamel.yaml import YAML

from deployments.monitoring.make.rules import recorded_name
from gameday.errors import ExitCode, GamedayError
from gameday.spec.catalogue import Catalogue


def main(arguments: list[str] | None = None) -> int:
    """Print it; what is wrong with the catalogue is told as ``gameday validate`` tells it."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.monitoring.recorded", description=main.__doc__
    )
    parser.add_argument("--experiments", type=Path, help="the catalogue (default: the one that comes along)")
    try:
        catalogue = Catalogue(parser.parse_args(arguments).experiments)
        names = {one.name: recorded_name(one) for one in catalogue.platform.prometheus.signals}
    except GamedayError as error:
        sys.stderr.write(f"{error.message} {error.hint}".strip() + "\n")
        return error.exit_code
    yaml = YAML()
    yaml.width = 1000
    content = yaml.load((catalogue.directory / "platform.yaml").read_text(encoding="utf-8"))
    for signal in content["prometheus"]["signals"]:
        signal["query"] = names[signal["name"]]
    yaml.dump(content, sys.stdout)
    return ExitCode.HELD


if __name__ == "__main__":
    sys.exit(main())
