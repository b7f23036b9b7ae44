"""One provider at a time, each question in a process of its own: does it make a session, run a node, in which precisions?"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
from typing import Any, Callable, Iterator, Sequence

from edgesweep_worker import null_model, placement, plugins
from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.forked import NoAnswer, ask_child
from edgesweep_worker.job import PluginLibrary, TrialJob, trial_job

CPU = "CPUExecutionProvider"
_MESSAGE_LIMIT = 500
#: Of what a library wrote itself; the sentence before it takes the rest.
_WORDS_LIMIT = 300

_DENSE, _IMAGE = (1, 8), (1, 3, 8, 8)


def _models(precision: str) -> Sequence[tuple[bytes, tuple[int, ...], str]]:
    """Models of a precision with the shape and numpy type of their input x; a provider that runs any of them has it."""
    if precision == "int8":
        return ((null_model.quantised_dense_model(), _DENSE, "float32"),)
    half = precision == "fp16"
    of_type = "float16" if half else "float32"
    return (
        (null_model.dense_model(half=half), _DENSE, of_type),
        (null_model.add_model(half=half), _DENSE, of_type),
        (null_model.convolution_model(half=half), _IMAGE, of_type),
    )


class ProviderProbe:
    """Tries the providers of one runtime, of which this process must not have made a session."""

    def __init__(self, ort: Any, scratch_dir: str, doing: Callable[[str], None], seconds: float) -> None:
        self._ort = ort
        self._scratch_dir = scratch_dir
        self._doing = doing
        self._seconds = seconds

    def provider(self, name: str, library: PluginLibrary | None = None) -> dict[str, Any]:
        """`device.ProviderProbe` of a provider as JSON data; `library` brings it if it is not compiled in."""
        nodes, words = self._nodes(name, "fp32", library)
        precisions = ["fp32"] if nodes else []
        if nodes:  # what makes no session of the plainest model makes none of the others
            precisions += [each for each in ("fp16", "int8") if self._nodes(name, each, library)[0]]
        return {
            "name": name,
            "nodes": nodes,
            "message": words,
            "precisions": precisions,
            "plugin": library.name if library else "",
        }

    def plugin(self, library: PluginLibrary) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """`device.Plugin` of a library, and a `device.ProviderProbe` for each provider that it brings, as JSON data."""
        told: dict[str, Any] = {
            "name": library.name,
            "distribution": library.distribution,
            "version": library.version,
            "library": os.path.basename(library.path),
            "devices": [],
            "fault": "",
        }
        self._doing(f"loading the plug-in library {told['library']}")
        try:
            devices = json.loads(ask_child(lambda: self._register(library), self._seconds))
        except NoAnswer as error:
            return {**told, "fault": _ending(error)}, []
        if isinstance(devices, str):
            return {**told, "fault": devices[:_MESSAGE_LIMIT]}, []
        names = list(dict.fromkeys(name for name, _ in devices))
        return {**told, "devices": [words for _, words in devices]}, [self.provider(name, library) for name in names]

    def _nodes(self, name: str, precision: str, library: PluginLibrary | None) -> tuple[int, str]:
        """Nodes that `name` ran of a model of this precision, and the last words when it ran none."""
        self._doing(f"trying {name} with a model in {precision}")

        def try_it() -> str:
            return json.dumps(_try_provider(self._ort, name, self._scratch_dir, precision, library))

        try:
            nodes, words = json.loads(ask_child(try_it, self._seconds))
        except NoAnswer as error:
            return 0, _ending(error)
        return int(nodes), str(words)

    def _register(self, library: PluginLibrary) -> str:
        """Runs in a child: the devices as pairs of a provider and words, or the sentence that says why there are none."""
        with _own_words(self._scratch_dir) as own_words:
            try:
                found = plugins.load(self._ort, library, lambda _: None)
            except TrialFailed as failed:
                return json.dumps(_sentence(failed.message, failed.evidence or own_words()))
            if not found:
                return json.dumps(_sentence("it is registered, and finds nothing to run on here", own_words()))
        return json.dumps([(device.ep_name, plugins.device_words(device)) for device in found])


def _try_provider(
    ort: Any, name: str, scratch_dir: str, precision: str, library: PluginLibrary | None
) -> tuple[int, str]:
    """Nodes that `name` really ran, and the runtime's last words when it ran none."""
    import numpy as np

    words = ""
    job = _job(name, library)
    if library is not None:
        plugins.load(ort, library, lambda _: None)
    for model, shape, of_type in _models(precision):
        with tempfile.TemporaryDirectory(dir=scratch_dir) as folder:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4  # a refusal is the answer asked for, no error
            placement.watch_placement(ort, options, folder)
            if name != CPU:
                # The two conflict when the CPU is listed as well, so only the one provider is.
                options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            try:
                chosen = None if plugins.use_devices(ort, job, options, [(name, {})]) else [name]
                session = ort.InferenceSession(model, options, providers=chosen, enable_fallback=0)
                session.disable_fallback()
                found = placement.read_placement(ort, session, {"x": np.ones(shape, dtype=of_type)})
            except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions have no base class of their own
                words = str(error)
                continue
            if found.counts[name]:
                return found.counts[name], ""
            words = "the session ran on " + ", ".join(session.get_providers())
    return 0, words[:_MESSAGE_LIMIT]


def _job(name: str, library: PluginLibrary | None) -> TrialJob:
    item = {"name": library.name, "path": library.path, "providers": [name]} if library else None
    return trial_job({"model_path": "", "samples_path": "", "plugins": [item] if item else []})


def _sentence(*parts: str) -> str:
    return ": ".join(part.strip() for part in parts if part.strip())


def _ending(error: NoAnswer) -> str:
    """What became of the child, with the signal's name where one ended it."""
    if error.signal is None:
        return str(error)
    try:
        return f"the process died of {signal.Signals(error.signal).name}"
    except ValueError:
        return str(error)


@contextlib.contextmanager
def _own_words(scratch_dir: str) -> Iterator[Callable[[], str]]:
    """While this lasts, what the process writes to stderr is kept; the function yielded gives the end of it.

    A library that refuses to work here often says why there and nowhere else.
    """
    with tempfile.TemporaryFile(dir=scratch_dir) as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: _tail(file.fileno())
        finally:
            os.dup2(before, 2)
            os.close(before)


def _tail(descriptor: int) -> str:
    """The last whole lines."""
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, _WORDS_LIMIT, max(0, size - _WORDS_LIMIT)).decode("utf-8", "replace")
    return (text.partition("\n")[2] if size > _WORDS_LIMIT else text).strip()
