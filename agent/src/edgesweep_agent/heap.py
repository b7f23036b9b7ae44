"""Gives freed memory back to the board: the C library would keep the pages of past uploads for later."""

from __future__ import annotations


def trim_heap() -> None:
    """Return the heap's free pages to the kernel, where the C library can (glibc: malloc_trim(3))."""
    # Late: an agent that has done nothing yet has nothing to give back.
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
