"""The words for what `export/` can do, one file each: listing them imports none of the files, so it needs no torch."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.util import find_spec
from typing import Any


def names_in(folder: str) -> tuple[str, ...]:
    """The plug-ins in `export/<folder>` as plans call them: the file's name, its underscores as hyphens.

    A file whose name begins with an underscore is no plug-in: it holds what several of them share.
    """
    spec = find_spec(f"edgesweep.export.{folder}")
    paths = spec.submodule_search_locations if spec is not None else None
    files = [module.name for module in pkgutil.iter_modules(paths)]
    return tuple(sorted(name.replace("_", "-") for name in files if not name.startswith("_")))


def plugin(folder: str, name: str, attribute: str) -> Any:
    """What the file of the plug-in `name` defines as `attribute`.

    Raises:
        KeyError: There is no such plug-in.
    """
    if name not in names_in(folder):
        raise KeyError(name)
    return getattr(importlib.import_module(f"edgesweep.export.{folder}.{name.replace('-', '_')}"), attribute)


#: What the exporter writes; every other precision is a conversion of it.
FP32 = "fp32"
#: No optimisation step.
NONE = "none"

EXPORTERS = names_in("exporters")
PRECISIONS = (FP32, *names_in("precisions"))
OPTIMISERS = (NONE, *names_in("optimisers"))
