"""What the runtime wrote to standard error: some providers give the reason there and nowhere else."""

from __future__ import annotations

import os
import stat

#: Most that is read, from the end, in bytes.
_MOST_BYTES = 65536


class OwnWords:
    """Standard error from now on; known where it is a file, as the agent makes it, and empty elsewhere."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._start = self._size()

    def told(self) -> str:
        """What was written since."""
        end = self._size()
        if self._start is None or end is None or end <= self._start:
            return ""
        start = max(self._start, end - _MOST_BYTES)
        try:
            # Opened anew: the descriptor itself is for writing only, and its place must not be moved.
            with open(f"/proc/self/fd/{self._descriptor}", "rb") as file:
                file.seek(start)
                return file.read(end - start).decode("utf-8", "replace")
        except OSError:
            return ""

    def _size(self) -> int | None:
        try:
            found = os.fstat(self._descriptor)
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None
