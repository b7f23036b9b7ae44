"""The error catalogue: every cause and error code with its public text, remedy, gRPC status and exit code.

A code names either the cause of a cell's outcome (`wrong_output`) or a reason why a command could not go on
(`plan_invalid`). Both live here, so that a code means one thing wherever it is printed.
"""

from __future__ import annotations

from edgesweep.errors.command_errors import COMMAND_ERRORS
from edgesweep.errors.device_causes import DEVICE_CAUSES
from edgesweep.errors.entry import Entry, ExitCode
from edgesweep.errors.export_causes import EXPORT_CAUSES

__all__ = ["CATALOGUE", "CAUSES", "EdgesweepError", "Entry", "ExitCode", "is_repeatable", "link_of", "remedy_for"]

CATALOGUE: dict[str, Entry] = {entry.code: entry for entry in (*EXPORT_CAUSES, *DEVICE_CAUSES, *COMMAND_ERRORS)}

#: Reasons of commands that a cell can end with as well: what the plan gives does not fit, or the board's disk is full.
_ALSO_CAUSES = ("inputs_unusable", "disk_full")

#: The codes that a cell can end with, by their own order.
CAUSES: dict[str, Entry] = {
    entry.code: entry for entry in (*EXPORT_CAUSES, *DEVICE_CAUSES, *(CATALOGUE[code] for code in _ALSO_CAUSES))
}


class EdgesweepError(Exception):
    """A reason why a command cannot go on, told to the user in one sentence with a remedy."""

    def __init__(self, code: str, message: str = "", *, remedy: str = "") -> None:
        entry = CATALOGUE[code]
        self.code = code
        self.message = message or entry.text
        self.remedy = remedy or entry.remedy
        super().__init__(self.message)

    @property
    def exit_code(self) -> ExitCode:
        """The exit status of the command that this error ends."""
        return CATALOGUE[self.code].exit_code


def remedy_for(cause: str) -> str:
    """What to try about `cause`; empty for a cause that is not in the catalogue."""
    entry = CATALOGUE.get(cause)
    return entry.remedy if entry else ""


def link_of(cause: str) -> str:
    """A page that tells what is known of `cause`; empty where there is none."""
    entry = CATALOGUE.get(cause)
    return entry.link if entry else ""


def is_repeatable(cause: str) -> bool:
    """Whether what ended with `cause` would end so again, and may be answered from a cache; a pass (empty) would."""
    return not cause or (cause in CATALOGUE and CATALOGUE[cause].repeatable)
