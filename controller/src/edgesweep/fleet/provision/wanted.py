"""What runtime is asked for: `1.23.2`, `openvino-1.24.1`, `newest`, `1.19.2@py38`, or a wheel file."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from edgesweep.did_you_mean import hint
from edgesweep.errors import EdgesweepError

#: The flavour in a runtime's id, and the distribution that brings it. The agent tells the flavour by the same rule.
DISTRIBUTIONS = {
    "": "onnxruntime",
    "azure": "onnxruntime-azure",
    "cann": "onnxruntime-cann",
    "coreml": "onnxruntime-coreml",
    "directml": "onnxruntime-directml",
    "gpu": "onnxruntime-gpu",
    "migraphx": "onnxruntime-migraphx",
    "openvino": "onnxruntime-openvino",
    "qnn": "onnxruntime-qnn",
    "rocm": "onnxruntime-rocm",
    "silicon": "onnxruntime-silicon",
    "training": "onnxruntime-training",
    "trt-rtx": "onnxruntime-trt-rtx",
    "webgpu": "onnxruntime-webgpu",
}
#: Other words that people have for a flavour.
_ALIASES = {"plain": "", "cpu": "", "cuda": "gpu", "tensorrt": "gpu", "dml": "directml"}

#: The newest release that there is for the board.
NEWEST = "newest"

#: Releases before this one were built against numpy 1 (export-facts.md).
_NUMPY_2 = (1, 19)

_SPEC = re.compile(
    r"(?:(?P<flavour>[a-z][a-z0-9]*(?:-[a-z]+)*)-)?(?P<version>newest|\d+(?:\.\d+)+[a-z0-9.+]*)(?:@py(?P<python>3\d{1,2}))?"
)
_WHEEL = re.compile(r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>\d[A-Za-z0-9_.+!]*)-.+\.whl")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One runtime to install.

    Attributes:
        text: As it was asked for.
        flavour: Empty for the plain one.
        version: A release, or empty for the newest.
        python: Major and minor version of its Python, or None for whatever fits.
        wheel: The file to take instead of what an index has.
    """

    text: str
    flavour: str
    version: str
    python: tuple[int, int] | None = None
    wheel: Path | None = None

    @property
    def distribution(self) -> str:
        """What pip calls it."""
        return DISTRIBUTIONS.get(self.flavour, f"onnxruntime-{self.flavour}")

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        if self.wheel is not None:
            return str(self.wheel)
        return f"{self.distribution}=={self.version}" if self.version else self.distribution

    @property
    def constraints(self) -> tuple[str, ...]:
        """What else holds for its environment, which the old releases' own metadata does not say."""
        numbers = tuple(int(part) for part in re.findall(r"\d+", self.version)[:2])
        return ("numpy<2",) if numbers and numbers < _NUMPY_2 else ()

    def of_version(self, version: str) -> Wanted:
        """The same with the version that was found to be the newest."""
        return replace(self, version=version)


def parse_wanted(text: str) -> Wanted:
    """Reads the id of a runtime.

    Raises:
        EdgesweepError: `usage` with the nearest flavour.
    """
    found = _SPEC.fullmatch(text)
    if found is None:
        raise EdgesweepError(
            "usage",
            f"{text!r} is no runtime",
            remedy="write [flavour-]version, such as 1.23.2, openvino-1.24.1, newest or 1.19.2@py38",
        )
    flavour = found["flavour"] or ""
    flavour = _ALIASES.get(flavour, flavour)
    if flavour not in DISTRIBUTIONS:
        offered = [*filter(None, DISTRIBUTIONS), *_ALIASES]
        raise EdgesweepError(
            "usage",
            f"no flavour of onnxruntime is called {flavour!r}{hint(flavour, offered)}",
            remedy="name one of those, or give the wheel itself with --file",
        )
    version = "" if found["version"] == NEWEST else found["version"]
    python = (int(found["python"][0]), int(found["python"][1:])) if found["python"] else None
    return Wanted(text, flavour, version, python)


def wanted_of_file(path: Path) -> Wanted:
    """The runtime that a wheel file brings, by the file's name.

    Raises:
        EdgesweepError: `usage` when it is no wheel of an onnxruntime.
    """
    found = _WHEEL.fullmatch(path.name)
    name = found["name"].lower().replace("_", "-").replace(".", "-") if found else ""
    if found is None or not (name == "onnxruntime" or name.startswith("onnxruntime-")):
        raise EdgesweepError(
            "usage",
            f"{path.name} is not named as a wheel of onnxruntime is",
            remedy="give the file under its own name, such as onnxruntime_gpu-1.23.0-cp310-cp310-linux_aarch64.whl",
        )
    return Wanted(
        path.name, name.removeprefix("onnxruntime").removeprefix("-"), found["version"], wheel=path.absolute()
    )


def runtime_name(flavour: str, version: str) -> str:
    """The id of a runtime, as the agent makes it."""
    return f"{flavour}-{version}" if flavour else version
