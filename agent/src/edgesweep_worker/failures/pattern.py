"""One wording of one kind of trouble, as onnxruntime or a provider of it puts it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Tuple

#: Stages in which a session is made, and in which it runs.
LOADING = ("load", "compile")
RUNNING = ("first_run", "compile", "verify", "warmup", "measure", "placement")


@dataclass(frozen=True)
class Pattern:
    """A wording with what it means.

    Groups of `regex` with these names are read: `domain`, `operator`, `op_version`, `node` and `types` tell of an
    operator, `subject` of a library, a file or an input; all groups may stand in `sentence`.

    Attributes:
        id: kind of trouble and number of the wording, such as `op-no-kernel/1`; never used for another one.
        regex: searched in the whole text.
        cause: catalogue code.
        sentence: for people; `{runtime}` is onnxruntime with its version, `{what}` the operator in full.
        seen: the oldest and the newest onnxruntime that used these words, as far as they were seen, empty for words that
            any may use. All are read by them: vendors patch old versions.
        stages: where it may apply; empty for everywhere.
    """

    id: str
    regex: re.Pattern[str]
    cause: str
    sentence: str
    seen: Tuple[str, str]
    stages: Tuple[str, ...] = ()


def pattern(name: str, regex: str, cause: str, sentence: str, seen: Tuple[str, str], *stages: str) -> Pattern:
    """A pattern from its regex as text; a dot does not match a line's end."""
    return Pattern(name, re.compile(regex), cause, sentence, seen, stages)
