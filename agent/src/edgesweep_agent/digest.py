"""SHA-256 without OpenSSL for what every start hashes, and OpenSSL's fast one from the first blob on.

`hashlib` asks OpenSSL for all its algorithms when it is imported: 0.6 MiB that an idle agent would keep for good. The
interpreter's own SHA-256 costs nothing; it is what `hashlib` falls back on, and `random` uses its sister so.
"""

from __future__ import annotations

import importlib
from typing import Any

#: The interpreter's own implementation: its name from Python 3.12 on, and before.
_OWN = ("_sha2", "_sha256")


def sha256(content: bytes = b"") -> Any:
    """A running SHA-256 of much data, with `update` and `hexdigest`."""
    from hashlib import sha256 as fast

    return fast(content)


def small_sha256(content: bytes) -> str:
    """The SHA-256 of a few kilobytes, in hexadecimal digits."""
    for name in _OWN:
        try:
            return str(importlib.import_module(name).sha256(content).hexdigest())
        except ImportError:
            continue
    return str(sha256(content).hexdigest())
