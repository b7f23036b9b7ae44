"""A way to run things on a board: `on_board.py` is started there, told its job, and listened to."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgesweep.errors import CATALOGUE, EdgesweepError

_PROGRAM = Path(__file__).with_name("on_board.py")
_BOOT = "import sys;exec(compile(sys.stdin.buffer.read(int(sys.argv[1])),'on_board.py','exec'))"

#: Seconds that the board's side may take to clean up once its input has ended.
_LEAVE_S = 20.0
_CHUNK = 1 << 20
#: Longest line that the board's side says, in bytes.
LINE_LIMIT = 1 << 24
#: A shell's status when a program is not there, or is none.
_NOT_FOUND = frozenset({126, 127})

Say = Callable[[str], None]


class Shell(Protocol):
    """How programs are started on a board."""

    #: Where it leads, for sentences.
    place: str

    async def spawn(self, python: str, arguments: Sequence[str]) -> asyncio.subprocess.Process:
        """Start the board's `python` with pipes on its three streams."""
        ...

    def failure(self, code: int, last_words: str) -> EdgesweepError | None:
        """What it means that the way itself ended with `code`; None when the program on the board did."""
        ...


class LocalShell:
    """This very host."""

    place = "this machine"

    async def spawn(self, python: str, arguments: Sequence[str]) -> asyncio.subprocess.Process:
        """Start this interpreter in a session of its own: Ctrl-C is for us, and we end it."""
        del python
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=LINE_LIMIT,
        )

    def failure(self, code: int, last_words: str) -> EdgesweepError | None:
        """None: nothing lies between."""
        del code, last_words
        return None


def remote_command(python: str, arguments: Sequence[str]) -> str:
    """The command line for the board's login shell, whichever that is; `~/` stays for it to resolve."""
    home, path = ("~/", python[2:]) if python.startswith("~/") else ("", python)
    return " ".join(["exec", home + shlex.quote(path), *map(shlex.quote, arguments)])


async def converse(
    shell: Shell,
    job: Mapping[str, Any],
    files: Sequence[Path] = (),
    *,
    python: str = "python3",
    on_step: Say = lambda _: None,
) -> dict[str, Any]:
    """Do one job of `on_board.py` on the board and return its answer. Cancelling this takes back what was begun.

    Args:
        shell: The way to the board.
        job: What to do; `files` are added to it.
        files: Are sent along.
        python: The interpreter that runs our side there.
        on_step: Is told each step.

    Raises:
        EdgesweepError: with the code that the board names, else `unreachable`, `no_interpreter` or `install_failed`.
    """
    program = _PROGRAM.read_bytes()
    listed = await asyncio.to_thread(lambda: [_described(path) for path in files])
    head = program + json.dumps({**job, "files": listed}).encode() + b"\n"
    process = await shell.spawn(python, ["-I", "-c", _BOOT, str(len(program))])
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None  # noqa: S101, PT018
    words = asyncio.ensure_future(process.stderr.read())
    sending = asyncio.ensure_future(_send(process.stdin, head, files))
    answer: dict[str, Any] = {}
    try:
        while line := await process.stdout.readline():
            event = _event(line)
            if "step" in event:
                on_step(event["step"])
            elif "done" in event or "refused" in event:
                answer = event
        await sending
    finally:
        sending.cancel()
        await _leave(process)
        said = (await words).decode("utf-8", "replace")
    if "refused" in answer:
        code, sentence = answer["refused"]["code"], answer["refused"]["sentence"]
        raise EdgesweepError(code if code in CATALOGUE else "install_failed", sentence)
    if "done" in answer:
        done: dict[str, Any] = answer["done"]
        return done
    raise _broken_off(shell, process.returncode or 0, said, python)


async def _send(pipe: asyncio.StreamWriter, head: bytes, files: Sequence[Path]) -> None:
    """Write the program, its job and the files. The pipe stays open: its end would stop the job."""
    # A side that has ended cannot be written to; why it did is read from the other pipes.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(head)
        await pipe.drain()
        for path in files:
            with path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, _CHUNK):
                    pipe.write(chunk)
                    await pipe.drain()


async def _leave(process: asyncio.subprocess.Process) -> None:
    """Let the board's side end by itself, which cleans up there, before it is killed."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_LEAVE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "size": path.stat().st_size, "sha256": digest}


def _event(line: bytes) -> dict[str, Any]:
    """One line of the board's side; what a login script prints is none."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _broken_off(shell: Shell, code: int, said: str, python: str) -> EdgesweepError:
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
    if (fault := shell.failure(code, said)) is not None:
        return fault
    if code in _NOT_FOUND:
        return EdgesweepError("no_interpreter", f"there is no {python} on {shell.place}: {last}")
    if "SyntaxError" in said or "Unknown option: -I" in said:
        return EdgesweepError("no_interpreter", f"{python} on {shell.place} is older than Python 3.8")
    how = f"died of signal {-code}" if code < 0 else f"ended with status {code}"
    return EdgesweepError("install_failed", f"what ran on {shell.place} {how} without an answer: {last}".rstrip(": "))
