"""Puts the worker where every runtime's interpreter can run it: a folder of its own, named by its content."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from edgesweep_agent.digest import small_sha256
from edgesweep_agent.durable import flush_folder, remove_tree, write_bytes

_PACKAGE = "edgesweep_worker"

#: Run with `-I`, an interpreter has no folder of ours on its path: this adds exactly one.
_RUN = b'''"""Starts the Edgesweep worker with nothing but its own folder and the runtime's packages on the path."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from edgesweep_worker.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
'''


def install_worker(state_dir: Path) -> Path:
    """Write the worker below `state_dir/worker/<digest>/`, unless it is there, and remove older ones.

    Returns:
        The `run.py` to start.

    Raises:
        FileNotFoundError: the installation of the agent lacks the worker.
    """
    content = _content()
    digest = _digest(content)
    folder = state_dir / "worker" / digest
    if not folder.exists() or _digest(_read(folder)) != digest:
        _write(folder, content)
    for other in folder.parent.iterdir():
        if other != folder:
            remove_tree(other)
    return folder / "run.py"


def _content() -> dict[str, bytes]:
    # The spec is found without importing the package: the agent never loads the worker's code.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            "the package edgesweep_worker is not installed beside the agent; install edgesweep-agent again"
        )
    source = Path(next(iter(spec.submodule_search_locations)))
    content = {f"{_PACKAGE}/{path.relative_to(source).as_posix()}": path.read_bytes() for path in source.rglob("*.py")}
    content["run.py"] = content.pop(f"{_PACKAGE}/run.py", _RUN)
    return content


def _read(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.py")}


def _digest(content: dict[str, bytes]) -> str:
    parts = (f"{name}\0{len(content[name])}\0".encode() + content[name] for name in sorted(content))
    return small_sha256(b"".join(parts))[:32]


def _write(folder: Path, content: dict[str, bytes]) -> None:
    beside = folder.with_name(f"{folder.name}.new-{os.getpid()}")
    remove_tree(beside)
    for name, data in content.items():
        path = beside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data, flush=False)
    remove_tree(folder)
    beside.replace(folder)
    flush_folder(folder.parent)
