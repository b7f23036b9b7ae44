"""Whether every worker of a cluster would export as this host would: the same code, the same packages."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from edgesweep.errors import EdgesweepError
from edgesweep.export.artifacts.cache import environment

#: Shown by its first characters: a digest says only that it differs.
_CODE = "edgesweep_code"


def survey() -> dict[str, str]:
    """What an export here depends on: the versions of Python and of the packages, and Edgesweep's own code."""
    return {"python": ".".join(platform.python_version_tuple()[:2]), **environment()}


def refuse_differences(workers: Mapping[str, Mapping[str, str] | BaseException], here: Mapping[str, str]) -> None:
    """Refuse a cluster on which a result would depend on the worker that made it.

    A package that this host lacks (a laptop without torch) has no part in any result: there the workers are held against
    each other.

    Args:
        workers: What `survey` returned, or how it failed, by the worker's address.
        here: What it returns on this host.

    Raises:
        EdgesweepError: `cluster_differs`, naming the first worker that differs and everything in which it does.
    """
    expected = dict(here)
    for address, found in workers.items():
        if isinstance(found, BaseException):
            sentence = f"the Dask worker {address} cannot run this Edgesweep: {type(found).__name__}: {found}"
            raise EdgesweepError("cluster_differs", sentence) from found
        differing = [
            f"{name} {_short(name, found.get(name))} instead of {_short(name, wanted)}"
            for name, wanted in expected.items()
            if found.get(name) != wanted
        ]
        if differing:
            raise EdgesweepError("cluster_differs", f"the Dask worker {address} has {', '.join(differing)}")
        expected |= found


def _short(name: str, value: str | None) -> str:
    if value is None:
        return "none"
    return value[:8] if name == _CODE else value
