"""The caches that a cold start finds: brought into the state that the job asks for, and told as they then are."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Any

from edgesweep_worker import page_cache, provider_start
from edgesweep_worker.events import EventPipe
from edgesweep_worker.job import TrialJob

#: What contradicts the page cache that was asked for: a start is cold only when that was shown, and warm unless it was not.
_CONTRARY = {"cold": ("warm", "mixed", ""), "warm": ("cold", "mixed")}


@dataclass(frozen=True)
class ColdState:
    """The job as it is to be run, the caches as they were found, and a tag for each that is not as asked."""

    job: TrialJob
    page_cache: page_cache.Found
    provider_cache: str
    tags: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The part of ColdStart that says what was found before anything was loaded."""
        return {
            "page_cache": self.page_cache.state,
            "resident_share": self.page_cache.resident_share,
            "provider_cache": self.provider_cache,
        }


def prepare(job: TrialJob, pipe: EventPipe) -> ColdState:
    """Bring both caches into the state that `job.protocol` asks for; to be called before the runtime is imported.

    Priming compiles the model, and is a stage compile of its own.

    Raises:
        OSError: there is no room for a provider's cache.
    """
    protocol = job.protocol
    cache = provider_start.PreparedCache("none")
    tags = []
    if provider_start.caching_provider(job) is not None:
        cache = provider_start.PreparedCache("asis")
        if protocol.provider_cache in {"empty", "primed"}:
            folder = tempfile.mkdtemp(prefix="provider-", dir=os.path.dirname(os.path.abspath(job.samples_path)))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            job = provider_start.with_cache(job, folder)
            cache = provider_start.PreparedCache("empty")
            if protocol.provider_cache == "primed":
                pipe.stage("compile")
                cache = provider_start.prime(job, folder)
                pipe.stage("load")
            if cache.state != protocol.provider_cache:
                tags.append("provider_cache_not_honoured")
    # After the priming, which reads all these files.
    names = [provider.name for provider in job.providers]
    files = page_cache.start_files(job.model_path, names)
    # Of a plug-in the library alone: what lies beside it may be of other providers, and the system's.
    plugged = [item.path for item in job.plugins if not {item.name, *item.providers}.isdisjoint(names)]
    found = page_cache.prepare((*files, *plugged, *cache.files), protocol.page_cache)
    if found.state in _CONTRARY.get(protocol.page_cache, ()):
        tags.append("page_cache_not_honoured")
    return ColdState(job, found, cache.state, tuple(tags))
