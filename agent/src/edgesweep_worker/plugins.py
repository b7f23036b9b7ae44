"""Providers that are no part of the runtime: libraries of the device's own, registered with it before a session is made.

Registering loads the library, and what it does then it does in this process. So the agent is told of it beforehand: a
library that kills the process, or never comes back, cannot tell it itself.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from edgesweep_worker import failure
from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.failures import read
from edgesweep_worker.failures.status import status_of
from edgesweep_worker.job import PluginLibrary, Provider, TrialJob

#: The option of a chain that picks the kind of hardware where a plug-in found more than one; it is not passed on.
DEVICE_TYPE = "device_type"

#: What every plug-in library has: one without it is whole, and no provider.
_ENTRY = "CreateEpFactories"

_KINDS = ("CPU", "GPU", "NPU")


def can_register(ort: Any) -> bool:
    """Whether this onnxruntime takes plug-in libraries from Python (1.23 and newer)."""
    return hasattr(ort, "register_execution_provider_library")


def library_of(job: TrialJob, provider: str) -> PluginLibrary | None:
    """The library of the device's that brings `provider`, if one does."""
    return next((item for item in job.plugins if provider in (item.name, *item.providers)), None)


@dataclass(frozen=True)
class Loaded:
    """What registering a job's libraries came to.

    `tags` has one for each device that a provider will run on, such as `plugin_device:QNNExecutionProvider NPU Qualcomm`.
    `seconds` is how long loading them took; None when there was nothing to load.
    """

    tags: tuple[str, ...] = ()
    seconds: float | None = None


def register_wanted(ort: Any, job: TrialJob, doing: Callable[[str], None]) -> Loaded:
    """Register the libraries of those providers of the job that are not compiled in.

    Args:
        ort: the onnxruntime module.
        job: the trial's job.
        doing: is told what is going on before each library is loaded, and "" when that is over.

    Raises:
        TrialFailed: oom or provider_unavailable, of the chain's first provider. A later one that cannot be had is left
            out, as one is that is not compiled in.
    """
    tags: list[str] = []
    loaded: list[PluginLibrary] = []
    seconds = 0.0
    compiled_in = ort.get_available_providers()
    for wanted in job.providers:
        library = library_of(job, wanted.name)
        if library is None or wanted.name in compiled_in:
            continue
        try:
            if library not in loaded:
                started = time.perf_counter()
                load(ort, library, doing)
                seconds += time.perf_counter() - started
                loaded.append(library)
            tags.append(f"plugin_device:{device_words(_chosen(ort, library, wanted))}")
        except TrialFailed:
            if wanted is job.providers[0]:
                raise
    return Loaded(tuple(tags), seconds if loaded else None)


def load(ort: Any, library: PluginLibrary, doing: Callable[[str], None]) -> list[Any]:
    """Register one library.

    Returns:
        The devices that it added: OrtEpDevice objects, none where it found nothing to run on.

    Raises:
        TrialFailed: oom, provider_library_missing or provider_unavailable.
    """
    file = os.path.basename(library.path)
    version = f"onnxruntime {ort.__version__}"
    if not can_register(ort):
        words = f"{version} cannot register the plug-in library {file}: that takes onnxruntime 1.23 or newer"
        raise TrialFailed("provider_unavailable", words)
    doing(f"loading the plug-in library {file}")
    try:
        known = {device.ep_name for device in ort.get_ep_devices()}
        ort.register_execution_provider_library(library.name, library.path)
        found = [device for device in ort.get_ep_devices() if device.ep_name not in known]
    except Exception as error:
        text = str(error).replace(library.path, file)
        if failure.is_out_of_memory(error):
            raise TrialFailed("oom", f"{file} could not get the memory it needs to load", text) from error
        words = f"{version} cannot register the library {file}"
        if _ENTRY in text:
            words = f"{file} is no library of providers: it has no {_ENTRY}"
        found = None if _ENTRY in text else read.read(text, "load")
        if found is None or found.known.cause != "provider_library_missing":
            raise TrialFailed("provider_unavailable", words, text) from error
        subject = found.words.get("subject", "")
        known = read.diagnosis("message", text, pattern=found.known.id, status=status_of(error), subject=subject)
        sentence = f"{words}: {found.sentence(version)}"
        raise TrialFailed(found.known.cause, sentence, text, diagnosis=known) from error
    doing("")
    return found


def ep_devices(ort: Any, provider: str) -> list[Any]:
    """What `provider` may run on, as far as libraries that are registered tell it."""
    return [device for device in ort.get_ep_devices() if device.ep_name == provider] if can_register(ort) else []


def device_words(device: Any) -> str:
    """An OrtEpDevice in words: its provider, the kind of its hardware and who made that. Nothing of it is a path."""
    return f"{device.ep_name} {device.device.type.name} {device.device.vendor}".strip()


def use_devices(ort: Any, job: TrialJob, options: Any, chain: Sequence[tuple[str, Mapping[str, str]]]) -> bool:
    """Put `chain` into the session's `options`, if a provider of it comes from a library of the job.

    A session takes its providers either by name or from its options, never both: so the others go there as well.

    Returns:
        Whether it did; if not, the chain goes to the session by name.

    Raises:
        TrialFailed: provider_unavailable, the kind of device asked for is not there.
    """
    libraries = {name: library_of(job, name) for name, _ in chain if ep_devices(ort, name)}
    if not any(libraries.values()):
        return False
    for name, asked in chain:
        library = libraries.get(name)
        if library is None:
            options.add_provider(name, dict(asked))
        else:
            passed_on = {key: value for key, value in asked.items() if not _picks_kind(key, value)}
            options.add_provider_for_devices([_chosen(ort, library, Provider(name, dict(asked)))], passed_on)
    return True


def _chosen(ort: Any, library: PluginLibrary, wanted: Provider) -> Any:
    """The device to run on: the first of the kind asked for, else the first; not all providers take several at once."""
    found = ep_devices(ort, wanted.name)
    file = os.path.basename(library.path)
    if not found:
        others = ", ".join(map(device_words, ort.get_ep_devices())) or "nothing"
        words = (
            f"{file} is registered and finds nothing here for {wanted.name} to run on: onnxruntime tells of {others}"
        )
        raise TrialFailed("provider_unavailable", words)
    kind = wanted.options.get(DEVICE_TYPE, "")
    if not _picks_kind(DEVICE_TYPE, kind):
        return found[0]
    fitting = [device for device in found if device.device.type.name == kind.upper()]
    if not fitting:
        have = ", ".join(map(device_words, found))
        words = f"{file} finds no {kind.upper()} here for {wanted.name} to run on: it has {have}"
        raise TrialFailed("provider_unavailable", words)
    return fitting[0]


def _picks_kind(option: str, value: str) -> bool:
    return option == DEVICE_TYPE and value.upper() in _KINDS
