from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
from edgesweep.errors import CATALOGUE, EdgesweepError
from edgesweep.export import axes
from edgesweep.export.artifacts.blobs import Blobs
from edgesweep.export.artifacts.canonical import canonicalise
from edgesweep.export.artifacts.facts import facts_of
from edgesweep.export.artifacts.graph_hash import graph_hash_of
from edgesweep.export.exporters import exporter_named
from edgesweep.export.failures.classify import classify
from edgesweep.export.proof.allowed import tolerance_for
from edgesweep.export.proof.check import check_graph, check_opset
from edgesweep.export.proof.tolerance import compare
from edgesweep.export.registry import EXPORTERS
from edgesweep.export.schedule import ExportJob, Schedule
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant
from edgesweep_proto.blob import Blob
from edgesweep_proto.trial import Tolerance
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

SIZES = st.integers(1, 40)


def tiny(node: str = "n", weight: float = 2.0, op: str = "Mul", opset: int = 17) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(op, ["x", f"{node}_w"], [f"{node}_y"], name=node, doc_string="/home/somebody/model.py")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info(f"{node}_y", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor(f"{node}_w", TensorProto.FLOAT, [2], [weight, weight])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_profiles_name_dimensions_in_the_model_s_order():
    declared = ("batch", "height", "width")
    assert axes.dimensions_of("static", declared) == ()
    assert axes.dimensions_of("full", declared) == declared
    assert axes.dimensions_of("width+batch", declared) == ("batch", "width")
    with pytest.raises(EdgesweepError) as caught:
        axes.dimensions_of("seq", declared)
    assert caught.value.code == "no_such_dimension"


@given(SIZES, SIZES, SIZES)
def test_proof_sizes_stay_in_range_and_leave_the_example(example, a, b):
    low, high = min(a, b, example), max(a, b, example)
    for sizes in axes.proof_sizes(("d",), {"d": example}, {"d": (low, high)}):
        assert low <= sizes["d"] <= high
        assert sizes["d"] != example


@given(SIZES)
def test_without_a_range_two_other_sizes_prove(example):
    sizes = {found["d"] for found in axes.proof_sizes(("d",), {"d": example}, {})}
    assert len(sizes) >= 2
    assert example not in sizes


def test_interior_size_shares_no_factor_with_the_example():
    sizes = [found["d"] for found in axes.proof_sizes(("d",), {"d": 224}, {"d": (96, 320)})]
    assert sizes[:2] == [96, 320]
    assert math.gcd(sizes[2], 224) == 1


@given(st.integers(3, 41).map(lambda half: 2 * half - 1), st.sampled_from([2, 4]))
def test_sizes_tell_a_branch_on_a_remainder(example, divisor):
    # Odd example, odd bounds: only the size in between can be even.
    low, high = 1, 2 * example + 17
    sizes = [example, *(found["d"] for found in axes.proof_sizes(("d",), {"d": example}, {"d": (low, high)}))]
    assert len({size % divisor == 0 for size in sizes}) == 2


def test_each_dimension_alone_then_all_together():
    found = axes.proof_sizes(("a", "b"), {"a": 2, "b": 6}, {"a": (1, 8), "b": (2, 12)})
    assert [set(sizes) for sizes in found] == [{"a"}] * 3 + [{"b"}] * 3 + [{"a", "b"}] * 3
    assert {"a": 8, "b": 12} in found


def test_only_dynamic_dimensions_of_size_one_are_traced_elsewhere():
    example = {"batch": 1, "seq": 64}
    assert axes.trace_sizes(("batch", "seq"), example, {"batch": (1, 8)}) == {"batch": 2}
    assert axes.trace_sizes(("seq",), example, {}) == {}
    assert axes.trace_sizes(("batch",), example, {"batch": (1, 1)}) == {}


def test_tolerance_is_absolute_plus_relative_of_the_reference():
    tolerance = tolerance_for("fp32")
    want = np.array([0.0, 1.0, 100.0], dtype=np.float32)
    assert compare(want + np.array([9e-5, 1e-3, 0.09], dtype=np.float32), want, tolerance).agrees
    off = compare(want + np.array([2e-4, 0, 0], dtype=np.float32), want, tolerance)
    assert not off.agrees
    assert off.max_absolute == pytest.approx(2e-4)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (np.zeros((2, 1), np.float32), np.zeros((2,), np.float32)),
        (np.array([1, 2]), np.array([1, 3])),
        (np.array([True]), np.array([False])),
        (np.array([np.nan], np.float32), np.array([0.0], np.float32)),
        (np.array([np.inf], np.float32), np.array([-np.inf], np.float32)),
        (np.array([np.inf], np.float32), np.array([1.0], np.float32)),
        (np.array([1], np.int64), np.array([1.0], np.float32)),
    ],
)
def test_shapes_types_nan_infinities_and_integers_are_exact(got, want):
    found = compare(got, want, tolerance_for("fp32"))
    assert not found.agrees
    assert math.isfinite(found.max_absolute)
    assert found.nan == bool(np.isnan(got.astype(float)).any())


@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.sampled_from([math.nan, math.inf, -math.inf]), max_size=8))
def test_everything_agrees_with_itself(values):
    array = np.array(values, dtype=np.float32)
    found = compare(array, array.copy(), tolerance_for("fp32"))
    assert (found.agrees, found.max_absolute, found.max_relative) == (True, 0.0, 0.0)


def test_int8_is_held_to_its_signal_to_noise_ratio():
    want = np.ones(1000, np.float32)
    assert compare(want * np.float32(1.05), want, tolerance_for("int8-static")).agrees
    assert "dB" in compare(want * np.float32(1.5), want, tolerance_for("int8-static")).reason
    assert tolerance_for("fp16") == Tolerance(1e-2, 1e-2)


def test_a_blob_is_whole_or_not_there(tmp_path):
    blobs = Blobs(tmp_path)
    blob = blobs.put_bytes(b"weights")
    assert blobs.path_of(blob.sha256).read_bytes() == b"weights"
    assert blobs.holds(blob)
    assert not blobs.holds(replace(blob, size_bytes=3))
    blobs.path_of(blob.sha256).write_bytes(b"w3ights")
    assert not Blobs(tmp_path).holds(blob)
    file = tmp_path / "file"
    file.write_bytes(b"weights")
    assert blobs.put_file(file, move=True) == blob
    assert not file.exists() or file.read_bytes() == b"weights"
    assert Blobs(tmp_path).holds(blob)
    assert not list(tmp_path.rglob(".aside-*"))


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "", "a" * 63])
def test_only_a_digest_becomes_a_path(tmp_path, name):
    with pytest.raises(ValueError, match="not a SHA-256"):
        Blobs(tmp_path).path_of(name)
    with pytest.raises(ValueError, match="not a SHA-256"):
        Blobs(tmp_path).holds(Blob(name, 1))


def test_canonical_form_forgets_where_and_by_whom_it_was_written(tmp_path):
    model = tiny()
    other = tiny()
    other.metadata_props.add(key="host", value="/home/somebody")
    other.graph.doc_string = "traced on a Tuesday"
    digests = []
    for index, each in enumerate((model, other)):
        folder = tmp_path / str(index)
        folder.mkdir()
        onnx.save(each, folder / "in.onnx")
        (folder / "out").mkdir()
        canonical = canonicalise(folder / "in.onnx", folder / "out")
        digests.append(canonical.path.read_bytes())
        assert b"somebody" not in canonical.path.read_bytes()
        assert b"somebody" in canonical.original
    assert digests[0] == digests[1]


def test_graph_hash_ignores_names_and_nothing_else():
    assert graph_hash_of(tiny("a")) == graph_hash_of(tiny("b"))
    assert graph_hash_of(tiny("a")) != graph_hash_of(tiny("a", weight=3.0))
    assert graph_hash_of(tiny("a")) != graph_hash_of(tiny("a", op="Add"))
    assert graph_hash_of(tiny("a")) != graph_hash_of(tiny("a", opset=18))


def test_graph_hash_sees_into_branches():
    def branching(value: float, name: str) -> onnx.ModelProto:
        def branch(label: str, weight: float) -> onnx.GraphProto:
            return helper.make_graph(
                [helper.make_node("Mul", ["x", f"{name}{label}"], [f"{name}{label}_out"])],
                label,
                [],
                [helper.make_tensor_value_info(f"{name}{label}_out", TensorProto.FLOAT, [2])],
                [helper.make_tensor(f"{name}{label}", TensorProto.FLOAT, [1], [weight])],
            )

        graph = helper.make_graph(
            [helper.make_node("If", ["c"], [f"{name}y"], then_branch=branch("t", value), else_branch=branch("e", 1.0))],
            "g",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
                helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            ],
            [helper.make_tensor_value_info(f"{name}y", TensorProto.FLOAT, [2])],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])

    assert graph_hash_of(branching(2.0, "a")) == graph_hash_of(branching(2.0, "b"))
    assert graph_hash_of(branching(2.0, "a")) != graph_hash_of(branching(3.0, "a"))


def test_facts_are_those_of_the_file():
    facts = facts_of(tiny(opset=15))
    assert (facts.opset, facts.ir_version, facts.nodes, facts.domains) == (15, 8, 1, ("ai.onnx",))
    assert facts.inputs[0].shape == ("batch", 2)
    assert facts.inputs[0].dtype == "float32"
    assert check_opset(facts, 15) is None
    assert check_opset(facts, 18).cause == "opset_not_honoured"


@pytest.mark.parametrize(
    ("op", "opset", "cause"),
    [
        ("Mul", 17, None),
        ("Erf", 7, "opset_not_registered"),
        ("Gelu", 17, "opset_not_registered"),
        ("Gemm", 17, "invalid_graph"),
    ],
)
def test_checker_findings_have_their_own_causes(tmp_path, op, opset, cause):
    model = tiny(op=op, opset=opset)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    failure = check_graph(path, model)
    assert (failure.cause if failure else None) == cause
    if cause == "opset_not_registered":
        assert op in failure.message


def test_an_exporter_s_advice_is_shortened_and_kept():
    class UnsupportedOperatorError(Exception):
        pass

    found = classify(
        UnsupportedOperatorError("Exporting the operator 'aten::foo' to ONNX opset version 9 is not supported"),
        "torchscript",
        9,
    )
    assert (found.cause, found.message) == (
        "export_unsupported_op",
        "torchscript has no ONNX form for aten::foo at opset 9",
    )
    wrapped = RuntimeError("\x1b[96mThis is step 1/3\x1b[0m\n" + "advice\n" * 500)
    wrapped.__cause__ = KeyError("weight")
    found = classify(wrapped, "dynamo", 18)
    assert found.cause == "export_error"
    assert "KeyError: 'weight'" in found.message
    assert "advice" in found.detail
    assert "\x1b" not in found.detail
    assert len(found.message) <= 300


def test_an_opset_below_what_dynamo_s_converter_takes_is_not_the_model_s_fault():
    found = classify(ValueError("Target opset version 17 is not supported. Supported range: 18 to 25."), "dynamo", 17)
    assert (found.cause, found.message) == ("export_unsupported_opset", "dynamo does not offer opset 17")


def test_every_cause_the_room_names_is_in_the_catalogue():
    for error in (
        MemoryError(),
        ValueError("Unsupported ONNX opset version: 3"),
        RuntimeError("Could not guard on data-dependent expression"),
    ):
        assert classify(error, "dynamo", 3).cause in CATALOGUE


def test_exporters_are_found_by_their_file_names():
    assert {"dynamo", "torchscript"} <= set(EXPORTERS)
    assert all(hasattr(exporter_named(name), "open") for name in EXPORTERS)
    with pytest.raises(KeyError):
        exporter_named("os")


def jobs_of(model: str, exporter: str, count: int, axes_name: str = "static") -> list[ExportJob]:
    source = ModelSource(SourceKind.ZOO, model, model)
    return [ExportJob(source, Variant(model, exporter, opset, axes_name), (Shape(),)) for opset in range(count)]


@given(st.lists(st.sampled_from([0, 1]), max_size=60))
def test_every_job_is_handed_out_once_whoever_asks(order):
    jobs = [
        *jobs_of("a", "dynamo", 7),
        *jobs_of("a", "torchscript", 3),
        *jobs_of("b", "dynamo", 2),
        *jobs_of("b", "dynamo", 4, "full"),
    ]
    schedule = Schedule(jobs)
    handed = [job for slot in order if (job := schedule.next(slot)) is not None]
    for slot in (0, 1):
        while (job := schedule.next(slot)) is not None:
            handed.append(job)
    assert sorted(job.variant.slug + job.variant.model for job in handed) == sorted(
        job.variant.slug + job.variant.model for job in jobs
    )


def test_slots_begin_with_different_models_and_share_the_last_profile():
    schedule = Schedule([*jobs_of("a", "dynamo", 3), *jobs_of("b", "dynamo", 9)])
    assert schedule.next(0).source.name == "b"
    assert schedule.next(1).source.name == "a"
    taken = [schedule.next(1).source.name for _ in range(4)]
    assert taken == ["a", "a", "b", "b"]


def test_dropping_a_model_takes_only_what_is_not_handed_out():
    from edgesweep.export.artifacts.digest import source_key

    schedule = Schedule([*jobs_of("a", "dynamo", 3), *jobs_of("b", "dynamo", 1)])
    first = schedule.next(0)
    assert first.source.name == "a"
    assert len(schedule.drop(source_key(first.source))) == 2
    assert schedule.next(0).source.name == "b"
    assert schedule.next(0) is None
