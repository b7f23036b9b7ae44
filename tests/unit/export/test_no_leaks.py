"""What reaches a board holds no path of the host and no line of the user's source: searched in the bytes.

The names of a module's attributes are another matter. They name weights and nodes, as in a `state_dict`, and a report on a
board needs them to say which node is meant; they are looked for nowhere here. So are the parameters of `forward`, which
name the inputs. A ready `.onnx` file is sent as its owner made it.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from edgesweep.export.result import ExportResult
from edgesweep.export.service import ExportJob, ExportService
from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Cell, Shape, Variant
from edgesweep.plan.preset import preset_of
from edgesweep.plan.schema import MeasureSection
from edgesweep.sweep.work import Group, PlannedTrial, build_trial
from edgesweep_proto.codec import to_json, to_proto

FOLDER = "a_folder_of_the_department_of_unannounced_products"
FILE = "unannounced_product_model.py"
SOURCE = '''"""Model of the unannounced product; this line belongs to its writer."""

import torch
from edgesweep import Model
from torch import nn

PRICE_OF_THE_UNANNOUNCED_PRODUCT = 1.25  # a comment about the price that no board may read


def season_to_taste(dish_in_the_oven, amount_of_salt_in_grams):
    """Words of a function that nobody else should read."""
    pinch_of_salt_for_the_dish = dish_in_the_oven * amount_of_salt_in_grams
    return torch.relu(pinch_of_salt_for_the_dish)


class SecretSauceOfTheHouse(nn.Module):
    """Words of a class that nobody else should read."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(640, 480)

    def forward(self, x):
        simmering_for_twenty_minutes = self.layer(x)  # another comment about how it is made
        return season_to_taste(simmering_for_twenty_minutes, PRICE_OF_THE_UNANNOUNCED_PRODUCT)


class ForkInTheSecretRoad(nn.Module):
    def forward(self, x):
        def hot_branch_of_the_recipe(dish_in_the_branch):
            return season_to_taste(dish_in_the_branch, 2.0)

        def cold_branch_of_the_recipe(dish_in_the_branch):
            return dish_in_the_branch - PRICE_OF_THE_UNANNOUNCED_PRODUCT

        return torch.cond(x.sum() > 0, hot_branch_of_the_recipe, cold_branch_of_the_recipe, (x,))


def sauce():
    torch.manual_seed(0)
    return Model(SecretSauceOfTheHouse(), (torch.randn(2, 640),), {"x": {0: "batch"}}, {"batch": (1, 8)})


def fork():
    torch.manual_seed(0)
    return Model(ForkInTheSecretRoad(), (torch.randn(2, 8),), {"x": {0: "batch"}}, {"batch": (1, 8)})
'''
VARIANTS = (
    Variant("sauce", "dynamo", 18, "static"),
    Variant("sauce", "dynamo", 18, "full"),
    Variant("sauce", "dynamo", 18, "full", "fp16"),
    Variant("sauce", "dynamo", 18, "full", "int8-dynamic"),
    Variant("sauce", "dynamo", 18, "full", "int8-static"),
    Variant("sauce", "dynamo", 18, "full", optimiser="onnxslim"),
    Variant("sauce", "dynamo", 18, "full", optimiser="onnxscript"),
    Variant("sauce", "torchscript", 17, "static"),
    Variant("sauce", "torchscript", 17, "full", ir_version=7),
    Variant("fork", "dynamo", 18, "full"),
)


@dataclass(frozen=True)
class Kitchen:
    """Everything that was exported from the file, and where it lies."""

    source: Path
    root: Path
    results: dict[str, ExportResult]

    @property
    def originals(self) -> list[Path]:
        return sorted((self.root / "originals").iterdir())

    def sent(self, result: ExportResult) -> dict[str, bytes]:
        """Every blob that a trial of the result needs, and the message that asks for it."""
        service = ExportService(self.root)
        blobs = {blob.sha256: service.path_of(blob.sha256).read_bytes() for blob in result.blobs}
        cell = Cell(result.variant, "board", "1.32.0", ("cpu",))
        group = Group(cell, (), result, result.payloads["example"])
        trial = build_trial(PlannedTrial(group, 0, 0), "run", preset_of(MeasureSection()))
        message = {"trial as JSON": json.dumps(to_json(trial)).encode(), "trial": to_proto(trial).SerializeToString()}
        return blobs | message | {"manifest": json.dumps(to_json(result.manifest)).encode()}

    def secrets(self) -> set[bytes]:
        """Paths, names of this host, and every line and every name of its own in the source."""
        own = {
            FOLDER,
            FILE,
            str(self.source.parent),
            str(self.root),
            str(Path.home()) + "/",
            str(Path.cwd()),
            sys.prefix,
        }
        lines = {line.strip() for line in SOURCE.splitlines() if len(line.strip()) >= 12}
        lines |= {part.strip() for line in lines for part in line.split("#") if len(part.strip()) >= 12}
        names = {word for word in re.findall(r"\w+", SOURCE) if len(word) >= 12}
        return {secret.encode() for secret in own | lines | names}


#: Short marks of a path, searched in what can be read; in weights they may stand by chance.
MARKS = (b".py", b"site-packages", b"/home/", b"/tmp/")


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory) -> Kitchen:
    folder = tmp_path_factory.mktemp("sources") / FOLDER
    folder.mkdir()
    file = folder / FILE
    file.write_text(SOURCE, encoding="utf-8")
    root = tmp_path_factory.mktemp("exports")
    sources = {name: ModelSource(SourceKind.FACTORY, f"{file}:{name}", name) for name in ("sauce", "fork")}
    jobs = [ExportJob(sources[variant.model], variant, (Shape(),)) for variant in VARIANTS]

    async def run() -> dict[str, ExportResult]:
        async with ExportService(root) as service:
            return {result.variant.name: result async for result in service.export(jobs)}

    return Kitchen(file, root, asyncio.run(run()))


def readable(data: bytes) -> bytes:
    """The text in `data`: runs of six and more printable characters."""
    return b"\n".join(re.findall(rb"[\x20-\x7e]{6,}", data))


def test_every_variant_passed_so_that_there_is_something_to_search(kitchen):
    assert {name: result.message for name, result in kitchen.results.items() if result.cause} == {}
    assert len(kitchen.results) == len(VARIANTS)
    assert any(result.manifest.external for result in kitchen.results.values())
    fork = next(result for name, result in kitchen.results.items() if name.startswith("fork/"))
    assert "If" in fork.produced.operators


def test_what_torch_writes_does_hold_lines_and_paths(kitchen):
    # Else the search below would find nothing whatever Edgesweep does.
    written = b"".join(path.read_bytes() for path in kitchen.originals)
    assert FOLDER.encode() in written
    assert b"simmering_for_twenty_minutes = self.layer(x)" in written
    assert b"site-packages" in written


def test_no_line_of_the_source_and_no_path_is_sent(kitchen):
    secrets = kitchen.secrets()
    assert len(secrets) > 30
    found = [
        (name, what, secret)
        for name, result in kitchen.results.items()
        for what, data in kitchen.sent(result).items()
        for secret in secrets
        if secret in data
    ]
    assert found == []


def test_no_mark_of_a_path_is_sent(kitchen):
    found = [
        (name, what, line)
        for name, result in kitchen.results.items()
        for what, data in kitchen.sent(result).items()
        for line in readable(data).splitlines()
        if any(mark in line for mark in MARKS)
    ]
    assert found == []


def test_neither_host_nor_user_is_named(kitchen):
    # Shorter names stand in weights by chance.
    words = {word.encode() for word in (socket.gethostname(), getpass.getuser()) if len(word) >= 4}
    told = re.compile(rb"(?<![\w])(?:" + b"|".join(re.escape(word) for word in words) + rb")(?![\w])")
    found = [
        (name, what, line)
        for name, result in kitchen.results.items()
        for what, data in kitchen.sent(result).items()
        for line in readable(data).splitlines()
        if told.search(line)
    ]
    assert found == []
