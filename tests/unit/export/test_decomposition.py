from __future__ import annotations

import onnx
import pytest
import torch
from edgesweep.export import decomposition
from edgesweep.export.decomposition import Decompositions
from torch.onnx._internal.exporter import _core, _fx_passes, _registration

#: torch warns of its own ways.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


class Plain(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(self.linear(x)).softmax(-1)


class Normed(Plain):
    """Holds the one operator that torch translates from opset 23 on and decomposes below."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.rms_norm(self.linear(x), (4,))


def export(program: torch.export.ExportedProgram, opset: int, folder, name: str) -> bytes:
    path = folder / f"{name}{opset}.onnx"
    torch.onnx.export(program, (), str(path), dynamo=True, opset_version=opset, external_data=False, verbose=False)
    model = onnx.load(path)
    # The exporter writes down where it was called from.
    for node in model.graph.node:
        node.ClearField("metadata_props")
    return model.SerializeToString(deterministic=True)


@pytest.fixture
def decomposed(monkeypatch) -> list[int]:
    """The opsets at which torch decomposed in earnest."""
    opsets = []
    original = _fx_passes.decompose_with_registry

    def listening(program, registry):
        opsets.append(registry.opset_version)
        return original(program, registry)

    monkeypatch.setattr(_fx_passes, "decompose_with_registry", listening)
    return opsets


def captured(module: torch.nn.Module) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=2, max=8)
    return torch.export.export(module.eval(), (torch.ones(2, 4),), dynamic_shapes={"x": {0: batch}})


def test_one_decomposition_serves_every_opset_with_the_bytes_that_torch_itself_writes(tmp_path, decomposed):
    program = captured(Plain())
    own = {opset: export(program, opset, tmp_path, "own") for opset in (23, 20, 18)}
    assert decomposed == [23, 20, 18]
    decomposed.clear()
    shared = Decompositions()
    for opset, content in own.items():
        with shared.shared():
            assert export(program, opset, tmp_path, "shared") == content
    assert decomposed == [23]


def test_an_operator_that_only_some_opsets_keep_whole_is_decomposed_for_the_others(tmp_path, decomposed):
    program = captured(Normed())
    shared = Decompositions()
    with shared.shared():
        newest = export(program, 23, tmp_path, "shared")
        older = export(program, 22, tmp_path, "shared")
    assert decomposed == [23, 22]
    assert newest == export(program, 23, tmp_path, "own")
    assert older == export(program, 22, tmp_path, "own")
    assert "RMSNormalization" in {node.op_type for node in onnx.load_from_string(newest).graph.node}
    assert "RMSNormalization" not in {node.op_type for node in onnx.load_from_string(older).graph.node}


def test_another_program_is_decomposed_by_itself(tmp_path, decomposed):
    shared = Decompositions()
    with shared.shared():
        for module in (Plain(), Normed()):
            export(captured(module), 20, tmp_path, type(module).__name__)
    assert decomposed == [20, 20]


def test_torch_is_as_it_was_afterwards():
    prepare = _core._prepare_exported_program_for_export
    listing = _registration.ONNXRegistry.from_torchlib
    with Decompositions().shared():
        assert _core._prepare_exported_program_for_export is not prepare
    assert _core._prepare_exported_program_for_export is prepare
    assert _registration.ONNXRegistry.from_torchlib == listing


def test_a_torch_without_these_names_exports_as_ever(tmp_path, decomposed, monkeypatch):
    monkeypatch.setattr(decomposition, "_internals", lambda: None)
    shared = Decompositions()
    program = captured(Plain())
    for opset in (20, 18):
        with shared.shared():
            export(program, opset, tmp_path, "own")
    assert decomposed == [20, 18]
