"""The wheels of a runtime, collected here for a board that has no internet: `pip download` for its Python and glibc."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgesweep.errors import EdgesweepError
from edgesweep.fleet.provision.board import Interpreter
from edgesweep.fleet.provision.wanted import Wanted

#: What an environment takes beside its packages: links, scripts, compiled files, in bytes.
_OVERHEAD_BYTES = 8_000_000

#: glibc's minor versions that older tags than `manylinux_2_N` stand for.
_OLD_TAGS = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

#: Why an interpreter cannot be used where no wheel of pip is sent along.
NO_PIP = "has no pip of its own (Debian: apt-get install python3-venv), and no wheel of pip is there"

_NOTHING_FITS = re.compile(
    r"No matching distribution|Could not find a version|is not a supported wheel|ResolutionImpossible|conflicting dep"
)
#: In pip's log; on its streams an index that does not answer looks like one that has nothing.
_NOT_FETCHED = re.compile(r"Could not fetch URL \S+: (?!404 )(.*?)(?: for url: .*)?(?: - skipping)?$", re.MULTILINE)
_NO_PIP = re.compile(r"No matching distribution found for pip$", re.MULTILINE)
_OFFERED = re.compile(r"\(from versions: ([^)]*)\)")
_RELEASE = re.compile(r"\d+(\.\d+)+")


class UnfitError(Exception):
    """No wheel fits an interpreter; the text says why, to stand after the Python's version."""


class _NoPipError(UnfitError):
    """There is no wheel of pip for the interpreter."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where wheels come from: a folder and nothing else, or the index that this user's pip is set to."""

    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """The files for one environment.

    Attributes:
        version: What the runtime's own wheel says.
        files: All wheels, one of pip among them where it could be had.
        needs_bytes: Room on the board while it is installed: the wheels and what is in them.
    """

    version: str
    files: tuple[Path, ...]
    needs_bytes: int


async def collect(wanted: Wanted, interpreter: Interpreter, source: Source, folder: Path) -> Collected:
    """Put the wheels of `wanted`, for an interpreter of the board, into the empty `folder`.

    Raises:
        UnfitError: there is none for this interpreter.
        EdgesweepError: `index_unreachable`, `missing_extra` or `install_failed`.
    """
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(line + "\n" for line in wanted.constraints))
    # The worker needs numpy, whether the runtime's own wheel says so or not.
    asked = [wanted.requirement, "numpy", "--constraint", str(constraints)]
    try:
        # With a pip, where one can be had: the board's own may be too old for today's wheels, or not be there.
        await _download([*asked, "pip"], interpreter, source, folder)
    except _NoPipError as error:
        if not interpreter.ensurepip:
            raise UnfitError(NO_PIP) from error
        await _download(asked, interpreter, source, folder)
    finally:
        constraints.unlink()
    runtime = _wheel_of(wanted, folder)
    return await asyncio.to_thread(_collected, runtime.name.split("-")[1], folder)


def _collected(version: str, folder: Path) -> Collected:
    files = tuple(sorted(folder.glob("*.whl")))
    size = sum(path.stat().st_size + _unpacked_bytes(path) for path in files)
    return Collected(version, files, size + _OVERHEAD_BYTES)


def platform_tags(interpreter: Interpreter) -> list[str]:
    """The platform tags of wheels that the interpreter's system takes, best first (PEP 600)."""
    major, newest = interpreter.glibc
    tags = []
    for minor in range(newest, 4, -1):
        tags.append(f"manylinux_{major}_{minor}_{interpreter.machine}")
        if minor in _OLD_TAGS:
            tags.append(f"{_OLD_TAGS[minor]}_{interpreter.machine}")
    return [*tags, f"linux_{interpreter.machine}"]


async def _download(arguments: Iterable[str], interpreter: Interpreter, source: Source, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--quiet"]
    command += ["--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", ".".join(map(str, interpreter.version)), "--dest", str(folder)]
    log = folder / "pip.log"
    command += ["--log", str(log)]
    for tag in platform_tags(interpreter):
        command += ["--platform", tag]
    environ = dict(os.environ)
    if source.folder is not None:
        command += ["--no-index", "--find-links", str(source.folder)]
        # This folder and nothing else, whatever pip is set to.
        environ = {key: value for key, value in environ.items() if not key.startswith("PIP_")}
        environ["PIP_CONFIG_FILE"] = os.devnull
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environ,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    history = await asyncio.to_thread(_take, log)
    if process.returncode:
        raise _fault(out.decode("utf-8", "replace"), history, source)


def _take(log: Path) -> str:
    """What is in a log, which is gone then."""
    try:
        text = log.read_text("utf-8", "replace")
        log.unlink()
    except OSError:
        return ""
    return text


def _fault(text: str, history: str, source: Source) -> Exception:
    errors = [line.removeprefix("ERROR:").strip() for line in text.splitlines() if line.startswith("ERROR:")]
    lines = errors or [line.strip() for line in text.splitlines() if line.strip()] or ["pip said nothing"]
    offered = _OFFERED.search(text)
    releases = [] if offered is None else [word for word in offered[1].split(", ") if _RELEASE.fullmatch(word)]
    if source.folder is None and not releases and (silent := _NOT_FETCHED.search(history)):
        return EdgesweepError("index_unreachable", f"the wheels cannot be fetched from the package index: {silent[1]}")
    if _NO_PIP.search(text):
        return _NoPipError(NO_PIP)
    if _NOTHING_FITS.search(text):
        # Of a conflict the first line tells between what; of all else the last one is the conclusion.
        words = lines[0 if "ResolutionImpossible" in text else -1]
        return UnfitError(_span(releases) if "found for onnxruntime" in text and releases else f"({words})")
    return _trouble(text, lines[-1])


def _span(releases: list[str]) -> str:
    return f"has wheels of {releases[0] if len(releases) == 1 else f'{releases[0]} to {releases[-1]}'}"


def _trouble(text: str, last: str) -> EdgesweepError:
    if "No module named pip" in text:
        return EdgesweepError(
            "missing_extra",
            f"collecting wheels needs pip, which {sys.executable} does not have",
            remedy="make Edgesweep's environment with pip, or install it: python -m ensurepip",
        )
    if "No space left on device" in text:
        return EdgesweepError("machine_unfit", "no space is left here for the wheels")
    return EdgesweepError("install_failed", f"pip could not collect the wheels: {last}")


def _wheel_of(wanted: Wanted, folder: Path) -> Path:
    name = (wanted.wheel.name.split("-")[0] if wanted.wheel else wanted.distribution).replace("-", "_").lower()
    for path in folder.glob("*.whl"):
        if path.name.split("-")[0].replace(".", "_").lower() == name:
            return path
    raise EdgesweepError("install_failed", f"pip collected no wheel of {wanted.distribution}")


def _unpacked_bytes(wheel: Path) -> int:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return sum(info.file_size for info in archive.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise EdgesweepError("install_failed", f"{wheel.name} is not a whole wheel: {error}") from error
