"""A prediction that an artifact cannot load on a runtime, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PredictionState(StrEnum):
    """`predicted` was not tried, `proven` came true on the runtime itself, `refuted` did not."""

    PREDICTED = "predicted"
    PROVEN = "proven"
    REFUTED = "refuted"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Why a cell should fail to load.

    `cause` is the catalogue code that the load should end with, `message` one sentence with the artifact's value and the
    runtime's limit. `limit` is that limit alone, e.g. `opset 19`: what refuses one artifact for it refuses every other.
    `by` names the cell that was tried, empty while none was.
    """

    cause: str
    message: str
    state: PredictionState = PredictionState.PREDICTED
    by: str = ""
    limit: str = ""
