"""Options that name things on the device are refused; the others are held against what the session says."""

from __future__ import annotations

import pytest
from edgesweep_worker import provider_options
from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.job import Provider

OPENVINO, CUDA, CPU = "OpenVINOExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"


class Session:
    """Stands for a session of providers that are not here: CUDA tells all of its options, OpenVINO none."""

    def __init__(self, **options):
        self._options = {CUDA: options, OPENVINO: {}, CPU: {}}

    def get_providers(self):
        return [CUDA, OPENVINO, CPU]

    def get_provider_options(self):
        return self._options


@pytest.mark.parametrize(
    "provider",
    [
        Provider(OPENVINO, {"cache_dir": "here"}),
        Provider(OPENVINO, {"device_type": "CPU", "load_config": "config.json"}),
        Provider("QNNExecutionProvider", {"backend_path": "libQnnHtp.so"}),
        Provider(CUDA, {"user_compute_stream": "140352"}),
        Provider("FutureExecutionProvider", {"library": "/tmp/evil.so"}),
        Provider("FutureExecutionProvider", {"library": "../evil.so"}),
        Provider("FutureExecutionProvider", {"library": "deps/../evil.so"}),
        Provider("FutureExecutionProvider", {"library": "evil.so.1"}),
        Provider("FutureExecutionProvider", {"store": "C:\\engines"}),
        Provider("TensorrtExecutionProvider", {"trt_engine_cache_prefix": "../../x"}),
        Provider(CPU, {"home": "~/x"}),
    ],
    ids=lambda provider: " ".join(provider.options.values()),
)
def test_what_names_a_thing_on_the_device_is_refused(provider):
    with pytest.raises(TrialFailed) as failed:
        provider_options.check_local([Provider(CPU), provider])
    assert failed.value.cause == "option_refused"
    assert provider.name in failed.value.message


def test_plain_values_pass():
    provider_options.check_local([
        Provider("TensorrtExecutionProvider", {"trt_profile_min_shapes": "/in/x:1x3x64x64", "device_id": "0"}),
        Provider("WebGpuExecutionProvider", {"forceCpuNodeNames": "/head/Gather"}),
        Provider("QNNExecutionProvider", {"backend_type": "htp"}),
        Provider("FutureExecutionProvider", {"level": "3", "kind": "HETERO:GPU,CPU", "scale": "0.5"}),
    ])  # fmt: skip


def test_the_session_tells_what_it_has_but_no_file():
    found = provider_options.read_back(Session(device_id=1, user_compute_stream="0"))
    assert found == [
        {"name": CUDA, "options": {"device_id": "1"}},
        {"name": OPENVINO, "options": {}},
        {"name": CPU, "options": {}},
    ]


@pytest.mark.parametrize(
    ("asked", "told"),
    [("1", "1"), ("True", "1"), ("0", False), ("1.0", 1), ("EXHAUSTIVE", "exhaustive"), ("1073741824", "1073741824")],
)
def test_the_same_in_other_words_is_honoured(asked, told):
    assert provider_options.differing(Session(option=told), [(CUDA, {"option": asked})]) == []


def test_each_difference_has_its_tag():
    chain = [
        (CUDA, {"device_id": "1", "use_tf32": "0"}),
        (OPENVINO, {"num_of_threads": "2"}),
        (CPU, {}),
        ("Gone", {"a": "1"}),
    ]
    assert provider_options.differing(Session(device_id="0"), chain) == [
        f"option_not_honoured:{CUDA}.device_id",
        f"option_not_reported:{CUDA}.use_tf32",
        f"options_not_reported:{OPENVINO}",
    ]
