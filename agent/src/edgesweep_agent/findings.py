"""What a worker has told about its trial so far; kept when it dies in the middle."""

from __future__ import annotations

import functools
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesweep_proto.blob import Blob
from edgesweep_proto.codec import from_json, to_proto
from edgesweep_proto.trial import MemoryPhase, Stage, TrialOutcome, TrialResult

from edgesweep_agent.digest import sha256

#: Fields of a result that a worker may fill.
_FACTS = (
    "session", "cold_start", "memory", "placement", "numerics", "accounting", "samples", "tags", "threads", "arena",
    "compile", "node_profile", "outputs", "diagnosis",
)  # fmt: skip

_NO_BLOB = {"blob": {"sha256": "", "size_bytes": 0}}
_SAMPLE_BYTES = 8
_DOING_LIMIT = 300


class Findings:
    """Collects stages and facts of one trial into the result that it will have."""

    def __init__(self, trial_id: str, samples_path: Path) -> None:
        self._samples_path = samples_path
        self.stage = Stage.LOAD
        #: What the worker said it was about to do, and has not said to be over: it may not live to tell.
        self.doing = ""
        self.result = TrialResult(trial_id=trial_id, outcome=TrialOutcome.UNKNOWN, stage=Stage.LOAD)

    def take(self, event: dict[str, Any]) -> bool:
        """Note a `stage`, `facts` or `doing` event.

        Returns:
            Whether a new stage began.

        Raises:
            ValueError: the event does not say what the protocol promises.
        """
        if event["event"] == "stage":
            self.stage = from_json(Stage, event.get("stage"))
            return True
        if event["event"] == "facts":
            self._take_facts(event)
        if event["event"] == "doing":
            self.doing = str(event.get("words") or "")[:_DOING_LIMIT]
        # Other events are a newer worker's business.
        return False

    def _take_facts(self, event: dict[str, Any]) -> None:
        hints = _hints()
        for name in _FACTS:
            if name not in event:
                continue
            try:
                data = event[name]
                if name == "samples" and data is not None:
                    data = _NO_BLOB | data
                value = from_json(hints[name], data)
                updated = replace(self.result, **{name: self._merged(name, value)})
                to_proto(updated)  # what cannot travel must not get into the journal
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(f"the worker's fact {name} is malformed: {error!r}") from error
            self.result = updated

    def _merged(self, name: str, value: Any) -> Any:
        if name == "memory":
            phases: dict[str, MemoryPhase] = {phase.phase: phase for phase in (*self.result.memory, *value)}
            return tuple(phases.values())
        if name == "tags":
            return tuple(dict.fromkeys((*self.result.tags, *value)))
        return value

    def seal_samples(self) -> None:
        """Name the samples file by its digest, once the worker is gone.

        Raises:
            ValueError: the file does not hold as many samples as the worker says.
        """
        samples = self.result.samples
        if samples is None:
            return
        try:
            content = self._samples_path.read_bytes()
        except OSError:
            content = b""
        count = samples.warmup_count + samples.measured_count
        if len(content) != count * _SAMPLE_BYTES:
            self.result = replace(self.result, samples=None)
            raise ValueError(f"the worker tells of {count} samples and left {len(content)} bytes of them")
        blob = Blob(sha256(content).hexdigest(), len(content))
        self.result = replace(self.result, samples=replace(samples, blob=blob))


@functools.cache
def _hints() -> dict[str, Any]:
    return typing.get_type_hints(TrialResult)
