"""The right to measure on a device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to measure on one device, guarded by a number that only ever grows.

    `ttl_s` and `expires_in_s` are seconds on the agent's CLOCK_BOOTTIME.
    """

    id: str
    owner: str
    fencing_number: int
    priority: int
    ttl_s: float
    expires_in_s: float
    purpose: str = ""
