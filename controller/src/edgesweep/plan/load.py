"""Reading a plan: from a file, from text, or from the JSON that a run stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgesweep.errors import EdgesweepError
from edgesweep.plan.complaints import complain
from edgesweep.plan.fields import describe, is_name
from edgesweep.plan.schema import PlanFile
from edgesweep.plan.yaml_file import YamlFile, read_yaml, read_yaml_file


@dataclass(frozen=True, slots=True)
class LoadedPlan:
    """A valid plan with the text it was read from; relative paths in it belong to `base_dir`."""

    plan: PlanFile
    text: str
    digest: str
    base_dir: Path


def load_plan(path: Path | str) -> LoadedPlan:
    """Read the plan file at `path`.

    Raises:
        EdgesweepError: `plan_invalid`, with one `file:line:column: sentence` per thing that is wrong.
    """
    path = Path(path)
    yaml_file, text = read_yaml_file(path)
    return _validated(yaml_file, text, path.absolute().parent)


def parse_plan(text: str, base_dir: Path | str, origin: str) -> LoadedPlan:
    """Read a plan from `text`; `origin` is the file's name in messages.

    Raises:
        EdgesweepError: as `load_plan`.
    """
    return _validated(read_yaml(text, origin), text, Path(base_dir))


def plan_from_json(data: Mapping[str, Any]) -> PlanFile:
    """The plan that a run stored as `plan_to_json(plan)`.

    Raises:
        EdgesweepError: `plan_invalid` when this version does not read it any more.
    """
    try:
        return PlanFile.model_validate(dict(data))
    except ValidationError as error:
        sentences = complain(error, None, "the stored plan")
        remedy = "resume the run with the version of Edgesweep that started it"
        raise EdgesweepError("plan_invalid", sentences, remedy=remedy) from error


def plan_to_json(plan: PlanFile) -> dict[str, Any]:
    """The validated plan with all its defaults, as JSON data."""
    return plan.model_dump(mode="json")


def digest_of(plan: PlanFile) -> str:
    """SHA-256 of the plan's canonical JSON: equal for two texts that mean the same."""
    canonical = json.dumps(plan_to_json(plan), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """The plan file's JSON Schema (2020-12), for editors."""
    from edgesweep.models.zoo import ZOO

    schema = PlanFile.model_json_schema()
    schema["$defs"]["ModelEntry"]["properties"]["zoo"] = {"type": "string", "enum": sorted(ZOO)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Edgesweep plan"}


def _validated(yaml_file: YamlFile, text: str, base_dir: Path) -> LoadedPlan:
    data = yaml_file.data
    if data is None:
        raise EdgesweepError("plan_invalid", yaml_file.say((), "the plan is empty; start it with version: 1"))
    if not isinstance(data, dict):
        raise EdgesweepError("plan_invalid", yaml_file.say((), f"a plan is a mapping of keys, not {describe(data)}"))
    stem = Path(yaml_file.origin).stem
    if "name" not in data and is_name(stem):
        data = {**data, "name": stem}
    try:
        plan = PlanFile.model_validate(data)
    except ValidationError as error:
        raise EdgesweepError("plan_invalid", complain(error, yaml_file)) from error
    return LoadedPlan(plan, text, digest_of(plan), base_dir)
