"""Why: YAML looks the same on the screen and on a page, so that one can be held against the other.

Only the text; what stands in it, and where it goes, is its callers' business.
"""

from __future__ import annotations

from io import StringIO
from typing import Any, Final

_WIDTH: Final = 110


def yaml_text(plain: Any) -> str:
    """``plain``, as of JSON, as YAML."""
    # Only where it is asked for: it takes its time to come.
    from ruamel.yaml import YAML  # noqa: PLC0415

    written = StringIO()
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = _WIDTH
    yaml.dump(plain, written)
    return written.getvalue()
