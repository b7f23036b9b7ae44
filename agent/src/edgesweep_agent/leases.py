"""The one lease on this device: who may measure, until when, and the number that fences out everybody before."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgesweep_proto.lease import Lease

from edgesweep_agent.clock import boot_id, boottime
from edgesweep_agent.durable import read_json, write_json
from edgesweep_agent.faults import Fault

#: Longest time in seconds that a lease lives without being renewed.
MAX_TTL_S = 24 * 3600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """A granted lease; `expires` is on CLOCK_BOOTTIME."""

    fencing_number: int
    owner: str
    identity: str
    priority: int
    ttl_s: float
    expires: float
    purpose: str


class LeaseBook:
    """Grants the lease, keeps its fencing number growing over restarts, and forgets it when it expires.

    A lease survives a restart of the agent within one boot, so that a crashed agent does not cost a run. The
    lease belongs to the identity that acquired it: its number alone, which `current` shows to everybody, opens
    nothing.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = boottime, boot: Callable[[], str] = boot_id) -> None:
        self._path = path
        self._now = now
        self._boot = boot()
        self._last = 0
        self._held: _Held | None = None
        self._load()

    def acquire(
        self, owner: str, identity: str, *, ttl_s: float, priority: int = 0, purpose: str = ""
    ) -> tuple[Lease, int | None]:
        """Grant a new lease.

        The holder itself gets a new number at once (a controller that was killed comes back); a stranger gets one
        when the lease has expired or when its priority is higher.

        Args:
            owner: Who asks, in the words that others are shown.
            identity: Who asks, as TLS proved it.
            ttl_s: Seconds that it lives without renewal.
            priority: Takes the lease from holders of a lower one.
            purpose: What for, in the words that others are shown.

        Returns:
            The lease, after which every older number is dead, and the number of the lease that the same holder had
            last, alive or not: what waits under that one goes on.

        Raises:
            Fault: `lease_held`, or `invalid_request` for a senseless owner or ttl.
        """
        if not owner or len(owner) > 200 or len(purpose) > 500:  # noqa: PLR2004 - both are shown on one line
            raise Fault("invalid_request", "a lease needs an owner of at most 200 and a purpose of at most 500 letters")
        _check_ttl(ttl_s)
        held = self._living()
        if held and (held.owner, held.identity) != (owner, identity) and priority <= held.priority:
            left = held.expires - self._now()
            what = f" for {held.purpose}" if held.purpose else ""
            raise Fault(
                "lease_held",
                f"{held.owner} holds the device{what} for another {left:.0f} s at priority {held.priority}; "
                "wait for it, or ask with a higher priority",
            )
        superseded = None
        if self._held and (self._held.owner, self._held.identity) == (owner, identity):
            superseded = self._held.fencing_number
        self._last += 1
        self._held = _Held(self._last, owner, identity, priority, ttl_s, self._now() + ttl_s, purpose)
        self._save(flush=True)
        return self._view(self._held), superseded

    def renew(self, fencing_number: int, identity: str, *, ttl_s: float) -> Lease:
        """Let the lease live for another `ttl_s` seconds from now.

        Raises:
            Fault: `lease_lost`, or `invalid_request` for a senseless ttl.
        """
        _check_ttl(ttl_s)
        held = self._check(fencing_number, identity)
        self._held = replace(held, ttl_s=ttl_s, expires=self._now() + ttl_s)
        # Renewals come while a trial measures: they do not wait for the disk. A power cut ends the boot, and so the lease.
        self._save(flush=False)
        return self._view(self._held)

    def release(self, fencing_number: int, identity: str) -> None:
        """Give the lease back.

        Raises:
            Fault: `lease_lost` when it is not the caller's any more.
        """
        held = self._check(fencing_number, identity)
        self._held = replace(held, expires=self._now())
        self._save(flush=True)

    def check(self, fencing_number: int, identity: str) -> None:
        """Refuse a caller who does not hold the lease.

        Raises:
            Fault: `lease_lost`.
        """
        self._check(fencing_number, identity)

    def holds(self, fencing_number: int) -> bool:
        """Whether the lease of that number is alive."""
        held = self._living()
        return held is not None and held.fencing_number == fencing_number

    def current(self) -> tuple[Lease, ...]:
        """The living lease, if there is one."""
        held = self._living()
        return (self._view(held),) if held else ()

    def _living(self) -> _Held | None:
        held = self._held
        return held if held and held.expires > self._now() else None

    def _check(self, fencing_number: int, identity: str) -> _Held:
        held = self._living()
        if held is None:
            raise Fault("lease_lost", f"the lease {fencing_number} has expired or was released; acquire a new one")
        if held.fencing_number != fencing_number:
            raise Fault("lease_lost", f"the lease {fencing_number} is over: {held.owner} holds {held.fencing_number}")
        if held.identity != identity:
            raise Fault("lease_lost", f"the lease {fencing_number} belongs to {held.owner}, not to {identity}")
        return held

    def _view(self, held: _Held) -> Lease:
        return Lease(
            id=f"lease-{held.fencing_number}",
            owner=held.owner,
            fencing_number=held.fencing_number,
            priority=held.priority,
            ttl_s=held.ttl_s,
            expires_in_s=max(0.0, held.expires - self._now()),
            purpose=held.purpose,
        )

    def _save(self, *, flush: bool) -> None:
        held = self._held
        data: dict[str, Any] = {"last": self._last, "boot_id": self._boot, "held": None}
        if held:
            data["held"] = {name: getattr(held, name) for name in _Held.__slots__}
        write_json(self._path, data, flush=flush)

    def _load(self) -> None:
        try:
            data = read_json(self._path)
            self._last = int(data["last"])
            if data["held"] and self._boot and data["boot_id"] == self._boot:
                self._held = _Held(**data["held"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            # Without the file the numbers that were given out are unknown: jump over all that can ever have been.
            self._last = int(self._path.stat().st_mtime)
            self._path.replace(self._path.with_suffix(".corrupt"))
            _log.warning("%s was not readable (%s): set aside, numbers go on from %d", self._path, error, self._last)
            self._save(flush=True)


def _check_ttl(ttl_s: float) -> None:
    if not (math.isfinite(ttl_s) and 0 < ttl_s <= MAX_TTL_S):
        raise Fault("invalid_request", f"the lease's ttl must lie between 0 and {MAX_TTL_S:.0f} s, not {ttl_s}")
