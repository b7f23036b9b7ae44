"""The plans that come with Edgesweep: each is a file to run as it is, or to start a plan of one's own from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from edgesweep.did_you_mean import hint
from edgesweep.errors import EdgesweepError

_FOLDER = resources.files("edgesweep.plan")


def builtin_plans() -> tuple[str, ...]:
    """Their names, sorted."""
    names = (Path(file.name) for file in _FOLDER.iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".yaml"))


def builtin_text(name: str) -> str:
    """The text of the built-in plan `name`.

    Raises:
        EdgesweepError: `usage` when there is no such plan.
    """
    known = builtin_plans()
    if name not in known:
        raise EdgesweepError(
            "usage", f"there is no built-in plan '{name}'{hint(name, known)}", remedy="see `edgesweep plan list`"
        )
    return _FOLDER.joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def builtin_summary(name: str) -> str:
    """What the built-in plan `name` is for: the comment in its first line."""
    return builtin_text(name).partition("\n")[0].lstrip("# ")
