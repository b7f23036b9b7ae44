"""Workers that outlived their agent: ended before the next life accepts a trial."""

from __future__ import annotations

import logging
import os
import select

from edgesweep_proto.trial import TrialState

from edgesweep_agent.clock import boot_id, start_ticks
from edgesweep_agent.journal import Journal
from edgesweep_agent.worker_process import kill_group

#: Longest wait in milliseconds for a killed worker to go; one stuck in the kernel may take longer.
_GONE_WITHIN_MS = 10_000

_log = logging.getLogger(__name__)


def reap_orphans(journal: Journal) -> int:
    """Kill what the journal says was running and still is, and wait until it is gone.

    A worker asks for a death signal itself; this is for those that could not. A pid counts only with its start
    time and boot, because pids are given out again.

    Returns:
        How many were killed.
    """
    killed = 0
    for entry in journal.in_state(TrialState.RUNNING):
        running = journal.running(entry)
        if running is None or not running.pid or running.boot_id != boot_id():
            continue
        try:
            watched = os.pidfd_open(running.pid)
        except ProcessLookupError:
            continue
        try:
            # Asked after the descriptor is open, so it is this very process that is meant from here on.
            if start_ticks(running.pid) != running.start_ticks:
                continue
            _log.warning("worker %d of trial %s outlived its agent: killed", running.pid, entry.trial_id)
            kill_group(running.pid)
            _wait(watched)
            killed += 1
        finally:
            os.close(watched)
    return killed


def _wait(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(_GONE_WITHIN_MS)
