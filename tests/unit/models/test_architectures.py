"""The architectures of the package transformers: built for real, and, in processes that cannot see the package, refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from edgesweep.export.artifacts.identity import identity_of
from edgesweep.models.describe import describe_source, facts_of
from edgesweep.models.inputs import inputs_at, tensors_in
from edgesweep.models.load import load_model
from edgesweep.models.model import Model
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.models.zoo import ZOO

NAMES = [name for name, entry in ZOO.items() if "transformers" in entry.needs]

#: Makes Python as blind to the package as if it were not installed: the finder of installed packages does not find it.
BLINDFOLD = """
import sys
from importlib.machinery import PathFinder

class Blind(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "transformers" else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Blind
"""


def source(name: str, **fields: object) -> ModelSource:
    return ModelSource(SourceKind.ZOO, name, name, **fields)


def outputs(model: Model, inputs: dict[str, object]) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        given = model.module(**inputs)
    return given if isinstance(given, tuple) else (given,)


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    if ZOO["bert"].missing:
        pytest.skip(ZOO["bert"].missing)
    return {name: load_model(source(name)) for name in NAMES}


def without_the_package(folder: Path, *arguments: str) -> str:
    (folder / "sitecustomize.py").write_text(BLINDFOLD)
    environment = os.environ | {"PYTHONPATH": str(folder), "EDGESWEEP_HOME": str(folder)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_there_are_the_five_that_the_plan_names() -> None:
    assert NAMES == ["bert", "distilbert", "vit", "whisper-encoder", "llama-decoder"]


def test_without_the_package_every_variant_is_skipped_with_the_sentence_that_says_what_to_install(tmp_path) -> None:
    code = """
import json, sys
from edgesweep.export.artifacts.identity import identity_of
from edgesweep.models.describe import describe_source
from edgesweep.plan.builtin import builtin_text
from edgesweep.plan.load import parse_plan
from edgesweep.plan.sources import sources_of
from edgesweep.plan.variants import planned_variants
loaded = parse_plan(builtin_text("architectures"), ".", "architectures.yaml")
sources = sources_of(loaded.plan, ".")
facts = {source.name: describe_source(source) for source in sources}
planned = planned_variants(loaded.plan, sources, facts)
print(json.dumps([[p.variant.model, p.skip and p.skip.cause, p.skip and p.skip.message] for p in planned]))
"""
    planned = json.loads(without_the_package(tmp_path, "-c", code))
    assert len(planned) > 200
    for model, cause, message in planned:
        known = next(name for name in NAMES if model.startswith(name))
        assert cause == "package_missing"
        assert message == f"{known} needs transformers: pip install 'edgesweep[transformers]'"


def test_the_list_of_models_names_the_package_whether_or_not_it_is_there(tmp_path) -> None:
    blind = json.loads(without_the_package(tmp_path, "-m", "edgesweep", "model", "list", "-o", "json"))["models"]
    told = {row["name"]: row for row in blind}
    assert all(told[name]["needs"] == ["transformers"] and "pip install" in told[name]["missing"] for name in NAMES)
    assert not any(row["needs"] or row["missing"] for name, row in told.items() if name not in NAMES)
    table = without_the_package(tmp_path, "-m", "edgesweep", "model", "list")
    assert table.count("needs transformers") == len(NAMES)


def test_without_the_package_a_worker_that_is_asked_all_the_same_says_what_to_install(tmp_path) -> None:
    code = """
from edgesweep.errors import EdgesweepError
from edgesweep.models.load import load_model
from edgesweep.models.source import ModelSource, SourceKind
try:
    load_model(ModelSource(SourceKind.ZOO, "vit", "vit"))
except EdgesweepError as error:
    print(error.code, error.message)
"""
    told = without_the_package(tmp_path, "-c", code)
    assert told == "package_missing vit needs transformers: pip install 'edgesweep[transformers]'\n"


@pytest.mark.parametrize("name", NAMES)
def test_registered_facts_are_those_of_the_model(name: str, models: dict[str, Model]) -> None:
    assert facts_of(models[name], source(name)) == ZOO[name].facts == describe_source(source(name))
    assert models[name].dynamic == ZOO[name].dynamic
    assert not models[name].module.training


@pytest.mark.parametrize("name", NAMES)
def test_building_twice_gives_the_same_weights_and_examples_whatever_the_global_seed(
    name: str, models: dict[str, Model]
) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    again = load_model(source(name))
    assert torch.equal(torch.get_rng_state(), state), "building must not disturb the user's random numbers"
    one, two = models[name].module.state_dict(), again.module.state_dict()
    assert list(one) == list(two)
    assert all(torch.equal(one[key], two[key]) for key in one)
    first, second = (tensors_in(inputs_at(model, {})) for model in (models[name], again))
    assert all(torch.equal(first[path], second[path]) for path in first)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("end", [0, 1], ids=["least", "most"])
def test_outputs_are_healthy_at_both_ends_of_the_ranges(name: str, end: int, models: dict[str, Model]) -> None:
    model = models[name]
    sizes = {dimension: bounds[end] for dimension, bounds in model.ranges.items()}
    for output in outputs(model, inputs_at(model, sizes)):
        assert output.shape[0] == sizes["batch"]
        assert bool(torch.isfinite(output).all())
        assert 0.1 < float(output.std()) < 10
        assert float(output.abs().max()) < 100


@pytest.mark.parametrize("name", NAMES)
def test_inputs_of_any_size_stay_within_the_vocabulary_and_keep_their_masks(
    name: str, models: dict[str, Model]
) -> None:
    model = models[name]
    known = next((part.num_embeddings for part in model.module.modules() if isinstance(part, torch.nn.Embedding)), 0)
    for seed in range(3):
        sizes = {dimension: high - seed for dimension, (_, high) in model.ranges.items()}
        for path, tensor in tensors_in(inputs_at(model, sizes, seed)).items():
            if path == "input_ids":
                assert 0 <= int(tensor.min()) <= int(tensor.max()) < known
                assert tensor.unique().numel() > 40
            elif not tensor.is_floating_point():
                assert set(tensor.unique().tolist()) <= {0, 1}
                assert bool((tensor.sum(1) > 0).all()), "a text of padding alone has no meaning"


@pytest.mark.parametrize("name", NAMES)
def test_outputs_depend_on_the_input_and_each_item_of_a_batch_on_its_own_alone(
    name: str, models: dict[str, Model]
) -> None:
    model = models[name]
    sizes = {dimension: (low + high) // 2 | 1 for dimension, (low, high) in model.ranges.items()} | {"batch": 3}
    inputs = inputs_at(model, sizes)
    whole = outputs(model, inputs)
    for one, two in zip(whole, outputs(model, inputs_at(model, sizes, 1)), strict=True):
        assert float(((one - two).abs() / (1e-4 + 1e-3 * two.abs())).median()) > 5
    first = torch.utils._pytree.tree_map(lambda tensor: tensor[:1], inputs)
    for alone, together in zip(outputs(model, first), whole, strict=True):
        torch.testing.assert_close(alone, together[:1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_fused_and_spelt_out_attention_are_the_same_model(name: str, models: dict[str, Model]) -> None:
    eager = load_model(source(name, args={"attention": "eager"}))
    used = {
        type(part).__name__: part.config._attn_implementation
        for part in eager.module.modules()
        if hasattr(part, "config")
    }
    assert set(used.values()) == {"eager"}
    sizes = {dimension: high - 1 for dimension, (_, high) in eager.ranges.items()}
    inputs = inputs_at(eager, sizes)
    for one, two in zip(outputs(eager, inputs), outputs(models[name], inputs), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_an_encoder_heeds_its_mask(name: str, models: dict[str, Model]) -> None:
    inputs = inputs_at(models[name], {})
    masked = inputs["attention_mask"] == 0
    changed = {**inputs, "input_ids": inputs["input_ids"].masked_fill(masked, 7)}
    seen = ~masked[0]
    first, second = (outputs(models[name], given)[0][:, seen] for given in (inputs, changed))
    torch.testing.assert_close(first, second)
    everything = {**changed, "attention_mask": torch.ones_like(masked, dtype=torch.int64)}
    assert float((outputs(models[name], everything)[0][:, seen] - first).abs().max()) > 0.01


def test_a_decoder_that_is_given_its_own_cache_goes_on_where_it_stopped(models: dict[str, Model]) -> None:
    model = models["llama-decoder"]
    inputs = inputs_at(model, {"batch": 2, "sequence": 6})
    scores, *grown = outputs(model, inputs)
    head, mask = (inputs[path] for path in ("input_ids", "attention_mask"))
    first_scores, *after = outputs(model, {**inputs, "input_ids": head[:, :4], "attention_mask": mask[:, :4]})
    past = tuple({"key": key, "value": value} for key, value in zip(after[::2], after[1::2], strict=True))
    behind = torch.cat((inputs["past_mask"], mask[:, :4]), 1)
    second_scores, *rest = outputs(
        model, {"input_ids": head[:, 4:], "attention_mask": mask[:, 4:], "past_mask": behind, "past": past}
    )
    torch.testing.assert_close(torch.cat((first_scores, second_scores), 1), scores, rtol=1e-4, atol=1e-4)
    for one, two in zip(rest, grown, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_what_a_model_computes_by_itself_is_not_drawn_from_the_seed(models: dict[str, Model]) -> None:
    rotary = models["llama-decoder"].module.llama.model.rotary_emb.inv_freq
    torch.testing.assert_close(rotary, 10_000.0 ** -(torch.arange(0, 16, 2) / 16))
    positions = models["whisper-encoder"].module.encoder.embed_positions.weight
    (
        torch.testing.assert_close(positions[:, :48] ** 2 + positions[:, 48:] ** 2, torch.ones(100, 48)),
        "sines and cosines",
    )
    assert models["bert"].module.bert.embeddings.position_ids.flatten().tolist() == list(range(128))


def test_the_vision_transformer_takes_an_example_of_another_size_than_its_own(models: dict[str, Model]) -> None:
    resized = load_model(source("vit", args={"size": 80}))
    assert facts_of(resized, source("vit")).example == {"batch": 1, "height": 80, "width": 80}
    inputs = inputs_at(models["vit"], {"height": 72, "width": 96})
    assert torch.equal(*(outputs(model, inputs)[0] for model in (resized, models["vit"])))


def test_another_version_of_the_package_is_another_model_to_the_cache(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    model, plain = models["distilbert"], source("distilbert")
    before = identity_of(model, plain, ())
    assert identity_of(model, plain, ()) == before
    monkeypatch.setattr(transformers, "__version__", f"{transformers.__version__}.post1")
    assert identity_of(model, plain, ()) != before


def test_whisper_takes_one_length_only(models: dict[str, Model]) -> None:
    with pytest.raises(ValueError, match="length 200"):
        outputs(models["whisper-encoder"], {"input_features": torch.zeros(1, 80, 190)})
