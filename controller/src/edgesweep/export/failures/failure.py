"""Why a variant ended: a catalogue cause at a stage, with a sentence for the user and the whole story for the curious."""

from __future__ import annotations

from dataclasses import dataclass

from edgesweep_proto.trial import Stage


@dataclass(frozen=True, slots=True)
class Failure:
    """One cause from the catalogue. `message` is a sentence the user can act on, `detail` the full words behind it."""

    stage: Stage
    cause: str
    message: str
    detail: str = ""
