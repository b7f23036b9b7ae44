"""Which variant a slot takes next: what shares a trace stays together, what shares a model stays near."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgesweep.export.artifacts.digest import source_key
from edgesweep.models.source import ModelSource
from edgesweep.plan.cell import Shape, Variant

#: Rough seconds per export and proof, and for what a slot does once per group: load the model, run it, trace it.
#: Who takes what depends on them, never the result.
_EACH_S = {"dynamo": 1.0, "torchscript": 0.5}
_ONCE_S = {"dynamo": 4.0, "torchscript": 1.0}


@dataclass(frozen=True, slots=True)
class ExportJob:
    """One variant to export, and the shapes that its cells will be measured at."""

    source: ModelSource
    variant: Variant
    shapes: tuple[Shape, ...]


@dataclass(slots=True)
class Group:
    """Jobs of one model, exporter and axes profile, of which `handed` were given out already."""

    model: str
    exporter: str
    axes: str
    jobs: deque[ExportJob] = field(default_factory=deque)
    handed: int = 0

    @property
    def weight(self) -> float:
        """Rough seconds that the group still takes its slot."""
        # While the first job is out, what is done once is being done.
        once = self.once if self.handed <= 1 else 0.0
        return once + len(self.jobs) * _EACH_S.get(self.exporter, 1.0)

    @property
    def once(self) -> float:
        """Rough seconds that every slot spends on the group before its first export."""
        return _ONCE_S.get(self.exporter, 1.0)

    @property
    def won_by_splitting(self) -> float:
        """Rough seconds by which a second slot brings the group's end forward; 0 or less where it does not."""
        moved = len(self.jobs) // 2
        theirs = self.once + moved * _EACH_S.get(self.exporter, 1.0)
        return min(self.weight - theirs, moved * _EACH_S.get(self.exporter, 1.0)) if moved else 0.0


class Schedule:
    """Hands out jobs to slots, each job once."""

    def __init__(self, jobs: Sequence[ExportJob]) -> None:
        groups: dict[tuple[str, str, str], Group] = {}
        for job in jobs:
            model = source_key(job.source)
            key = (model, job.variant.exporter, job.variant.axes)
            groups.setdefault(key, Group(*key)).jobs.append(job)
        for group in groups.values():
            # What the newest opset leaves whole serves the older ones too; the other way round it rarely does.
            group.jobs = deque(sorted(group.jobs, key=lambda job: -job.variant.opset))
        self._waiting = list(groups.values())
        self._taken: dict[int, Group] = {}
        self._models: dict[int, str] = {}

    def next(self, slot: int) -> ExportJob | None:
        """The next job for `slot`; None when nothing is left for it."""
        group = self._taken.get(slot)
        if group is None or not group.jobs:
            group = self._pick(slot)
        if group is None:
            return None
        self._taken[slot] = group
        self._models[slot] = group.model
        group.handed += 1
        return group.jobs.popleft()

    def drop(self, model: str, *, exporter: str | None = None, axes: str | None = None) -> list[ExportJob]:
        """Take away the jobs of a model, or of one of its groups, that are not handed out yet."""
        dropped: list[ExportJob] = []
        for group in (*self._waiting, *self._taken.values()):
            if group.model == model and exporter in {None, group.exporter} and axes in {None, group.axes}:
                dropped.extend(group.jobs)
                group.jobs.clear()
        return dropped

    def give_back(self, slot: int) -> None:
        """Let others have what is left of the group of a slot that is gone."""
        group = self._taken.pop(slot, None)
        self._models.pop(slot, None)
        if group is not None and group.jobs:
            group.handed = 0
            self._waiting.append(group)

    def drain(self) -> list[ExportJob]:
        """Take away every job that is not handed out yet."""
        left = [job for group in (*self._waiting, *self._taken.values()) for job in group.jobs]
        self._waiting.clear()
        self._taken.clear()
        return left

    def _pick(self, slot: int) -> Group | None:
        self._waiting = [group for group in self._waiting if group.jobs]
        if not self._waiting:
            return self._split()
        mine = self._models.get(slot)
        others = {model for other, model in self._models.items() if other != slot}

        weights: dict[str, float] = {}
        for group in self._waiting:
            weights[group.model] = weights.get(group.model, 0.0) + group.weight

        def rank(group: Group) -> tuple[bool, bool, float]:
            # A model's whole work first, then the group's own share of it.
            weight = weights[group.model] * 1000 + group.weight
            return (group.model == mine, group.model not in others, weight)

        best = max(self._waiting, key=rank)
        self._waiting.remove(best)
        return best

    def _split(self) -> Group | None:
        """The second half of the group under way whose end that brings forward the most."""
        largest = max(self._taken.values(), key=lambda group: group.won_by_splitting, default=None)
        if largest is None or largest.won_by_splitting <= 0:
            return None
        half = Group(largest.model, largest.exporter, largest.axes)
        for _ in range(len(largest.jobs) // 2):
            half.jobs.appendleft(largest.jobs.pop())
        return half
