"""Why one cell ended as it did, told from documents of runs."""

from __future__ import annotations

import io
import json

import pytest
from edgesweep.report.compat.neighbours import nearest_passing, neighbours_of
from edgesweep.report.compat.story import build_story
from edgesweep.report.compat.story_document import story_document
from edgesweep.report.compat.story_text import nearest_sentence, render_markdown, render_story
from rich.console import Console

FALLEN = "pi5-kitchen/tiny-transformer/dynamo-opset18-static-fp32/1.23.2/xnnpack+cpu/example/t1"
STATIC = "quickstart/segmenter/torchscript-opset18-batch-fp32/1.23.2/cpu/example/t1"
PASSED = "quickstart/segmenter/dynamo-opset18-batch-fp32/1.23.2/cpu/example/t1"
LOST = "pi5-kitchen/segmenter/dynamo-opset23-static-fp32/1.23.2/cpu/example/t1"


def printed(story, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(render_story(story))
    return stream.getvalue()


def cell_of(doc, name: str):
    return next(cell for cell in doc["cells"] if cell["name"] == name)


def by_axis(doc, name: str) -> dict[str, dict[str, str]]:
    return {axis.name: axis.groups for axis in neighbours_of(cell_of(doc, name), doc["cells"])}


def test_neighbours_differ_in_one_thing_only(sample_doc):
    own = cell_of(sample_doc, STATIC)
    for axis in neighbours_of(own, sample_doc["cells"]):
        for near in axis.neighbours:
            changed = [
                key
                for key in ("exporter", "opset", "axes", "precision", "device", "runtime", "providers", "shape")
                if near.cell[key] != own[key]
            ]
            assert changed == [axis.name]
            assert near.cell["model"] == "segmenter"


def test_neighbours_are_told_by_how_they_ended(sample_doc):
    assert by_axis(sample_doc, STATIC) == {
        "opset": {"failed: dynamic_dim_static": "13", "failed: opset_not_honoured": "23"},
        "exporter": {"pass": "dynamo"},
        "axes": {"pass": "static"},
        "shape": {"failed: dynamic_dim_static": "batch4"},
        "device": {"failed: dynamic_dim_static": "pi5-kitchen"},
    }


def test_the_nearest_opset_and_runtime_are_named(make_doc):
    doc = make_doc(("mobile-cnn",), (13, 17, 18, 21, 22))
    (cell,) = [cell for cell in doc["cells"] if cell["name"].startswith("quickstart/mobile-cnn/dynamo-opset18-static")]
    older = [
        cell | {"runtime": version, "name": cell["name"].replace("1.23.2", version)}
        for version in ("1.9.0", "1.22.1", "1.24.0")
    ]
    doc["cells"] += older
    near = {one.axis: one.value for one in nearest_passing(neighbours_of(cell, doc["cells"]))}
    assert (near["opset"], near["runtime"], near["exporter"]) == ("17", "1.22.1", "torchscript")


def test_a_fallback_is_told_with_what_passes_near_it(sample_doc):
    story = build_story(sample_doc, FALLEN)
    assert (story.outcome, story.cause) == ("fallback", "no_nodes")
    assert [stage for stage, mark in story.stages.items() if mark.value == "bad"] == ["placement"]
    assert nearest_sentence(story) == "It passes on cpu. No variant of tiny-transformer passes at this place."
    assert story.next == f"edgesweep compat explain {FALLEN.replace('xnnpack+cpu', 'cpu')}"
    text = printed(story)
    assert "↷ fallback at placement: no_nodes" in text
    assert "cpu: 65 nodes" in text
    assert "-> use a model or an opset that the provider supports, or ask for the CPU" in text


def test_a_failure_at_check_leads_to_its_export(sample_doc):
    story = build_story(sample_doc, STATIC)
    assert [stage for stage, mark in story.stages.items() if mark.value == "ok"] == ["plan", "export"]
    assert nearest_sentence(story).endswith("At this place dynamo opset 18 batch passes.")
    assert story.words == ("proof at batch=3: INVALID_ARGUMENT: Got 3 Expected 2",)
    assert story.next == "edgesweep export explain segmenter/torchscript-opset18-batch-fp32"
    (dimensions,) = [fact for fact in story.facts if fact.what == "dynamic dimensions"]
    assert (dimensions.asked, dimensions.got, dimensions.differs) == ("batch", "none proven", True)


def test_a_pass_has_every_stage_and_its_numbers(sample_doc):
    story = build_story(sample_doc, PASSED)
    assert {mark.value for mark in story.stages.values()} == {"ok"}
    text = printed(story)
    assert "✓ pass" in text
    assert "x: batch" in text
    assert "largest error 1.2e-06 absolute, 3.4e-05 relative" in text
    assert "It passes" not in text


def test_a_lost_cell_is_resumed_and_says_nothing_about_the_model(sample_doc):
    story = build_story(sample_doc, LOST)
    assert "bad" not in {mark.value for mark in story.stages.values()}
    assert story.next == "edgesweep run --resume 20261123-0914-7f3a"
    assert "`edgesweep run --resume 20261123-0914-7f3a`" in story.remedy


def predicted(doc, name: str):
    """The cell skipped because its file is beyond its runtime, whose limits the device tells."""
    cell = cell_of(doc, name)
    cell |= {
        "outcome": "skipped", "stage": "load", "cause": "predicted_failure", "message": "", "also": ["ir_unsupported"],
        "prediction": {"cause": "opset_unsupported", "message": "opset 18 is above 17", "state": "proven", "by": FALLEN, "limit": "opset 17"},
        "latency_s": None, "trials": [],
    }  # fmt: skip
    cell["export"]["passed"] = True
    for device in doc["devices"]:
        device["runtimes"][0] |= {"max_opset": 17, "max_ir_version": 10}
    return cell


def test_a_predicted_failure_is_told_with_the_limit(sample_doc):
    predicted(sample_doc, PASSED)
    story = build_story(sample_doc, PASSED)
    assert (story.cause, story.message) == ("opset_unsupported", "opset 18 is above 17")
    assert story.remedy == "export at a lower opset or use a newer runtime"
    assert story.stages["check"].value == "ok"
    assert story.stages["load"].value == "open"
    notes = {fact.what: fact.note for fact in story.facts}
    assert notes["opset"] == "above 17, the most that this runtime takes"
    assert notes["IR version"] == "this runtime takes up to 10"
    assert f"tried on {FALLEN}" in " ".join(printed(story, 200).split())


def test_what_was_got_stands_beside_what_was_asked(sample_doc):
    cell = cell_of(sample_doc, PASSED)
    cell["trials"][-1]["session"] = {
        "runtime_version": "1.23.2", "providers": ["CPUExecutionProvider"], "intra_op_threads": 4, "graph_optimization": "basic",
        "io_mode": "bound",
    }  # fmt: skip
    facts = {fact.what: fact for fact in build_story(sample_doc, PASSED).facts}
    assert (facts["threads"].asked, facts["threads"].got, facts["threads"].differs) == ("1", "4", True)
    assert (facts["graph optimization"].got, facts["graph optimization"].differs) == ("basic", True)
    assert not facts["onnxruntime"].differs
    assert (facts["providers"].got, facts["providers"].differs) == ("cpu", False)
    assert "io mode" not in facts


def test_a_flavoured_runtime_is_not_another_version(sample_doc):
    cell = cell_of(sample_doc, PASSED)
    cell |= {"runtime": "openvino-1.24.1"}
    cell["trials"][-1]["session"] = {"runtime_version": "1.24.1", "providers": ["CPUExecutionProvider"]}
    facts = {fact.what: fact for fact in build_story(sample_doc, PASSED).facts}
    assert not facts["onnxruntime"].differs


def test_a_diagnosis_is_told_where_there_is_one(sample_doc):
    cell = cell_of(sample_doc, FALLEN)
    cell["trials"][-1]["signal"] = 11
    operator = {"domain": "ai.onnx", "name": "Det", "version": 11, "types": ["float16"], "node": "n"}
    cell["diagnosis"] = {
        "evidence": "message", "pattern": "no-kernel", "status": "NOT_IMPLEMENTED", "subject": "", "operator": operator,
        "normalised": "", "message_hash": "ab" * 32, "cause": "unsupported_op", "rule": "",
    }  # fmt: skip
    (evidence,) = [part for part in build_story(sample_doc, FALLEN).parts if part.title == "evidence"]
    assert evidence.lines[:3] == (
        "the worker was killed by signal 11",
        "told from message, by the pattern no-kernel, status NOT_IMPLEMENTED",
        "operator ai.onnx Det(11) float16",
    )
    assert evidence.lines[3].startswith("message hash abab")


def test_what_is_known_to_go_wrong_with_a_provider_stands_beside_what_it_did_not_run(sample_doc):
    (known,) = [part for part in build_story(sample_doc, FALLEN).parts if part.title == "provider"]
    assert any("Transpose" in line and "onnxruntime#13819" in line for line in known.lines)
    assert all(line.startswith("xnnpack: ") for line in known.lines)
    cell = cell_of(sample_doc, FALLEN)
    cell["export"] = {"passed": False}
    assert "provider" not in [part.title for part in build_story(sample_doc, FALLEN).parts], "it never got there"
    cell.update(export={"passed": True}, outcome="pass", cause=None)
    assert "provider" not in [part.title for part in build_story(sample_doc, FALLEN).parts]


def test_words_that_nobody_knows_can_be_taught(sample_doc):
    cell = cell_of(sample_doc, FALLEN)
    cell |= {
        "outcome": "failed",
        "stage": "load",
        "cause": "unknown",
        "remedy": "",
        "diagnosis": {"message_hash": "ab" * 32},
    }
    assert "edgesweep failure learn abab" in build_story(sample_doc, FALLEN).remedy


def test_agreement_with_another_place_is_told(sample_doc):
    cell = cell_of(sample_doc, PASSED)
    cell["agreement"] = {
        "with": LOST, "output": "y", "max_difference": 0.5, "relative": 0.02, "limit": 1e-4, "agrees": False, "bitwise": False,
    }  # fmt: skip
    (part,) = [part for part in build_story(sample_doc, PASSED).parts if part.title == "agreement"]
    assert part.lines == (f"disagrees with {LOST}: y off by 0.02 of its largest value, 0.0001 allowed",)
    cell["agreement"] = {"with": None, "agrees": True}
    assert "agreement" not in {part.title for part in build_story(sample_doc, PASSED).parts}


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("name", [FALLEN, STATIC, PASSED, LOST])
def test_it_fits_its_width_and_is_data_and_markdown_too(sample_doc, width, name):
    story = build_story(sample_doc, name)
    assert max(map(len, printed(story, width).splitlines())) <= width
    document = json.loads(json.dumps(story_document(story), allow_nan=False))
    assert (document["name"], document["cell"]["name"]) == (name, name)
    assert len(document["neighbours"]) == sum(len(axis.neighbours) for axis in story.axes)
    markdown = render_markdown(story)
    assert name in markdown
    assert f"Next: `{story.next}`" in markdown


def test_a_name_that_the_run_does_not_hold_is_an_error(sample_doc):
    with pytest.raises(LookupError, match="holds no x/y"):
        build_story(sample_doc, "x/y")
