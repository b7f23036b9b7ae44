"""Digests of plain data, and who one model of a plan is."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from edgesweep_proto.codec import to_json

from edgesweep.models.source import ModelSource


def digest_json(content: Any) -> str:
    """SHA-256 of plain data in canonical JSON; other values count by their `repr`."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), default=repr).encode()).hexdigest()


def source_key(source: ModelSource) -> str:
    """A digest of everything that a plan says of a model: it tells one model from another."""
    return digest_json(to_json(source))
