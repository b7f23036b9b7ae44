"""What a provider has ready before a session is made: its own libraries, and the models that it compiled earlier."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import importlib.util
import os
import time
from dataclasses import dataclass, replace
from typing import Any

from edgesweep_worker.forked import NoAnswer, ask_child
from edgesweep_worker.job import Provider, TrialJob
from edgesweep_worker.providers import facts_of

#: Longer than any deadline of the agent, which ends this process and its children.
_PRIME_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class PreparedCache:
    """`state` is none (no provider of the chain has a cache), asis, empty or primed; `files` are what lies in it."""

    state: str
    files: tuple[str, ...] = ()


def caching_provider(job: TrialJob) -> Provider | None:
    """The first provider of the job that keeps compiled models."""
    return next((item for item in job.providers if facts_of(item.name).cache is not None), None)


def cache_folder(provider: Provider) -> str:
    """The folder that the provider's options name for compiled models; empty when they name none."""
    cache = facts_of(provider.name).cache
    return provider.options.get(cache.option, "") if cache is not None else ""


def with_cache(job: TrialJob, folder: str) -> TrialJob:
    """`job` with the provider's compiled models in `folder`, whatever its options said."""
    chosen = caching_provider(job)
    cache = facts_of(chosen.name).cache if chosen is not None else None
    if chosen is None or cache is None:
        return job
    moved = replace(chosen, options={**chosen.options, **cache.switches, cache.option: folder})
    return replace(job, providers=tuple(moved if item is chosen else item for item in job.providers))


def prime(job: TrialJob, folder: str) -> PreparedCache:
    """Have another process load and run the job's model once, so that `folder` holds what its provider compiles.

    It is forked from this one, which must not have imported the runtime yet.

    Returns:
        State primed, or empty when nothing was left in the folder: then the session itself will tell why.
    """
    with contextlib.suppress(NoAnswer):
        ask_child(lambda: _load_and_run(job), _PRIME_SECONDS)
    files = tuple(sorted(os.path.join(root, name) for root, _, names in os.walk(folder) for name in names))
    return PreparedCache("primed" if files else "empty", files)


def load_libraries(provider: str, package: str = "onnxruntime") -> float | None:
    """Load the libraries that `provider` needs and are not the runtime's own.

    Returns:
        Seconds; None when it has none that load apart from the session.
    """
    paths = [path for pattern in facts_of(provider).libraries for path in _inside(package, pattern)]
    started = time.perf_counter()
    try:
        for path in paths:
            ctypes.CDLL(path)
    except OSError:
        return None  # the session will say it in the runtime's own words
    return time.perf_counter() - started if paths else None


def _inside(package: str, pattern: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    roots = (spec.submodule_search_locations or ()) if spec is not None else ()
    return sorted(path for root in roots for path in glob.glob(os.path.join(glob.escape(root), "capi", pattern)))


def _load_and_run(job: TrialJob) -> str:
    import onnxruntime

    from edgesweep_worker import inputs, plugins, session

    ort: Any = onnxruntime
    plugins.register_wanted(ort, job, lambda _: None)
    chain, _ = session.usable_chain(ort, job)
    made = session.open_session(ort, job, session.make_options(ort, job.session), chain)
    made.run(None, dict(inputs.load_inputs(job.inputs)))
    return ""
