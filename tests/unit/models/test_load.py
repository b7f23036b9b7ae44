from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import edgesweep
import pytest
import torch
from edgesweep.errors import EdgesweepError
from edgesweep.models.describe import describe_source, facts_of
from edgesweep.models.inputs import example_of
from edgesweep.models.load import load_model
from edgesweep.models.source import ModelFacts, ModelSource, SourceKind

Factory = Callable[..., ModelSource]

PLAIN = """
def build(width=4):
    return nn.Linear(8, width), (torch.ones(2, 8),)
"""

MODEL = """
import edgesweep
def build():
    return edgesweep.Model(nn.Linear(8, 4), (torch.ones(2, 8),), {"input": {0: "batch"}}, {"batch": (1, 8)},
                           name="own", output_names=["y"])
"""


def test_a_pair_becomes_a_model_in_eval_mode(factory: Factory) -> None:
    model = load_model(factory(PLAIN))
    assert isinstance(model, edgesweep.Model)
    assert model.name == "seg"
    assert not model.module.training
    assert model.dynamic == {}
    assert model.ranges == {}
    assert list(example_of(model)) == ["input"]


def test_arguments_are_keywords_of_the_callable(factory: Factory) -> None:
    assert load_model(factory(PLAIN, args={"width": 3})).module.out_features == 3


def test_a_model_is_taken_with_its_declarations(factory: Factory) -> None:
    source = factory(MODEL)
    model = load_model(source)
    assert model.dynamic == {"input": {0: "batch"}}
    assert model.ranges == {"batch": (1, 8)}
    assert model.output_names == ("y",)
    assert facts_of(model, source) == ModelFacts("seg", ("batch",), {"batch": (1, 8)}, {"batch": 2})


def test_the_plan_replaces_dynamic_as_a_whole_and_ranges_one_by_one(factory: Factory) -> None:
    wider = load_model(factory(MODEL, ranges={"batch": (2, 4)}))
    assert wider.dynamic == {"input": {0: "batch"}}
    assert wider.ranges == {"batch": (2, 4)}
    renamed = load_model(factory(MODEL, dynamic={"input": {0: "rows"}}, ranges={"rows": (1, 3)}))
    assert renamed.dynamic == {"input": {0: "rows"}}
    assert renamed.ranges == {"rows": (1, 3)}, "the range of a dimension that is gone goes with it"


def test_axes_are_counted_from_the_front(factory: Factory) -> None:
    model = load_model(factory(PLAIN, dynamic={"input": {-1: "width", -2: "batch"}}))
    assert list(model.dynamic["input"].items()) == [(0, "batch"), (1, "width")]
    assert model.dimensions == ("batch", "width")


def test_examples_may_be_a_dict_nested_and_leave_defaults_out(factory: Factory) -> None:
    source = factory(
        """
        class Net(nn.Module):
            def forward(self, x, past, scale=2.0):
                return x * scale + past[0]["key"]
        def build():
            return Net(), {"past": [{"key": torch.ones(1, 3)}], "x": torch.ones(1, 3)}
        """,
        dynamic={"x": {0: "batch"}, "past.0.key": {0: "batch"}},
    )
    model = load_model(source)
    assert list(example_of(model)) == ["x", "past"], "in the order of forward, not of the dict"
    assert facts_of(model, source).example == {"batch": 1}


def test_a_file_is_called_afresh_and_may_import_its_siblings(tmp_path: Path, factory: Factory) -> None:
    text = "import layers\ndef build():\n    import late\n    return layers.make(late.WIDTH), (torch.ones(1, 2),)\n"
    for folder, width in (("one", 3), ("two", 5)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "layers.py").write_text("from torch import nn\ndef make(n): return nn.Linear(2, n)\n")
        (tmp_path / folder / "late.py").write_text(f"WIDTH = {width}\n")
    first, second = factory(text, ref="one/lab.py:build"), factory(text, ref="two/lab.py:build")
    loaded = set(sys.modules)
    for _ in range(2):
        assert load_model(first).module.out_features == 3
        assert load_model(second).module.out_features == 5, "layers.py of the other folder"
    assert [entry for entry in sys.path if entry.startswith(str(tmp_path))] == [str(tmp_path / "two")]
    new = {name for name in set(sys.modules) - loaded if not name.startswith("edgesweep_factory_")}
    assert new <= {"layers", "late"}
    (tmp_path / "two" / "late.py").write_text("WIDTH = 11  # edited\n")
    assert load_model(second).module.out_features == 11


def test_entering_a_folder_forgets_no_module_that_was_there_before(factory: Factory, tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text("")
    load_model(factory(PLAIN))
    before = dict(sys.modules)
    load_model(factory("import layers\n" + PLAIN))
    load_model(factory(PLAIN, ref="other/lab.py:build"))
    assert "layers" not in sys.modules
    assert all(sys.modules.get(name) is module for name, module in before.items() if "factory" not in name)


def test_a_callable_of_a_package_may_be_dotted() -> None:
    source = ModelSource(SourceKind.FACTORY, "edgesweep.models.zoo.fourier_mixer:build", "mixer", {"layers": 1})
    assert load_model(source).dimensions == ("batch", "seq")
    dotted = ModelSource(SourceKind.FACTORY, "collections:OrderedDict.fromkeys", "odd", {"iterable": "ab"})
    with pytest.raises(EdgesweepError, match="returned a OrderedDict; a factory returns"):
        load_model(dotted)


BAD = {
    "missing_attribute": (PLAIN, "lab.py:biuld", "lab.py has no 'biuld'; did you mean 'build'?"),
    "nothing_callable": ("X = 1\n", "lab.py:build", "it defines no callable"),
    "not_callable": ("build = 3\n", "lab.py:build", "'build' in .*lab.py is a int, not a callable"),
    "no_colon": (PLAIN, "lab.py:", "names no callable"),
    "syntax": ("def build(:\n", "lab.py:build", "lab.py cannot be imported: SyntaxError: "),
    "import": ("import no_such_thing\n", "lab.py:build", "ModuleNotFoundError: No module named 'no_such_thing'"),
    "exit_at_import": ("raise SystemExit(3)\n", "lab.py:build", "cannot be imported: SystemExit: 3"),
    "raises": (
        "def build():\n    raise ValueError('width 7\\nis odd')\n",
        "lab.py:build",
        r"lab.py:build\(\) raised ValueError: width 7$",
    ),
    "exits": ("def build():\n    raise SystemExit('bye')\n", "lab.py:build", "raised SystemExit: bye"),
    "none": ("def build():\n    pass\n", "lab.py:build", "returned None; a factory returns"),
    "three": ("def build():\n    return 1, 2, 3\n", "lab.py:build", "returned a tuple of 3; a factory returns"),
    "no_module": ("def build():\n    return print, ()\n", "lab.py:build", "where a torch.nn.Module is expected"),
    "bare_tensor": (
        "def build():\n    return nn.Linear(1, 1), torch.ones(1)\n",
        "lab.py:build",
        "returned example inputs as a Tensor; they are a tuple by position or a dict",
    ),
    "no_tensor": ("def build():\n    return nn.Linear(1, 1), (3,)\n", "lab.py:build", "example inputs hold no tensor"),
    "too_many": (
        "def build():\n    return nn.Linear(1, 1), (torch.ones(1), torch.ones(1))\n",
        "lab.py:build",
        r"its example inputs do not fit forward\(\): too many positional arguments",
    ),
    "wrong_name": (
        "def build():\n    return nn.Linear(1, 1), {'x': torch.ones(1)}\n",
        "lab.py:build",
        r"do not fit forward\(\): missing a required argument: 'input'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_factory_gets_one_sentence_that_names_the_model(factory: Factory, case: str) -> None:
    text, ref, words = BAD[case]
    with pytest.raises(EdgesweepError, match=words) as caught:
        load_model(factory(text, ref=ref))
    assert caught.value.code == "model_unusable"
    assert caught.value.message.startswith("model 'seg': ")
    assert "\n" not in caught.value.message
    assert caught.value.remedy


def test_the_users_own_error_is_kept_with_its_traceback(factory: Factory) -> None:
    with pytest.raises(EdgesweepError) as caught:
        load_model(factory("def build():\n    return 1 / 0\n"))
    cause = caught.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    frames = []
    step = cause.__traceback__
    while step:
        frames.append(step.tb_frame.f_code.co_name)
        step = step.tb_next
    assert frames[-1] == "build"


def test_a_missing_file_and_a_missing_package_are_named(tmp_path: Path) -> None:
    with pytest.raises(EdgesweepError, match=f"model 'm': there is no file {tmp_path}/no.py"):
        load_model(ModelSource(SourceKind.FACTORY, f"{tmp_path}/no.py:build", "m"))
    with pytest.raises(
        EdgesweepError, match=r"model 'm': no_such\.pkg cannot be imported: ModuleNotFoundError"
    ) as caught:
        load_model(ModelSource(SourceKind.FACTORY, "no_such.pkg:build", "m"))
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_an_unexpected_argument_is_the_models_own_error(factory: Factory) -> None:
    with pytest.raises(EdgesweepError, match=r"lab.py:build\(depth=2\) raised TypeError: .*'depth'"):
        load_model(factory(PLAIN, args={"depth": 2}))


def test_a_ready_file_has_no_module(tmp_path: Path) -> None:
    with pytest.raises(EdgesweepError, match="has no PyTorch module"):
        load_model(ModelSource(SourceKind.ONNX, str(tmp_path / "m.onnx"), "m"))


DECLARATIONS = {
    "input": ({"y": {0: "batch"}}, {}, "names 'y', but the tensor inputs of forward() are: input"),
    "axis": ({"input": {2: "batch"}}, {}, "names axis 2 of 'input', but its axes are 0 to 1"),
    "no_name": ({"input": {0: "batch size"}}, {}, "calls axis 0 of 'input' 'batch size', which is no dimension name"),
    "sum": ({"input": {0: "past+new"}}, {}, "'past+new', but a size cannot be named by a sum or product"),
    "reserved": ({"input": {0: "full"}}, {}, "calls axis 0 of 'input' 'full', which is no dimension name"),
    "same_axis": ({"input": {0: "a", -2: "b"}}, {}, "names axis 0 of 'input' twice"),
    "same_name": ({"input": {0: "a", 1: "a"}}, {}, "gives two axes of 'input' the one name 'a'"),
    "range": ({"input": {0: "batch"}}, {"seq": (1, 2)}, "names 'seq', but the dynamic dimensions are: batch"),
    "order": ({"input": {0: "batch"}}, {"batch": (8, 1)}, "range of 'batch' is 8 to 1; it must be two sizes"),
    "zero": ({"input": {0: "batch"}}, {"batch": (0, 8)}, "range of 'batch' is 0 to 8; it must be two sizes"),
    "single": ({"input": {0: "batch"}}, {"batch": (2, 2)}, "is 2 to 2, and what has a single size is not dynamic"),
    "outside": ({"input": {0: "batch"}}, {"batch": (4, 8)}, "size 2 of 'batch' lies outside its range 4 to 8"),
}


@pytest.mark.parametrize("case", DECLARATIONS)
def test_a_false_declaration_names_the_wrong_and_the_right(factory: Factory, case: str) -> None:
    dynamic, ranges, words = DECLARATIONS[case]
    with pytest.raises(EdgesweepError) as caught:
        load_model(factory(PLAIN, dynamic=dynamic, ranges=ranges))
    assert words in caught.value.message
    assert caught.value.code == "model_unusable"


def test_one_dimension_has_one_size_in_all_inputs(factory: Factory) -> None:
    source = factory(
        "def build():\n    return nn.Bilinear(3, 3, 1), (torch.ones(2, 3), torch.ones(4, 3))\n",
        dynamic={"input1": {0: "batch"}, "input2": {0: "batch"}},
    )
    with pytest.raises(EdgesweepError, match="dimension 'batch' is 2 in one example input and 4 in 'input2'"):
        load_model(source)


def test_a_factory_is_believed_about_dimensions_that_its_plan_declares() -> None:
    source = ModelSource(
        SourceKind.FACTORY, "nowhere:build", "m", dynamic={"x": {2: "h", 0: "batch"}}, ranges={"h": (1, 9)}
    )
    assert describe_source(source) == ModelFacts("m", ("batch", "h"), {"h": (1, 9)})
    assert describe_source(ModelSource(SourceKind.FACTORY, "nowhere:build", "m")) is None


def test_a_zoo_model_under_another_name_and_range(factory: Factory) -> None:
    source = ModelSource(SourceKind.ZOO, "fourier-mixer", "mixer", ranges={"seq": (16, 128)})
    facts = describe_source(source)
    assert facts == facts_of(load_model(source), source)
    assert facts is not None
    assert facts.name == "mixer"
    assert facts.ranges == {"batch": (1, 8), "seq": (16, 128)}
    bad = ModelSource(SourceKind.ZOO, "fourier-mixer", "mixer", ranges={"tokens": (16, 128)})
    assert describe_source(bad) is None
    with pytest.raises(EdgesweepError, match="`ranges` names 'tokens'"):
        load_model(bad)


def test_a_module_in_training_is_put_in_eval_mode_all_through(factory: Factory) -> None:
    source = factory(
        "def build():\n    return nn.Sequential(nn.Dropout(), nn.Linear(2, 2)).train(), (torch.ones(1, 2),)\n"
    )
    model = load_model(source)
    assert not any(module.training for module in model.module.modules())
    assert torch.equal(model.module(torch.ones(1, 2)), model.module(torch.ones(1, 2)))
