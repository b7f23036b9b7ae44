"""Reads the one-line files of /sys and /proc, where a missing file is an ordinary answer."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """The file's text without surrounding blanks; None where it is missing, unreadable or empty."""
    try:
        # Device-tree texts end in a zero byte.
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \t\n") or None
    except OSError:
        return None


def read_number(path: Path) -> float | None:
    """The number in the file; None where there is none."""
    text = read_text(path)
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
