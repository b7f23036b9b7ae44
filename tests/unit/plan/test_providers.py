from __future__ import annotations

import pytest
from edgesweep.did_you_mean import hint, nearest
from edgesweep.plan.providers import SHORT_NAMES, full_name, parse_chain, short_name


@pytest.mark.parametrize("short", sorted(SHORT_NAMES))
def test_short_and_full_names_lead_to_each_other(short: str) -> None:
    full = SHORT_NAMES[short]
    assert full.endswith("ExecutionProvider")
    assert full_name(short) == full_name(full) == full_name(full.lower()) == full
    assert short_name(full) == short_name(short) == short_name(short.upper()) == short


def test_the_names_are_the_ones_that_the_installed_onnxruntime_knows() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    known = set(onnxruntime.get_all_providers())
    # These were taken out of onnxruntime; older builds on boards still have them.
    gone = {"ACLExecutionProvider", "ArmNNExecutionProvider", "ROCMExecutionProvider"}
    assert set(SHORT_NAMES.values()) - known <= gone


def test_a_full_name_that_is_not_known_passes_through() -> None:
    assert full_name("VitisAIExecutionProvider") == short_name("VitisAIExecutionProvider") == "VitisAIExecutionProvider"


@pytest.mark.parametrize("name", ["cudaa", "ExecutionProvider", "My/ExecutionProvider", ""])
def test_any_other_word_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown provider"):
        full_name(name)


def test_a_chain_holds_short_names_in_order() -> None:
    assert parse_chain("TensorrtExecutionProvider, CUDA,cpu") == ("tensorrt", "cuda", "cpu")
    assert parse_chain("FooExecutionProvider,cpu") == ("FooExecutionProvider", "cpu")


def test_the_hint_names_the_nearest_word_or_all() -> None:
    assert nearest("OPSETS", ["opsets", "axes"]) == "opsets"
    assert hint("opset", ["opsets", "axes"]) == ", did you mean 'opsets'?"
    assert hint("zzzz", ["opsets", "axes"]) == "; offered: opsets, axes"
    assert hint("zzzz", []) == ""
