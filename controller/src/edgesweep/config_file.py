"""YAML files that people and commands both write: read with their comments, and written all or nothing."""

from __future__ import annotations

import os
import secrets
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from edgesweep.errors import EdgesweepError


def commented_yaml() -> YAML:
    """A reader and writer that keeps comments, quotes and the order of keys."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 4096
    return yaml


def write_config(path: Path, document: Any) -> None:
    """Write what `commented_yaml` has read, and the caller has changed, in the place of the file at `path`.

    Raises:
        EdgesweepError: `config_invalid` when it cannot be written; the file in place is as it was then.
    """
    text = StringIO()
    commented_yaml().dump(document, text)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(text.getvalue())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise EdgesweepError(
            "config_invalid", f"{path} cannot be written: {error.strerror}", remedy="check the folder's permissions"
        ) from error
