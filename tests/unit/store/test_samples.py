from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.store.samples import SampleFiles, SampleKey, decode_samples
from edgesweep.store.store import Store


@pytest.fixture
def store(tmp_path, samples_dir):
    with Store.open(f"sqlite:///{tmp_path}/store.sqlite", samples_dir) as opened:
        yield opened


@pytest.fixture
def trials(store, make):
    """Three stored trials of two cells, with their samples."""
    cells = make.cells(2)
    store.create_run(make.run(), cells)
    kept = {}
    for seed, (cell, round_no) in enumerate([(cells[0], 0), (cells[1], 0), (cells[0], 1)]):
        data = make.samples(seed, 103 + seed)
        trial = make.trial(cell, data, round_no=round_no)
        store.save_trial(make.run().id, trial, data)
        kept[trial.id] = decode_samples(data)
    return kept


def test_samples_are_read_whole_or_by_phase(store, make, trials):
    run_id = make.run().id
    for trial_id, times in trials.items():
        assert np.array_equal(store.read_samples(run_id, trial_id), times)
        assert np.array_equal(store.read_samples(run_id, trial_id, "warmup"), times[:3])
        assert np.array_equal(store.read_samples(run_id, trial_id, "measured"), times[3:])


def test_packing_changes_no_sample_and_removes_the_single_files(store, make, trials, samples_dir):
    run_id = make.run().id
    packed = store.compact_samples(run_id)
    assert sorted(path.name for path in samples_dir.iterdir()) == [f"{run_id}.parquet"]
    table = pq.read_table(packed).to_pydict()
    assert list(table) == ["trial_id", "cell", "phase", "index", "ns"]
    assert len(table["ns"]) == sum(map(len, trials.values()))
    assert table["phase"][:5] == ["warmup"] * 3 + ["measured"] * 2
    assert table["index"][:5] == [0, 1, 2, 3, 4]
    assert list(dict.fromkeys(table["cell"])) == [cell.name for cell in make.cells(2)]
    for trial_id, times in trials.items():
        assert np.array_equal(store.read_samples(run_id, trial_id), times)
        assert np.array_equal(store.read_samples(run_id, trial_id, "measured"), times[3:])


def test_a_resumed_run_is_packed_again_with_the_old_and_the_new(store, make, trials):
    run_id = make.run().id
    store.compact_samples(run_id)
    data = make.samples(9)
    late = make.trial(make.cells(2)[1], data, round_no=1)
    store.save_trial(run_id, late, data)
    assert np.array_equal(store.read_samples(run_id, late.id), decode_samples(data))
    store.compact_samples(run_id)
    for trial_id, times in {**trials, late.id: decode_samples(data)}.items():
        assert np.array_equal(store.read_samples(run_id, trial_id), times)


def test_packing_twice_is_packing_once(store, make, trials, samples_dir):
    first = pq.read_table(store.compact_samples(make.run().id))
    assert pq.read_table(store.compact_samples(make.run().id)).equals(first)


def test_two_trials_with_the_same_samples_both_keep_them(store, make, samples_dir):
    run, (cell, *_) = make.run(), make.cells(1)
    store.create_run(run, make.cells(1))
    data = make.samples(1)
    twins = [make.trial(cell, data, round_no=number) for number in range(2)]
    for twin in twins:
        assert store.save_trial(run.id, twin, data)
    store.compact_samples(run.id)
    for twin in twins:
        assert np.array_equal(store.read_samples(run.id, twin.id), decode_samples(data))


def test_samples_on_another_host_are_told_as_such(store, make, trials, tmp_path):
    with (
        Store.open(f"sqlite:///{tmp_path}/store.sqlite", tmp_path / "elsewhere") as other,
        pytest.raises(EdgesweepError) as caught,
    ):
        other.read_samples(make.run().id, next(iter(trials)))
    assert "not on this host" in caught.value.message


def test_many_samples_are_spread_over_row_groups(tmp_path):
    files = SampleFiles(tmp_path)
    keys = []
    for number in range(4):
        times = np.arange(number, 150_000 + number, dtype="<i8")
        keys.append(SampleKey(f"run/{number}", "cell", files.save("run", times.tobytes()), 10))
    packed = files.compact("run", keys)
    assert pq.ParquetFile(packed).num_row_groups == 2
    for number, key in enumerate(keys):
        assert np.array_equal(files.read("run", key), np.arange(number, 150_000 + number))


def test_leftovers_of_a_killed_writer_go_and_orphans_stay(tmp_path):
    files = SampleFiles(tmp_path)
    key = SampleKey("t", "cell", files.save("run", make_bytes(1)), 0)
    orphan = files.save("run", make_bytes(2))
    (tmp_path / "run" / f".{key.digest}.i64-half").write_bytes(b"half")
    files.compact("run", [key])
    assert [path.name for path in (tmp_path / "run").iterdir()] == [f"{orphan}.i64"]


@pytest.mark.parametrize("run_id", ["../elsewhere", "", ".hidden", "a/b", "a\x00"])
def test_a_run_id_never_leads_out_of_the_folder(tmp_path, run_id):
    with pytest.raises(ValueError, match="file name"):
        SampleFiles(tmp_path / "samples").save(run_id, b"12345678")
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_no_samples_are_refused():
    with pytest.raises(ValueError, match="multiple"):
        decode_samples(b"123")


def make_bytes(seed: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 100, 8, dtype="<i8").tobytes()
