"""Write everything in ``deployments/monitoring`` that is made: ``python -m deployments.monitoring.make``."""

from __future__ import annotations

from pathlib import Path

from deployments.monitoring.make.files import made
from gameday.spec.catalogue import Catalogue, default_directory


def main() -> None:
    """Write them beside this package."""
    root = Path(__file__).resolve().parents[1]
    for name, content in made(Catalogue(default_directory())).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
