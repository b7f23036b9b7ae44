"""A request for an opset is not an answer: row by row what torch gives and what Edgesweep calls it."""

from __future__ import annotations

import pytest
from edgesweep_proto.trial import Stage


@pytest.mark.parametrize("asked", [7, 13])
def test_7_to_13_dynamo_gives_18_without_a_word(traps, asked):
    naive = traps.naive.of("cnn", "dynamo", asked)
    assert (naive.opset, naive.check()) == (18, "")
    ours = traps.ours("cnn", "dynamo", asked)
    assert (ours.stage, ours.cause) == (Stage.CHECK, "opset_not_honoured")
    assert ours.produced.opset == 18
    assert f"opset {asked}" in ours.message
    assert "opset 18" in ours.message
    assert not ours.payloads


def test_7_torchscript_gives_7_with_an_operator_that_7_does_not_have(traps):
    naive = traps.naive.of("cnn", "torchscript", 7)
    assert (naive.opset, "Erf" in naive.operators) == (7, True)
    assert "No Op registered for Erf" in naive.check()
    ours = traps.ours("cnn", "torchscript", 7)
    assert (ours.cause, ours.produced.opset) == ("opset_not_registered", 7)
    assert "Erf" in ours.message


def test_7_torchscript_gives_an_lstm_that_the_checker_takes_and_no_runtime_loads(traps):
    naive = traps.naive.of("lstm", "torchscript", 7)
    assert "ConstantFill" in naive.operators
    assert naive.check() == ""
    with pytest.raises(Exception, match="ConstantFill"):
        naive.session()
    ours = traps.ours("lstm", "torchscript", 7)
    assert ours.cause == "opset_not_registered"
    assert "ConstantFill" in ours.message


@pytest.mark.parametrize(("model", "asked"), [("cnn", 9), ("cnn", 13), ("lstm", 9)])
def test_9_to_13_torchscript_gives_that_opset(traps, model, asked):
    assert traps.naive.of(model, "torchscript", asked).opset == asked
    ours = traps.ours(model, "torchscript", asked)
    assert ours.passed, ours.message
    assert ours.produced.opset == asked


def test_9_to_13_torchscript_has_no_attention(traps):
    assert "UnsupportedOperatorError" in traps.naive.of("attention", "torchscript", 13).refusal
    ours = traps.ours("attention", "torchscript", 13)
    assert (ours.stage, ours.cause) == (Stage.EXPORT, "export_unsupported_op")
    assert "aten::scaled_dot_product_attention" in ours.message
    assert "opset 13" in ours.message


def test_15_and_17_dynamo_gives_that_opset_for_some_models(traps):
    assert traps.naive.of("attention", "dynamo", 15).opset == 15
    ours = traps.ours("attention", "dynamo", 15)
    assert ours.passed, ours.message
    assert ours.produced.opset == 15


def test_15_and_17_dynamo_gives_18_without_a_word_for_others(traps):
    assert traps.naive.of("cnn", "dynamo", 17).opset == 18
    ours = traps.ours("cnn", "dynamo", 17)
    assert (ours.cause, ours.produced.opset) == ("opset_not_honoured", 18)


def test_17_dynamo_gives_a_fourier_transform_with_an_attribute_of_18(traps):
    naive = traps.naive.of("fourier", "dynamo", 17)
    assert naive.opset == 17
    assert "noop_with_empty_axes" in naive.check()
    ours = traps.ours("fourier", "dynamo", 17)
    assert (ours.stage, ours.cause) == (Stage.CHECK, "invalid_graph")
    assert "noop_with_empty_axes" in ours.message


@pytest.mark.parametrize(("model", "asked"), [("cnn", 17), ("attention", 15)])
def test_15_and_17_torchscript_gives_that_opset(traps, model, asked):
    assert traps.naive.of(model, "torchscript", asked).opset == asked
    ours = traps.ours(model, "torchscript", asked)
    assert ours.passed, ours.message
    assert ours.produced.opset == asked


@pytest.mark.parametrize(
    ("model", "exporter", "asked"),
    [
        ("cnn", "dynamo", 18),
        ("fourier", "dynamo", 18),
        ("cnn", "dynamo", 20),
        ("attention", "dynamo", 23),
        *(("cnn", "torchscript", opset) for opset in (18, 19, 20, 21, 23)),
        ("attention", "torchscript", 23),
    ],
)
def test_18_to_23_both_give_that_opset(traps, model, exporter, asked):
    assert traps.naive.of(model, exporter, asked).opset == asked
    ours = traps.ours(model, exporter, asked)
    assert ours.passed, ours.message
    assert ours.produced.opset == asked


@pytest.mark.parametrize("asked", [17, 18, 23])
def test_torchscript_has_no_fourier_transform_at_any_opset(traps, asked):
    assert "UnsupportedOperatorError" in traps.naive.of("fourier", "torchscript", asked).refusal
    ours = traps.ours("fourier", "torchscript", asked)
    assert ours.cause == "export_unsupported_op"
    assert "aten::fft_rfft" in ours.message


def test_24_and_25_dynamo_gives_that_opset(traps):
    assert traps.naive.of("cnn", "dynamo", 25).opset == 25
    ours = traps.ours("cnn", "dynamo", 25)
    assert ours.passed, ours.message
    assert ours.produced.opset == 25


@pytest.mark.parametrize("asked", [24, 25, 26])
def test_24_to_26_torchscript_does_not_offer_them(traps, asked):
    assert f"Unsupported onnx_opset_version: {asked}" in traps.naive.of("cnn", "torchscript", asked).refusal
    ours = traps.ours("cnn", "torchscript", asked)
    assert (ours.stage, ours.cause) == (Stage.EXPORT, "export_unsupported_opset")
    assert f"opset {asked}" in ours.message


@pytest.mark.parametrize(("model", "operator"), [("cnn", "Gelu"), ("attention", "Attention")])
def test_26_dynamo_gives_a_file_labelled_18_whose_nodes_are_newer(traps, model, operator):
    # torch 2.13 as installed here: the label is 18. The file is as broken as one labelled 26.
    naive = traps.naive.of(model, "dynamo", 26)
    assert naive.opset == 18
    assert f"No Op registered for {operator} with domain_version of 18" in naive.check()
    ours = traps.ours(model, "dynamo", 26)
    assert (ours.stage, ours.cause, ours.produced.opset) == (Stage.CHECK, "opset_not_honoured", 18)
    assert not ours.payloads


def test_26_dynamo_gives_26_for_an_lstm(traps):
    assert traps.naive.of("lstm", "dynamo", 26).opset == 26
    ours = traps.ours("lstm", "dynamo", 26)
    assert ours.passed, ours.message
    assert ours.produced.opset == 26


@pytest.mark.parametrize(
    ("model", "asked"), [("cnn", 7), ("cnn", 18), ("cnn", 25), ("attention", 15), ("attention", 23), ("lstm", 26)]
)
def test_dynamo_always_writes_ir_10(traps, model, asked):
    assert traps.naive.of(model, "dynamo", asked).ir_version == 10
    assert traps.ours(model, "dynamo", asked).produced.ir_version == 10


@pytest.mark.parametrize(
    ("asked", "ir_version"),
    [(7, 3), (9, 4), (13, 7), (17, 8), (18, 8), (19, 9), (20, 9), (21, 10), (23, 11)],
)
def test_torchscript_writes_the_ir_that_belongs_to_the_opset(traps, asked, ir_version):
    assert traps.naive.of("cnn", "torchscript", asked).ir_version == ir_version
    assert traps.ours("cnn", "torchscript", asked).produced.ir_version == ir_version


@pytest.mark.parametrize("asked", [15, 22])
def test_attention_is_8_nodes_before_23(traps, asked):
    assert len(traps.naive.of("attention", "dynamo", asked).operators) == 8
    assert traps.ours("attention", "dynamo", asked).produced.nodes == 8


def test_attention_is_1_node_from_23_on(traps):
    assert traps.naive.of("attention", "dynamo", 23).operators == ["Attention"]
    assert traps.ours("attention", "dynamo", 23).produced.nodes == 1


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_gelu_is_several_nodes_before_20_and_1_from_then_on(traps, exporter):
    early, late = (traps.naive.of("cnn", exporter, opset) for opset in (18, 20))
    assert ("Erf" in early.operators, "Gelu" in early.operators) == (True, False)
    assert ("Erf" in late.operators, late.operators.count("Gelu")) == (False, 1)
    before, after = (traps.ours("cnn", exporter, opset).produced for opset in (18, 20))
    assert (before.nodes, after.nodes) == (len(early.operators), len(late.operators))
    assert before.nodes - after.nodes >= 4


def test_requests_that_give_the_same_file_are_one_artifact(traps):
    digests = {traps.ours("cnn", "dynamo", opset).produced.digest for opset in (7, 13, 17, 18)}
    assert len(digests) == 1
    assert traps.ours("cnn", "dynamo", 20).produced.digest not in digests
    passed = [opset for opset in (7, 13, 17, 18) if traps.ours("cnn", "dynamo", opset).passed]
    assert passed == [18]
