"""The last word of a job about a trial: what its stages gave, or the outcome that what they raised stands for."""

from __future__ import annotations

import errno
import traceback
from typing import Callable

from edgesweep_worker import failure
from edgesweep_worker.events import EventPipe
from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.failures import read

#: The disk, the quota or the file takes no more bytes.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def end_with(pipe: EventPipe, stages: Callable[[], tuple[str, str, str]]) -> None:
    """Run `stages`, which return outcome, cause and message, and write the end; every expected failure becomes an outcome."""
    try:
        outcome, cause, message = stages()
    except TrialFailed as failed:
        pipe.tag(*failed.tags)
        pipe.facts(diagnosis=failed.diagnosis)
        if pipe.current_stage == "compile" and failed.before_compiling:
            pipe.current_stage = "load"
        pipe.end_trial("failed", cause=failed.cause, message=failed.message, evidence=failed.evidence)
    except MemoryError:
        evidence = traceback.format_exc()[-failure.EVIDENCE_LIMIT :]
        pipe.facts(diagnosis=read.diagnosis("message", subject="MemoryError"))
        pipe.end_trial("failed", cause="oom", message="the worker could not get the memory it needs", evidence=evidence)
    except BrokenPipeError:
        raise  # the agent is gone
    except OSError as error:
        # The runtime's own errors have become failures before they get here: these are our files on the board's disk.
        cause = "disk_full" if error.errno in _NO_ROOM else "interrupted"
        evidence = traceback.format_exc()[-failure.EVIDENCE_LIMIT :]
        pipe.end_trial("interrupted", cause=cause, message=f"the board's disk refused: {error}", evidence=evidence)
    else:
        pipe.end_trial(outcome, cause=cause, message=message)
