"""The story of a cell for people: on the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgesweep.report import units
from edgesweep.report.compat.matrix import case_of, row_of
from edgesweep.report.compat.neighbours import Axis, nearest_passing
from edgesweep.report.compat.story import CellStory, Fact
from edgesweep.report.exports.step import Mark
from edgesweep.report.markdown_text import code, table, text
from edgesweep.report.outcomes import OUTCOMES
from edgesweep.report.tables import STYLES, Adaptive, broken_name, heading, plain_table, styled

_MARKS = {Mark.OK: ("✓", "pass"), Mark.BAD: ("✗", "failed"), Mark.OPEN: ("·", "skipped")}
_DIFFERS = "≠"


def render_story(story: CellStory) -> RenderableType:
    """The story on the terminal."""

    def build(width: int) -> RenderableType:
        return Group(*_head(story, width), *_asked(story), *_parts(story), *_near(story), Text(), *_end(story))

    return Adaptive(build)


def verdict_words(story: CellStory) -> str:
    """`✗ failed at load: opset_unsupported`."""
    where = f" at {story.cell['stage']}" if story.cell.get("stage") and story.outcome in {"failed", "fallback"} else ""
    return f"{OUTCOMES[story.outcome].mark} {story.outcome}{where}" + (f": {story.cause}" if story.cause else "")


def _head(story: CellStory, width: int) -> Iterator[RenderableType]:
    yield Text("\n".join(broken_name(story.cell["name"], width, indent=0)), style="bold")
    yield Text(f"in run {story.run['id']} of {story.run['name']}", style="dim", overflow="fold")
    yield Text()
    yield Text(verdict_words(story), style=STYLES.get(story.outcome, ""))
    stages = [styled(_MARKS[mark][1], f"{_MARKS[mark][0]} {stage}") for stage, mark in story.stages.items()]
    yield Text("  ").join(stages)
    if story.meaning:
        yield Padding(Text(story.meaning), (0, 0, 0, 2))
    if story.message and story.message != story.meaning:
        yield Padding(Text(story.message, overflow="fold"), (0, 0, 0, 2))
    if story.remedy:
        yield Padding(Text(f"-> {story.remedy}", style="bold", overflow="fold"), (0, 0, 0, 2))
    if story.link:
        yield Padding(Text(f"see {story.link}", style="dim", overflow="fold"), (0, 0, 0, 2))
    for line in story.words:
        yield Padding(Text(line, style="dim", overflow="fold"), (0, 0, 0, 4))


def _asked(story: CellStory) -> Iterator[RenderableType]:
    yield Text()
    yield heading("Asked and read back")
    shown = plain_table()
    for head in ("", "asked", "", "read back", ""):
        shown.add_column(head, overflow="fold")
    for fact in story.facts:
        style = STYLES["failed"] if fact.differs else ""
        shown.add_row(
            fact.what, fact.asked, Text(_between(fact), style=style), Text(_got(fact), style=style), fact.note
        )
    yield shown


def _between(fact: Fact) -> str:
    return _DIFFERS if fact.differs else ""


def _got(fact: Fact) -> str:
    return fact.got or units.NOTHING


def _parts(story: CellStory) -> Iterator[RenderableType]:
    if not story.parts:
        return
    yield Text()
    yield heading("What else is known")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for part in story.parts:
        grid.add_row(part.title, "\n".join(part.lines))
    yield grid


def _near(story: CellStory) -> Iterator[RenderableType]:
    yield Text()
    yield heading("Cells that differ in one thing")
    if not story.axes:
        yield Text("The run has none.")
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for axis in story.axes:
        grid.add_row(axis.name, Text("\n").join([styled(end.split(":")[0], line) for end, line in _lines(axis)]))
    yield grid
    if story.outcome != "pass":
        yield Text()
        yield Text(nearest_sentence(story), style="bold", overflow="fold")


def _lines(axis: Axis) -> Iterable[tuple[str, str]]:
    """How the neighbours of an axis ended, and the line that says so: `✓ pass: 17, 18`."""
    for end, values in axis.groups.items():
        word = end.split(":", 1)[0]
        mark = OUTCOMES[word].mark if word in OUTCOMES else OUTCOMES["skipped"].mark
        yield end, f"{mark} {end}: {values}"


def nearest_sentence(story: CellStory) -> str:
    """`It passes at opset 17, by torchscript.`, or that nothing near it does; and what passes at the same place."""
    near = nearest_passing(story.axes)
    said = f"It passes {', '.join(one.said for one in near)}." if near else "No cell that differs in one thing passes."
    if story.here is None:
        return f"{said} No variant of {story.cell['model']} passes at this place."
    here = row_of(story.here).recipe.text
    case = "" if case_of(story.here) == case_of(story.cell) else f" ({', '.join(case_of(story.here))})"
    return f"{said} At this place {here}{case} passes."


def _end(story: CellStory) -> Iterator[RenderableType]:
    yield Text(f"Next: {story.next}", overflow="fold")


def render_markdown(story: CellStory) -> str:
    """The story as Markdown."""
    parts = [f"# {code(story.cell['name'])}", f"In run {code(story.run['id'])} of {text(story.run['name'])}."]
    verdict = verdict_words(story).split(" ", 1)[1]
    said = dict.fromkeys(filter(None, [story.meaning, story.message]))
    parts.append(f"**{text(verdict)}**" + "".join(f"  \n{text(line)}" for line in said))
    parts += [f"Remedy: {text(story.remedy)}."] if story.remedy else []
    parts += [f"What is known: <{story.link}>"] if story.link else []
    words = {Mark.OK: "done", Mark.BAD: "ended here", Mark.OPEN: "not reached"}
    ended = [f"{stage} ({words[mark]})" if mark is not Mark.OK else stage for stage, mark in story.stages.items()]
    reached = [name for name, mark in zip(ended, story.stages.values(), strict=True) if mark is not Mark.OPEN]
    parts.append(f"Stages: {' → '.join(map(text, reached))}")
    if story.words:
        parts.append("\n".join(["```text", *(line.replace("```", "'''") for line in story.words), "```"]))
    rows = [
        (fact.what, text(fact.asked), text(_got(fact)) + (" (differs)" if fact.differs else ""), text(fact.note))
        for fact in story.facts
    ]
    parts += ["## Asked and read back", table(("", "asked", "read back", ""), rows)]
    if story.parts:
        parts.append("## What else is known")
        parts.append("\n".join(f"- {part.title}: {text('; '.join(part.lines))}" for part in story.parts))
    parts.append("## Cells that differ in one thing")
    near = [
        f"- {axis.name}: {text('; '.join(f'{end}: {values}' for end, values in axis.groups.items()))}"
        for axis in story.axes
    ]
    parts.append("\n".join(near) or "The run has none.")
    parts += [nearest_sentence(story)] if story.outcome != "pass" and story.axes else []
    parts.append(f"Next: {code(story.next)}")
    return "\n\n".join(parts) + "\n"
