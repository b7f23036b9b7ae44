"""Words that nobody knows are grouped by their hash, refused operators are counted, and links are shown."""

from __future__ import annotations

import pytest
from edgesweep.report.html import render_html
from edgesweep.report.markdown import render_markdown
from edgesweep.report.outcomes import group_findings
from edgesweep.report.tables import findings
from rich.console import Console

HASHES = ("3f2a91c07b1e" + "0" * 52, "77aa91c07b1e" + "0" * 52)


def diagnosis(message_hash: str = "", operator: dict | None = None) -> dict:
    return {"evidence": "message", "message_hash": message_hash, "operator": operator, "rule": ""}


def operator(name: str, version: int | None, *types: str, domain: str = "ai.onnx") -> dict:
    return {"domain": domain, "name": name, "version": version, "types": list(types), "node": ""}


@pytest.fixture
def told(sample_doc):
    """Of the cells that do not pass: three with unknown words of two kinds, four with operators of two kinds."""
    cells = [cell for cell in sample_doc["cells"] if cell["outcome"] == "pass"][:7]
    ends = [
        *[("unknown", "words that no pattern knows", diagnosis(message_hash)) for message_hash in (*HASHES, HASHES[0])],
        *[("unsupported_op", "no kernel", diagnosis("", operator("Det", 11, "float16")))] * 3,
        ("unsupported_op", "no kernel", diagnosis("", operator("Magic", None, domain="com.acme"))),
    ]
    for cell, (cause, message, seen) in zip(cells, ends, strict=True):
        cell.update(outcome="failed", stage="load", cause=cause, message=message, remedy="", detail="", verdict=None)
        cell.update(diagnosis=seen, latency_s=None)
    return sample_doc


def test_each_hash_is_a_finding_with_the_command_that_teaches_it(told) -> None:
    unknown = {group.about: group for group in group_findings(told) if group.cause == "unknown"}
    assert {about: len(group.cells) for about, group in unknown.items()} == {
        "unknown 3f2a91c07b1e": 2,
        "unknown 77aa91c07b1e": 1,
    }
    group = unknown["unknown 3f2a91c07b1e"]
    assert group.title == "failed at load: unknown 3f2a91c07b1e"
    assert "edgesweep failure learn 3f2a91c07b1e --cause CODE" in group.remedy


def test_operators_are_counted_those_of_most_cells_first(told) -> None:
    (group,) = [group for group in group_findings(told) if group.cause == "unsupported_op"]
    assert group.operators == ["ai.onnx Det(11) float16: 3 cells", "com.acme Magic: 1 cell"]
    assert group.link.startswith("https://")


def test_every_form_says_so(told) -> None:
    console = Console(width=120, record=True, file=None, force_terminal=False)
    with console.capture() as shown:
        console.print(findings(told))
    markdown, page = render_markdown(told), render_html(told)
    link = next(group.link for group in group_findings(told) if group.cause == "unsupported_op")
    for text in (shown.get(), markdown, page):
        assert "Det(11) float16: 3 cells" in text
        assert "failure learn 3f2a91c07b1e --cause CODE" in text
        assert link in text
    assert "see https://" in shown.get()
