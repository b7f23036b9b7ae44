"""What decides how fast the board runs: heat, power, throttling, clocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgesweep.fleet.fitness.finding import Finding, Look, advice, listed, ok, problem

#: Degrees Celsius at which boards begin to slow down, and at which an idle one is warm.
HOT_C, WARM_C = 80.0, 65.0
#: A limit below this share of what the hardware can is a cap.
CAP = 0.99

_POWER = "use the board's own power supply and a short cable: this one cannot hold its voltage"
_COOL = "give it a heat sink or a fan, and room to breathe"
_REMEDIES = {"under_voltage": _POWER}
_SLOW_MODES = frozenset({"low-power", "quiet", "cool"})


def check_speed(look: Look) -> Iterator[Finding]:
    """Every finding on temperatures, throttling and clocks."""
    yield from _temperatures(look)
    yield from _throttling(look)
    yield _governors(look)
    yield from _cap(look)
    yield from _boost(look)
    yield from _power_mode(look)
    yield _control(look)


def _temperatures(look: Look) -> Iterator[Finding]:
    zones = look.now.temperatures_c
    if not zones:
        return
    name = max(zones, key=lambda zone: zones[zone])
    read = f"{name} {zones[name]:.0f} °C is the hottest of {len(zones)}"
    if zones[name] >= HOT_C:
        yield problem("temperature", read, f"let it cool down; {_COOL}")
    elif zones[name] >= WARM_C:
        yield advice("temperature", read, _COOL)
    else:
        yield ok("temperature", read)


def _throttling(look: Look) -> Iterator[Finding]:
    """What slows the board now, and what did since boot; nothing where the firmware tells neither."""
    now, ever = look.now.throttle, look.now.throttled_since_boot
    before = tuple(reason for reason in ever if reason not in now)
    if now:
        yield problem("throttling", f"in force now: {', '.join(now)}", _mend(now))
    if before:
        yield advice("throttling", f"since boot: {', '.join(before)}", _mend(before))
    if not now and not before and "throttle" in look.found.device.probes:
        yield ok("throttling", "none, now or since boot")


def _mend(reasons: tuple[str, ...]) -> str:
    return "; ".join(dict.fromkeys(_REMEDIES.get(reason, _COOL) for reason in reasons))


def _governors(look: Look) -> Finding:
    governors = look.now.governors
    if not governors:
        return advice(
            "governor",
            "the kernel tells no clocks (no cpufreq), so that nobody sees them fall",
            "a virtual machine has none; on a board the kernel needs CONFIG_CPU_FREQ",
        )
    words = listed(sorted(set(governors.values())))
    if set(governors.values()) == {"performance"}:
        return ok("governor", words)
    fix = "measure.fix_clocks: true in a plan fixes them for each trial" if look.found.device.clock_control else ""
    return advice(
        "governor",
        f"{words}: clocks follow the load",
        "; or ".join(filter(None, [fix, "sudo cpupower frequency-set -g performance"])),
    )


def _cap(look: Look) -> Iterator[Finding]:
    capped = {
        policy: (limit, look.now.hardware_max_hz[policy])
        for policy, limit in look.now.frequency_max_hz.items()
        if limit < CAP * look.now.hardware_max_hz.get(policy, 0.0)
    }
    if capped:
        words = [f"{policy} to {low / 1e9:.2f} of {high / 1e9:.2f} GHz" for policy, (low, high) in capped.items()]
        highest = max(high for _, high in capped.values())
        yield advice(
            "frequency cap",
            f"{', '.join(words)}",
            f"sudo cpupower frequency-set -u {highest / 1e6:.0f}MHz, if nobody set it on purpose",
        )
    elif look.now.hardware_max_hz:
        yield ok("frequency cap", f"none: {_clocks(look.now.hardware_max_hz)}")


def _clocks(by_policy: Mapping[str, float]) -> str:
    return listed([f"{hz / 1e9:.2f} GHz" for hz in dict.fromkeys(by_policy.values())])


def _boost(look: Look) -> Iterator[Finding]:
    if look.now.boost == "on":
        yield advice(
            "boost",
            "on: cores run above their rated clock for as long as they are cool",
            "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost, or on Intel: "
            "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo",
        )
    elif look.now.boost:
        yield ok("boost", look.now.boost)


def _power_mode(look: Look) -> Iterator[Finding]:
    mode = look.now.power_mode
    if mode in _SLOW_MODES:
        yield advice("power mode", mode, "echo performance | sudo tee /sys/firmware/acpi/platform_profile")
    elif mode:
        yield ok("power mode", mode)


def _control(look: Look) -> Finding:
    device = look.found.device
    if device.clock_control:
        return ok("clock control", f"the agent may fix the clocks through {device.clock_control}")
    if not look.now.governors:
        return ok("clock control", "nothing to control")
    return advice(
        "clock control",
        "the agent may not set the clocks",
        "run it as root, or give its user the right to write /sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
    )
