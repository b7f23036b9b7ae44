"""What to try about a failure, ready to be copied."""

from __future__ import annotations

from edgesweep_proto.execution import Diagnosis

from edgesweep.errors import remedy_for
from edgesweep.failures.rules import SHORT_HASH


def advice_on(cause: str, diagnosis: Diagnosis | None, *, digits: int = SHORT_HASH) -> str:
    """The catalogue's remedy; for words that nobody knows with the start of their hash in the command, `digits` long."""
    remedy = remedy_for(cause)
    if cause != "unknown" or diagnosis is None or not diagnosis.message_hash:
        return remedy
    return remedy.replace("learn HASH", f"learn {diagnosis.message_hash[:digits]}")
