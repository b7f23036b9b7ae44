"""What is known of one execution provider: plain data, so that the controller may read it too."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Mapping

#: A value that names a file or a library, as far as letters can tell. Node names look like paths too.
_NAMES_FILE = re.compile(r"[/\\]|^~|\.(?:so|dll|dylib)(?:\.\d+)*$", re.IGNORECASE)


@dataclass(frozen=True)
class Cache:
    """Where a provider keeps what it compiled, in a folder of its own.

    Attributes:
        option: option that takes the folder.
        switches: further options that have to be set for the folder to be used at all.
        files: patterns of the files that it writes there.
    """

    option: str
    switches: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Trap:
    """Something that has surprised people: what happens, what to do about it, and where it was reported."""

    sentence: str
    remedy: str
    source: str = ""


@dataclass(frozen=True)
class ProviderFacts:
    """One execution provider.

    Attributes:
        name: onnxruntime's full name.
        short: the word in plans and cell names; a provider nobody knows has its full name here.
        plugins: distributions that bring it as a library to be registered.
        options: the options that it is known to take, each with what it does in a few words. It may take more: only
            onnxruntime itself judges them.
        local_options: those of its options whose value is a file, a library or an address on the board. They are never
            taken from a plan, since nothing of the kind may come over the wire.
        compile_step: the step in which it compiles the model: session, first_run, or empty when it compiles nothing.
        compile_deadline_s: how long it may be silent in that step, in seconds; None where the usual deadline does.
        cache: how it keeps what it compiled; None when it keeps nothing that is known of.
        context: whether it can write what it compiled as a model of its own (an EP context model), by the session's
            configuration entries `ep.context_enable` and `ep.context_file_path`.
        libraries: patterns of libraries, inside the runtime's package or its plug-in's, that its own one is linked to.
            Loading them early changes nothing else, and shows how long that takes.
        device_memory: how memory of its device is read: nvml, or empty where nothing tells it.
        drivers: kernel modules that drive its device, as `Device.drivers` names them; empty for one that runs on the
            processor, or whose driver nothing tells of.
        computes_in: precision in which it runs an fp32 model unless told otherwise; empty for fp32.
        precision_options: options that tell it otherwise: by option and by pattern of its value, in lower case, the
            precision that it computes in then; of several that match the last one counts.
        traps: what is known to go wrong.
    """

    name: str
    short: str
    plugins: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    local_options: frozenset[str] = frozenset()
    compile_step: str = ""
    compile_deadline_s: float | None = None
    cache: Cache | None = None
    context: bool = False
    libraries: tuple[str, ...] = ()
    device_memory: str = ""
    drivers: tuple[str, ...] = ()
    computes_in: str = ""
    precision_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    traps: tuple[Trap, ...] = ()

    def is_local(self, option: str, value: str) -> bool:
        """Whether an option names a file, a library or an address on the board, which a peer may not do.

        Of an option that nobody knows the value alone can tell; names of nodes, which look like paths, are for known ones.
        """
        return option in self.local_options or (option not in self.options and bool(_NAMES_FILE.search(value)))
