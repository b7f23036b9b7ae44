"""Variants and cells: what is asked for, before anything is known about how it ends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from edgesweep.plan.scenario import CLOSED, CLOSED_LOOP, Scenario


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to export one model. `opset` is the one asked for; an `onnx:` model has exporter `none`.

    `ir_version` caps the file's IR version (None: as the exporter writes it), `optimiser` names the tool that rewrites
    the graph before it is checked (empty: none).
    """

    model: str
    exporter: str
    opset: int
    axes: str
    precision: str = "fp32"
    ir_version: int | None = None
    optimiser: str = ""

    @property
    def slug(self) -> str:
        """The variant's part of a cell's name, e.g. `dynamo-opset17-batch-fp32` or `dynamo-opset17-batch-fp32+ir8`."""
        extras = [f"ir{self.ir_version}"] if self.ir_version is not None else []
        extras += [self.optimiser] if self.optimiser else []
        return "+".join([f"{self.exporter}-opset{self.opset}-{self.axes}-{self.precision}", *extras])

    @property
    def name(self) -> str:
        """The variant with its model, as it is called wherever no device is meant: `model/variant`."""
        return f"{self.model}/{self.slug}"


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes for the dynamic dimensions; no sizes means the model's own example."""

    sizes: tuple[tuple[str, int], ...] = ()

    @property
    def slug(self) -> str:
        """`example`, or the sizes in order of their names, e.g. `batch4+height64`."""
        return "+".join(f"{name}{size}" for name, size in sorted(self.sizes)) or "example"


@dataclass(frozen=True, slots=True)
class Session:
    """What a session is asked for beyond its providers, and how it is called; part of a cell's identity.

    Whatever gives its number another meaning stands here: two cells with unlike sessions are never compared.
    """

    threads: int = 1
    graph_optimization: str = "all"
    io_mode: str = "bound"
    scenario: Scenario = CLOSED_LOOP
    concurrency: int = 1
    page_cache: str = "warm"
    provider_cache: str = "asis"
    pin_threads: bool = True
    cpu_arena: bool = True

    @property
    def slug(self) -> str:
        """`t1`, then the options that are not the default, sorted, e.g. `t1+c4+io=host+opt=basic+paced=0.1`."""
        options = {
            f"c{self.concurrency}": self.concurrency != 1,
            f"cache={self.provider_cache}": self.provider_cache != "asis",
            f"io={self.io_mode}": self.io_mode != "bound",
            f"opt={self.graph_optimization}": self.graph_optimization != "all",
            f"page={self.page_cache}": self.page_cache != "warm",
            self.scenario.slug: self.scenario.kind != CLOSED,
            "noarena": not self.cpu_arena,
            "unpinned": not self.pin_threads,
        }
        return "+".join([f"t{self.threads}", *sorted(option for option, given in options.items() if given)])


@dataclass(frozen=True, slots=True)
class Skip:
    """Why a planned cell is not run: a catalogue code and the plan's own words."""

    cause: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """The unit of the matrix: one variant on one device, runtime, provider chain and shape.

    `providers` holds short names in order; `skip` is set for a cell that is planned but not run.
    """

    variant: Variant
    device: str
    runtime: str
    providers: tuple[str, ...]
    shape: Shape = Shape()
    session: Session = Session()
    provider_options: dict[str, dict[str, str]] = field(default_factory=dict, compare=False)
    skip: Skip | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The cell's one printable name, unique in a run and the same everywhere."""
        chain = "+".join(self.providers)
        parts = [self.device, self.variant.model, self.variant.slug, self.runtime, chain]
        return "/".join([*parts, self.shape.slug, self.session.slug])

    @property
    def key(self) -> str:
        """SHA-256 of what was asked in canonical JSON: the identity of the cell's series over many runs."""
        asked = {
            "name": self.name,
            "provider_options": self.provider_options,
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
