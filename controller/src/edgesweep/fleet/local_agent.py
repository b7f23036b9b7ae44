"""An agent of our own on loopback, for the quickstart and for measuring on this host: it never outlives us."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from edgesweep.errors import EdgesweepError

_LAUNCHER = Path(__file__).with_name("die_with_parent.py")
#: How much of the log is quoted when the agent does not come up.
_LOG_TAIL_BYTES = 4096


class LocalAgent:
    """One `edgesweep-agent` process in a session of its own.

    It is killed by the kernel when the *thread* that started it ends, so start it from a thread that lives as long as
    the program (the one that runs the event loop).

    Args:
        ready_s: seconds until the agent must have said where it listens.
        stop_s: seconds that it gets to end by itself before it is killed.
    """

    def __init__(self, *, ready_s: float = 60.0, stop_s: float = 10.0) -> None:
        self._ready_s = ready_s
        self._stop_s = stop_s
        self._process: asyncio.subprocess.Process | None = None
        self._log: Path | None = None

    @property
    def pid(self) -> int | None:
        """The agent's process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(
        self,
        name: str,
        state_dir: Path,
        tls_dir: Path | None,
        runtimes: Sequence[str] = (),
        python: str = sys.executable,
    ) -> str:
        """Starts the agent and waits until it listens.

        Args:
            name: the device's name; it must be the one in the certificate.
            state_dir: the agent's folder; made when it is missing. `agent.log` in it takes the agent's output.
            tls_dir: the device's `ca.pem`, `cert.pem`, `key.pem`; `None` starts it without TLS.
            runtimes: interpreters to measure with, each `[ID=]PYTHON`.
            python: the interpreter that has edgesweep-agent.

        Returns:
            The address, `127.0.0.1:port`.

        Raises:
            EdgesweepError: `unreachable` with the agent's last words when it does not come up.
        """
        if self.pid is not None:
            raise RuntimeError("this agent is running already")
        command = _command(name, state_dir, tls_dir, runtimes, python)
        await asyncio.to_thread(state_dir.mkdir, parents=True, exist_ok=True)
        self._log = state_dir / "agent.log"
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(_LAUNCHER),
                str(os.getpid()),
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                # `-m` puts the working folder on the module path: it must not be the user's.
                cwd=state_dir,
                start_new_session=True,
            )
        try:
            return await self._wait_ready(self._process)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ends the agent: asks first, then kills it; it is gone when this returns. Twice is harmless."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._stop_s):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._process = None

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe above
        try:
            async with asyncio.timeout(self._ready_s):
                line = await process.stdout.readline()
                if not line:
                    await process.wait()
        except TimeoutError as error:
            raise self._not_up(f"it said nothing within {self._ready_s:g} s") from error
        if not line:
            raise self._not_up(f"it ended with status {process.returncode}")
        try:
            address = json.loads(line)["listening"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._not_up(f"its first line is not the expected one: {line[:200]!r}") from error
        return str(address)

    def _not_up(self, reason: str) -> EdgesweepError:
        words = self._last_words()
        return EdgesweepError(
            "unreachable",
            f"the local agent did not start: {reason}" + (f": {words}" if words else ""),
            remedy=f"see {self._log}",
        )

    def _last_words(self) -> str:
        if self._log is None or not self._log.exists():
            return ""
        lines = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _command(name: str, state_dir: Path, tls_dir: Path | None, runtimes: Sequence[str], python: str) -> list[str]:
    command = [_from_here(python), "-m", "edgesweep_agent", "serve", "--listen", "127.0.0.1:0"]
    command += ["--state-dir", str(state_dir.absolute()), "--name", name]
    command += ["--tls-dir", str(tls_dir.absolute())] if tls_dir is not None else ["--insecure"]
    for runtime in runtimes:
        runtime_id, sign, path = runtime.rpartition("=")
        command += ["--runtime", f"{runtime_id}{sign}{_from_here(path)}"]
    return command


def _from_here(program: str) -> str:
    """A relative path made absolute, since the agent runs in another folder; a bare name is looked up on PATH."""
    return str(Path(program).absolute()) if "/" in program else program
