"""The onnxruntime builds on this device: found, probed in a process of their own, remembered by fingerprint."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgesweep_proto.codec import from_json, to_json, to_proto
from edgesweep_proto.device import Runtime

from edgesweep_agent.clock import boot_id
from edgesweep_agent.digest import small_sha256
from edgesweep_agent.durable import read_json, remove_tree, write_json
from edgesweep_agent.interpreters import Interpreter, discover
from edgesweep_agent.journal import store_stderr
from edgesweep_agent.quiet import Quiet
from edgesweep_agent.verdicts import signal_name, was_told_to_stop
from edgesweep_agent.worker_process import Ending, WorkerStartError, run_worker

#: Seconds that a probe may stay silent: a board's first import from a slow card takes long.
PROBE_DEADLINE_S = 120.0

#: Asks an interpreter what it would import, without importing any of it.
_INSPECT = """
import json, sys
from importlib import metadata
found = [[d.metadata["Name"], d.version] for d in metadata.distributions() if (d.metadata["Name"] or "").lower().replace("_", "-").startswith(("onnxruntime", "ort-"))]
print(json.dumps({"path": sys.path, "distributions": found, "python": list(sys.version_info[:2])}))
"""

#: How a path says that no interpreter is there.
_NO_INTERPRETER = (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PluginFile:
    """A library of execution providers on this board, named in its settings; `name` is what it is registered as."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class _Known:
    """A probed runtime with what its environment looked like then.

    `trouble` says why the board could not probe it this time, which tells nothing about it; it is probed again then.
    `plugin_paths` are those of its plug-in libraries by name: they never leave the board.
    """

    interpreter: Interpreter
    runtime: Runtime
    path: tuple[str, ...]
    fingerprint: str
    trouble: str = ""
    plugin_paths: dict[str, str] = field(default_factory=dict)


class RuntimeBook:
    """Knows the device's runtimes. A probe runs once per environment, and again when that changes."""

    def __init__(
        self,
        named: Iterable[Interpreter],
        state_dir: Path,
        run_py: Path,
        quiet: Quiet,
        *,
        plugins: Iterable[PluginFile] = (),
        max_worker_bytes: int | None = None,
        provider_s: float | None = None,
    ) -> None:
        """Know the runtimes of `named` interpreters and of those that are found.

        Args:
            named: Interpreters that the settings name.
            state_dir: The agent's folder.
            run_py: What starts the worker.
            quiet: Is told of every process that runs.
            plugins: Libraries of providers that the settings name, for every runtime.
            max_worker_bytes: The most private memory that a probe may take.
            provider_s: How long a provider may be silent when it is probed; None leaves it to the worker.
        """
        self._named = tuple(named)
        self._plugins = tuple(plugins)
        self._max_worker_bytes = max_worker_bytes
        self._provider_s = provider_s
        self._state_dir = state_dir
        self._cache_path = state_dir / "runtimes.json"
        self._run_py = run_py
        self._quiet = quiet
        self._lock = asyncio.Lock()
        self._known: dict[str, _Known] = self._load_cache()
        self._by_id: dict[str, _Known] = {}

    async def all(self) -> tuple[Runtime, ...]:
        """The runtimes of the device as it is now; those that are new or changed are probed first."""
        async with self._lock:
            await self._refresh(discover(self._named, self._state_dir))
        return tuple(known.runtime for known in self._by_id.values())

    async def probe(self, runtime_id: str) -> Runtime | None:
        """Probe a runtime again, whatever is remembered of it; None when there is none of that id."""
        await self.all()
        async with self._lock:
            known = self._by_id.get(runtime_id)
            if known is None:
                return None
            del self._known[known.interpreter.python]
            await self._refresh(discover(self._named, self._state_dir))
            python = known.interpreter.python
            return next(k.runtime for k in self._by_id.values() if k.interpreter.python == python)

    def interpreter(self, runtime_id: str) -> tuple[str | None, str]:
        """The interpreter of a runtime, or None and a sentence that says why there is none. `all` has run before.

        Raises:
            WorkerStartError: it is not known now, because the board could not probe what may be it.
        """
        known = self._by_id.get(runtime_id)
        troubles = [other.trouble for other in (self._by_id.values() if known is None else (known,)) if other.trouble]
        if troubles:
            raise WorkerStartError(troubles[0])
        if known is None:
            have = ", ".join(self._by_id) or "none"
            return None, f"the device has no runtime {runtime_id}; it has {have}"
        if known.runtime.fault:
            return None, f"runtime {runtime_id} cannot be used: {known.runtime.fault}"
        return known.interpreter.python, ""

    def runtime(self, runtime_id: str) -> Runtime | None:
        """The runtime of that id as it was probed last, without looking again."""
        known = self._by_id.get(runtime_id)
        return known.runtime if known else None

    def fingerprint(self, runtime_id: str) -> str:
        """What changes when the environment of that runtime does; empty when there is none of that id."""
        known = self._by_id.get(runtime_id)
        return known.fingerprint if known else ""

    def plugins(self, runtime_id: str) -> list[dict[str, Any]]:
        """The plug-in libraries of a runtime as the worker's job tells them: name, path, and the providers it brings."""
        known = self._by_id.get(runtime_id)
        if known is None:
            return []
        brought: dict[str, list[str]] = {name: [] for name in known.plugin_paths}
        for provider in known.runtime.providers:
            brought.get(provider.plugin, []).append(provider.name)
        return [
            {"name": name, "path": path, "providers": brought[name]}
            for name, path in sorted(known.plugin_paths.items())
        ]

    async def _refresh(self, interpreters: tuple[Interpreter, ...]) -> None:
        changed = False
        for interpreter in interpreters:
            known = self._known.get(interpreter.python)
            if known is None or known.fingerprint != self._fingerprint(known):
                self._known[interpreter.python] = await self._probe(interpreter)
                changed = True
        wanted = {interpreter.python for interpreter in interpreters}
        if changed or set(self._known) - wanted:
            self._known = {python: known for python, known in self._known.items() if python in wanted}
            self._save_cache()
        self._name(interpreters)

    def _name(self, interpreters: tuple[Interpreter, ...]) -> None:
        """Give each runtime its id; only where two would share one, the later gets its Python's version added."""
        self._by_id = {}
        for interpreter in interpreters:
            known = self._known[interpreter.python]
            runtime = known.runtime
            runtime_id = interpreter.name or _plain_id(runtime, interpreter.python)
            if runtime_id in self._by_id:
                runtime_id += "@py" + "".join(runtime.python_version.split(".")[:2])
            number = 2
            while runtime_id in self._by_id:
                runtime_id, number = f"{runtime_id.rpartition('#')[0] or runtime_id}#{number}", number + 1
            runtime = replace(runtime, id=runtime_id, installed_as=self._folder_of(interpreter.python))
            self._by_id[runtime_id] = replace(known, runtime=runtime, interpreter=interpreter)

    def _folder_of(self, python: str) -> str:
        """The name of the folder under `runtimes` that holds this interpreter; empty when none does."""
        folder = Path(python).parent.parent
        return folder.name if folder.parent == self._state_dir / "runtimes" else ""

    async def _probe(self, interpreter: Interpreter) -> _Known:
        folder = self._state_dir / "probe"
        remove_tree(folder)
        trouble = ""
        plugin_paths: dict[str, str] = {}
        try:
            folder.mkdir()
            facts = await self._inspect(interpreter.python)
            async with self._quiet.worker():
                ending = await run_worker(
                    [interpreter.python, "-I", str(self._run_py)],
                    {
                        "kind": "probe",
                        "scratch_dir": str(folder),
                        "memory_limit_bytes": self._max_worker_bytes,
                        "plugins": [{"name": plugin.name, "path": plugin.path} for plugin in self._plugins],
                        "provider_s": self._provider_s,
                    },
                    folder=folder,
                    stderr_path=folder / "stderr.txt",
                    deadline_s=lambda: PROBE_DEADLINE_S,
                    on_start=lambda _: None,
                    on_event=lambda _: None,
                )
            runtime = _runtime_from(ending, facts, store_stderr(folder))
            plugin_paths = _plugin_paths(ending, runtime)
            path = tuple(facts["path"])
            if ending.signal is not None and was_told_to_stop(ending.signal):
                trouble = runtime.fault
        except ValueError as error:
            runtime, path = _broken(str(error)), ()
        except (WorkerStartError, OSError) as error:
            runtime, path = _broken(str(error)), ()
            # An interpreter that is not there, or is none, is a fact; a board without memory for it is none.
            reason = error.__cause__ or error
            trouble = "" if isinstance(reason, _NO_INTERPRETER) or _no_program(reason) else str(error)
        finally:
            remove_tree(folder)
        if runtime.fault:
            _log.warning("the runtime of %s cannot be used: %s", interpreter.python, runtime.fault)
        known = _Known(interpreter, runtime, path, "", trouble, plugin_paths)
        return known if trouble else replace(known, fingerprint=self._fingerprint(known))

    def _fingerprint(self, known: _Known) -> str:
        """What changes when something is installed: interpreter, its folders, plug-in libraries, and our own worker.

        The boot is part of it: what a call costs on this board is measured anew after each.
        """
        parts = [known.interpreter.python, self._run_py.parent.name, boot_id()]
        named = [f"{plugin.name}={plugin.path}" for plugin in self._plugins]
        files = [*known.plugin_paths.values(), *(plugin.path for plugin in self._plugins)]
        for name in (known.interpreter.python, *known.path, *files):
            try:
                stat = os.stat(name)  # noqa: PTH116 - a few system calls, no objects
                parts.append(f"{name} {stat.st_mtime_ns} {stat.st_ino}")
            except OSError:
                parts.append(f"{name} -")
        return small_sha256("\n".join(parts + named).encode())

    async def _inspect(self, python: str) -> dict[str, Any]:
        try:
            process = await asyncio.create_subprocess_exec(
                python, "-I", "-c", _INSPECT, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            raise WorkerStartError.of(python, error) from error
        talking = asyncio.ensure_future(process.communicate())
        try:
            done, _ = await asyncio.wait({talking}, timeout=PROBE_DEADLINE_S)
            if not done:
                raise ValueError(f"{python} did not answer within {PROBE_DEADLINE_S:.0f} s")
        finally:
            if process.returncode is None and not talking.done():
                process.kill()
        out, err = talking.result()
        try:
            facts: dict[str, Any] = json.loads(out)
        except ValueError as error:
            tail = err.decode("utf-8", "replace").strip()[-300:]
            raise ValueError(f"{python} is no working Python 3.8 or newer: {tail or 'it says nothing'}") from error
        return facts

    def _load_cache(self) -> dict[str, _Known]:
        try:
            stored = read_json(self._cache_path)
            return {python: _known_from(python, data) for python, data in stored.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("%s is not readable (%s): all runtimes are probed again", self._cache_path, error)
            return {}

    def _save_cache(self) -> None:
        stored = {
            python: {
                "runtime": to_json(known.runtime),
                "path": list(known.path),
                "fingerprint": known.fingerprint,
                "plugin_paths": known.plugin_paths,
            }
            for python, known in self._known.items()
            if not known.runtime.fault  # what is broken may be mended in a way that no fingerprint sees
        }
        try:
            write_json(self._cache_path, stored)
        except OSError as error:
            _log.warning("the runtimes are not remembered, and are probed again after a restart: %s", error)


def _no_program(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENOEXEC


def _known_from(python: str, data: dict[str, Any]) -> _Known:
    runtime = from_json(Runtime, data["runtime"])
    to_proto(runtime)
    paths = {str(name): str(path) for name, path in data.get("plugin_paths", {}).items()}
    return _Known(Interpreter(python), runtime, tuple(data["path"]), str(data["fingerprint"]), plugin_paths=paths)


def _plugin_paths(ending: Ending, runtime: Runtime) -> dict[str, str]:
    """Where the plug-in libraries lie of which a probe told, by name."""
    told = (ending.end or {}).get("plugin_paths")
    names = {plugin.name for plugin in runtime.plugins}
    return {str(name): str(path) for name, path in told.items() if name in names} if isinstance(told, dict) else {}


def _runtime_from(ending: Ending, facts: dict[str, Any], stderr: str) -> Runtime:
    told = (ending.end or {}).get("runtime")
    if not isinstance(told, dict):
        if ending.signal is not None:
            how = f"its probe died of {signal_name(ending.signal)}"
        elif ending.timed_out_s is not None:
            how = f"its probe said nothing for {ending.timed_out_s:g} s"
        else:
            how = f"its probe ended with status {ending.exit_code} and without an answer"
        last = stderr.splitlines()[-1:] or [ending.broken]
        return replace(_broken(f"{how}: {last[0]}".rstrip(": ")), python_version=".".join(map(str, facts["python"])))
    try:
        runtime: Runtime = from_json(Runtime, told | {"id": "", "flavour": ""})
        to_proto(runtime)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return _broken(f"its probe's answer is malformed: {error!r}")
    return replace(runtime, flavour=flavour_of(facts["distributions"], runtime.version))


def flavour_of(distributions: Iterable[tuple[str, str]], version: str) -> str:
    """The flavour that a distribution's name tells: `onnxruntime-openvino` is openvino, `onnxruntime` none.

    Args:
        distributions: Names and versions of what is installed beside it.
        version: What the module itself says; the flavours overwrite each other, so this tells which one won.
    """
    flavours = []
    for name, of_version in distributions:
        plain = name.lower().replace("_", "-")
        flavour = plain.removeprefix("onnxruntime").removeprefix("-")
        if flavour.startswith("ep-"):
            continue  # a plug-in beside the runtime
        flavours.append((of_version.split("+")[0] != version.split("+", maxsplit=1)[0], flavour == "", flavour))
    return min(flavours)[2] if flavours else ""


def _plain_id(runtime: Runtime, python: str) -> str:
    if runtime.version:
        return f"{runtime.flavour}-{runtime.version}" if runtime.flavour else runtime.version
    return f"broken-{small_sha256(python.encode())[:8]}"


def _broken(fault: str) -> Runtime:
    return Runtime(
        id="", flavour="", version="", build_info="", python_version="", numpy_version="",
        listed_providers=(), providers=(), fault=fault,
    )  # fmt: skip
