"""What the chain's first provider compiles: the stage that says so, the seconds, the files, and what came later."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from edgesweep_worker import compiled_files, provider_start
from edgesweep_worker.events import EventPipe
from edgesweep_worker.job import TrialJob
from edgesweep_worker.providers import facts_of

#: The steps that a compilation can be part of.
SESSION, FIRST_RUN = "session", "first_run"

_NO_FILES = compiled_files.Look({})


class Compiling:
    """Watches the chain's first provider through one trial; tells nothing of one that compiles nothing.

    Args:
        pipe: where stage and facts are told.
        job: the job as it is run: its options name the folder that the trial uses, if any.
        told: what an earlier process of the same trial told of its Compile, as JSON data: only changes of shape are added.
    """

    def __init__(self, pipe: EventPipe, job: TrialJob, told: Mapping[str, Any] | None = None) -> None:
        first = job.providers[0]
        self._pipe = pipe
        self._provider = first.name
        self._part_of = facts_of(first.name).compile_step
        self._folder = provider_start.cache_folder(first) if self._part_of else ""
        self._before = self._after = self._latest = self._look()
        self._after_first_run: compiled_files.Look | None = None
        self._seconds = 0.0
        self._engine_hash = ""
        self._changes: List[Dict[str, Any]] = []
        self._told = told
        self._primed = job.protocol.provider_cache == "primed"

    def enter(self, part: str, otherwise: str = "") -> None:
        """Say that `part` begins: as stage compile when the compilation is part of it, else as stage `otherwise`, if any."""
        stage = "compile" if part == self._part_of else otherwise
        if stage:
            self._pipe.stage(stage)

    def leave(self, part: str, seconds: float) -> None:
        """Tell what the part that compiles took, as soon as it is over: what comes later may kill this process."""
        if not self._part_of:
            return
        self._after = self._look()
        if part == FIRST_RUN:
            self._after_first_run = self._after
        if part == self._part_of:
            self._seconds = seconds
            if self._primed and self._before.files and not self._after.keeps_any_of(self._before):
                # It found compiled models, took none of them, and wrote all of them anew.
                self._pipe.tag("provider_cache_not_honoured")
            self._tell()

    def settle(self) -> None:
        """After the last run of the timed session: look at its files once more, and read them for their digest."""
        if not self._part_of:
            return
        self._after = self._latest = self._look()
        self._engine_hash = compiled_files.digest(self._folder, self._after.files)
        self._tell()

    def count_fresh(self) -> int:
        """Compiled files that came since this was asked last, or since the timed session ended."""
        now = self._look()
        fresh = now.fresh_since(self._latest)
        self._latest = now
        return len(fresh)

    def add_change(self, change: Dict[str, Any]) -> None:
        """Tell one more ShapeChange, as JSON data; that of a provider that compiles nothing as well."""
        self._changes.append(change)
        self._tell()

    def _look(self) -> compiled_files.Look:
        return compiled_files.look(self._folder) if self._folder else _NO_FILES

    def _rebuilds(self) -> int | None:
        """Compilations that came after the first run; None when neither files nor other shapes could show any."""
        if self._told is not None:
            earlier = self._told.get("rebuilds")
            if earlier is None and not self._changes:
                return None
            return (earlier or 0) + sum(change["rebuilt"] for change in self._changes)
        seen = self._after_first_run if self._folder else None
        if seen is None and not self._changes:
            return None
        late = len(self._after.fresh_since(seen)) if seen is not None else 0
        return late + sum(change["rebuilt"] for change in self._changes)

    def _tell(self) -> None:
        if self._told is not None:
            changed = {"rebuilds": self._rebuilds(), "shape_changes": list(self._changes)}
            self._pipe.facts(compile={**self._told, **changed})
            return
        self._pipe.facts(
            compile={
                "provider": self._provider,
                "part_of": self._part_of,
                "seconds": self._seconds,
                "files_before": len(self._before.files),
                "files_after": len(self._after.files),
                "bytes_after": self._after.size_bytes,
                "engine_hash": self._engine_hash,
                "rebuilds": self._rebuilds(),
                "shape_changes": list(self._changes),
            }
        )
