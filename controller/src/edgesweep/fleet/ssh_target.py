"""What can be given to ssh as a host: nothing that it would read as an option, or a shell as several words."""

from __future__ import annotations

import re


def target_fault(target: str) -> str:
    """Why `target` cannot be given to ssh; empty when it can."""
    if not target or target.startswith("-") or re.search(r"[\s\x00-\x1f]", target) or target.endswith("@"):
        return f"{target!r} is no host to reach over ssh: write [USER@]HOST"
    return ""
