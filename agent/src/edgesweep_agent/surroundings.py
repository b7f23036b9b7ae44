"""What the agent keeps of its board from trial to trial: the gates with what they have learned, and the clocks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgesweep_proto.trial import Trial

from edgesweep_agent.clocks import Clocks

if TYPE_CHECKING:
    from edgesweep_agent.around_trial import Around
    from edgesweep_agent.cpu_clusters import CpuChoice
    from edgesweep_agent.gates import Gates, Pace


class Surroundings:
    """The board's gates and clocks, over all trials of this life of the agent."""

    def __init__(self, sysroot: Path, state_dir: Path, pace: Pace | None = None) -> None:
        self.sysroot = sysroot
        self.clocks = Clocks(sysroot, state_dir)
        self._state_dir = state_dir
        self._pace = pace

    # What only a trial needs is loaded with the first one: an agent that waits for it shall stay small.

    @functools.cached_property
    def pace(self) -> Pace:
        """The time that the gates live in."""
        from edgesweep_agent.gates import Pace

        return self._pace or Pace()

    @functools.cached_property
    def gates(self) -> Gates:
        """What a trial waits for before it begins."""
        from edgesweep_agent.gates import Gates
        from edgesweep_agent.idle_reference import IdleReference

        return Gates(self.sysroot, IdleReference(self._state_dir / "idle_temperatures.json"), self.pace)

    def around(self, trial: Trial, choice: CpuChoice, on_wait: Callable[[str], None]) -> Around:
        """What goes on around `trial`, to be entered before its worker starts.

        Args:
            trial: The trial that is about to run.
            choice: Its CPUs.
            on_wait: Is told the name of each gate that has to be waited for.
        """
        from edgesweep_agent.around_trial import Around

        return Around(self, trial, choice, on_wait)
