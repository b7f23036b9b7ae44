"""The journal: each result once, over kills at any step and files that rot."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from edgesweep_agent import durable
from edgesweep_agent.journal import Journal, Running, store_stderr
from edgesweep_proto.blob import Blob
from edgesweep_proto.trial import Samples, Stage, Trial, TrialOutcome, TrialResult, TrialState

SAMPLES = b"\1\0\0\0\0\0\0\0" * 4
RUNNING = Running(pid=4, start_ticks=5, boot_id="b", started=6.0)

MakeTrial = Callable[..., Trial]


def result_of(trial: Trial, **changes: object) -> TrialResult:
    samples = Samples(Blob(hashlib.sha256(SAMPLES).hexdigest(), len(SAMPLES)), 1, 3, 1, "floors")
    result = TrialResult(trial.id, TrialOutcome.PASS, Stage.PLACEMENT, samples=samples, boot_id="b", tags=("t",))
    return replace(result, **changes)  # type: ignore[arg-type]


def finished(journal: Journal, trial: Trial) -> None:
    entry = journal.add(trial, "anna", 1)
    journal.set_running(trial.id, RUNNING)
    (entry.folder / "samples.bin").write_bytes(SAMPLES)
    journal.finish(result_of(trial))


def test_a_trial_goes_through_its_states_and_a_restart_finds_each(tmp_path: Path, make_trial: MakeTrial) -> None:
    trial = make_trial()
    journal = Journal(tmp_path)
    entry = journal.add(trial, "anna", 7)
    again = Journal(tmp_path).get(trial.id)
    assert again is not None
    assert (again.state, again.trial, again.fencing_number, again.identity) == (TrialState.QUEUED, trial, 7, "anna")
    journal.set_running(trial.id, RUNNING)
    reopened = Journal(tmp_path)
    assert reopened.in_state(TrialState.RUNNING)[0].trial_id == trial.id
    assert reopened.running(reopened.in_state(TrialState.RUNNING)[0]) == RUNNING
    (entry.folder / "samples.bin").write_bytes(SAMPLES)
    journal.finish(result_of(trial))
    reopened = Journal(tmp_path)
    found = reopened.finished("anna")
    assert [reopened.result(entry) for entry in found] == [result_of(trial)]
    assert reopened.fetchable(found[0]) == (result_of(trial), SAMPLES)


def test_a_result_is_written_once(tmp_path: Path, make_trial: MakeTrial) -> None:
    journal = Journal(tmp_path)
    trial = make_trial()
    finished(journal, trial)
    with pytest.raises(ValueError, match="has a result already"):
        journal.finish(result_of(trial, outcome=TrialOutcome.FAILED))
    journal.acknowledge([trial.id], "anna")
    with pytest.raises(ValueError, match="has a result already"):
        journal.finish(result_of(trial))


def test_results_belong_to_who_submitted_them(tmp_path: Path, make_trial: MakeTrial) -> None:
    journal = Journal(tmp_path)
    trial = make_trial()
    finished(journal, trial)
    assert journal.finished("ben") == []
    assert journal.acknowledge([trial.id], "ben") == []
    assert len(journal.finished("anna")) == 1


def test_cursors_grow_over_acknowledgement_and_restart(tmp_path: Path, make_trial: MakeTrial) -> None:
    journal = Journal(tmp_path)
    for number in range(3):
        finished(journal, make_trial(number=number))
    cursors = [entry.cursor for entry in journal.finished("anna")]
    assert cursors == sorted(set(cursors))
    assert [e.cursor for e in journal.finished("anna", after_cursor=cursors[0])] == cursors[1:]
    assert journal.finished("anna", run_id="another") == []
    journal.acknowledge([make_trial(number=n).id for n in range(3)], "anna")
    reopened = Journal(tmp_path)
    assert reopened.life > journal.life
    finished(reopened, make_trial(number=9))
    assert reopened.finished("anna")[0].cursor > cursors[-1]


def test_an_acknowledged_trial_leaves_only_its_marker(tmp_path: Path, make_trial: MakeTrial) -> None:
    journal = Journal(tmp_path)
    trial = make_trial()
    finished(journal, trial)
    assert journal.acknowledge([trial.id, trial.id, "unknown"], "anna") == [trial.id]
    assert journal.acknowledge([trial.id], "anna") == [trial.id]
    entry = journal.get(trial.id)
    assert entry is not None
    assert [path.name for path in entry.folder.iterdir()] == ["acknowledged.json"]
    again = Journal(tmp_path).get(trial.id)
    assert again is not None
    assert again.state is TrialState.ACKNOWLEDGED
    assert again.spec_digest == entry.spec_digest


def test_what_is_not_finished_cannot_be_acknowledged(tmp_path: Path, make_trial: MakeTrial) -> None:
    journal = Journal(tmp_path)
    journal.add(make_trial(), "anna", 1)
    assert journal.acknowledge([make_trial().id], "anna") == []
    assert len(journal.in_state(TrialState.QUEUED)) == 1


def test_submission_order_survives_a_restart(tmp_path: Path, make_trial: MakeTrial) -> None:
    journal = Journal(tmp_path)
    ids = [journal.add(make_trial(number=number), "anna", 1).trial_id for number in (5, 1, 9, 3)]
    assert [entry.trial_id for entry in Journal(tmp_path).in_state(TrialState.QUEUED)] == ids


class Killed(BaseException):
    """Stands for a SIGKILL between two steps."""


@pytest.mark.parametrize("step", range(12))
def test_killed_at_any_step_the_next_life_reads_a_whole_state(
    tmp_path: Path, make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Every file goes through `write_bytes`: dying before and after each of its renames covers every step."""
    trial = make_trial()
    journal = Journal(tmp_path)
    left = [step]
    replace_file = Path.replace

    def count(reached: list[int]) -> None:
        if reached[0] == 0:
            raise Killed
        reached[0] -= 1

    def deadly(self: Path, target: Path) -> Path:
        count(left)
        done = replace_file(self, target)
        count(left)
        return done

    monkeypatch.setattr(Path, "replace", deadly)
    promised: list[TrialState] = []
    killed = True
    try:
        entry = journal.add(trial, "anna", 1)
        promised.append(TrialState.QUEUED)
        journal.set_running(trial.id, RUNNING)
        promised.append(TrialState.RUNNING)
        (entry.folder / "samples.bin").write_bytes(SAMPLES)
        journal.finish(result_of(trial))
        promised.append(TrialState.FINISHED)
        journal.acknowledge([trial.id], "anna")
        promised.append(TrialState.ACKNOWLEDGED)
        killed = False
    except Killed:
        pass
    monkeypatch.undo()
    assert killed == (step < 10)
    found = Journal(tmp_path).get(trial.id)
    order = [TrialState.QUEUED, TrialState.RUNNING, TrialState.FINISHED, TrialState.ACKNOWLEDGED]
    if promised:
        # What was promised holds; the step under way may have happened or not.
        assert found is not None
        assert order.index(found.state) - order.index(promised[-1]) in (0, 1)
    else:
        assert found is None or found.state is TrialState.QUEUED
    assert not (tmp_path / "aside").exists()


@pytest.mark.parametrize("rot", [b"", b"\0" * 40, b"{}", b'{"trial": 1}', b"\xff\xfe", b"[1, 2]"])
@pytest.mark.parametrize("name", ["spec.json", "acknowledged.json"])
def test_a_rotten_folder_is_set_aside_with_a_sentence(
    tmp_path: Path, make_trial: MakeTrial, caplog: pytest.LogCaptureFixture, name: str, rot: bytes
) -> None:
    journal = Journal(tmp_path)
    bad, good = make_trial(number=1), make_trial(number=2)
    journal.add(good, "anna", 1)
    entry = journal.add(bad, "anna", 1)
    (entry.folder / name).write_bytes(rot)
    with caplog.at_level(logging.WARNING):
        reopened = Journal(tmp_path)
    assert "was set aside as" in caplog.text
    assert reopened.get(bad.id) is None
    assert reopened.get(good.id) is not None
    assert len(list((tmp_path / "aside").iterdir())) == 1
    assert reopened.add(bad, "anna", 1).state is TrialState.QUEUED


@pytest.mark.parametrize("what", ["result", "samples", "other"])
def test_a_rotten_result_counts_as_interrupted_never_as_a_pass(
    tmp_path: Path, make_trial: MakeTrial, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    journal = Journal(tmp_path)
    trial = make_trial()
    finished(journal, trial)
    entry = journal.get(trial.id)
    assert entry is not None
    if what == "result":
        (entry.folder / "result.json").write_bytes(b'{"cursor": 1, "result": {"trial_id"')
    elif what == "samples":
        (entry.folder / "samples.bin").write_bytes(SAMPLES[:-1] + b"!")
    else:
        durable.write_json(
            entry.folder / "result.json", {"cursor": 1, "result": {"trial_id": "x", "outcome": "pass", "stage": "load"}}
        )
    reopened = Journal(tmp_path)
    found = reopened.get(trial.id)
    assert found is not None
    assert found.state is TrialState.RUNNING
    assert "is not readable" in caplog.text
    reopened.finish(TrialResult(trial.id, TrialOutcome.INTERRUPTED, Stage.UNKNOWN))
    assert reopened.finished("anna")[0].cursor > entry.cursor


@pytest.mark.parametrize(
    ("name", "rot"),
    [
        ("samples.bin", SAMPLES[:-1]),
        ("samples.bin", b""),
        ("samples.bin", None),
        ("result.json", b'{"cursor": 1, "result": {"trial_id"'),
        ("result.json", None),
    ],
)
def test_what_rots_before_it_is_fetched_is_told_as_interrupted_and_can_be_acknowledged(
    tmp_path: Path, make_trial: MakeTrial, name: str, rot: bytes | None
) -> None:
    journal = Journal(tmp_path)
    trial = make_trial()
    finished(journal, trial)
    (entry,) = journal.finished("anna")
    assert journal.fetchable(entry) == (result_of(trial), SAMPLES)
    if rot is None:
        (entry.folder / name).unlink()
    else:
        (entry.folder / name).write_bytes(rot)
    result, samples = journal.fetchable(entry)
    assert (result.trial_id, result.outcome, result.cause) == (trial.id, TrialOutcome.INTERRUPTED, "interrupted")
    assert result.samples is None
    assert samples == b""
    assert "samples" in result.message if name == "samples.bin" else "not readable any more" in result.message
    assert journal.acknowledge([trial.id], "anna") == [trial.id]
    assert journal.finished("anna") == []


@pytest.mark.parametrize("rot", [b"", b"[]", b'{"life": "x"}'])
def test_numbers_that_rotted_go_on_above_all_that_were_given(tmp_path: Path, make_trial: MakeTrial, rot: bytes) -> None:
    journal = Journal(tmp_path)
    finished(journal, make_trial())
    (tmp_path / "numbers.json").write_bytes(rot)
    reopened = Journal(tmp_path)
    assert reopened.life > journal.life
    finished(reopened, make_trial(number=2))
    cursors = [entry.cursor for entry in reopened.finished("anna")]
    assert cursors == sorted(set(cursors))


def test_a_folder_without_a_promise_is_removed(tmp_path: Path) -> None:
    (tmp_path / "trials" / "0" / "work").mkdir(parents=True)
    Journal(tmp_path)
    assert list((tmp_path / "trials").iterdir()) == []


def test_old_acknowledged_ids_are_forgotten(tmp_path: Path, make_trial: MakeTrial) -> None:
    journal = Journal(tmp_path)
    finished(journal, make_trial())
    journal.acknowledge([make_trial().id], "anna")
    entry = journal.get(make_trial().id)
    assert entry is not None
    marker = durable.read_json(entry.folder / "acknowledged.json")
    durable.write_json(entry.folder / "acknowledged.json", marker | {"at": marker["at"] - 15 * 24 * 3600})
    assert Journal(tmp_path).get(make_trial().id) is None


def test_a_flood_on_stderr_is_cut_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "stderr.txt").write_bytes(b"noise\n" * 50_000 + b"the end")
    assert store_stderr(tmp_path).endswith("noise\nthe end")
    assert (tmp_path / "stderr.txt").stat().st_size == 64 * 1024
    assert store_stderr(tmp_path / "nowhere") == ""
