"""What the agent promised and found, on disk: one folder per trial, each file written as one step.

A trial's state follows from which files exist, so no two files can disagree:
`spec.json` queued, `running.json` running, `result.json` finished, `acknowledged.json` acknowledged.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgesweep_proto.codec import from_json, to_json
from edgesweep_proto.trial import Samples, Stage, Trial, TrialOutcome, TrialResult, TrialState

from edgesweep_agent.digest import sha256
from edgesweep_agent.durable import flush_folder, read_json, remove_tree, write_bytes, write_json

#: Seconds for which an acknowledged trial's id is remembered, so that its resubmission is known for one.
REMEMBER_S = 14 * 24 * 3600.0

#: Cursors that are given out between two writings of `numbers.json`; a restart leaves out what is left of them.
_CURSORS_AHEAD = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """The worker that a trial had when this was written; `pid` 0 means that it was about to start.

    `waits_for` names the gate (idle or thermal) that it waited for then.
    """

    pid: int
    start_ticks: int
    boot_id: str
    started: float
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One trial as the journal knows it. `trial` is None once it is acknowledged; `cursor` is 0 before a result."""

    trial_id: str
    run_id: str
    identity: str
    fencing_number: int
    order: int
    spec_digest: str
    folder: Path
    state: TrialState
    trial: Trial | None = None
    cursor: int = 0


def spec_digest(trial: Trial) -> str:
    """What tells two specs apart: SHA-256 of the trial in canonical JSON."""
    content = json.dumps(to_json(trial), sort_keys=True, separators=(",", ":"))
    return str(sha256(content.encode()).hexdigest())


class Journal:
    """Holds every trial from its submission until its result is acknowledged, over restarts and power cuts."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "trials"
        self._aside = state_dir / "aside"
        self._numbers_path = state_dir / "numbers.json"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._entries: dict[str, Entry] = {}
        self._by_state: dict[TrialState, dict[str, Entry]] = {state: {} for state in TrialState}
        self._numbers = self._load_numbers()
        #: Grows with each start of the agent; events of this life are numbered from it.
        self.life = self._next_number("life")
        for folder in sorted(self._folder.iterdir()):
            self._load_trial(folder)
        # A numbers file that was lost may not make cursors go back.
        self._numbers["cursor"] = max([self._numbers["cursor"], *(entry.cursor for entry in self._entries.values())])
        self._numbers["order"] = max([self._numbers["order"], *(entry.order for entry in self._entries.values())])
        self._cursor = self._numbers["cursor"]

    def get(self, trial_id: str) -> Entry | None:
        """The entry of that id."""
        return self._entries.get(trial_id)

    def in_state(self, state: TrialState) -> list[Entry]:
        """Entries in `state`, in the order of their submission."""
        return sorted(self._by_state[state].values(), key=lambda entry: entry.order)

    def finished(self, identity: str, *, run_id: str = "", after_cursor: int = 0) -> list[Entry]:
        """Results that `identity` may fetch, oldest first."""
        return sorted(
            (
                entry
                for entry in self._by_state[TrialState.FINISHED].values()
                if entry.identity == identity and entry.cursor > after_cursor and run_id in ("", entry.run_id)
            ),
            key=lambda entry: entry.cursor,
        )

    def add(self, trial: Trial, identity: str, fencing_number: int) -> Entry:
        """Remember a new trial; when this returns it is on the disk.

        Raises:
            OSError: the disk refused, and the trial is not remembered.
        """
        folder = self._folder / sha256(trial.id.encode()).hexdigest()[:32]
        folder.mkdir(exist_ok=True)
        self._numbers["order"] += 1
        entry = Entry(
            trial_id=trial.id,
            run_id=trial.run_id,
            identity=identity,
            fencing_number=fencing_number,
            order=self._numbers["order"],
            spec_digest=spec_digest(trial),
            folder=folder,
            state=TrialState.QUEUED,
            trial=trial,
        )
        self._write_spec(entry)
        flush_folder(self._folder)
        return self._put(entry)

    def adopt(self, trial_id: str, fencing_number: int) -> None:
        """Let a queued trial go on under the new lease of its own holder."""
        entry = replace(self._entries[trial_id], fencing_number=fencing_number)
        self._write_spec(entry)
        self._put(entry)

    def set_running(self, trial_id: str, running: Running) -> None:
        """Remember the worker, so that the next life of the agent finds and ends it.

        Raises:
            ValueError: the trial has ended, and stays ended.
        """
        entry = self._entries[trial_id]
        if entry.state not in (TrialState.QUEUED, TrialState.RUNNING):
            raise ValueError(f"trial {trial_id} is {entry.state} and cannot run again")
        # That it has begun must outlast a power cut, which it may be the cause of; its pid means nothing after one.
        write_json(
            entry.folder / "running.json",
            {name: getattr(running, name) for name in Running.__slots__},
            flush=entry.state is TrialState.QUEUED,
        )
        self._put(replace(entry, state=TrialState.RUNNING))

    def running(self, entry: Entry) -> Running | None:
        """The worker that `set_running` remembered; None when that is not readable any more."""
        try:
            return Running(**read_json(entry.folder / "running.json"))
        except (OSError, ValueError, TypeError) as error:
            _log.warning("who ran trial %s is not known any more: %s", entry.trial_id, error)
            return None

    def finish(self, result: TrialResult) -> Entry:
        """Write the result, once; when this returns it is on the disk and has its cursor.

        Raises:
            ValueError: the trial has a result already.
        """
        entry = self._entries[result.trial_id]
        if entry.state in (TrialState.FINISHED, TrialState.ACKNOWLEDGED):
            raise ValueError(f"trial {result.trial_id} has a result already")
        cursor = self._next_cursor()
        write_json(entry.folder / "result.json", {"cursor": cursor, "result": to_json(result)})
        return self._put(replace(entry, state=TrialState.FINISHED, cursor=cursor))

    def result(self, entry: Entry) -> TrialResult:
        """The result that `finish` wrote.

        Raises:
            ValueError: the file is not readable.
        """
        return _result_from(read_json(entry.folder / "result.json"), entry.trial_id)

    def fetchable(self, entry: Entry) -> tuple[TrialResult, bytes]:
        """The result and its samples, as the caller is told them.

        What rotted since it was written becomes an `interrupted` result without samples, which the caller can store
        and acknowledge, and try again. It is told anew on each call: nothing on the disk is changed.
        """
        try:
            result = self.result(entry)
        except (OSError, ValueError) as error:
            _log.error("the result of trial %s is not readable: %s", entry.trial_id, error)
            result = TrialResult(entry.trial_id, TrialOutcome.INTERRUPTED, Stage.UNKNOWN)
            return _rotten(result, f"the result was written and is not readable any more: {error}"), b""
        if result.samples is None:
            return result, b""
        try:
            return result, _samples_of(entry.folder, result.samples)
        except (OSError, ValueError) as error:
            _log.error("the samples of trial %s are not readable: %s", entry.trial_id, error)
            return _rotten(result, f"it ended with {result.outcome}, and {error}"), b""

    def acknowledge(self, trial_ids: Iterable[str], identity: str) -> list[str]:
        """Forget the results of these trials, where they are the caller's and finished, but not their ids.

        Returns:
            The ids that are acknowledged now; repeating the call gives the same answer.
        """
        done = []
        for trial_id in dict.fromkeys(trial_ids):
            entry = self._entries.get(trial_id)
            if entry is None or entry.identity != identity:
                continue
            if entry.state is TrialState.FINISHED:
                self._put(self._acknowledge(entry))
            if self._entries[trial_id].state is TrialState.ACKNOWLEDGED:
                done.append(trial_id)
        return done

    def _acknowledge(self, entry: Entry) -> Entry:
        marker = _head(entry) | {"cursor": entry.cursor, "at": time.time()}
        # Not waited for: after a power cut the result may be there still, and is then fetched once more.
        write_json(entry.folder / "acknowledged.json", marker, flush=False)
        _keep_only(entry.folder, "acknowledged.json")
        return replace(entry, state=TrialState.ACKNOWLEDGED, trial=None)

    def _put(self, entry: Entry) -> Entry:
        if (before := self._entries.get(entry.trial_id)) is not None:
            del self._by_state[before.state][entry.trial_id]
        self._by_state[entry.state][entry.trial_id] = entry
        self._entries[entry.trial_id] = entry
        return entry

    def _write_spec(self, entry: Entry) -> None:
        write_json(entry.folder / "spec.json", _head(entry) | {"trial": to_json(entry.trial)})

    def _load_trial(self, folder: Path) -> None:
        try:
            if (folder / "acknowledged.json").exists():
                self._load_acknowledged(folder)
            elif (folder / "spec.json").exists():
                self._load_open(folder)
            else:
                # The agent went down between making the folder and writing the spec: nothing was promised yet.
                remove_tree(folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._set_aside(folder, f"trial folder {folder.name} is not readable: {error}")

    def _load_acknowledged(self, folder: Path) -> None:
        data = read_json(folder / "acknowledged.json")
        if time.time() - data["at"] > REMEMBER_S:
            remove_tree(folder)
            return
        _keep_only(folder, "acknowledged.json")
        self._put(_entry_from(data, folder, TrialState.ACKNOWLEDGED, cursor=int(data["cursor"])))

    def _load_open(self, folder: Path) -> None:
        data = read_json(folder / "spec.json")
        entry = _entry_from(data, folder, TrialState.QUEUED, trial=from_json(Trial, data["trial"]))
        if (folder / "running.json").exists():
            entry = replace(entry, state=TrialState.RUNNING)
        if (folder / "result.json").exists():
            try:
                stored = read_json(folder / "result.json")
                result = _result_from(stored, entry.trial_id)
                if result.samples is not None:
                    _samples_of(folder, result.samples)
                entry = replace(entry, state=TrialState.FINISHED, cursor=int(stored["cursor"]))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                # Nobody can have fetched it in this state: the trial counts as interrupted and is run again.
                self._set_aside(
                    folder / "result.json", f"the result of trial {entry.trial_id} is not readable: {error}"
                )
                entry = replace(entry, state=TrialState.RUNNING)
        self._put(entry)

    def _set_aside(self, path: Path, why: str) -> None:
        self._aside.mkdir(exist_ok=True)
        name = f"{path.parent.name}-{path.name}-{self.life}"
        path.replace(self._aside / name)
        _log.warning("%s; it was set aside as %s", why, self._aside / name)

    def _load_numbers(self) -> dict[str, int]:
        numbers = {"life": 0, "cursor": 0, "order": 0}
        try:
            numbers |= {key: int(value) for key, value in read_json(self._numbers_path).items()}
        except FileNotFoundError:
            pass
        except (ValueError, TypeError, AttributeError) as error:
            # Unknown numbers may only grow: seconds since 1970 are above all that were counted one by one.
            numbers = dict.fromkeys(numbers, int(time.time()))
            _log.warning("%s is not readable (%s): numbers go on from the time of day", self._numbers_path, error)
        return numbers

    def _next_cursor(self) -> int:
        """The next cursor; `numbers.json` is ahead of it, so that it is not written for each."""
        self._cursor += 1
        if self._cursor > self._numbers["cursor"]:
            self._numbers["cursor"] = self._cursor + _CURSORS_AHEAD
            write_json(self._numbers_path, self._numbers)
        return self._cursor

    def _next_number(self, name: str) -> int:
        self._numbers[name] += 1
        write_json(self._numbers_path, self._numbers)
        return self._numbers[name]


def store_stderr(folder: Path, *, keep_bytes: int = 64 * 1024) -> str:
    """Cut `stderr.txt` of a trial to its end and give its last 4000 characters as evidence."""
    path = folder / "stderr.txt"
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > keep_bytes:
            with path.open("rb") as file:
                file.seek(-keep_bytes, 2)
                tail = file.read()
            write_bytes(path, tail, flush=False)
        return path.read_bytes()[-4000:].decode("utf-8", "replace").strip()
    return ""


def _head(entry: Entry) -> dict[str, Any]:
    return {
        "trial_id": entry.trial_id,
        "run_id": entry.run_id,
        "identity": entry.identity,
        "fencing_number": entry.fencing_number,
        "order": entry.order,
        "spec_digest": entry.spec_digest,
    }


def _entry_from(
    data: dict[str, Any], folder: Path, state: TrialState, *, trial: Trial | None = None, cursor: int = 0
) -> Entry:
    return Entry(
        trial_id=str(data["trial_id"]),
        run_id=str(data["run_id"]),
        identity=str(data["identity"]),
        fencing_number=int(data["fencing_number"]),
        order=int(data["order"]),
        spec_digest=str(data["spec_digest"]),
        folder=folder,
        state=state,
        trial=trial,
        cursor=cursor,
    )


def _result_from(stored: Any, trial_id: str) -> TrialResult:
    try:
        result = from_json(TrialResult, stored["result"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no result: {error!r}") from error
    if not isinstance(result, TrialResult) or result.trial_id != trial_id:
        raise ValueError(f"this is not the result of {trial_id}")
    return result


def _samples_of(folder: Path, samples: Samples) -> bytes:
    content = (folder / "samples.bin").read_bytes()
    if sha256(content).hexdigest() != samples.blob.sha256:
        raise ValueError("its samples are not the ones that were measured")
    return content


def _rotten(result: TrialResult, sentence: str) -> TrialResult:
    return replace(result, outcome=TrialOutcome.INTERRUPTED, cause="interrupted", message=sentence, samples=None)


def _keep_only(folder: Path, name: str) -> None:
    for path in folder.iterdir():
        if path.name == name:
            continue
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink()
