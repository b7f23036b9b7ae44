from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest
from edgesweep.errors import EdgesweepError, ExitCode
from edgesweep.models.source import SourceKind
from edgesweep.plan.complaints import SECTIONS
from edgesweep.plan.load import LoadedPlan, digest_of, json_schema, load_plan, parse_plan, plan_from_json, plan_to_json
from edgesweep.plan.schema import Chain, PlanFile
from edgesweep.plan.sources import sources_of
from pydantic import BaseModel

Read = Callable[[str], LoadedPlan]


def test_the_design_example_is_read_as_it_says(read: Read, design_example: str, tmp_path: Path) -> None:
    plan = read(design_example).plan
    assert [model.model_name for model in plan.models] == ["mobile-cnn", "segmenter", "resnet50"]
    assert plan.export.opsets == (13, 17, 18, 19, 20, 21, 22, 23)
    assert plan.models[1].args == {"width": 0.5}
    assert plan.models[1].dynamic == {"x": {0: "batch", 2: "height", 3: "width"}}
    assert plan.models[1].ranges == {"batch": (1, 8), "height": (64, 512)}
    assert plan.shapes == ("example", {"batch": 4})
    assert plan.exclude[0].until == date(2027, 1, 31)
    assert plan.exclude[0].reason == "https://tracker/1234"
    assert (plan.devices, plan.runtimes, plan.providers) == ("all", "newest", "available")
    zoo, factory, onnx = sources_of(plan, tmp_path)
    assert (zoo.kind, zoo.ref) == (SourceKind.ZOO, "mobile-cnn")
    assert (factory.kind, factory.ref) == (SourceKind.FACTORY, f"{tmp_path}/lab_models.py:segmenter")
    assert (onnx.kind, onnx.ref, onnx.name) == (SourceKind.ONNX, f"{tmp_path}/resnet50.onnx", "resnet50")


def test_a_stored_plan_comes_back_equal_and_with_the_same_digest(read: Read, design_example: str) -> None:
    text = design_example.replace("available  ", '[cpu, {chain: "tensorrt,cuda", options: {tensorrt: {fp16: "1"}}}]  ')
    loaded = read(text)
    stored = json.loads(json.dumps(plan_to_json(loaded.plan)))
    again = plan_from_json(stored)
    assert again == loaded.plan
    assert digest_of(again) == loaded.digest
    assert again.providers == (
        Chain(chain=("cpu",)),
        Chain(chain=("tensorrt", "cuda"), options={"tensorrt": {"fp16": "1"}}),
    )


def test_the_digest_follows_the_meaning_and_not_the_text(read: Read) -> None:
    short = read("version: 1\nname: n\nmodels: [{zoo: detector}]\nexport: {opsets: '17..18'}\n")
    long = read("# a note\nname: n\nexport:\n  opsets: [17, 18, 17]\nversion: 1\nmodels:\n- zoo: detector\n")
    other = read("version: 1\nname: n\nmodels: [{zoo: detector}]\nexport: {opsets: [18, 17]}\n")
    assert short.digest == long.digest
    assert short.digest != other.digest
    assert len(short.digest) == 64


def test_only_version_and_models_are_needed_and_the_file_gives_the_name(tmp_path: Path) -> None:
    path = tmp_path / "weekly.yaml"
    path.write_text("version: 1\nmodels: [{zoo: detector}]\n")
    loaded = load_plan(path)
    assert loaded.plan.name == "weekly"
    assert loaded.base_dir == tmp_path
    assert loaded.text == path.read_text()
    assert loaded.plan.fallback == "warn"
    assert loaded.plan.fail_on == ("regression", "new-failure")


def test_a_list_key_takes_one_value_without_brackets(read: Read) -> None:
    plan = read(
        "version: 1\nmodels: [{zoo: detector, export: {axes: batch}}]\nexport: {exporters: dynamo, opsets: 17}\n"
        "shapes: {batch: 4}\nsession: {threads: 2}\nfail_on: none\nexclude: [{model: detector, opset: 17}]\n"
    ).plan
    assert plan.export.exporters == ("dynamo",)
    assert plan.export.opsets == (17,)
    assert plan.models[0].export is not None
    assert plan.models[0].export.axes == ("batch",)
    assert plan.models[0].export.opsets is None
    assert plan.shapes == ({"batch": 4},)
    assert plan.session.threads == (2,)
    assert plan.fail_on == ("none",)
    assert plan.exclude[0].model == ("detector",)


def test_yaml_1_2_keeps_on_and_yes_and_dates_as_text(read: Read) -> None:
    models = "[{factory: 'm.py:f', args: {a: on, b: yes, c: 2027-01-31, d: 010, e: true, f: [1, {g: null}]}}]"
    args = read(f"version: 1\nmodels: {models}\n").plan.models[0].args
    assert args == {"a": "on", "b": "yes", "c": "2027-01-31", "d": 10, "e": True, "f": [1, {"g": None}]}


def test_anchors_and_merges_are_read_and_located(read: Read) -> None:
    text = (
        "version: 1\nmodels:\n  - &base\n    zoo: detector\n    export: &e {axes: static}\n"
        "  - <<: *base\n    name: second\n    export: {<<: *e, opsets: 18}\n"
    )
    second = read(text).plan.models[1]
    assert (second.zoo, second.name) == ("detector", "second")
    assert second.export is not None
    assert (second.export.axes, second.export.opsets) == (("static",), (18,))
    with pytest.raises(EdgesweepError) as caught:
        read(text.replace("axes: static", "axes: a+a"))
    assert caught.value.message.splitlines() == [
        "plan.yaml:5:23: models[0].export.axes: the axes profile 'a+a' names a dimension twice",
        "plan.yaml:5:23: models[1].export.axes: the axes profile 'a+a' names a dimension twice",
    ]
    with pytest.raises(EdgesweepError) as caught:
        read(text.replace("opsets: 18", "axes: b+b"))
    assert caught.value.message == (
        "plan.yaml:8:28: models[1].export.axes: the axes profile 'b+b' names a dimension twice"
    )


def test_what_is_listed_twice_counts_once(read: Read) -> None:
    plan = read(
        "version: 1\nmodels: [{zoo: detector}]\nexport: {opsets: [18, '17..18', 17], axes: [full, full]}\n"
        "devices: [b, a, b]\nruntimes: [r2, r1, r2]\nshapes: [{batch: 4}, example, {batch: 4}]\n"
    ).plan
    assert (plan.export.opsets, plan.export.axes) == ((18, 17), ("full",))
    assert (plan.devices, plan.runtimes) == (("b", "a"), ("r2", "r1"))
    assert plan.shapes == ({"batch": 4}, "example")


@pytest.mark.parametrize(
    ("entry", "ref"),
    [
        ("factory: lab.models:make", "lab.models:make"),
        ("factory: sub/lab.py:Maker.make", "{base}/sub/lab.py:Maker.make"),
        ("factory: /opt/lab.py:make", "/opt/lab.py:make"),
        ("onnx: ../m.onnx", "{base}/../m.onnx"),
    ],
)
def test_file_references_belong_to_the_plans_folder(read: Read, tmp_path: Path, entry: str, ref: str) -> None:
    loaded = read(f"version: 1\nmodels: [{{{entry}}}]\n")
    assert sources_of(loaded.plan, tmp_path)[0].ref == ref.format(base=tmp_path)


def test_relative_base_folders_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = parse_plan("version: 1\nmodels: [{onnx: m.onnx, references: refs, inputs: in.npz}]\n", Path(), "p.yaml")
    source = sources_of(loaded.plan, loaded.base_dir)[0]
    assert (source.ref, source.references) == (f"{tmp_path}/m.onnx", f"{tmp_path}/refs")
    assert source.inputs == f"{tmp_path}/in.npz"


def test_a_stored_plan_that_is_not_valid_any_more_says_so() -> None:
    with pytest.raises(EdgesweepError) as caught:
        plan_from_json({"version": 1, "models": [{"zoo": "gone-model"}], "shapes": [{"batch": 0}]})
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.message.splitlines()[1] == "the stored plan: shapes[0].batch: expected at least 1, found 0"
    assert caught.value.message.startswith("the stored plan: models[0].zoo: the zoo has no model 'gone-model'")
    assert "with the version of Edgesweep that started it" in caught.value.remedy


def test_every_section_of_the_schema_has_its_place_in_the_table_of_sections() -> None:
    found: dict[tuple[str, ...], type[BaseModel]] = {(): PlanFile}
    open_paths = [()]
    while open_paths:
        path = open_paths.pop()
        for name, info in found[path].model_fields.items():
            for section in _sections_in(info.annotation):
                found[*path, name] = section
                open_paths.append((*path, name))
    assert found == SECTIONS


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections_in(part)]


def test_the_json_schema_knows_every_key_and_refuses_others() -> None:
    schema = json_schema()
    json.dumps(schema)
    assert set(schema["properties"]) == set(PlanFile.model_fields)
    assert schema["required"] == ["version", "models"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"].pop("JsonValue") == {}
    chain = schema["$defs"].pop("Chain")["anyOf"]
    assert chain[0]["type"] == "string"
    for section in [chain[1], *schema["$defs"].values()]:
        assert section["additionalProperties"] is False, section["title"]
    assert "mobile-cnn" in schema["$defs"]["ModelEntry"]["properties"]["zoo"]["enum"]
    fail_on = schema["properties"]["fail_on"]["anyOf"]
    assert fail_on[0] == fail_on[1]["items"]
    assert "new-failure" in fail_on[0]["enum"]
    opset = schema["$defs"]["ExportSection"]["properties"]["opsets"]["anyOf"][0]["anyOf"][0]
    assert (opset["minimum"], opset["maximum"]) == (7, 26)


def test_reading_a_plan_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from edgesweep.plan import builtin, expand, load, preset, selection, sources\n"
        "loaded = load.parse_plan(builtin.builtin_text('quickstart'), '.', 'q')\n"
        "sources.sources_of(loaded.plan, loaded.base_dir), preset.preset_of(loaded.plan.measure), load.json_schema()\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'grpc', 'numpy', 'google.protobuf'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
