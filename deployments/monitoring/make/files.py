"""Why: what is made from the catalogue is committed, so that it can be read and applied as it is.

Names each file with its content; a test fails where a committed one differs.
"""

from __future__ import annotations

from deployments.monitoring.make.dashboards import dashboards
from deployments.monitoring.make.rules import rules
from gameday.spec.catalogue import Catalogue


def made(catalogue: Catalogue) -> dict[str, str]:
    """Every file that is made, by its path below ``deployments/monitoring``."""
    return {
        **{f"dashboards/{uid}.json": content for uid, content in dashboards(catalogue).items()},
        **{f"rules/{name}.yaml": content for name, content in rules(catalogue.platform).items()},
    }
