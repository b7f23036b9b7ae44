"""The private pipe on which the worker tells the agent what it does and what it found."""

from __future__ import annotations

import json
import os
import time
from typing import Any


class EventPipe:
    """Writes one JSON object a line to descriptor `fd`, each in full before it returns.

    A fact is written as soon as it is known, so that a worker killed later has still told it.
    """

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)  # noqa: FBT003 - the function takes no keywords
        self._fd = fd
        self._tags: list[str] = []
        self.current_stage = "load"

    def stage(self, name: str) -> None:
        """Say that stage `name` starts now."""
        self.current_stage = name
        self._write({"event": "stage", "stage": name, "at": time.time()})

    def facts(self, **fields: Any) -> None:
        """Tell fields of the trial's result as plain JSON data."""
        self._write({"event": "facts", **fields})

    def doing(self, words: str) -> None:
        """Say what is about to be done that may end this process, or that it is over (""): for the agent's message."""
        self._write({"event": "doing", "words": words})

    def tag(self, *names: str) -> None:
        """Add tags; the whole list so far is told again, so the last one is always complete."""
        fresh = [name for name in dict.fromkeys(names) if name not in self._tags]
        if fresh:
            self._tags += fresh
            self.facts(tags=list(self._tags))

    def alive(self) -> None:
        """Say only that the stage goes on: the agent's deadline is for the longest silence."""
        self._write({"event": "alive"})

    def end(self, **fields: Any) -> None:
        """The last event: how it ended."""
        self._write({"event": "end", **fields})

    def end_trial(self, outcome: str, *, cause: str = "", message: str = "", evidence: str = "") -> None:
        """End a trial in the stage it is in."""
        self.end(outcome=outcome, stage=self.current_stage, cause=cause, message=message, evidence=evidence)

    def _write(self, event: dict[str, Any]) -> None:
        # allow_nan=False: `Infinity` is no JSON, and the agent's reader need not be Python's for ever.
        line = memoryview(json.dumps(event, allow_nan=False).encode() + b"\n")
        while line:
            line = line[os.write(self._fd, line) :]
