"""Trouble of the host under an export: a full disk, too many open files, no memory for a process.

It says nothing about the model, and the same export may pass tomorrow.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import traceback
from collections.abc import Iterator

from edgesweep_proto.trial import Stage

from edgesweep.export.failures.failure import Failure

#: What is kept of a traceback, a process's stderr or an exporter's own diagnosis: megabytes help nobody.
DIAGNOSIS_MAX_CHARS = 200_000

#: Sent by whoever shuts a service or a machine down, never by a process that fell over.
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

_ERRNOS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
    }
)
#: Native code tells the system's words without its number.
_WORDS = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE))
#: numpy's words for a write that ended early: an OSError without a number.
_CUT_SHORT = (" requested and ", " written")


def diagnosis(text: str) -> str:
    """`text` whole, or its head and its tail where it is longer than anybody reads."""
    if len(text) <= DIAGNOSIS_MAX_CHARS:
        return text
    half = DIAGNOSIS_MAX_CHARS // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def text_of(error: BaseException) -> str:
    """An error's own words; a user's class may fail to tell them."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - whatever it raises, the error itself is what counts
        return "its words cannot be told"


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory that this process was given did not suffice.

    The system's ENOMEM means that only under a limit of our own; without one the host itself is short.
    """
    return any(
        isinstance(link, MemoryError) or (isinstance(link, OSError) and link.errno == errno.ENOMEM and _is_limited())
        for link in causes_of(error)
    )


def host_trouble(error: BaseException) -> str:
    """The system's own words when `error` stands for trouble of the host, else nothing.

    Errors about single files (not found, not allowed) are no trouble of the host: a model may have raised them.
    """
    return next((words for link in causes_of(error) if (words := _words_of(link))), "")


def tells_of_host(text: str) -> bool:
    """Whether native code's message holds the system's words for a full disk or too many open files."""
    return any(words in text for words in _WORDS)


def host_failure(error: BaseException, stage: Stage = Stage.EXPORT) -> Failure | None:
    """The failure that `error` is when the host is to blame, else None."""
    words = host_trouble(error)
    return failure_of_host(words, _traceback_of(error), stage) if words else None


def file_failure(error: OSError) -> Failure:
    """The failure for an error about one of Edgesweep's own files, whatever its number."""
    return host_failure(error) or failure_of_host(f"{type(error).__name__}: {error}", _traceback_of(error))


def failure_of_host(words: str, detail: str = "", stage: Stage = Stage.EXPORT) -> Failure:
    """`export_host_trouble` with the system's `words`."""
    return Failure(stage, "export_host_trouble", f"the host could not finish the export: {words}", detail)


def _words_of(link: BaseException) -> str:
    text = text_of(link)
    if isinstance(link, OSError):
        if link.errno in _ERRNOS and not (link.errno == errno.ENOMEM and _is_limited()):
            return os.strerror(link.errno)
        if link.errno is None and all(mark in text for mark in _CUT_SHORT):
            return f"a file could not be written to its end ({text})"
    return next((words for words in _WORDS if words in text), "")


def _is_limited() -> bool:
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return any(resource.getrlimit(kind)[0] != resource.RLIM_INFINITY for kind in kinds)


def _traceback_of(error: BaseException) -> str:
    return diagnosis("".join(traceback.format_exception(error)))
