"""Names of devices: they become DNS names in certificates and parts of cell names."""

from __future__ import annotations

import re

#: The zone under which a device's name stands in its certificate.
ZONE = "edgesweep"

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def name_fault(name: str) -> str:
    """Why `name` cannot be a device's (or a controller's) name; empty when it can."""
    if _NAME.fullmatch(name):
        return ""
    return f"{name!r} is not a name: use 1 to 63 lower-case letters, digits and dashes, with no dash at either end"


def verified_name(device: str) -> str:
    """The DNS name that the certificate of `device` must carry, whatever its address is."""
    return f"{device}.{ZONE}"
