"""This machine as a bench: the agent's supervisor in this process, with a real worker and a real onnxruntime."""

from __future__ import annotations

import hashlib
import io
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.local_bench import LocalBench, program
from edgesweep_proto.blob import Blob, Manifest, Tensor
from edgesweep_proto.trial import (
    Protocol,
    Provider,
    SessionOptions,
    Stage,
    Tolerance,
    Trial,
    TrialEvent,
    TrialOutcome,
    TrialState,
)
from edgesweep_worker.null_model import dense_model


class Shelf:
    """Blobs in a folder by their digest."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def put(self, data: bytes) -> Blob:
        blob = Blob(hashlib.sha256(data).hexdigest(), len(data))
        self.path_of(blob.sha256).write_bytes(data)
        return blob

    def path_of(self, sha256: str) -> Path:
        return self.root / sha256


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def trial_on(shelf: Shelf, runtime: str, name: str = "a", **protocol) -> Trial:
    x = io.BytesIO()
    np.save(x, np.ones((1, 8), np.float32), allow_pickle=False)
    quick = {"min_duration_s": 0.0, "max_duration_s": 0.2, "min_inferences": 10} | protocol
    return Trial(
        id=f"run/{name}/0/0", run_id="run", cell_key=name, cell_name=name, round=0, attempt=0,
        artifact=Manifest(shelf.put(dense_model())), inputs=(Tensor("x", shelf.put(x.getvalue()), "float32", (1, 8)),),
        references=(), tolerance=Tolerance(), runtime_id=runtime, providers=(Provider("CPUExecutionProvider"),),
        session=SessionOptions(), protocol=Protocol(**quick),
    )  # fmt: skip


async def test_a_trial_is_run_told_and_forgotten(tmp_path, shelf) -> None:
    state = tmp_path / "state"
    seen: list[TrialEvent] = []
    async with LocalBench(state) as bench:
        runtime = await bench.runtime()
        fetched = await bench.run(trial_on(shelf, runtime.id), shelf.path_of, seen.append)
        assert (await bench.describe()).device.name == "local"
    assert fetched.result.outcome is TrialOutcome.PASS, fetched.result
    samples = fetched.result.samples
    assert len(fetched.samples) == 8 * (samples.warmup_count + samples.measured_count)
    assert [event.state for event in seen][-1] is TrialState.FINISHED
    assert Stage.MEASURE in [event.stage for event in seen]
    assert not [path for path in (state / "blobs").rglob("*") if path.is_file()]
    async with LocalBench(state) as again:
        assert (await again.run(trial_on(shelf, runtime.id, "b"), shelf.path_of, seen.append)).result.samples


async def test_this_process_does_nothing_while_times_are_taken(tmp_path, shelf) -> None:
    marks: dict[Stage, tuple[float, float]] = {}

    def mark(event: TrialEvent) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        marks.setdefault(event.stage, (time.monotonic(), used.ru_utime + used.ru_stime))

    async with LocalBench(tmp_path / "state") as bench:
        runtime = await bench.runtime()
        trial = trial_on(shelf, runtime.id, min_duration_s=2.0, max_duration_s=2.0, max_inferences=10**9)
        await bench.run(trial, shelf.path_of, mark)
    (began, used_before), (ended, used_after) = marks[Stage.MEASURE], marks[Stage.PLACEMENT]
    assert ended - began >= 2.0
    assert used_after - used_before < 0.01 * (ended - began)


async def test_two_at_a_time_are_refused(tmp_path) -> None:
    async with LocalBench(tmp_path / "state"):
        with pytest.raises(EdgesweepError, match="another `edgesweep measure` runs") as caught:
            async with LocalBench(tmp_path / "state"):
                pass
    assert (caught.value.code, caught.value.exit_code) == ("machine_busy", 4)


async def test_a_state_folder_that_cannot_be_made_is_lab_trouble(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgesweepError) as caught:
        async with LocalBench(tmp_path / "file" / "state"):
            pass
    assert (caught.value.code, caught.value.exit_code) == ("machine_unfit", 4)


async def test_an_interpreter_without_onnxruntime_is_named(tmp_path) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 3\n")
    bare.chmod(0o755)
    async with LocalBench(tmp_path / "state", str(bare)) as bench:
        with pytest.raises(EdgesweepError, match=f"^{bare} cannot be measured with: ") as caught:
            await bench.runtime()
    assert caught.value.code == "usage"
    with pytest.raises(EdgesweepError, match="is no program"):
        program(str(tmp_path / "gone"))
