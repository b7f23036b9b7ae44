"""One trial's surroundings: the gates that it waits at, its fixed clocks, the sampler beside it, and what all that shows.

Loaded with the first trial: an agent that only waits for one shall stay small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from edgesweep_proto.device import Reading
from edgesweep_proto.evidence import Gate
from edgesweep_proto.trial import Trial, TrialResult

from edgesweep_agent.cpu_clusters import CpuChoice
from edgesweep_agent.energy import MIN_WINDOW_S, idle_watts, tells_joules, told_energy
from edgesweep_agent.gates import TAGS
from edgesweep_agent.probes import take_reading
from edgesweep_agent.sampled import sampler_job
from edgesweep_agent.sampler_process import SamplerProcess, Seen

if TYPE_CHECKING:
    from edgesweep_agent.surroundings import Surroundings

_CPU = "CPUExecutionProvider"


class Around:
    """One trial's surroundings: entering waits and prepares, leaving looks once more and puts the clocks back."""

    def __init__(self, board: Surroundings, trial: Trial, choice: CpuChoice, on_wait: Callable[[str], None]) -> None:
        self._board = board
        self._trial = trial
        self._choice = choice
        self._on_wait = on_wait
        self._gates: tuple[Gate, ...] = ()
        self._tags: list[str] = []
        self._before: Reading | None = None
        self._after: Reading | None = None
        self._sampler: SamplerProcess | None = None
        self._seen = Seen()
        self._idle_before_w: float | None = None
        self._idle_after_w: float | None = None

    async def __aenter__(self) -> None:
        board, protocol = self._board, self._trial.protocol
        if protocol.untimed:
            return  # Whatever the board does meanwhile, an answer is right or wrong.
        self._gates = await board.gates.wait(protocol, self._on_wait)
        self._tags += [TAGS[gate.name] for gate in self._gates if not gate.passed]
        try:
            if protocol.fix_clocks:
                self._tags.append("clocks_fixed" if board.clocks.fix() else "clocks_uncontrolled")
            if tells_joules(protocol, board.sysroot):
                self._idle_before_w = await idle_watts(board.sysroot, board.pace)
            # A single core has to do the sampler's work and the trial's: there nobody looks.
            if not self._choice.alone:
                self._sampler = await SamplerProcess.started(self._sampler_job())
        except BaseException:
            board.clocks.restore()
            raise
        self._before = take_reading(board.sysroot)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        board = self._board
        if self._trial.protocol.untimed:
            return
        try:
            if self._sampler is not None and kind is None:
                self._seen = await self._sampler.seen()
            self._after = take_reading(board.sysroot)
            before = self._before.throttled_since_boot if self._before else ()
            newly = set(self._after.throttled_since_boot) - set(before)
            self._tags += [f"throttled:{name}" for name in sorted(newly)]
            if self._seen.energy is not None and self._seen.energy.window_s >= MIN_WINDOW_S and self._idle_before_w:
                self._idle_after_w = await idle_watts(board.sysroot, board.pace)
        finally:
            board.clocks.restore()
            if self._sampler is not None:
                await self._sampler.close()

    def measuring(self, *, measuring: bool) -> None:
        """The trial begins or ends to take times; only what happens in between is looked at."""
        if self._sampler is not None:
            if measuring:
                self._sampler.begin()
            else:
                self._sampler.end()

    def told(self, result: TrialResult) -> TrialResult:
        """The result with everything that was seen around it."""
        energy = self._seen.energy
        if energy is not None:
            energy = told_energy(energy, self._idle_before_w, self._idle_after_w, result.samples)
        return replace(
            result,
            gates=self._gates,
            trace=self._seen.trace,
            energy=energy,
            before=self._before,
            after=self._after,
            tags=tuple(dict.fromkeys((*result.tags, *self._tags))),
        )

    def _sampler_job(self) -> dict[str, object]:
        return sampler_job(
            self._board.sysroot,
            cpus=self._choice.cpus,
            accelerated=any(provider.name != _CPU for provider in self._trial.providers),
            cpu=self._choice.sampler,
        )
