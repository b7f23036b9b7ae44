"""Finding the callable that a plan names as `file.py:callable` or `package.module:callable`."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from edgesweep.models.check import unusable

_PREFIX = "edgesweep_factory_"


@dataclass(slots=True)
class _Scope:
    """The folder whose siblings are importable now, and the modules that were there before it came."""

    folder: Path | None = None
    before: frozenset[str] = frozenset()


_scope = _Scope()


def words_of(error: BaseException) -> str:
    """An error in one line: its type and the first line of its own words."""
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    return lines[-1].strip() if isinstance(error, SyntaxError) else lines[0]


def find_factory(name: str, ref: str) -> Callable[..., Any]:
    """The callable that `ref` names.

    A file is imported afresh under a module name of its own, with its folder first on `sys.path`, so that it may
    import its siblings. Siblings of an earlier file are forgotten: two folders may each hold a `layers.py`.

    Args:
        name: The model's name, for the sentence of an error.
        ref: `/folder/file.py:callable` or `package.module:callable`; the callable may be dotted.

    Raises:
        EdgesweepError: `model_unusable`, with the import's own error as `__cause__`.
    """
    where, colon, attribute = ref.rpartition(":")
    if not colon or not where or not attribute:
        raise unusable(name, f"'{ref}' names no callable", remedy="write file.py:callable or package.module:callable")
    module = _import_file(name, Path(where)) if where.endswith(".py") else _import_package(name, where)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise unusable(name, f"{where} has no '{attribute}'{_hint(module, attribute)}")
        found = getattr(found, part)
    if not callable(found):
        raise unusable(name, f"'{attribute}' in {where} is a {type(found).__name__}, not a callable")
    return found  # type: ignore[no-any-return]


def _import_file(name: str, path: Path) -> ModuleType:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise unusable(name, f"there is no file {path}")
    unique = f"{_PREFIX}{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None or spec.loader is None:
        raise unusable(name, f"{path} is not a Python file")
    _enter(path.parent)
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[unique]
        raise unusable(name, f"{path} cannot be imported: {words_of(error)}") from error
    return module


def _import_package(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except (Exception, SystemExit) as error:
        raise unusable(name, f"{where} cannot be imported: {words_of(error)}") from error


def _enter(folder: Path) -> None:
    """Make the siblings in `folder` importable, and those of the folder before it not."""
    if _scope.folder is not None:
        for name in _siblings(_scope.folder):
            del sys.modules[name]
        if str(_scope.folder) in sys.path:
            sys.path.remove(str(_scope.folder))
    _scope.folder, _scope.before = folder, frozenset(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def _siblings(folder: Path) -> list[str]:
    """The loaded modules that lie in `folder` and whose package was not there before the folder was entered."""
    found = []
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        new = name.partition(".")[0] not in _scope.before
        if new and origin and Path(origin).is_relative_to(folder) and not name.startswith(_PREFIX):
            found.append(name)
    return found


def _hint(module: ModuleType, attribute: str) -> str:
    own = [
        key
        for key, value in vars(module).items()
        if callable(value) and not key.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    close = difflib.get_close_matches(attribute, own, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; it has: {', '.join(own)}" if own else "; it defines no callable"
