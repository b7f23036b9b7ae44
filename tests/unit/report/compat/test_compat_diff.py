"""What changed between two runs, told from their documents."""

from __future__ import annotations

import copy
import io
import json

import pytest
from edgesweep.plan.selection import matcher
from edgesweep.report.compat.diff import Kind, compare_runs
from edgesweep.report.compat.diff_document import diff_document
from edgesweep.report.compat.diff_html import render_html
from edgesweep.report.compat.diff_text import render_diff, render_markdown
from edgesweep.report.compat.diff_words import WORDS, groups_of, next_of, sentence
from rich.console import Console

PASS = "quickstart/mobile-cnn/dynamo-opset18-static-fp32/1.23.2/cpu/example/t1"
OTHER = "quickstart/mobile-cnn/dynamo-opset18-batch-fp32/1.23.2/cpu/example/t1"
FAILED = "quickstart/segmenter/torchscript-opset18-batch-fp32/1.23.2/cpu/example/t1"
FALLEN = "pi5-kitchen/tiny-transformer/dynamo-opset18-static-fp32/1.23.2/xnnpack+cpu/example/t1"
ON_TWO = "pi5-kitchen/mobile-cnn/dynamo-opset18-static-fp32/1.23.2/xnnpack+cpu/example/t1"
LOST = "pi5-kitchen/segmenter/dynamo-opset23-static-fp32/1.23.2/cpu/example/t1"
SKIPPED = "quickstart/segmenter/dynamo-opset13-static-fp32/1.23.2/cpu/example/t1"


@pytest.fixture
def runs(sample_doc):
    """The run, and the same a day later under another id; a test changes the second."""
    later = copy.deepcopy(sample_doc)
    later["run"] |= {"id": "20261124-0914-aaaa", "started": later["run"]["started"] + 86400}
    return sample_doc, later


def change(doc, name: str, **fields) -> None:
    next(cell for cell in doc["cells"] if cell["name"] == name).update(fields)


def kind_of(runs, name: str) -> Kind | None:
    found = {one.name: one.kind for one in compare_runs(*runs).changes}
    return found.get(name)


def failing(cause: str, stage: str = "load", **more):
    return {"outcome": "failed", "stage": stage, "cause": cause, **more}


def placed(cpu: int, xnnpack: int, digest: str, method: str = "assignment"):
    shares = [("CPUExecutionProvider", cpu), ("XnnpackExecutionProvider", xnnpack)]
    return {
        "method": method,
        "hash": digest,
        "shares": [{"provider": name, "nodes": nodes, "time_share": None} for name, nodes in shares],
    }


def test_a_run_does_not_differ_from_itself(runs):
    diff = compare_runs(*runs)
    assert (diff.changes, diff.same, diff.worse) == ((), len(runs[0]["cells"]), [])
    assert (
        sentence(diff) == f"{len(runs[0]['cells'])} cells in both runs, {len(runs[0]['cells'])} alike: nothing changed."
    )


PREDICTED = {"cause": "oom", "message": "", "state": "proven", "by": "", "limit": ""}


@pytest.mark.parametrize(
    ("name", "fields", "kind"),
    [
        (PASS, failing("oom", "warmup"), Kind.NEWLY_FAILING),
        (FALLEN, failing("crash"), Kind.NEWLY_FAILING),
        (PASS, {"outcome": "skipped", "stage": "load", "cause": "predicted_failure", "prediction": PREDICTED}, Kind.NEWLY_FAILING),
        (PASS, {"outcome": "fallback", "cause": "no_nodes"}, Kind.MOVED_TO_FALLBACK),
        (FAILED, {"outcome": "pass", "stage": "placement", "cause": ""}, Kind.NEWLY_PASSING),
        (FALLEN, {"outcome": "pass", "cause": ""}, Kind.NEWLY_PASSING),
        (FAILED, failing("oom"), Kind.CHANGED_CAUSE),
        (FAILED, failing("dynamic_dim_static", "first_run"), Kind.CHANGED_CAUSE),
        (FAILED, {"outcome": "fallback", "stage": "placement", "cause": "no_nodes"}, Kind.CHANGED_CAUSE),
        (FAILED, {"message": "said in other words"}, None),
        (PASS, {"placement": placed(65, 0, "cd34")}, None),
        (PASS, {"placement": placed(60, 5, "cd34")}, Kind.MOVED_PROVIDER),
        (ON_TWO, {"placement": placed(65, 12, "cd34")}, Kind.MOVED_PROVIDER),
        (ON_TWO, {"placement": placed(64, 13, "ab12")}, Kind.MOVED_PROVIDER),
        (ON_TWO, {"placement": placed(130, 24, "cd34"), "produced": {"digest": "99" * 32}}, None),
        (ON_TWO, {"placement": placed(130, 2, "cd34"), "produced": {"digest": "99" * 32}}, Kind.MOVED_PROVIDER),
        (ON_TWO, {"placement": placed(77, 0, "cd34"), "produced": {"digest": "99" * 32}}, Kind.MOVED_PROVIDER),
        (PASS, {"placement": placed(65, 0, "cd34", "profile")}, None),
        (PASS, {"placement": None}, None),
        (PASS, {"latency_s": None}, None),
        (PASS, {"outcome": "lost", "stage": "upload", "cause": "device_unreachable"}, Kind.NOT_TOLD),
        (PASS, {"outcome": None}, Kind.NOT_TOLD),
        (LOST, {"outcome": None}, None),
        (PASS, {"outcome": "skipped", "stage": "plan", "cause": "excluded"}, Kind.NOT_RUN),
        (LOST, failing("oom"), Kind.ADDED),
        (SKIPPED, {"outcome": "pass", "cause": ""}, Kind.ADDED),
    ],
)  # fmt: skip
def test_what_became_of_a_cell(runs, name, fields, kind):
    change(runs[1], name, **fields)
    assert kind_of(runs, name) is kind
    diff = compare_runs(*runs)
    assert len(diff.changes) == (kind is not None)
    assert bool(diff.worse) == (kind in {Kind.NEWLY_FAILING, Kind.MOVED_TO_FALLBACK})


def test_words_that_nobody_knows_are_told_apart(runs):
    for doc, digest in zip(runs, ("ab" * 32, "cd" * 32), strict=True):
        change(doc, FAILED, **failing("unknown"), diagnosis={"message_hash": digest})
    assert kind_of(runs, FAILED) is Kind.CHANGED_CAUSE
    assert "failed at load: unknown abab" in printed(compare_runs(*runs))
    change(runs[0], FAILED, diagnosis={"message_hash": "cd" * 32})
    assert kind_of(runs, FAILED) is None


def test_a_failure_that_is_predicted_the_second_time_did_not_change(runs):
    change(runs[0], FAILED, **failing("oom"))
    change(runs[1], FAILED, outcome="skipped", stage="load", cause="predicted_failure", prediction=PREDICTED)
    assert kind_of(runs, FAILED) is None


def test_cells_of_one_run_only_are_missing_or_new(runs):
    before, after = runs
    after["cells"] = [cell for cell in after["cells"] if cell["name"] != PASS]
    before["cells"] = [cell for cell in before["cells"] if cell["name"] != OTHER]
    diff = compare_runs(before, after)
    assert [(one.kind, one.name) for one in diff.changes] == [(Kind.MISSING, PASS), (Kind.ADDED, OTHER)]
    assert (diff.changes[0].after, diff.changes[1].before) == (None, None)


def test_a_known_failure_does_not_count_and_one_that_passes_is_fixed(runs):
    change(runs[1], PASS, **failing("oom"), tags=["known"])
    change(runs[1], FAILED, outcome="pass", cause="", tags=["fixed"])
    diff = compare_runs(*runs)
    assert diff.worse == []
    assert "1 of them known" in sentence(diff)
    assert next_of(diff) == "edgesweep compat matrix 20261124-0914-aaaa"
    text = printed(diff)
    assert "(known failure)" in text
    assert "fixed: the plan still calls it a known failure" in " ".join(text.split())


def printed(diff, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(render_diff(diff))
    return stream.getvalue()


@pytest.fixture
def changed(runs):
    """Two runs that differ in every way there is."""
    before, after = runs
    change(after, PASS, **failing("oom", "warmup", message="killed at 7 GiB"))
    change(after, OTHER, outcome="fallback", stage="placement", cause="no_nodes")
    change(after, FAILED, outcome="pass", stage="placement", cause="")
    change(after, FALLEN, cause="partial_placement")
    moved = [cell["name"] for cell in after["cells"] if cell["model"] == "segmenter" and cell["outcome"] == "pass"][1:]
    change(after, moved[0], placement=placed(5, 60, "cd34"))
    change(after, moved[1], outcome="lost", stage="upload", cause="device_unreachable")
    change(after, moved[2], outcome="skipped", stage="plan", cause="excluded")
    after["cells"] = [cell for cell in after["cells"] if cell["name"] != moved[3]]
    before["cells"] = [cell for cell in before["cells"] if cell["name"] != moved[4]]
    after["run"]["plan_digest"] = "cd" * 32
    return compare_runs(before, after)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_every_kind_is_told_with_its_remedy_in_every_form(changed, width):
    assert {one.kind for one in changed.changes} == set(Kind)
    text = printed(changed, width)
    assert max(map(len, text.splitlines())) <= width
    markdown, page = render_markdown(changed), render_html(changed).replace("<wbr>", "")
    document = json.loads(json.dumps(diff_document(changed), allow_nan=False))
    assert document["counts"] == {kind.value: 1 for kind in Kind}
    assert document["worse"] == 2
    for one in changed.changes:
        assert one.name in markdown
        assert one.name in page
        assert one.name in "".join(text.split())
        assert f"{WORDS[one.kind].title}  1 cell" in text
        assert document["remedies"][one.kind.value]
    assert "their plans differ" in text
    assert "RUN2" not in text + markdown + page
    assert document["next"] == f"edgesweep compat explain {PASS} --run 20261124-0914-aaaa"
    assert "://" not in page


def test_moved_nodes_are_told_by_provider(changed):
    (group,) = groups_of(changed, Kind.MOVED_PROVIDER)
    assert (group.was, group.became) == ("cpu 65", "cpu 5, xnnpack 60")


def test_another_artifact_is_told_and_no_change_by_itself(runs):
    change(runs[1], PASS, produced={"digest": "99" * 32, "opset": 18})
    diff = compare_runs(*runs)
    assert (diff.changes, diff.other_artifacts) == ((), 1)
    assert "1 cell of both with another artifact than before" in printed(diff)


def test_what_the_figures_are_of_is_held_against_before(runs):
    state = {"digest": "aa", "build": "1.23.2", "driver": "550", "engine_hash": "", "power_mode": "MAXN"}
    for doc, driver in zip(runs, ("550", "560"), strict=True):
        change(doc, PASS, state=state | {"driver": driver})
        change(doc, OTHER, state=state)
    assert "1 cell of both with another driver than before" in printed(compare_runs(*runs))
    assert "power mode" not in printed(compare_runs(*runs))


def test_cells_can_be_chosen(runs):
    change(runs[1], PASS, **failing("oom"))
    assert compare_runs(*runs, matcher("segmenter")).changes == ()
    assert len(compare_runs(*runs, matcher("mobile-cnn and static")).changes) == 1
