"""Write the catalogue of the local cluster: ``python -m deployments.local.catalogue DIRECTORY``.

It is the one that comes along, but for what the stand-in of the platform does otherwise: the kubeconfig
context that kind makes, and where its services answer for their health.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from gameday.spec.catalogue import default_directory

CONTEXT: Final = "kind-gameday"
ENVIRONMENT: Final = "dev"
_HEALTH: Final = "/healthz"


def write(directory: Path) -> None:
    """Write it into ``directory``; what was there under the same names is written anew."""
    shutil.copytree(default_directory(), directory, dirs_exist_ok=True)
    yaml = YAML()
    yaml.width = 1000
    path = directory / "platform.yaml"
    content = yaml.load(path.read_text(encoding="utf-8"))
    for service in content["services"]:
        if "health" in service:
            service["health"] = _HEALTH
    for environment in content["environments"]:
        if environment["name"] == ENVIRONMENT:
            environment["context"] = CONTEXT
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deployments.local.catalogue DIRECTORY")
    write(Path(sys.argv[1]))
