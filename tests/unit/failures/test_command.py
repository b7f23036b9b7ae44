"""`edgesweep failure` on a real store: list, show, learn, and reports of the old run that know it then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edgesweep.errors import CAUSES
from edgesweep.failures.listing import all_causes
from edgesweep.failures.rules import RuleBook

from tests.unit.failures.conftest import HASH, OTHER, RUN

PAGE = Path(__file__).parents[3] / "docs" / "failures.md"


def test_a_hash_from_a_report_is_learnt_and_the_old_run_told_anew(cli, stored, home) -> None:
    code, report, _ = cli("report", RUN.id)
    assert code == 0
    assert "unknown 3f2a91c07b1e  3 cells" in report
    assert "edgesweep failure learn 3f2a91c07b1e --cause CODE" in " ".join(report.split())
    code, _, told = cli("failure", "learn", HASH[:10], "--cause", "compile_error", "--note", "seen twice")
    assert code == 0
    assert f"{HASH[:12]} is compile_error" in told
    assert f"edgesweep report {RUN.id}" in told
    assert HASH in home.rules.read_text()
    _, text, _ = cli("report", RUN.id, "-o", "json")
    cells = json.loads(text)["cells"]
    assert [cell["cause"] for cell in cells] == ["compile_error"] * 3 + ["unknown", ""]
    assert cells[0]["trials"][0]["cause"] == "unknown"
    _, markdown, _ = cli("report", RUN.id, "-o", "md")
    assert "compile\\_error" in markdown or "compile_error" in markdown
    assert f"unknown {OTHER[:12]}" in markdown


def test_an_own_cause_is_learnt_listed_and_shown(cli, stored) -> None:
    words = ("--text", "the frob is loose", "--remedy", "fasten it", "--transient")
    assert cli("failure", "learn", HASH, *words)[0] == 0
    _, text, _ = cli("failure", "list", "-o", "json")
    last = json.loads(text)["causes"][-1]
    assert (last["code"], last["stable"], last["remedy"]) == (f"local:{HASH[:12]}", False, "fasten it")
    assert "the frob is loose" in cli("failure", "show", f"local:{HASH[:12]}")[1]
    _, report, _ = cli("report", RUN.id)
    assert "the frob is loose" in report
    assert "lost" in report


def test_a_whole_hash_is_learnt_though_nothing_is_stored_with_it(cli, home) -> None:
    code, _, told = cli("failure", "learn", "ab" * 32, "--cause", "oom")
    assert code == 0
    assert "learnt: abababababab is oom" in told
    assert "next:" not in told
    assert "ab" * 32 in home.rules.read_text()


def test_words_are_shown_with_where_they_were_said(cli, stored) -> None:
    code, text, _ = cli("failure", "show", HASH[:12])
    assert code == 0
    assert "2 cells in 1 run" in text
    assert "/dev/frob3" in text
    assert "failure learn" in text
    _, data, _ = cli("failure", "show", HASH, "-o", "json")
    found = json.loads(data)
    assert (found["hash"], found["cause"], len(found["cells"]), found["runs"]) == (HASH, "unknown", 2, [RUN.id])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("show", "unsuported_op"), "did you mean 'unsupported_op'?"),
        (("show", "f" * 12), "no stored run has a failure whose words have the hash ffffffffffff"),
        (("show", HASH[:8]), "2 hashes begin with 3f2a91c0"),
        (("learn", HASH[:7], "--cause", "oom"), "is no message hash"),
        (("learn", HASH), "say what it is"),
        (("learn", HASH, "--cause", "oomm"), "did you mean 'oom'?"),
        (("learn", HASH, "--cause", "oom", "--text", "x", "--remedy", "y"), "are for an own cause"),
        (("learn", HASH, "--text", "x"), "give it a text and a remedy"),
        (("learn", "f" * 12, "--cause", "oom"), "no stored run"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence_and_nothing_written(cli, stored, home, words, sentence) -> None:
    code, out, err = cli("failure", *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert not home.rules.exists()


def test_a_broken_rules_file_is_told_before_anything_is_done(cli, stored, home) -> None:
    home.rules.parent.mkdir(parents=True)
    home.rules.write_text("version: 1\nrules:\n  - hash: 3f2a91c07b1e\n    cuase: oom\n")
    for words in (("report", RUN.id), ("failure", "list"), ("failure", "learn", HASH, "--cause", "oom")):
        code, _, err = cli(*words)
        assert code == 2
        assert "rules.yaml:4:5: unknown key 'cuase', did you mean 'cause'?" in err


def test_every_cause_is_listed_with_its_remedy_and_stands_on_the_page(cli) -> None:
    _, text, _ = cli("failure", "list", "-o", "json")
    listed = {row["code"]: row for row in json.loads(text)["causes"]}
    assert set(listed) == set(CAUSES)
    assert all(row["remedy"] and row["text"] for row in listed.values())
    assert listed["board_rebooted"]["stable"] is False
    page = PAGE.read_text(encoding="utf-8")
    assert {code for code in CAUSES if f"| `{code}` |" not in page} == set()
    _, table, _ = cli("failure", "list")
    assert "oom_device" in table


def test_links_are_whole_addresses() -> None:
    links = [cause.link for cause in all_causes(RuleBook()) if cause.link]
    assert len(links) >= 5
    assert all(link.startswith("https://") for link in links)
