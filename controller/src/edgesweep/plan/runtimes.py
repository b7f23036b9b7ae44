"""Which runtimes of a device a plan means, and which provider chains to ask each for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgesweep_proto.device import Runtime

from edgesweep.plan.providers import SUFFIX, short_name
from edgesweep.plan.schema import Chain, PlanFile

#: The runtime of cells on a device whose runtimes are not known, since it was not reached when the run was planned.
UNKNOWN_RUNTIME = "unknown"

#: The runtime of cells on a device that was reached and has no runtime that works.
NO_RUNTIME = "none"

_ONLY_CPU = (Chain(chain=("cpu",)),)
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(.*)")


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """A device that the plan's `devices` selected, with what is known of it when the run is planned.

    `reachable` matters where `runtimes` is empty: None and False both mean that nothing is known of the device, True
    that it answered and has no runtime.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    runtimes: tuple[Runtime, ...] = ()
    reachable: bool | None = None


def runtimes_of(plan: PlanFile, device: DeviceChoice) -> tuple[tuple[str, tuple[Chain, ...]], ...]:
    """Each runtime's id to plan cells for, with its chains; never empty, so that no device drops out of a run.

    A runtime that the plan names is planned for even where the device lacks it: its cells end as failed.
    """
    if isinstance(plan.runtimes, tuple):
        return tuple(chosen for asked in plan.runtimes for chosen in _named(plan, device, asked))
    usable = [runtime for runtime in device.runtimes if not runtime.fault]
    if not usable:
        known = bool(device.runtimes) or device.reachable is True
        return ((NO_RUNTIME if known else UNKNOWN_RUNTIME, _chains(plan, None)),)
    if plan.runtimes == "newest":
        usable = _newest_per_flavour(usable)
    return tuple((runtime.id, _chains(plan, runtime)) for runtime in usable)


def _named(plan: PlanFile, device: DeviceChoice, asked: str) -> list[tuple[str, tuple[Chain, ...]]]:
    """The device's runtimes that `asked` means: by their id, or by their id without `@python`."""
    exact = [runtime for runtime in device.runtimes if runtime.id == asked]
    found = exact or [runtime for runtime in device.runtimes if runtime.id.partition("@")[0] == asked]
    return [(runtime.id, _chains(plan, runtime)) for runtime in found] or [(asked, _chains(plan, None))]


def _chains(plan: PlanFile, runtime: Runtime | None) -> tuple[Chain, ...]:
    if isinstance(plan.providers, tuple):
        return plan.providers
    if runtime is None:
        return _ONLY_CPU
    # A plug-in may call its provider anything; what no plan can name is in no plan.
    names = [name for name in runtime.usable_providers if name.endswith(SUFFIX)]
    return tuple(Chain(chain=(short_name(name),)) for name in names) or _ONLY_CPU


def _newest_per_flavour(runtimes: list[Runtime]) -> list[Runtime]:
    newest: dict[str, Runtime] = {}
    for runtime in runtimes:
        held = newest.get(runtime.flavour)
        if held is None or _age(runtime) > _age(held):
            newest[runtime.flavour] = runtime
    return list(newest.values())


def _age(runtime: Runtime) -> tuple[tuple[int, ...], bool, tuple[int, ...], str]:
    """Sorts by version, releases after their own previews, then by the Python that it runs in."""
    release, final = _version_key(runtime.version)
    return release, final, _version_key(runtime.python_version)[0], runtime.id


def _version_key(version: str) -> tuple[tuple[int, ...], bool]:
    found = _VERSION.match(version)
    if found is None:
        return (), False
    release = tuple(int(part) for part in found[1].split("."))
    while release and release[-1] == 0:
        release = release[:-1]
    return release, found[2] == "" or found[2].startswith(("+", ".post"))
