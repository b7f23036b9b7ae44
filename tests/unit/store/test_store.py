from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.export.result import ExportResult, Payload, Produced, SizeProof
from edgesweep.plan.cell import Skip
from edgesweep.stats.summary import summarise
from edgesweep.store.records import CellEnd, DeviceRecord, Outcome, RunState, Verdict
from edgesweep.store.store import Store
from edgesweep_proto.blob import Blob, Manifest
from edgesweep_proto.device import Device, ProviderProbe, Reading, Runtime
from edgesweep_proto.trial import Numerics, Stage
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

DEVICE = DeviceRecord(
    "pi5",
    "pi5.lab:50051",
    {"site": "lab1"},
    Device(
        name="pi5", agent_version="0.1.0", protocol_version=1, boot_id="b", machine="aarch64", system="Debian", kernel="6.12",
        board="Pi 5", cpu_model="A76", cpu_count=4, allowed_cpus=(0, 1), memory_total_bytes=2**33, state_free_bytes=2**35,
        python_version="3.11", libc="glibc", uptime_s=1.5, probes=("thermal",), emulated=False, hostname="pi5",
    ),
    (Runtime("1.23.2", "", "1.23.2", "info", "3.11", "2.1", ("CPUExecutionProvider",), (ProviderProbe("CPUExecutionProvider", 3),)),),
    Reading(1.0, {"cpu": 51.5}, {"cpu0": 2.4e9}, {"cpu0": "performance"}, ("under_voltage",)),
)  # fmt: skip


def export_of(cell, **changes):
    digest = "cd" * 32
    passed = ExportResult(
        cell.variant,
        Stage.CHECK,
        manifest=Manifest(Blob(digest, 10)),
        produced=Produced(17, 10, {"x": ("batch",)}, digest, "ef" * 32, 10, 3, ("",)),
        payloads={"batch4": Payload((("batch", 4),), (), (), items=4)},
        numerics=Numerics(float("inf"), 0.5, 1, "y[0]"),
        proof=(SizeProof("batch=2"),),
        seconds=1.25,
    )
    return replace(passed, **changes)


def test_a_run_is_read_back_as_it_was_written(store, make):
    cells = (
        *make.cells(2),
        replace(make.cells(3)[2], skip=Skip("excluded", "known"), provider_options={"cpu": {"a": "b"}}),
    )
    run = make.run()
    store.create_run(run, cells)
    store.save_device(run.id, DEVICE)
    export = export_of(cells[0])
    store.save_export(run.id, export)
    trial = make.trial(cells[0], make.samples(1))
    assert store.save_trial(run.id, trial, make.samples(1)) is True
    end = CellEnd(
        cells[0].name, Outcome.PASS, "placement", verdict=Verdict.DOUBTFUL, reasons=("single trial: measure again",),
        tags=("shared_host",), latency=trial.latency, items_per_inference=4, also=("ir_unsupported",), see="x", same_as="y",
    )  # fmt: skip
    assert store.end_cell(run.id, end) is True
    store.set_run_state(run.id, RunState.INTERRUPTED, 1795600100.5)

    view = store.load_run(run.id)
    assert view.run == replace(run, state=RunState.INTERRUPTED, finished=1795600100.5)
    assert view.devices == (DEVICE,)
    assert [record.cell for record in view.cells] == list(cells)
    assert (view.cells[2].cell.skip, view.cells[2].cell.provider_options) == (cells[2].skip, cells[2].provider_options)
    assert view.cells[0].export == export
    assert view.cells[0].end == end
    assert view.cells[0].trials == (trial,)
    assert (view.cells[1].end, view.cells[1].export, view.cells[1].trials) == (None, None, ())


def test_a_run_is_stored_whole_or_not_at_all(store, make):
    cells = make.cells(2)
    with pytest.raises(IntegrityError):
        store.create_run(make.run(), (*cells, cells[0]))
    assert store.list_runs() == ()


def test_a_trial_is_written_once(store, make, samples_dir):
    run, (cell, *_) = make.run(), make.cells()
    store.create_run(run, make.cells())
    first = make.trial(cell, make.samples(1))
    assert store.save_trial(run.id, first, make.samples(1)) is True
    assert store.save_trial(run.id, make.trial(cell, make.samples(2)), make.samples(2)) is False
    assert store.trials_of(run.id) == {cell.name: (first,)}
    assert store.read_samples(run.id, first.id).tobytes() == make.samples(1)
    assert len(list(samples_dir.rglob("*.i64"))) == 1


def test_of_two_controllers_that_store_one_trial_exactly_one_does(url, samples_dir, make):
    run, (cell, *_) = make.run(), make.cells()
    with Store.open(url, samples_dir) as one, Store.open(url, samples_dir) as other:
        one.create_run(run, make.cells())
        for round_no in range(5):
            barrier, answers = threading.Barrier(2), []

            def save(store, seed, round_no=round_no, barrier=barrier, answers=answers):
                trial = make.trial(cell, make.samples(seed), round_no=round_no)
                barrier.wait()
                answers.append(store.save_trial(run.id, trial, make.samples(seed)))

            threads = [threading.Thread(target=save, args=(store, seed)) for seed, store in enumerate((one, other))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(answers) == [False, True]
        for trial in one.trials_of(run.id)[cell.name]:
            assert summarise(one.read_samples(run.id, trial.id, "measured")) == trial.latency


def test_samples_that_are_not_the_named_ones_are_refused(store, make):
    run, (cell, *_) = make.run(), make.cells()
    store.create_run(run, make.cells())
    with pytest.raises(EdgesweepError) as caught:
        store.save_trial(run.id, make.trial(cell, make.samples(1)), make.samples(2))
    assert caught.value.code == "digest_mismatch"
    assert store.trials_of(run.id) == {}


def test_a_trial_without_samples_is_kept(store, make):
    run, (cell, *_) = make.run(), make.cells()
    store.create_run(run, make.cells())
    trial = make.trial(cell, make.samples(1))
    crashed = replace(
        trial, latency=None, samples_digest=None,
        result=replace(trial.result, samples=None, cause="crash", signal=11, evidence="Segmentation\x00fault \udcff"),
    )  # fmt: skip
    assert store.save_trial(run.id, crashed, b"") is True
    (kept,) = store.trials_of(run.id)[cell.name]
    assert (kept.result.signal, kept.result.evidence) == (11, "Segmentation\u2400fault \ufffd")
    with pytest.raises(LookupError, match="no samples"):
        store.read_samples(run.id, trial.id)


def test_what_belongs_to_no_cell_is_a_bug(store, make):
    run = make.run()
    store.create_run(run, make.cells(1))
    with pytest.raises(LookupError, match="has no cell"):
        store.save_trial(run.id, make.trial(make.cells(2)[1], make.samples(1)), make.samples(1))
    with pytest.raises(LookupError, match="has no cell"):
        store.end_cell(run.id, CellEnd("nowhere", Outcome.PASS, "placement"))
    with pytest.raises(LookupError, match="no run"):
        store.set_run_state("nowhere", RunState.INTERRUPTED)


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.FALLBACK, Outcome.FAILED, Outcome.SKIPPED])
def test_an_end_that_says_something_stays(store, make, outcome):
    run, (cell, *_) = make.run(), make.cells()
    store.create_run(run, make.cells())
    first = CellEnd(cell.name, outcome, "load", cause="" if outcome is Outcome.PASS else "load_error")
    assert store.end_cell(run.id, first) is True
    assert store.end_cell(run.id, CellEnd(cell.name, Outcome.LOST, "load", cause="device_unreachable")) is False
    assert store.end_cell(run.id, CellEnd(cell.name, Outcome.PASS, "placement")) is False
    assert store.load_run(run.id).cells[0].end == first


@pytest.mark.parametrize(
    "transient", [(Outcome.LOST, "device_unreachable"), (Outcome.LOST, ""), (Outcome.FAILED, "interrupted")]
)
def test_an_end_that_says_nothing_of_the_model_is_open_again(store, make, transient):
    outcome, cause = transient
    run, cells = make.run(), make.cells()
    store.create_run(run, cells)
    store.end_cell(run.id, CellEnd(cells[0].name, outcome, "upload", cause=cause))
    store.end_cell(run.id, CellEnd(cells[1].name, Outcome.PASS, "placement"))
    assert store.open_cells(run.id) == (cells[0], cells[2])
    assert store.end_cell(run.id, CellEnd(cells[0].name, Outcome.PASS, "placement")) is True
    assert store.open_cells(run.id) == (cells[2],)


def test_a_run_with_an_open_cell_is_never_complete(store, make):
    run, cells = make.run(), make.cells(2)
    store.create_run(run, cells)
    store.end_cell(run.id, CellEnd(cells[0].name, Outcome.PASS, "placement"))
    with pytest.raises(ValueError, match="has no outcome"):
        store.set_run_state(run.id, RunState.COMPLETE, 2.0)
    assert store.load_run(run.id).run.state is RunState.RUNNING
    store.end_cell(run.id, CellEnd(cells[1].name, Outcome.LOST, "upload", cause="not_run"))
    store.set_run_state(run.id, RunState.COMPLETE, 2.0)
    assert store.load_run(run.id).run.state is RunState.COMPLETE


def test_a_later_look_at_a_device_and_a_later_export_replace_the_earlier(store, make):
    run, cells = make.run(), make.cells()
    store.create_run(run, cells)
    store.save_device(run.id, replace(DEVICE, address="old:1", device=None, reading=None))
    store.save_device(run.id, DEVICE)
    store.save_export(run.id, export_of(cells[0], cause="export_timeout", produced=None, manifest=None))
    store.save_export(run.id, export_of(cells[0]))
    view = store.load_run(run.id)
    assert view.devices == (DEVICE,)
    assert view.cells[0].export == export_of(cells[0])


def test_trials_come_in_order_of_round_and_attempt(store, make):
    run, (cell, *_) = make.run(), make.cells()
    store.create_run(run, make.cells())
    for round_no, attempt in ((10, 0), (2, 1), (2, 0), (0, 0)):
        data = make.samples(round_no)
        store.save_trial(run.id, make.trial(cell, data, round_no=round_no, attempt=attempt), data)
    kept = store.trials_of(run.id)[cell.name]
    assert [(trial.round, trial.attempt) for trial in kept] == [(0, 0), (2, 0), (2, 1), (10, 0)]


def test_a_larger_run_takes_no_more_queries(store, make):
    counts = {}
    for size in (2, 60):
        run = make.run(f"run-{size}")
        cells = make.cells(size)
        store.create_run(run, cells)
        for cell in cells[:20]:
            store.save_trial(run.id, _bare(make, cell, run.id), b"")
        statements = []

        def note(connection, cursor, statement, *_, statements=statements):
            statements.append(statement)

        event.listen(store._engine, "before_cursor_execute", note)
        assert len(store.load_run(run.id).cells) == size
        store.list_runs()
        event.remove(store._engine, "before_cursor_execute", note)
        counts[size] = len(statements)
    assert counts[2] == counts[60]


def _bare(make, cell, run_id):
    trial = make.trial(cell, make.samples(1), run_id=run_id)
    return replace(trial, latency=None, samples_digest=None, result=replace(trial.result, samples=None))


def test_a_run_is_found_by_whatever_names_it(store, make):
    for number, (run_id, name) in enumerate(
        [("20261101-a", "nightly"), ("20261102-b", "quickstart"), ("20261103-c", "nightly")]
    ):
        store.create_run(make.run(run_id, name=name, started=float(number)), make.cells(1))
    assert store.find_run("latest") == "20261103-c"
    assert store.find_run("20261102-b") == "20261102-b"
    assert store.find_run("20261101") == "20261101-a"
    assert store.find_run("nightly") == "20261103-c"
    assert store.find_run("quickstart") == "20261102-b"


@pytest.mark.parametrize("text", ["2026", "", "nothing", "NIGHTLY", "%", "_"])
def test_what_names_no_run_or_several_is_told_with_candidates(store, make, text):
    for number, run_id in enumerate(("20261101-a", "20261102-b")):
        store.create_run(make.run(run_id, name="nightly", started=float(number)), make.cells(1))
    with pytest.raises(EdgesweepError, match=r"20261102-b, 20261101-a") as caught:
        store.find_run(text)
    assert caught.value.code == "unknown_run"


def test_an_empty_store_says_so(store):
    with pytest.raises(EdgesweepError) as caught:
        store.find_run("latest")
    assert caught.value.code == "no_runs"
    with pytest.raises(EdgesweepError) as caught:
        store.load_run("nothing")
    assert caught.value.code == "unknown_run"
    assert store.list_runs() == ()


def test_runs_are_listed_newest_first_with_their_outcomes(store, make):
    for number in range(4):
        store.create_run(make.run(f"run{number}", started=float(number)), make.cells(3))
    store.end_cell("run3", CellEnd(make.cells()[0].name, Outcome.PASS, "placement"))
    store.end_cell("run3", CellEnd(make.cells()[1].name, Outcome.FAILED, "load", cause="load_error"))
    newest, *_, last = store.list_runs(limit=3)
    assert (newest.id, last.id) == ("run3", "run1")
    assert (newest.cells, newest.outcomes, newest.open, newest.devices) == (3, {"pass": 1, "failed": 1}, 1, ("pi5",))


def test_a_disk_that_fails_is_told_in_one_sentence(store, make, samples_dir):
    run, (cell, *_) = make.run(), make.cells()
    store.create_run(run, make.cells())
    samples_dir.write_text("a file where the folder should be")
    with pytest.raises(EdgesweepError, match="cannot be kept") as caught:
        store.save_trial(run.id, make.trial(cell, make.samples(1)), make.samples(1))
    assert caught.value.code == "store_unusable"
    assert store.trials_of(run.id) == {}
