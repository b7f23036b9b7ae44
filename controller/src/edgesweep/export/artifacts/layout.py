"""Where the export room keeps its files, under one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders under `root`; a process creates them when it first writes there."""

    root: Path

    @property
    def blobs(self) -> Path:
        """Models, external data, inputs and references by digest: what boards may be sent."""
        return self.root / "blobs"

    @property
    def originals(self) -> Path:
        """What the exporters wrote, host paths and source lines included: never sent anywhere."""
        return self.root / "originals"

    @property
    def cache(self) -> Path:
        """Results of earlier exports."""
        return self.root / "cache"

    @property
    def scratch(self) -> Path:
        """Files of running workers; each worker has a folder that goes when it does."""
        return self.root / "scratch"
