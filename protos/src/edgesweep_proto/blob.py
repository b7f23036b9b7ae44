"""Bytes named by their digest: what models, inputs, references and samples travel as."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether `text` is a lower-case hexadecimal SHA-256 and so safe as a file name."""
    return _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes named by what they are; `size_bytes` is their length."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One artifact: the ONNX model and its external-data blobs, called `<sha256>.bin` inside it."""

    model: Blob
    external: tuple[Blob, ...] = ()

    @property
    def digest(self) -> str:
        """The artifact's name: SHA-256 of the manifest in canonical JSON."""
        # Late: it loads OpenSSL's algorithms, which an idle agent shall not hold in memory.
        import hashlib

        content = {
            "model": self.model.sha256,
            "external": sorted(blob.sha256 for blob in self.external),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All blobs that a board needs to load the artifact."""
        return (self.model, *self.external)

    @property
    def size_bytes(self) -> int:
        """Bytes of the model and all its external data together."""
        return sum(blob.size_bytes for blob in self.blobs)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor in a `.npy` blob; `dtype` is numpy's name, `shape` its sizes."""

    name: str
    blob: Blob
    dtype: str
    shape: tuple[int, ...]
