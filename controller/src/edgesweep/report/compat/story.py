"""Everything on why one cell ended as it did: asked and read back, how far it came, why, and what is near it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgesweep_proto.trial import Stage

from edgesweep.errors import CATALOGUE, link_of, remedy_for
from edgesweep.report import units
from edgesweep.report.compat.matrix import row_of
from edgesweep.report.compat.neighbours import Axis, nearest_here, nearest_passing, neighbours_of
from edgesweep.report.compile_text import compile_texts
from edgesweep.report.diagnosis_words import operator_lines, short_hash
from edgesweep.report.exports.step import Mark
from edgesweep.report.facts import short_provider
from edgesweep.report.outcomes import UNFINISHED, Cell, Doc, outcome_of, remedy_of
from edgesweep.report.predictions import is_skipped_as_predicted, prediction_words
from edgesweep.report.provider_traps import traps_of

_STAGES = tuple(stage.value for stage in Stage if stage is not Stage.UNKNOWN)
_ON_HOST = _STAGES[: _STAGES.index("check") + 1]
_WORDS = 12
_OPERATORS = 6
_SESSION_DEFAULTS = {"graph_optimization": "all", "io_mode": "bound"}


@dataclass(frozen=True, slots=True)
class Fact:
    """What was asked, and what was read back; `got` is empty where nothing was. `note` is what else matters to it."""

    what: str
    asked: str
    got: str = ""
    differs: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Something known of the cell, a sentence a line."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CellStory:
    """All there is to tell of `cell`. `stages` says of each stage how it went, `words` are the tool's own last lines.

    `here` is the passing cell of the same model at the same place that differs in the fewest things.
    """

    run: Doc
    cell: Cell
    facts: tuple[Fact, ...]
    stages: dict[str, Mark]
    meaning: str
    remedy: str
    link: str
    parts: tuple[Part, ...]
    words: tuple[str, ...]
    axes: tuple[Axis, ...]
    here: Cell | None
    next: str

    @property
    def outcome(self) -> str:
        """How it ended."""
        return outcome_of(self.cell)

    @property
    def cause(self) -> str:
        """Why, as a code of the catalogue; of a cell that was skipped as predicted, the cause predicted."""
        predicted = is_skipped_as_predicted(self.cell)
        return str(self.cell["prediction"]["cause"] if predicted else self.cell.get("cause") or "")

    @property
    def message(self) -> str:
        """What happened, in a sentence."""
        predicted = is_skipped_as_predicted(self.cell)
        return str(self.cell["prediction"]["message"] if predicted else self.cell.get("message") or "")


def build_story(doc: Doc, name: str) -> CellStory:
    """The story of the cell called `name`.

    Raises:
        LookupError: The run holds no such cell.
    """
    cells = {cell["name"]: cell for cell in doc["cells"]}
    cell = cells.get(name)
    if cell is None:
        raise LookupError(f"the run {doc['run']['id']} holds no {name}")
    trials = cells.get(cell.get("same_as") or "", cell).get("trials") or []
    axes = tuple(neighbours_of(cell, doc["cells"]))
    cause = str(cell.get("cause") or "")
    if is_skipped_as_predicted(cell):
        cause = str(cell["prediction"]["cause"])
    return CellStory(
        run=doc["run"],
        cell=cell,
        facts=tuple(_facts(doc, cell, trials)),
        stages=_stages(cell),
        meaning=CATALOGUE[cause].text if cause in CATALOGUE else "",
        remedy=_remedy(doc, cell, cause),
        link=str(cell.get("link") or link_of(cause)),
        parts=tuple(_parts(cell, trials)),
        words=_words(cell, trials),
        axes=axes,
        here=nearest_here(cell, doc["cells"]),
        next=_next(doc, cell, axes),
    )


def _facts(doc: Doc, cell: Cell, trials: list[Doc]) -> Iterator[Fact]:
    produced = cell.get("produced") or {}
    session: Doc = next((trial["session"] for trial in reversed(trials) if trial.get("session")), {})
    runtime = _runtime(doc, cell)
    recipe = row_of(cell).recipe
    if recipe.exporter == "none":
        yield Fact("model", "the file as it is")
    else:
        yield Fact("exporter", recipe.exporter)
    opset = produced.get("opset")
    yield _fact("opset", cell["opset"], opset, _limit(runtime, "max_opset", opset))
    capped = next((word for word in recipe.extras.split("+") if word.startswith("ir")), "")
    ir_version = produced.get("ir_version")
    asked_ir = f"{capped.removeprefix('ir')} at most" if capped else "any"
    yield Fact("IR version", asked_ir, _text(ir_version), note=_limit(runtime, "max_ir_version", ir_version))
    yield _dimensions(cell, produced)
    yield Fact("precision", cell["precision"], ", ".join(produced.get("types") or []))
    yield _fact("onnxruntime", cell["runtime"], session.get("runtime_version"), exact=False)
    got = [short_provider(name) for name in session.get("providers") or []]
    yield Fact("providers", ", ".join(cell["providers"]), ", ".join(got), bool(got) and cell["providers"][0] not in got)
    yield _fact("threads", cell["threads"], session.get("intra_op_threads"))
    for key, default in _SESSION_DEFAULTS.items():
        asked, found = cell.get(key, default), session.get(key)
        if asked != default or (found and found != asked):
            yield _fact(key.replace("_", " "), asked, found)


def _fact(what: str, asked: Any, got: Any, note: str = "", *, exact: bool = True) -> Fact:
    differs = got is not None and (str(got) != str(asked) if exact else str(got) not in str(asked))
    return Fact(what, str(asked), _text(got), differs, note)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _dimensions(cell: Cell, produced: Doc) -> Fact:
    asked = {"static": "none", "asis": "as in the file", "full": "all declared"}.get(
        str(cell["axes"]), str(cell["axes"])
    )
    proven = {name: names for name, names in (produced.get("dynamic") or {}).items() if names}
    got = "; ".join(f"{name}: {', '.join(names)}" for name, names in proven.items())
    wanted = cell["axes"] not in {"static", "asis"}
    if not produced:
        return Fact("dynamic dimensions", asked)
    return Fact("dynamic dimensions", asked, got or ("none proven" if wanted else "none"), wanted and not proven)


def _runtime(doc: Doc, cell: Cell) -> Doc:
    """What the device told of the cell's runtime; empty when it told nothing."""
    device: Doc = next((device for device in doc.get("devices", []) if device["name"] == cell["device"]), {})
    found: Doc = next((runtime for runtime in device.get("runtimes") or [] if runtime["id"] == cell["runtime"]), {})
    return found


def _limit(runtime: Doc, key: str, found: int | None) -> str:
    """How far the runtime goes, and whether the file goes beyond that."""
    limit = runtime.get(key)
    if not limit:
        return ""
    beyond = found is not None and found > limit
    return f"above {limit}, the most that this runtime takes" if beyond else f"this runtime takes up to {limit}"


def _stages(cell: Cell) -> dict[str, Mark]:
    """How each stage went: what comes after the last one was not tried.

    A cell that was skipped, lost or waits has been as far as its export came.
    """
    outcome, last = outcome_of(cell), str(cell.get("stage") or "")
    if outcome in {"skipped", "lost", UNFINISHED}:
        done = _ON_HOST if (cell.get("export") or {}).get("passed") else ("plan",)
        return {stage: Mark.OK if stage in done else Mark.OPEN for stage in _STAGES}
    reached = _STAGES.index(last) if last in _STAGES else 0
    marks = {stage: Mark.OK if place < reached else Mark.OPEN for place, stage in enumerate(_STAGES)}
    marks[_STAGES[reached]] = Mark.OK if outcome == "pass" else Mark.BAD
    return marks


def _remedy(doc: Doc, cell: Cell, cause: str) -> str:
    if is_skipped_as_predicted(cell):
        return remedy_for(cause)
    outcome = outcome_of(cell)
    return remedy_of(doc, cell, outcome, cause) if cause or outcome == UNFINISHED else ""


def _parts(cell: Cell, trials: list[Doc]) -> Iterator[Part]:
    for title, lines in (
        ("prediction", _prediction(cell)),
        ("evidence", _evidence(cell, trials)),
        ("compilation", _compilation(cell)),
        ("placement", _placement(cell)),
        ("outputs", _numerics(cell)),
        ("agreement", _agreement(cell)),
        ("latency", _latency(cell)),
        ("trials", _trials(cell, trials)),
        ("remarks", _remarks(cell)),
        ("provider", traps_of(cell)),
    ):
        found = tuple(line for line in lines if line)
        if found:
            yield Part(title, found)


def _prediction(cell: Cell) -> Iterator[str]:
    prediction = cell.get("prediction")
    if prediction:
        yield f"{prediction['message']} ({prediction['cause']})"
        yield prediction_words(cell)
        if prediction.get("by") and prediction["by"] != cell["name"]:
            yield f"tried on {prediction['by']}"


def _evidence(cell: Cell, trials: list[Doc]) -> Iterator[str]:
    """What a failure was told from."""
    last = trials[-1] if trials else {}
    if last.get("signal"):
        yield f"the worker was killed by signal {last['signal']}"
    elif last.get("exit_code"):
        yield f"the worker ended with exit code {last['exit_code']}"
    diagnosis = cell.get("diagnosis") or {}
    known = [("told from", "evidence"), ("by the pattern", "pattern"), ("status", "status"), ("about", "subject")]
    yield ", ".join(f"{word} {diagnosis[key]}" for word, key in known if diagnosis.get(key))
    yield from (f"operator {line.rsplit(': ', 1)[0]}" for line in operator_lines([cell]))
    if diagnosis.get("rule"):
        yield f"your rule {diagnosis['rule']} says so; the catalogue alone says {diagnosis['cause']}"
    yield f"message hash {short_hash(cell)}, equal for the same trouble everywhere" if short_hash(cell) else ""


def _compilation(cell: Cell) -> Iterator[str]:
    found = cell.get("compile")
    if found:
        yield from compile_texts(found, cell["providers"][0])


def _agreement(cell: Cell) -> Iterator[str]:
    """How its outputs lie to those of the cell that ran the same artifact elsewhere."""
    found = cell.get("agreement") or {}
    if not found.get("with"):
        return
    how = "agrees with" if found.get("agrees") else "disagrees with"
    relative, limit = found.get("relative"), found.get("limit")
    off = ""
    if found.get("bitwise"):
        off = ", bit for bit"
    elif relative is not None and limit is not None:
        off = f": {found['output']} off by {relative:.2g} of its largest value, {limit:.2g} allowed"
    yield f"{how} {found['with']}{off}"


def _placement(cell: Cell) -> Iterator[str]:
    placement = cell.get("placement") or {}
    for share in placement.get("shares") or []:
        parts = [units.plural(share["nodes"], "node")]
        parts += [f"{share['time_share']:.0%} of the time"] if share.get("time_share") is not None else []
        parts += [units.plural(share["subgraphs"], "subgraph")] if share.get("subgraphs") else []
        yield f"{short_provider(share['provider'])}: {', '.join(parts)}{_operators(share.get('operators'))}"
    if placement:
        changed = len(placement.get("hashes") or []) > 1
        yield f"read by {placement['method']}" + ("; it was not the same in every trial" if changed else "")


def _operators(operators: Any) -> str:
    """` (Conv 12, Relu 9)`, the most frequent first."""
    if not isinstance(operators, dict) or not operators:
        return ""
    ranked = sorted(operators.items(), key=lambda item: -item[1])
    more = f" and {len(ranked) - _OPERATORS} more" if len(ranked) > _OPERATORS else ""
    return f" ({', '.join(f'{name} {amount}' for name, amount in ranked[:_OPERATORS])}{more})"


def _numerics(cell: Cell) -> Iterator[str]:
    numerics = cell.get("numerics") or {}
    if numerics.get("first_offender"):
        yield f"first value that is off: {numerics['first_offender']}"
    if numerics.get("max_absolute_error") is not None:
        relative = numerics.get("max_relative_error")
        where = {"device": " on the device", "export": " at export, on the host"}.get(numerics.get("where") or "", "")
        shown = f", {relative:.2g} relative" if relative is not None else ""
        yield f"largest error {numerics['max_absolute_error']:.2g} absolute{shown}{where}"
    tolerance = numerics.get("tolerance") or {}
    if tolerance.get("sqnr_db") is not None:
        yield f"allowed: a signal to noise ratio of at least {tolerance['sqnr_db']:g} dB"
    elif tolerance:
        yield f"allowed: {tolerance['absolute']:g} + {tolerance['relative']:g} times the value"
    yield str(numerics.get("reference_note") or "")


def _latency(cell: Cell) -> Iterator[str]:
    latency = cell.get("latency_s")
    if latency:
        shared = f", measured once, as {cell['same_as']}" if cell.get("same_as") else ""
        yield f"{units.latency(latency['median'], latency.get('mad'), latency.get('n'))}, {cell.get('verdict')}{shared}"
        yield from map(str, cell.get("reasons") or [])


def _trials(cell: Cell, trials: list[Doc]) -> Iterator[str]:
    if len(trials) > 1 or outcome_of(cell) == "lost":
        yield ", ".join(f"{trial['outcome']} {trial.get('cause') or ''}".rstrip() for trial in trials)


def _remarks(cell: Cell) -> Iterator[str]:
    yield f"also: {', '.join(cell['also'])}" if cell.get("also") else ""
    yield f"known failure: {cell['known']}" if cell.get("known") else ""
    yield f"tags: {', '.join(cell['tags'])}" if cell.get("tags") else ""
    yield f"the cell that honestly asks for what was produced: {cell['see']}" if cell.get("see") else ""
    if not cell.get("latency_s"):
        yield from map(str, cell.get("reasons") or [])


def _words(cell: Cell, trials: list[Doc]) -> tuple[str, ...]:
    """The last lines of what the tool itself said."""
    if outcome_of(cell) == "pass":
        return ()
    evidence = next((str(trial["evidence"]) for trial in reversed(trials) if trial.get("evidence")), "")
    lines = [line.rstrip() for line in str(cell.get("detail") or evidence).splitlines() if line.strip()]
    return tuple(lines[-_WORDS:])


def _next(doc: Doc, cell: Cell, axes: tuple[Axis, ...]) -> str:
    outcome = outcome_of(cell)
    if outcome in {"lost", UNFINISHED}:
        return f"edgesweep run --resume {doc['run']['id']}"
    if outcome != "pass" and cell.get("see"):
        return f"edgesweep compat explain {cell['see']}"
    if outcome in {"failed", "skipped"} and cell.get("stage") in {"export", "check"}:
        return f"edgesweep export explain {row_of(cell).name}"
    near = nearest_passing(axes) if outcome != "pass" else []
    if near:
        return f"edgesweep compat explain {near[0].cell['name']}"
    return f"edgesweep compat matrix {doc['run']['id']} -k {cell['model']}"
