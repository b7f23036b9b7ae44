from __future__ import annotations

import io

import pytest
from edgesweep.compat.prediction import Prediction, PredictionState
from edgesweep.plan.cell import Cell, Skip
from edgesweep.report.exports.step import Mark
from edgesweep.report.exports.story import Story, build_story, story_document
from edgesweep.report.exports.story_text import render_story, whole_diagnosis
from edgesweep.store.records import CellEnd, CellRecord, Outcome, RunKind, RunState, RunView
from edgesweep.store.variants import WAITING, Named
from edgesweep_proto.trial import Stage
from rich.console import Console


def told(story: Story, *, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(render_story(story))
    return stream.getvalue()


def marks(story: Story) -> dict[str, str]:
    return {step.title: step.mark.value for step in story.steps}


@pytest.fixture
def story(matrix_of):
    """The story of a variant of the matrix."""

    def tell(slug: str, view: RunView | None = None) -> Story:
        view = view or matrix_of()
        return build_story(view, Named(view.run.id, f"detector/{slug}"))

    return tell


@pytest.mark.parametrize(
    ("slug", "bad", "open_steps"),
    [
        ("dynamo-opset18-batch-fp32", None, set()),
        ("dynamo-opset13-static-fp32", "file, read back", {"check", "proof against torch"}),
        ("torchscript-opset7-static-fp32", "check", {"proof against torch"}),
        ("torchscript-opset18-batch-fp32", "proof against torch", {"dynamic dimensions"}),
        ("torchscript-opset20-batch-fp32", "dynamic dimensions", {"proof against torch"}),
        ("torchscript-opset18-static-fp32", "export", set()),
        ("dynamo-opset18-static-fp16", "conversion", set()),
    ],
)
def test_the_first_step_that_went_wrong_is_marked_and_what_follows_was_not_tried(story, slug, bad, open_steps):
    steps = marks(story(slug))
    assert [title for title, mark in steps.items() if mark == "bad"] == ([bad] if bad else [])
    assert {title for title, mark in steps.items() if mark == "open"} == open_steps


def test_a_refused_size_is_both_no_proof_and_no_dynamic_dimension(story):
    steps = marks(story("torchscript-opset19-batch-fp32"))
    assert (steps["dynamic dimensions"], steps["proof against torch"]) == ("bad", "bad")


def test_a_pass_tells_what_was_read_back_and_each_size_with_its_errors(story):
    text = told(story("dynamo-opset18-batch-fp32"))
    for line in (
        "detector by dynamo at opset 18, dynamic in batch",
        "traced at batch2: torch makes a dimension of size 1 static",
        "opset 18 as asked; IR version 10",
        "67 nodes",
        "operators of other domains: com.microsoft",
        "every operator exists at opset 18",
        "batch of x: declared in the file, proven",
        "allowed: 0.0001 + 0.001 times the value",
        "example: agrees, largest error 2e-06 absolute, 3e-05 relative",
        "✓ pass",
    ):
        assert line in text


def test_a_wrong_size_names_the_first_output_that_is_off(story):
    text = told(story("torchscript-opset18-batch-fp32"))
    assert "batch8: wrong: 3 of 9 elements are off, by up to 1.4; largest error 1.4 absolute" in text
    assert "first output that is off: y at batch8" in text
    assert "batch of x: declared in the file, not proven" in text
    assert "-> do not deploy this variant" in text
    assert "Next: edgesweep export explain detector/dynamo-opset18-batch-fp32" in text  # the other exporter's passes


def test_the_exporters_words_are_shortened_unless_all_are_wanted(story):
    of_branch = story("torchscript-opset18-static-fp32")
    assert "models.py:12 in forward: if x.sum() > 0:" in told(of_branch)
    assert "site-packages" not in told(of_branch)
    assert of_branch.detail.rstrip() in whole_diagnosis(of_branch)
    assert "site-packages/torch/export/_trace.py" in whole_diagnosis(of_branch)
    assert "nothing more was said" in whole_diagnosis(story("dynamo-opset18-static-fp32"))


def test_the_honest_variant_is_named_where_the_plan_has_it(story, matrix_of, results):
    assert story("dynamo-opset13-static-fp32").see == "detector/dynamo-opset18-static-fp32"
    assert story("dynamo-opset13-static-fp32", matrix_of(results[0])).see == ""


def test_a_skipped_and_a_waiting_variant_have_a_story_too(story, matrix_of, results):
    skipped = story("dynamo-opset18-width-fp32")
    assert (skipped.outcome, skipped.steps[-1].lines) == ("skipped", ("not exported: it declares batch",))
    waiting = type(results[0])(results[0].variant, Stage.PLAN, WAITING)
    running = story("dynamo-opset13-static-fp32", matrix_of(waiting, state=RunState.INTERRUPTED))
    assert (running.outcome, running.cause, running.steps[-1].mark) == ("", "", Mark.OPEN)
    assert "unfinished" in told(running)
    assert story_document(running)["outcome"] is None


@pytest.mark.parametrize("width", [80, 100])
def test_every_story_fits_its_width_and_names_its_run(story, results, width):
    for result in results:
        text = told(story(result.variant.slug), width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "as matrix 20261123-201500-nightly-3f2a has it" in text
        assert text.splitlines()[-1].startswith("Next: edgesweep ")


def cell_story(matrix_of, results, end: CellEnd | None, *, place: int = 4, skip: Skip | None = None) -> Story:
    result = results[place]
    cell = Cell(result.variant, "pi5", "1.16.3", ("xnnpack", "cpu"), skip=skip)
    view = matrix_of(result)
    record = CellRecord(cell, end and CellEnd(**{**end, "cell_name": cell.name}), result)
    sweep = RunView(type(view.run)(**{**vars_of(view.run), "kind": RunKind.SWEEP}), (), (record,), view.exports)
    return build_story(sweep, Named(sweep.run.id, result.variant.name, cell.name))


def vars_of(record) -> dict:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_a_cell_tells_how_it_ended_on_its_device_and_what_was_foreseen(matrix_of, results):
    end = {
        "outcome": Outcome.FAILED,
        "stage": "load",
        "cause": "ir_unsupported",
        "message": "the runtime loads IR 9 at most, the file has 10",
        "remedy": "lower it",
        "detail": "Fail: [ONNXRuntimeError] : Unsupported model IR version: 10, max supported IR version: 9",
        "prediction": Prediction("ir_unsupported", "IR 10 is above 9", PredictionState.PROVEN, "pi5/mlp"),
    }
    story = cell_story(matrix_of, results, end)
    text = told(story)
    assert "pi5, onnxruntime 1.16.3, xnnpack, then cpu, at example" in text
    assert "should fail to load (ir_unsupported): IR 10 is above 9" in text
    assert "it came true on pi5/mlp" in text
    assert "the runtime's own words: Fail: [ONNXRuntimeError] : Unsupported model IR version: 10" in text
    assert (story.outcome, story.stage, story.remedy) == ("failed", "load", "lower it")
    assert marks(story)["proof against torch"] == "ok"


def test_a_cell_whose_export_failed_never_came_to_the_device(matrix_of, results):
    end = {"outcome": Outcome.FAILED, "stage": "check", "cause": "wrong_output", "message": "off", "remedy": "compare"}
    story = cell_story(matrix_of, results, end, place=5)
    assert story.steps[-1].lines[-1] == "it never came to the device"
    assert story.steps[-1].mark is Mark.OPEN


def test_a_name_that_the_run_lacks_is_refused(matrix_of):
    with pytest.raises(LookupError):
        build_story(matrix_of(), Named("r", "nobody/dynamo-opset18-static-fp32"))
