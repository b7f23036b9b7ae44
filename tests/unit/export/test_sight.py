"""What another host must see of a model: its own files, with the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("distributed")

from edgesweep.export.cluster.sight import lacking, sight_of
from edgesweep.models.source import ModelSource, SourceKind


def test_the_files_that_a_plan_gives_belong_to_the_model(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"a model")
    (tmp_path / "refs").mkdir()
    given = tmp_path / "in.npz"
    np.savez(given, x=np.zeros(3))
    source = ModelSource(
        SourceKind.ONNX, str(tmp_path / "m.onnx"), "m", references=str(tmp_path / "refs"), inputs=str(given)
    )
    sight = sight_of(source)
    assert set(sight.files) == {str(tmp_path / name) for name in ("m.onnx", "refs", "in.npz")}
    assert lacking(sight) == ""
    np.savez(given, x=np.ones(5))
    assert lacking(sight) == f"has another {given} than the controller"
    given.unlink()
    assert lacking(sight) == f"does not see {given}"
