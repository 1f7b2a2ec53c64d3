"""Why: a proxy of the environment must not stand between this process and its own machine.

kubectl never sends loopback addresses through ``HTTPS_PROXY``; the Python SDKs do. Each client asks
here before it trusts the environment.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Whether ``url`` names this very machine, as ``localhost`` or a loopback address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
