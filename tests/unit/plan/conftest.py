from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from edgesweep.plan.expand import DeviceChoice
from edgesweep.plan.load import LoadedPlan, parse_plan
from edgesweep.plan.providers import full_name
from edgesweep_proto.device import ProviderProbe, Runtime

DESIGN_EXAMPLE = """\
version: 1
name: nightly
models:
  - zoo: mobile-cnn                    # built in; `edgesweep model list`
  - factory: lab_models.py:segmenter   # file.py:callable or package.module:callable; relative to the plan file
    name: segmenter                    # default: the callable's name
    args: {width: 0.5}                 # keyword arguments of the callable
    dynamic: {x: {0: batch, 2: height, 3: width}}   # named dynamic dimensions per input
    ranges: {batch: [1, 8], height: [64, 512]}      # sizes each may take (for proving and for shapes)
  - onnx: resnet50.onnx                # taken as it is: no export, the same checks and cells
export:
  exporters: [dynamo, torchscript]
  opsets: [13, 17, "18..23"]
  axes: [static, batch, full]          # static: none; full: all declared; else a name or a+b list of dimension names
  precisions: [fp32]                   # fp32, fp16, int8-dynamic, int8-static
devices: all                           # all, a list of names, or a label selector such as "arch=aarch64,site=lab1"
runtimes: newest                       # newest, all, or a list such as [1.23.2, openvino-1.24.1]
providers: available                   # available, or a list of chains: [cpu, openvino, "tensorrt,cuda"]
shapes: [example, {batch: 4}]          # sizes for the dynamic dimensions; a static variant runs at its own
session: {threads: [1], graph_optimization: [all]}
measure: {preset: quick}               # quick, nightly, baseline; each field of a preset may be overridden
fallback: warn                         # allow, warn or fail when some nodes land outside the chain's first provider
exclude: [{model: segmenter, opset: 13, reason: "https://tracker/1234", until: 2027-01-31}]
fail_on: [regression, new-failure]
"""


def make_runtime(
    version: str = "1.32.0",
    *providers: str,
    flavour: str = "",
    fault: str = "",
    python: str = "3.11.7",
    suffix: str = "",
) -> Runtime:
    """A runtime whose `providers` (short names) ran a node, and which lists one that ran none."""
    full = [full_name(name) for name in providers or ("cpu",)]
    probes = [ProviderProbe("AzureExecutionProvider", 0), *(ProviderProbe(name, 1) for name in full)]
    return Runtime(
        id=(f"{flavour}-" if flavour else "") + version + suffix,
        flavour=flavour,
        version=version,
        build_info="",
        python_version=python,
        numpy_version="2.3.0",
        listed_providers=("AzureExecutionProvider", *full),
        providers=tuple(probes),
        fault=fault,
    )


@pytest.fixture
def design_example() -> str:
    return DESIGN_EXAMPLE


@pytest.fixture
def runtime() -> Callable[..., Runtime]:
    return make_runtime


@pytest.fixture
def board() -> DeviceChoice:
    return DeviceChoice("pi5", {"site": "lab1"}, (make_runtime(),))


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], LoadedPlan]:
    return lambda text: parse_plan(text, tmp_path, "plan.yaml")
