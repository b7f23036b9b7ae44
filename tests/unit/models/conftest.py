from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgesweep.models.source import ModelSource, SourceKind

torch = pytest.importorskip("torch")
torch.set_num_threads(1)


@pytest.fixture
def factory(tmp_path: Path) -> Callable[..., ModelSource]:
    """Writes a file with `text` in it and gives the source that names its `build`."""

    def write(text: str, *, ref: str = "lab.py:build", name: str = "seg", **fields: Any) -> ModelSource:
        file, _, attribute = ref.partition(":")
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("import torch\nfrom torch import nn\n" + textwrap.dedent(text), encoding="utf-8")
        return ModelSource(SourceKind.FACTORY, f"{path}:{attribute}", name, **fields)

    return write
