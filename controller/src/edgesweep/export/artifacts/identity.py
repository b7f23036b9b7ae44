"""What a loaded model is: its weights, its example and the code it was made from, in one digest."""

from __future__ import annotations

import hashlib
import pickle
import site
import sys
import sysconfig
import uuid
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgesweep_proto.codec import to_json

from edgesweep.export.artifacts.digest import digest_json
from edgesweep.models.inputs import example_of, tensors_in
from edgesweep.models.model import Model
from edgesweep.models.source import ModelSource
from edgesweep.models.tree import leaves_of

if TYPE_CHECKING:
    import torch

# A factory file is imported under a name made of its path; the path says nothing about the model.
_FACTORY_PREFIX = "edgesweep_factory_"


def identity_of(model: Model, source: ModelSource, before: Iterable[str]) -> str:
    """A digest that changes when the export could.

    Args:
        model: The loaded model.
        source: Where it came from.
        before: The names of the modules that were loaded before the factory was looked for.
    """
    return digest_json(
        {
            "weights": _digest_tensors([*model.module.state_dict().items(), *model.module.named_buffers()]),
            "example": [
                (name, _digest_tensors([(name, tensor)])) for name, tensor in tensors_in(example_of(model)).items()
            ],
            "code": _code_of(model, before),
            "packages": _packages_of(model),
            "source": [str(source.kind), source.ref.rpartition("/")[2], source.name, source.args],
            "dynamic": {name: sorted(axes.items()) for name, axes in model.dynamic.items()},
            "ranges": {name: list(bounds) for name, bounds in model.ranges.items()},
            "outputs": list(model.output_names),
            # What was proven under another tolerance may not pass under this one.
            "tolerances": sorted((precision, to_json(asked)) for precision, asked in source.tolerances.items()),
            "constants": [(path, _constant(leaf)) for path, leaf in leaves_of(example_of(model))],
        }
    )


def _digest_tensors(tensors: Iterable[tuple[str, Any]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors:
        if not hasattr(tensor, "detach"):
            digest.update(f"{name}:{tensor!r}".encode())
            continue
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def _bytes_of(tensor: torch.Tensor) -> Any:
    import torch

    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b""


def _constant(leaf: Any) -> Any:
    """What an argument that is no tensor is: it is baked into the export. One that cannot be told is new every time."""
    if hasattr(leaf, "detach"):
        return None
    if leaf is None or isinstance(leaf, (bool, int, float, complex, str)):
        return [type(leaf).__name__, repr(leaf)]
    try:
        # The words of an array or of somebody's class need not tell two of them apart; their bytes do.
        return [type(leaf).__name__, hashlib.sha256(pickle.dumps(leaf, protocol=5)).hexdigest()]
    except Exception:  # noqa: BLE001 - a class may refuse to be pickled in any way
        return uuid.uuid4().hex


def _code_of(model: Model, before: Iterable[str]) -> list[tuple[str, str]]:
    """Name and digest of every source file outside site-packages that the model was made from.

    These are the modules that came with the factory, those that the module's classes live in, and whatever these
    refer to: a worker that is warm from another model has loaded some of them before.
    """
    known = set(before)
    names = {name for name in list(sys.modules) if name not in known}
    names |= {type(part).__module__ for part in model.module.modules()}
    found: dict[str, Path] = {}
    open_names = sorted(names)
    while open_names:
        name = open_names.pop()
        module = sys.modules.get(name)
        path = _own_file(module)
        if name in found or module is None or path is None:
            continue
        found[name] = path
        open_names.extend(_referred(module))
    return sorted(
        (_FACTORY_PREFIX if name.startswith(_FACTORY_PREFIX) else name, hashlib.sha256(path.read_bytes()).hexdigest())
        for name, path in found.items()
    )


def _packages_of(model: Model) -> list[tuple[str, str]]:
    """Name and version of every package that the model's classes come from: an installed package's code is not read."""
    names = {type(part).__module__.partition(".")[0] for part in model.module.modules()}
    versions = {name: getattr(sys.modules.get(name), "__version__", None) for name in names}
    return sorted((name, str(version)) for name, version in versions.items() if version is not None)


def _referred(module: ModuleType) -> list[str]:
    names = set()
    for value in list(vars(module).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str):
            names.add(name)
    return sorted(names)


def _own_file(module: ModuleType | None) -> Path | None:
    """The module's source file, if it is neither an installed package's nor Python's own."""
    origin = getattr(module, "__file__", None)
    if not isinstance(origin, str) or not origin.endswith(".py"):
        return None
    path = Path(origin)
    if any(path.is_relative_to(folder) for folder in _INSTALLED) or not path.is_file():
        return None
    return path


def _installed() -> tuple[Path, ...]:
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    folders += [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    # Edgesweep's own code is part of the key already, wherever it lies.
    return (*(Path(folder) for folder in folders if folder), Path(__file__).parent.parent.parent)


_INSTALLED = _installed()
