"""What counts as a right answer on a device: by the variant's precision, by what its providers compute in, by the plan.

The weakest word comes first: the default of the precision; the looser one of a provider that computes in fewer bits than
the model says; the plan's `verify`, then its entry for the provider; the model's own `verify`, then its entry for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

from edgesweep_proto.trial import Tolerance
from edgesweep_worker.providers import facts_of

from edgesweep.export.proof import allowed
from edgesweep.plan.cell import Cell
from edgesweep.plan.providers import full_name

if TYPE_CHECKING:
    from edgesweep.plan.schema import PlanFile
    from edgesweep.plan.verify import Allowance, VerifySection

#: Where a tolerance comes from.
PRECISION, PROVIDER, PLAN = "precision", "provider", "plan"

#: The tolerance of what a provider computes in, by that of a precision; and how far two devices may lie apart then, as a
#: share of the largest output. Ten bits of TF32 are those of fp16, bfloat16 has fewer still.
_AS_PRECISION = {
    "": "fp32",
    "fp32": "fp32",
    "tf32": "fp16",
    "bf16": "fp16",
    "fp16": "fp16",
    "fp8": "int8",
    "int8": "int8",
}
_LOOSENESS = ("fp32", "fp16", "int8")
_ACROSS_DEVICES = {"fp32": 1e-4, "fp16": 1e-2, "int8": 1e-1}
_DEFAULTS = {"int8": "int8-dynamic"}


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a cell's outputs are held to.

    `origin` says where it comes from: precision, provider or plan; `note` what provider computes in what, where that made a
    difference. `across_devices` is how far two devices that compute like this may lie apart, over the largest output.
    """

    tolerance: Tolerance = field(default_factory=Tolerance)
    origin: str = PRECISION
    note: str = ""
    across_devices: float = _ACROSS_DEVICES["fp32"]


def computed_in(provider: str, options: Mapping[str, str]) -> str:
    """The precision in which a provider runs an fp32 model under these options; empty for fp32.

    Args:
        provider: short or full name; one that nobody knows is taken to do as the model says.
        options: the provider's own.
    """
    facts = facts_of(full_name(provider))
    found = facts.computes_in
    for option, by_value in facts.precision_options.items():
        given = str(options.get(option, "")).lower()
        found = next((bits for pattern, bits in by_value.items() if fnmatchcase(given, pattern)), found)
    return found


def tolerance_for(
    precision: str,
    chain: Sequence[str],
    options: Mapping[str, Mapping[str, str]],
    overrides: Sequence[VerifySection | None] = (),
) -> Agreed:
    """What outputs are held to on a device.

    Args:
        precision: the variant's.
        chain: short names of the providers, in order; any of them may run any node.
        options: what each provider is asked, by its short name.
        overrides: sections of the plan, the weakest first. A provider's entry in one counts more than the section itself; of
            several providers with an entry the first of the chain.
    """
    own = precision.partition("-")[0]
    kind, note = own if own in _LOOSENESS else "fp32", ""
    for provider in chain:
        bits = computed_in(provider, options.get(provider, {}))
        if _LOOSENESS.index(_AS_PRECISION.get(bits, "fp32")) > _LOOSENESS.index(kind):
            kind, note = _AS_PRECISION[bits], f"{provider} computes in {bits}"
    default = allowed.tolerance_for(_DEFAULTS.get(kind, kind) if note else precision)
    origin = PROVIDER if note else PRECISION
    across = _ACROSS_DEVICES[kind]
    agreed = default
    for layer in _layers(chain, overrides):
        changed = _under(agreed, layer, by_ratio=default.sqnr_db is not None)
        if changed is not None:
            agreed, origin = changed, PLAN
    return Agreed(agreed, origin, note, across)


def _layers(chain: Sequence[str], overrides: Sequence[VerifySection | None]) -> list[Allowance]:
    layers: list[Allowance] = []
    for section in overrides:
        if section is not None:
            layers.append(section)
            layers += [section.providers[name] for name in chain if name in section.providers][:1]
    return layers


def _under(agreed: Tolerance, allowed: Allowance, *, by_ratio: bool) -> Tolerance | None:
    """The tolerance with what `allowed` says of its kind; None where that is nothing.

    `by_ratio` tells that the variant is judged by its ratio of signal to noise as long as nobody says otherwise.
    """
    elementwise = allowed.absolute is not None or allowed.relative is not None
    if allowed.sqnr_db is not None and (by_ratio or not elementwise):
        return Tolerance(agreed.absolute, agreed.relative, allowed.sqnr_db)
    if by_ratio or not elementwise:
        return None
    return Tolerance(
        agreed.absolute if allowed.absolute is None else allowed.absolute,
        agreed.relative if allowed.relative is None else allowed.relative,
    )


@dataclass(frozen=True, slots=True)
class VerifyRules:
    """The `verify` sections of a plan: its own, and each model's."""

    plan: VerifySection | None = None
    models: Mapping[str, VerifySection] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: PlanFile) -> Self:
        """Those of a plan file."""
        return cls(plan.verify, {model.model_name: model.verify for model in plan.models if model.verify is not None})

    def agreed(self, cell: Cell) -> Agreed:
        """What the outputs of `cell` are held to."""
        overrides = (self.plan, self.models.get(cell.variant.model))
        return tolerance_for(cell.variant.precision, cell.providers, cell.provider_options, overrides)
