"""What is foreseen for one device, which cell tries it for all, and what the tried ones have made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgesweep_proto.device import Runtime
from edgesweep_proto.trial import Stage, TrialOutcome

from edgesweep.compat.predict import predict
from edgesweep.compat.prediction import Prediction, PredictionState
from edgesweep.errors import remedy_for
from edgesweep.store.records import CellEnd, Outcome
from edgesweep.sweep.work import COMPLETED, Group, History

#: The catalogue code of a cell that was not run because it would not load.
CAUSE = "predicted_failure"


def _proofs(cause: str) -> tuple[str, ...]:
    """The causes that prove a prediction of `cause`.

    A runtime may know an element type by name and have no kernel for it: then it refuses the operator that it meets first.
    """
    return (cause, "unsupported_op") if cause == "element_type_unsupported" else (cause,)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A group that should fail to load with the cause of `prediction`; `also` are the causes of further reasons."""

    group: Group
    prediction: Prediction
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The cell that would be tried."""
        return self.group.leader.name


@dataclass(slots=True)
class Batch:
    """Groups of one runtime that one and the same limit refuses: what becomes of one becomes of all.

    `members` stand in the order in which they would be tried. `evidence` says, by the cell that was tried, whether the
    prediction came true.
    """

    members: list[Foreseen] = field(default_factory=list)
    evidence: dict[str, bool] = field(default_factory=dict)
    told: bool = False

    @property
    def state(self) -> PredictionState:
        """One cell that contradicts is enough: then nothing more is left out."""
        if not self.evidence:
            return PredictionState.PREDICTED
        return PredictionState.PROVEN if all(self.evidence.values()) else PredictionState.REFUTED

    @property
    def by(self) -> str:
        """The cell that decided the state, empty while none did."""
        decisive = self.state is PredictionState.PROVEN
        return next((member.name for member in self.members if self.evidence.get(member.name) is decisive), "")


class Predictions:
    """The predictions for the groups of one device, under the plan's word for what to `skip`.

    `proven` lets one group of each batch run first, `predicted` none, `nothing` all. What the batch has come to is
    read from the stored trials alone, so that a resumed run knows it as well.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        runtimes: Sequence[Runtime],
        *,
        skip: str,
        trials: int,
        history_of: Callable[[str], History],
        is_open: Callable[[Group], bool],
        is_known: Callable[[Group], bool] = lambda _: False,
    ) -> None:
        self._skip = skip
        self._trials = trials
        self._history_of = history_of
        self._is_open = is_open
        self._foreseen: dict[str, Foreseen] = {}
        self._batch_of: dict[str, Batch] = {}
        self._batches: dict[tuple[str, str, str], Batch] = {}
        limits = {runtime.id: runtime for runtime in runtimes}
        for group in groups:
            self._foresee(group, limits)
        for batch in self._batches.values():
            batch.members.sort(key=lambda member: (is_known(member.group), *_severity(member)))
        for group in groups:
            self.learn(group)
        for batch in self._batches.values():
            batch.told = bool(batch.evidence)

    def _foresee(self, group: Group, limits: Mapping[str, Runtime]) -> None:
        cell, produced = group.leader, group.export.produced
        if produced is None or cell.runtime not in limits:
            return
        found = predict(produced, limits[cell.runtime], cell.providers)
        if not found:
            return
        first, further = found[0], dict.fromkeys(prediction.cause for prediction in found[1:])
        batch = self._batches.setdefault((cell.runtime, first.cause, first.limit), Batch())
        self._foreseen[cell.key] = Foreseen(group, first, tuple(further))
        self._batch_of[cell.key] = batch
        batch.members.append(self._foreseen[cell.key])

    def may_run(self, group: Group) -> bool:
        """Whether the group's trials may be handed out now."""
        batch = self._batch_of.get(group.leader.key)
        if batch is None or self._skip == "nothing":
            return True
        if self._skip == "predicted":
            return False
        return batch.state is PredictionState.REFUTED or self.is_representative(group)

    def is_representative(self, group: Group) -> bool:
        """Whether the group is tried first, for all others of its batch: the first that is still open."""
        batch = self._batch_of.get(group.leader.key)
        if batch is None or self._skip != "proven" or batch.state is not PredictionState.PREDICTED:
            return False
        first = next((member for member in batch.members if self._is_open(member.group)), None)
        return first is not None and first.group is group

    def learn(self, group: Group) -> None:
        """Takes notice of the group's trials, once they are all there. Lab trouble says nothing either way."""
        foreseen = self._foreseen.get(group.leader.key)
        if foreseen is None:
            return
        history = self._history_of(foreseen.name)
        results = [trial.result for trial in history.trials if trial.result.outcome in COMPLETED]
        if results and history.is_settled(self._trials):
            self._batch_of[group.leader.key].evidence[foreseen.name] = all(
                result.outcome is TrialOutcome.FAILED
                and result.stage is Stage.LOAD
                and result.cause in _proofs(foreseen.prediction.cause)
                for result in results
            )

    def noted(self, group: Group, end: CellEnd) -> CellEnd:
        """The end of a group that was tried, with what that says of its own prediction."""
        foreseen = self._foreseen.get(group.leader.key)
        came_true = foreseen and self._batch_of[group.leader.key].evidence.get(foreseen.name)
        if foreseen is None or came_true is None:
            return end
        state = PredictionState.PROVEN if came_true else PredictionState.REFUTED
        return replace(end, prediction=replace(foreseen.prediction, state=state, by=foreseen.name))

    def skipped(self) -> list[CellEnd]:
        """The ends of all open cells that need not be tried any more."""
        ends = []
        for batch in self._batches.values():
            if self._skip == "predicted" or (self._skip == "proven" and batch.state is PredictionState.PROVEN):
                for member in batch.members:
                    if member.name not in batch.evidence and self._is_open(member.group):
                        ends += [_end_of_skip(name.name, member, batch) for name in member.group.cells]
        return ends

    def news(self) -> list[str]:
        """A sentence on each batch that was found to be predicted wrongly, told once."""
        sentences = []
        for batch in self._batches.values():
            if batch.state is PredictionState.REFUTED and not batch.told and self._skip == "proven":
                batch.told = True
                others = sum(len(member.group.cells) for member in batch.members if self._is_open(member.group))
                prediction = next(member.prediction for member in batch.members if member.name == batch.by)
                sentences.append(
                    f"the prediction {prediction.cause} was wrong: {batch.by} did not fail so, although "
                    f"{prediction.message}; {others} more cells of that prediction are run as usual"
                )
        return sentences


def _severity(member: Foreseen) -> tuple[int, bool]:
    """What goes beyond the limit least says most of the others; and on the CPU alone nothing else goes wrong."""
    produced = member.group.export.produced
    assert produced is not None  # noqa: S101 - nothing is foreseen without facts
    values = {"opset_unsupported": produced.opset, "ir_unsupported": produced.ir_version}
    return values.get(member.prediction.cause, 0), member.group.leader.providers != ("cpu",)


def _end_of_skip(cell_name: str, member: Foreseen, batch: Batch) -> CellEnd:
    prediction = member.prediction
    if batch.state is PredictionState.PROVEN:
        prediction = replace(prediction, state=PredictionState.PROVEN, by=batch.by)
        sentence = f"predicted {prediction.cause}: {prediction.message}; proven by {batch.by}"
    else:
        sentence = f"predicted {prediction.cause}: {prediction.message}; not tried, as the plan says"
    return CellEnd(
        cell_name,
        Outcome.SKIPPED,
        Stage.LOAD.value,
        CAUSE,
        sentence,
        remedy_for(CAUSE),
        also=member.also,
        prediction=prediction,
    )
