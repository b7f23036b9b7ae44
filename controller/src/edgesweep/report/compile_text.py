"""What a cell's provider compiled, in words: how long it took, what it left, and what each change of shape cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from edgesweep.report import units

_HASH_CHARS = 12
_STEPS = {"session": "making the session", "first_run": "the first run"}


def compile_texts(found: Mapping[str, Any], provider: str, tags: Collection[str] = ()) -> Iterable[str]:
    """Short texts on the `compile` of a cell of the result document, whose provider is called `provider`."""
    if found["part_of"]:
        step = _STEPS.get(found["part_of"], found["part_of"])
        kept = f" ({_files(found, tags)})" if found["files_after"] else ""
        yield f"{provider} compiles in {step}, {units.seconds(found['seconds'])}{kept}"
    late = (found["rebuilds"] or 0) - sum(change["rebuilt"] for change in found["shape_changes"])
    if late > 0:
        yield f"compiled again {units.plural(late, 'time')} after the first run"
    for change in found["shape_changes"]:
        first, following = units.seconds(change["first_run"]), units.seconds(change["next_run"])
        rebuilt = "; rebuilt" if change["rebuilt"] else ""
        yield f"changing from {change['from']} to {change['to']}: {first}, then {following}{rebuilt}"


def _files(found: Mapping[str, Any], tags: Collection[str]) -> str:
    """`2 files of 1.2 MiB found, 3e3723bc8120`: what lay in the provider's cache at the end, and whether from the start."""
    whence = "found" if found["files_before"] else "written"
    if found["files_before"] and "provider_cache_not_honoured" in tags:
        whence = "found and written anew"
    name = f", {found['engine_hash'][:_HASH_CHARS]}" if found["engine_hash"] else ""
    return f"{units.plural(found['files_after'], 'file')} of {units.size(found['bytes_after'])} {whence}{name}"
