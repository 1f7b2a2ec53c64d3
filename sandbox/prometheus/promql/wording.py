"""Why: people paste Prometheus's parse errors into searches, so ours must read the same.

promql-parser names the same faults in slightly other words, and no position. This brings its words
to Prometheus's and finds the position again, for the common faults; the others stand at 1:1.
"""

from __future__ import annotations

import re

_REPLACED = (
    (r"'([^']*)'", r'"\1"'),
    (r"\bmatrix\b", "range vector"),
    (r"(?<!range )(?<!instant )\bvector\b(?= in| but|, got|$)", "instant vector"),
)
_AGGREGATION = (
    r"\b(?:sum|avg|min|max|count|stddev|stdvar|group|topk|bottomk|quantile|count_values)\s*"
    r"(?:(?:by|without)\s*\([^)]*\)\s*)?\("
)


def parse_error(message: str, query: str) -> str:
    """What Prometheus says where promql-parser says ``message`` about ``query``."""
    if "expected" in message:
        for pattern, replacement in _REPLACED:
            message = re.sub(pattern, replacement, message)
    message = message.replace("'", '"')
    return f"1:{_position(message, query)}: parse error: {message}"


def _position(message: str, query: str) -> int:
    if message.startswith(("unclosed", "unexpected end")):
        return len(query) + 1
    if "in aggregation expression" in message:
        found = re.search(_AGGREGATION, query)
        return found.end() + 1 if found else 1
    name = re.search(r'(?:call to(?: function)?|function with name) "(\w+)"', message)
    called = re.search(rf"\b{name[1]}\s*\(", query) if name else None
    if not called:
        return 1
    return (called.end() if message.startswith("expected type") else called.start()) + 1
