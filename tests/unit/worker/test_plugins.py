"""What onnxruntime says of a library that it does not register, and of versions that register none."""

from __future__ import annotations

import types

import pytest
from edgesweep_worker import plugins
from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.job import PluginLibrary, trial_job

LIBRARY = PluginLibrary("LabExecutionProvider", "/opt/lab/liblab.so")


def refusing(words: str):
    """Stands for an onnxruntime that refuses a library with these words, which real ones said."""

    def register(name, path):
        raise RuntimeError(words.replace("LIBRARY", path))

    return types.SimpleNamespace(
        __version__="1.32.0", register_execution_provider_library=register, get_ep_devices=list
    )


@pytest.mark.parametrize(
    ("words", "cause", "said"),
    [
        (
            (
                "[ONNXRuntimeError] : 1 : FAIL : Failed to load library LIBRARY with error: libvulkan.so.1: cannot open shared "
                "object file: No such file or directory"
            ),
            "provider_library_missing",
            "libvulkan.so.1",
        ),
        (
            (
                "[ONNXRuntimeError] : 1 : FAIL : Failed to get symbol CreateEpFactories with error: LIBRARY: undefined symbol: "
                "CreateEpFactories"
            ),
            "provider_unavailable",
            "liblab.so is no library of providers",
        ),
        ("std::bad_alloc", "oom", "memory"),
        (
            '[ONNXRuntimeError] : 1 : FAIL : ORT runtime version "1.23.2" is below the minimum required version "1.24.4".',
            "provider_unavailable",
            "cannot register the library liblab.so",
        ),
    ],
)
def test_a_library_that_is_not_registered_has_the_cause_of_the_words(words, cause, said):
    told = []
    with pytest.raises(TrialFailed) as failed:
        plugins.load(refusing(words), LIBRARY, told.append)
    assert failed.value.cause == cause
    assert said in failed.value.message
    assert "liblab.so" in failed.value.message
    assert "/opt/lab" not in failed.value.evidence
    assert told == ["loading the plug-in library liblab.so"], "it is still doing that, as far as anybody knows"


def test_an_onnxruntime_that_registers_nothing_says_from_which_on():
    ort = types.SimpleNamespace(__version__="1.20.1", get_available_providers=lambda: ["CPUExecutionProvider"])
    job = trial_job({
        "model_path": "m", "samples_path": "s", "providers": [{"name": LIBRARY.name}],
        "plugins": [{"name": LIBRARY.name, "path": LIBRARY.path}],
    })  # fmt: skip
    with pytest.raises(TrialFailed, match=r"onnxruntime 1\.20\.1 cannot register .* takes onnxruntime 1\.23 or newer"):
        plugins.register_wanted(ort, job, lambda _: None)
    # Later in the chain it is only left out.
    rest = trial_job({
        "model_path": "m", "samples_path": "s",
        "providers": [{"name": "CPUExecutionProvider"}, {"name": LIBRARY.name}],
        "plugins": [{"name": LIBRARY.name, "path": LIBRARY.path}],
    })  # fmt: skip
    assert plugins.register_wanted(ort, rest, lambda _: None) == plugins.Loaded()


def test_what_is_compiled_in_is_not_registered_again():
    ort = types.SimpleNamespace(__version__="1.32.0", get_available_providers=lambda: [LIBRARY.name])
    job = trial_job({
        "model_path": "m", "samples_path": "s", "providers": [{"name": LIBRARY.name}],
        "plugins": [{"name": LIBRARY.name, "path": LIBRARY.path}],
    })  # fmt: skip
    assert plugins.register_wanted(ort, job, lambda _: None).seconds is None
