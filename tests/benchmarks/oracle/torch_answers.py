"""What torch itself answers, at sizes and values that nobody else has chosen. Runs in a process of its own.

Reads a JSON list from stdin; each entry has `factory` (`file.py:callable` or `package.module:callable`), `args`, `seed`,
`sizes` (a list of sizes by dimension) and `folder`. Writes `<folder>/<n>.npz` per entry of `sizes`, inputs as
`in.<path>` and outputs as `out.<index>`, or `<folder>/<n>.txt` with torch's words where it refuses them.

No code of Edgesweep has a part in this: a factory's result is read as the plain fields that it has.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree

#: How the values of the n-th size are drawn: like the example's, smaller and of the other sign, larger.
SCALES = (1.0, -0.3, 2.5)


def factory_of(reference: str) -> Any:
    where, _, attribute = reference.rpartition(":")
    if not where.endswith(".py"):
        return getattr(importlib.import_module(where), attribute)
    path = Path(where)
    name = f"oracle_{path.stem}"
    if name not in sys.modules:
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return getattr(sys.modules[name], attribute)


def drawn(example: torch.Tensor, shape: tuple[int, ...], scale: float, random: np.random.Generator) -> torch.Tensor:
    """Random values of `shape` and the example's type: masks stay masks, indices stay indices."""
    flat = example.numpy().ravel()
    kinds = set(np.unique(flat).tolist()) if flat.size else set()
    if example.dtype is torch.bool or (kinds and kinds <= {0, 1}):
        return torch.from_numpy(random.random(shape) < 0.7).to(example.dtype)
    if not example.is_floating_point():
        return torch.from_numpy(random.integers(int(flat.min()), int(flat.max()) + 1, shape)).to(example.dtype)
    wide = flat.astype(np.float64)
    values = random.normal(wide.mean(), wide.std() or abs(wide.mean()) or 1.0, shape) * scale
    return torch.from_numpy(values).to(example.dtype)


def inputs_at(model: Any, sizes: dict[str, int], scale: float, seed: int) -> dict[str, Any]:
    def remade(value: Any, path: str) -> Any:
        if isinstance(value, torch.Tensor):
            axes = model.dynamic.get(path, {})
            shape = tuple(sizes.get(axes.get(axis, ""), size) for axis, size in enumerate(value.shape))
            return drawn(value, shape, scale, np.random.default_rng([seed, zlib.crc32(path.encode())]))
        if isinstance(value, dict):
            return {key: remade(child, f"{path}.{key}") for key, child in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(remade(child, f"{path}.{index}") for index, child in enumerate(value))
        return value

    example = model.example_inputs
    if not isinstance(example, dict):
        names = model.module.forward.__code__.co_varnames[1:]
        example = dict(zip(names, example, strict=False))
    return {name: remade(value, name) for name, value in example.items()}


def named_tensors(value: Any, path: str) -> dict[str, torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return {path: value}
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    )
    return {name: found for key, child in children for name, found in named_tensors(child, f"{path}.{key}").items()}


def answer(request: dict[str, Any]) -> None:
    model = factory_of(request["factory"])(**request["args"])
    folder = Path(request["folder"])
    folder.mkdir(parents=True)
    model.module.eval()
    for index, sizes in enumerate(request["sizes"]):
        inputs = inputs_at(model, sizes, SCALES[index % len(SCALES)], request["seed"] * 101 + index)
        given = {name: found for key, value in inputs.items() for name, found in named_tensors(value, key).items()}
        arrays = {f"in.{name}": tensor.clone().numpy() for name, tensor in given.items()}
        try:
            with torch.no_grad():
                found = model.module(**inputs)
        except Exception as error:  # noqa: BLE001 - whatever torch raises, there is nothing to compare with
            (folder / f"{index}.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
            continue
        tensors = [leaf for leaf in _pytree.tree_leaves(found) if isinstance(leaf, torch.Tensor)]
        arrays |= {f"out.{number}": tensor.numpy() for number, tensor in enumerate(tensors)}
        np.savez(folder / f"{index}.npz", **arrays)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for request in json.load(sys.stdin):
        answer(request)


if __name__ == "__main__":
    main()
