"""Names of ARM cores: their kernel tells numbers only (MIDR_EL1; the names are those of each maker's manuals and of lscpu)."""

from __future__ import annotations

_MAKERS = {0x41: "Arm", 0x4E: "NVIDIA", 0x51: "Qualcomm"}

_CORES = {
    (0x41, 0xB76): "ARM1176",
    (0x41, 0xC07): "Cortex-A7",
    (0x41, 0xC08): "Cortex-A8",
    (0x41, 0xC09): "Cortex-A9",
    (0x41, 0xC0E): "Cortex-A17",
    (0x41, 0xC0F): "Cortex-A15",
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4B): "Cortex-A78C",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x41, 0xD82): "Cortex-X4",
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",
    (0x51, 0x802): "Kryo 3XX Gold",
    (0x51, 0x803): "Kryo 3XX Silver",
    (0x51, 0x804): "Kryo 4XX Gold",
    (0x51, 0x805): "Kryo 4XX Silver",
}


def core_names(cpuinfo: str) -> str:
    """The kinds of cores in the text of /proc/cpuinfo, such as `Arm Cortex-A76 + Arm Cortex-A55`; empty where it tells none.

    A kind that is not known here goes by its numbers. The order is that of the parts, the newer design first.
    """
    kinds: set[tuple[int, int]] = set()
    implementer = 0
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        try:
            if name.strip() == "CPU implementer":
                implementer = int(value, 16)
            elif name.strip() == "CPU part":
                kinds.add((implementer, int(value, 16)))
        except ValueError:
            continue
    return " + ".join(map(_name, sorted(kinds, reverse=True)))


def _name(kind: tuple[int, int]) -> str:
    core = _CORES.get(kind)
    return f"{_MAKERS[kind[0]]} {core}" if core else f"implementer {kind[0]:#x} part {kind[1]:#x}"
