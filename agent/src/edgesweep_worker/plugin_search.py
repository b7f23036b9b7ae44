"""The libraries of providers that were installed beside a runtime, found without running any code of their packages."""

from __future__ import annotations

import mmap
import os
import re
from importlib import metadata
from typing import Iterable, Iterator

from edgesweep_worker.job import PluginLibrary
from edgesweep_worker.providers import all_facts

#: Every plug-in library exports this; onnxruntime asks for it by this name.
_ENTRY = b"\0CreateEpFactories\0"
_LIBRARY = re.compile(r"libonnxruntime\w*\.(so|dylib)")
_SUFFIX = "ExecutionProvider"


def find(named: Iterable[PluginLibrary]) -> list[PluginLibrary]:
    """The libraries that this interpreter's packages bring, after the `named` ones, which win where a name is the same."""
    found = {library.name: library for library in named}
    for library in _installed():
        found.setdefault(library.name, library)
    return list(found.values())


def _installed() -> Iterator[PluginLibrary]:
    known = {plugin: facts.name for facts in all_facts() for plugin in facts.plugins}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        if not name.startswith("onnxruntime-"):
            continue
        for path in _libraries(distribution):
            yield PluginLibrary(
                name=known.get(name) or _provider_name(name),
                path=path,
                distribution=name,
                version=distribution.version,
            )
            break  # a package has one library of the kind; further files are the same under other names


def _libraries(distribution: metadata.Distribution) -> Iterator[str]:
    """Files of the distribution that onnxruntime could register; those of the runtime's own package it loads itself."""
    for file in distribution.files or ():
        if _LIBRARY.fullmatch(file.name) and file.parts[0] != "onnxruntime":
            path = os.path.abspath(str(distribution.locate_file(file)))
            if _exports_entry(path):
                yield path


def _exports_entry(path: str) -> bool:
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(_ENTRY) >= 0
    except (OSError, ValueError):
        return False


def _provider_name(distribution: str) -> str:
    """A name in onnxruntime's own form for the provider of a package that nobody knows, such as LabNpu for ep-lab-npu."""
    words = [word for word in distribution.split("-") if word not in {"onnxruntime", "ep"}]
    return "".join(word.capitalize() for word in words) + _SUFFIX
