"""The sampler beside one trial: started before the worker, told when to look, asked at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgesweep_proto.codec import from_json
from edgesweep_proto.evidence import DeviceTrace, Energy

#: Seconds that it may take to start, and to tell what it saw.
_PATIENCE_S = 10.0

_SCRIPT = Path(__file__).with_name("sampler.py")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the sampler saw while the trial measured; None where it did not, or saw nothing of that kind."""

    trace: DeviceTrace | None = None
    energy: Energy | None = None


class SamplerProcess:
    """A running sampler. `begin` and `end` only write to a pipe: the agent does nothing while the trial measures."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._agent_cpu_s = 0.0
        self._looking = self._looked = False

    @classmethod
    async def started(cls, job: dict[str, Any]) -> SamplerProcess | None:
        """A sampler that waits for `begin`; None when the board refuses one, for a trial can do without."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_SCRIPT),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            _log.warning("no sampler beside this trial: %s", error)
            return None
        sampler = cls(process)
        try:
            sampler._tell(json.dumps(job).encode())
            ready = await sampler._answer()
        except BaseException:
            await sampler.close()
            raise
        if ready != b"ready\n":
            _log.warning("the sampler did not start: it said %r", ready[:200])
            await sampler.close()
            return None
        return sampler

    def begin(self) -> None:
        """The trial measures from now on."""
        if not self._looking:
            self._looking = self._looked = True
            self._agent_cpu_s = time.process_time()
            self._tell(b"begin")

    def end(self) -> None:
        """It measures no longer; fine when it never did."""
        if self._looking:
            self._looking = False
            self._agent_cpu_s = time.process_time() - self._agent_cpu_s
            self._tell(b"end")

    async def seen(self) -> Seen:
        """What was seen between `begin` and `end`."""
        self.end()
        line = await self._answer() if self._looked else b""
        if not line:
            return Seen()
        try:
            told = json.loads(line)
            trace = from_json(DeviceTrace, told["trace"])
            energy = None if told["energy"] is None else from_json(Energy, told["energy"])
        except (KeyError, TypeError, ValueError) as error:
            _log.warning("the sampler told nonsense: %r", error)
            return Seen()
        return Seen(replace(trace, agent_cpu_s=self._agent_cpu_s), energy)

    async def close(self) -> None:
        """End the process, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    def _tell(self, line: bytes) -> None:
        if self._process.stdin is not None:
            # One that died is missed when it is asked what it saw.
            with contextlib.suppress(OSError, RuntimeError):
                self._process.stdin.write(line + b"\n")

    async def _answer(self) -> bytes:
        if self._process.stdout is None:
            return b""
        reading = asyncio.ensure_future(self._process.stdout.readline())
        try:
            await asyncio.wait({reading}, timeout=_PATIENCE_S)
            return reading.result() if reading.done() else b""
        finally:
            reading.cancel()
