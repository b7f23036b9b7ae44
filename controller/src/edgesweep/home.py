"""Where Edgesweep keeps its files: XDG folders, or everything under `EDGESWEEP_HOME`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one user: what they wrote, what can be made again, what runs, and what must be kept."""

    config: Path
    cache: Path
    state: Path
    data: Path

    @property
    def inventory(self) -> Path:
        """The devices of the lab."""
        return self.config / "inventory.yaml"

    @property
    def rules(self) -> Path:
        """The user's rules for failures that the catalogue does not know."""
        return self.config / "rules.yaml"

    @property
    def pki(self) -> Path:
        """The lab's certificate authority and the certificates it issued."""
        return self.config / "pki"

    @property
    def exports(self) -> Path:
        """Artifacts by digest and the export cache."""
        return self.cache / "exports"

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL of the store, unless another is configured."""
        return os.environ.get("EDGESWEEP_STORE") or f"sqlite:///{self.data / 'store.sqlite'}"

    @property
    def samples(self) -> Path:
        """Raw samples by digest, and one Parquet file per finished run."""
        return self.data / "samples"


def find_home() -> Home:
    """The folders in force, by `EDGESWEEP_HOME` or the platform's own rules; nothing is created."""
    root = os.environ.get("EDGESWEEP_HOME")
    if root:
        base = Path(root).expanduser().absolute()
        return Home(base / "config", base / "cache", base / "state", base / "data")
    from platformdirs import PlatformDirs

    dirs = PlatformDirs("edgesweep")
    return Home(
        Path(dirs.user_config_dir), Path(dirs.user_cache_dir), Path(dirs.user_state_dir), Path(dirs.user_data_dir)
    )
