"""Why: what a person does here is kept under one name, that of whoever is logged in on this machine."""

from __future__ import annotations

import getpass
import os


def user() -> str:
    """The name of the user of this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user often has no name.
        return f"uid {os.getuid()}"
