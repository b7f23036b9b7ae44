from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from edgesweep.report.html import breakable, coded, render_html

VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}


class Page(HTMLParser):
    """Reads a page and keeps its text, its ids, its links, its tags, and what was left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.ids, self.links, self.sources, self.open = [], [], [], [], []
        self._text, self._code = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name == "href":
                self.links.append(value)
            if name in {"src", "srcset", "action", "data", "poster"}:
                self.sources.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data):
        (self._code if self.open[-1:] in (["script"], ["style"]) else self._text).append(data)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def code(self) -> str:
        return "".join(self._code)


def test_every_tag_is_closed_and_every_link_leads_somewhere(sample_doc):
    page = Page(render_html(sample_doc))
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.links
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_nothing_is_loaded_from_outside(sample_doc):
    html = render_html(sample_doc)
    page = Page(html)
    assert page.sources == []
    assert all(link.startswith("#") for link in page.links)
    assert not {"link", "iframe", "img", "object", "embed", "base", "form"} & set(page.tags)
    assert not re.search(r"https?:|//\w|url\(|@import|fetch\(|XMLHttp|import\(", page.code)
    assert "default-src 'none'" in html


def test_every_cell_is_named_whatever_its_outcome(sample_doc):
    outcomes = {cell["outcome"] for cell in sample_doc["cells"]}
    assert outcomes == {"pass", "fallback", "failed", "skipped", "lost", None}
    text = Page(render_html(sample_doc)).text
    for cell in sample_doc["cells"]:
        assert cell["name"] in text


def test_every_outcome_and_verdict_stands_there_as_a_word(sample_doc):
    text = Page(render_html(sample_doc)).text
    for word in ("✓ pass", "↷ fallback", "✗ failed", "- skipped", "? lost", "… unfinished"):
        assert word in text
    for word in ("● trusted", "○ doubtful", "✕ invalid"):
        assert word in text


def test_findings_carry_sentence_remedy_and_message(sample_doc):
    text = Page(render_html(sample_doc)).text
    assert "The exporter produced another opset than the one asked for." in text
    assert "ask for the opset that was produced, or use the other exporter" in text
    assert "asked for opset 23, the file has 20" in text
    assert "20, not 23" in text
    assert "proof at batch=3: INVALID_ARGUMENT: Got 3 Expected 2" in text


def test_an_unfinished_run_says_the_next_command(sample_doc):
    assert "edgesweep run --resume 20261123-0914-7f3a goes on" in Page(render_html(sample_doc)).text
    sample_doc["cells"] = [cell for cell in sample_doc["cells"] if cell["outcome"] == "pass"]
    text = Page(render_html(sample_doc)).text
    assert "goes on with the cells" not in text
    assert f"All {len(sample_doc['cells'])} cells pass." in text


def test_five_hundred_cells_stay_under_a_megabyte(make_doc):
    doc = make_doc(tuple(f"model-number-{number}" for number in range(12)), (13, 18, 20, 21, 23), limit=500)
    html = render_html(doc)
    assert len(doc["cells"]) == 500
    assert len(html.encode()) < 1_000_000
    text = Page(html).text
    assert all(cell["name"] in text for cell in doc["cells"])


def test_long_details_do_not_swell_the_page(make_doc):
    doc = make_doc(tuple(f"model-number-{number}" for number in range(12)), (13, 18, 20, 21, 23), limit=500)
    for index, cell in enumerate(doc["cells"]):
        if cell["outcome"] == "failed":
            cell["detail"] = f"{index} " + "traceback " * 5000
            cell["cause"] = f"cause_{index}"
    html = render_html(doc)
    assert len(html.encode()) < 1_000_000
    assert "characters left out" in html


def test_long_messages_do_not_swell_the_page(make_doc):
    doc = make_doc(tuple(f"model-number-{number}" for number in range(12)), (13, 18, 20, 21, 23), limit=500)
    for index, cell in enumerate(doc["cells"]):
        cell.update({"outcome": "failed", "stage": "load", "cause": "load_error", "latency_s": None, "verdict": None})
        cell["message"] = f"{index} " + "onnxruntime says " * 200
        cell["detail"] = cell["message"] * 10
    assert len(render_html(doc).encode()) < 1_000_000


HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>&amp;{{ 7*7 }}"""


def test_hostile_texts_stay_texts(make_doc):
    doc = make_doc((HOSTILE, "mobile-cnn"), (18, 23))
    doc["run"]["name"] = doc["devices"][0]["name"] = HOSTILE
    doc["devices"][0]["labels"] = {HOSTILE: HOSTILE}
    for cell in doc["cells"]:
        cell["message"] = cell["detail"] = cell["remedy"] = HOSTILE
        cell["reasons"] = cell["tags"] = [HOSTILE]
        if cell["outcome"] == "failed":
            cell["cause"] = HOSTILE
    page = Page(render_html(doc))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert page.sources == []
    assert "alert(1)" not in page.code
    assert HOSTILE in page.text


@pytest.mark.parametrize("missing", ["latency_s", "memory_bytes", "cold_start_s", "placement", "numerics", "produced"])
def test_a_cell_without_a_part_is_drawn_all_the_same(sample_doc, missing):
    for cell in sample_doc["cells"]:
        cell[missing] = None
    page = Page(render_html(sample_doc))
    assert page.open == []
    assert sample_doc["cells"][0]["name"] in page.text


def test_a_run_without_cells_or_facts_is_drawn(sample_doc):
    sample_doc["cells"] = []
    sample_doc["devices"] = [
        {
            "name": "gone",
            "address": "",
            "labels": {},
            "colocated": False,
            "facts": None,
            "runtimes": [],
            "reading": None,
        }
    ]
    sample_doc["run"]["finished"] = None
    text = Page(render_html(sample_doc)).text
    assert "The run has no cell." in text
    assert "the device never answered" in text


def test_equal_documents_give_equal_pages(sample_doc):
    assert render_html(sample_doc) == render_html(sample_doc)


def test_shared_measurements_are_drawn_once(sample_doc):
    first, second = [cell for cell in sample_doc["cells"] if cell["outcome"] == "pass"][:2]
    second["same_as"] = first["name"]
    html = render_html(sample_doc)
    assert "1 cell with the same artifact as another cell was measured once and is drawn once." in html
    assert f"<title>{second['name']} " not in html
    assert f"<title>{first['name']} " in html


def test_breaks_do_not_change_the_text():
    assert Page(breakable("a/b_c+d<e>")).text == "a/b_c+d<e>"


def test_commands_in_a_remedy_are_set_as_code():
    assert coded("then `edgesweep <RUN>`") == "then <code>edgesweep &lt;RUN&gt;</code>"
