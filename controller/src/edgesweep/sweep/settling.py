"""Which of a device's groups are open, and how they end: from their trials, from a prediction, or by lab trouble."""

from __future__ import annotations

from collections.abc import Sequence

from edgesweep_proto.device import Runtime
from edgesweep_proto.trial import Stage

from edgesweep.errors import EdgesweepError
from edgesweep.plan.preset import Preset
from edgesweep.stats.placement import FallbackPolicy
from edgesweep.sweep.events import Notice
from edgesweep.sweep.ledger import Ledger
from edgesweep.sweep.outcome import end_of_trials, follow
from edgesweep.sweep.predictions import Predictions
from edgesweep.sweep.work import Group, PlannedTrial


class Settling:
    """Ends the groups of one device. `runtimes` are the device's, with their limits; `skip` is the plan's word."""

    def __init__(
        self,
        groups: Sequence[Group],
        ledger: Ledger,
        *,
        preset: Preset,
        fallback: FallbackPolicy,
        host_tags: Sequence[str] = (),
        runtimes: Sequence[Runtime] = (),
        skip: str = "proven",
    ) -> None:
        self._groups = {group.leader.key: group for group in groups}
        self._open = dict(self._groups)
        self._ledger = ledger
        self._preset = preset
        self._fallback = fallback
        self._host_tags = tuple(host_tags)
        self._predictions = Predictions(
            groups,
            runtimes,
            skip=skip,
            trials=preset.trials,
            history_of=ledger.history,
            is_open=self.is_open,
            is_known=lambda group: all(map(ledger.is_known, group.cells)),
        )

    def is_open(self, group: Group) -> bool:
        """Whether a cell of the group waits for its outcome."""
        return any(map(self._ledger.is_open, group.cells))

    @property
    def open_groups(self) -> list[Group]:
        """Groups with a cell that waits for its outcome, in planned order."""
        return list(self._open.values())

    def may_run(self, group: Group) -> bool:
        """Whether the group's trials may be handed out now; those of a predicted failure may have to wait."""
        return self._predictions.may_run(group)

    def goes_first(self, group: Group) -> bool:
        """Whether others wait for what the group's trials show."""
        return self._predictions.is_representative(group)

    def is_done(self, group: Group) -> bool:
        """Whether nothing more is to be run for the group: it has ended, or all its trials are there."""
        return not self.is_open(group) or self._ledger.history(group.leader.name).is_settled(self._preset.trials)

    def planned_of(self, trial_id: str) -> PlannedTrial | None:
        """The trial of that id, if it is one of this run and device."""
        parts = trial_id.rsplit("/", 3)
        if len(parts) != 4 or parts[0] != self._ledger.run_id or parts[1] not in self._groups:  # noqa: PLR2004 - run/key/round/attempt
            return None
        return PlannedTrial(self._groups[parts[1]], int(parts[2]), int(parts[3]))

    async def settle(self, group: Group) -> None:
        """Ends the group when its trials are all there, and with it what its outcome says of others."""
        await self._end(group)
        await self._skip()

    async def settle_all(self) -> None:
        """Ends cells whose trials were all stored before the controller died, and those that need no trial."""
        for group in self._groups.values():
            await self._end(group)
        await self._skip()
        self._open = {key: group for key, group in self._groups.items() if self.is_open(group)}

    async def lose(self, groups: Sequence[Group], cause: str, message: str) -> None:
        """Ends open cells as lost: the lab kept them from being measured."""
        await self._ledger.lose([cell for group in groups for cell in group.cells], Stage.UPLOAD, cause, message)
        self._close(groups)

    async def lose_all(self, error: EdgesweepError) -> None:
        """Ends whatever is open, since the device stays away."""
        cause = "device_unreachable" if error.code == "unreachable" else error.code
        await self.lose(self.open_groups, cause, error.message)

    async def _end(self, group: Group) -> None:
        history = self._ledger.history(group.leader.name)
        if not history.trials or not history.is_settled(self._preset.trials):
            return
        self._predictions.learn(group)
        end = end_of_trials(
            group,
            history.trials,
            planned=self._preset.trials,
            protocol=self._preset.protocol_for(group.leader.session),
            fallback=self._fallback,
            host_tags=self._host_tags,
        )
        end = self._predictions.noted(group, end)
        await self._ledger.end([end, *(follow(end, cell) for cell in group.followers)])
        self._close([group])

    async def _skip(self) -> None:
        skipped = self._predictions.skipped()
        await self._ledger.end(skipped)
        if skipped:
            self._close([group for group in self.open_groups if not self.is_open(group)])
        for sentence in self._predictions.news():
            self._ledger.emit(Notice(sentence))

    def _close(self, groups: Sequence[Group]) -> None:
        for group in groups:
            self._open.pop(group.leader.key, None)
