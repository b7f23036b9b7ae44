"""What the catalogue says of one code, and the exit codes of commands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells the shell; a nightly job branches on it."""

    OK = 0
    FINDING = 1
    USAGE = 2
    NOTHING = 3
    LAB = 4
    CREDENTIALS = 5
    STORE = 6
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Entry:
    """One code. `stable` tells a finding about the model from trouble that may pass by itself.

    `repeatable` tells that the same input gives the same end, so that it need not be tried again: a crash of an exporter
    is a finding, but a result of an earlier day does not answer for today. `stages` are those at which a cell ends with
    this cause, empty where any may, and `link` a page that tells what is known of it.
    """

    code: str
    text: str
    remedy: str
    stable: bool = True
    exit_code: ExitCode = ExitCode.FINDING
    grpc_status: str = ""
    repeatable: bool = True
    stages: tuple[str, ...] = ()
    link: str = ""


def cause(
    code: str, text: str, remedy: str, *, stable: bool = True, repeatable: bool = True, stages: str = "", link: str = ""
) -> Entry:
    """A cause of a cell's outcome; one that is not `stable` is trouble of the lab. `stages` are words with blanks between."""
    exit_code = ExitCode.FINDING if stable else ExitCode.LAB
    again = stable and repeatable
    named = tuple(stages.split())
    return Entry(code, text, remedy, stable=stable, exit_code=exit_code, repeatable=again, stages=named, link=link)


def error(code: str, text: str, remedy: str, exit_code: ExitCode, grpc_status: str = "") -> Entry:
    """A reason why a command cannot go on."""
    return Entry(code, text, remedy, stable=exit_code is not ExitCode.LAB, exit_code=exit_code, grpc_status=grpc_status)
