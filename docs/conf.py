"""Why: the pages under ``docs/`` are one site, whose build fails at a link that leads nowhere.

``make docs`` builds it, strictly and without the network. What is written from the code itself is made
by ``_ext/generated.py``; pages are picked up by the index pages' patterns, so a new page needs no entry.
"""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE.parent))

project = "pyairtable-chaos"
extensions = ["myst_parser", "docs._ext.generated"]
exclude_patterns = ["_ext"]
nitpicky = True

myst_heading_anchors = 4
# "..." stays "...": what is shown is often to be typed.
smartquotes = False

html_theme = "furo"
html_title = "pyairtable-chaos"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
