"""The story of a variant on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from edgesweep.report.exports.step import Mark
from edgesweep.report.exports.story import Story
from edgesweep.report.outcomes import OUTCOMES, UNFINISHED, with_run
from edgesweep.report.tables import Adaptive, broken_name, styled

_MARKS = {Mark.OK: ("✓", "pass"), Mark.BAD: ("✗", "failed"), Mark.OPEN: ("·", "skipped")}


def render_story(story: Story) -> RenderableType:
    """The story as numbered steps, then the end and what to do."""

    def build(width: int) -> RenderableType:
        return Group(*_head(story, width), *_steps(story), *_end(story))

    return Adaptive(build)


def _head(story: Story, width: int) -> Iterable[RenderableType]:
    yield Text("\n".join(broken_name(story.named.name, width, indent=0)), style="bold")
    yield Text(f"as {story.run_kind.value} {story.run_id} has it", style="dim", overflow="fold")
    yield Text()


def _steps(story: Story) -> Iterable[RenderableType]:
    for place, step in enumerate(story.steps, start=1):
        mark, word = _MARKS[step.mark]
        yield Text.assemble(f"{place}. ", (step.title, "bold"), "  ", styled(word, mark))
        for line in step.lines:
            yield Padding(Text(line, overflow="fold"), (0, 0, 0, 3))


def _end(story: Story) -> Iterable[RenderableType]:
    outcome = story.outcome or UNFINISHED
    where = f" at {story.stage}" if story.stage and outcome in {"failed", "fallback"} else ""
    yield Text()
    yield Text.assemble(
        "=> ", styled(outcome, f"{OUTCOMES[outcome].mark} {outcome}{where}"), f": {story.cause}" if story.cause else ""
    )
    if story.meaning:
        yield Padding(Text(f"that is: {story.meaning}"), (0, 0, 0, 3))
    if story.remedy:
        yield Padding(Text(f"-> {with_run(story.remedy, story.run_id)}", style="bold"), (0, 0, 0, 3))
    if story.see:
        yield Padding(Text(f"the honest request in the same plan: {story.see}", overflow="fold"), (0, 0, 0, 3))
    yield Text(f"Next: {story.next}", overflow="fold")


def whole_diagnosis(story: Story) -> str:
    """The exporter's or the runtime's own words, all of them and as they were written."""
    if not story.detail:
        return "There are no other words: nothing more was said."
    return f"The whole diagnosis\n\n{story.detail.rstrip()}"
