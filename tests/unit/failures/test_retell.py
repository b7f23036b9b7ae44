"""Old results told anew: the cell gets the rule's cause, the trial keeps its own, and without the rule all is as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgesweep.errors import remedy_for
from edgesweep.failures.advice import advice_on
from edgesweep.failures.retell import retell, retell_end, trial_as_told
from edgesweep.failures.rules import NO_RULES, Rule, RuleBook
from edgesweep.report.document import build_document
from edgesweep.store.records import CellEnd, Outcome
from edgesweep_proto.execution import Diagnosis
from edgesweep_proto.trial import TrialOutcome

from tests.unit.failures.conftest import HASH, OTHER, WORDS, make_cell, make_end, make_trial


def causes(view):
    return [record.end.cause for record in view.cells]


def test_every_cell_with_the_words_is_told_anew_and_no_other(view) -> None:
    rule = Rule("unsupported_op", hash=HASH[:12], note="seen on the NPU")
    told = retell(view, RuleBook((rule,)))
    assert causes(told) == ["unsupported_op", "unsupported_op", "unsupported_op", "unknown", ""]
    assert told.cells[0].end.remedy == remedy_for("unsupported_op")
    assert told.cells[0].trials == view.cells[0].trials
    assert told.cells[3:] == view.cells[3:]
    document = build_document(told)
    cell = document["cells"][0]
    assert (cell["diagnosis"]["rule"], cell["diagnosis"]["cause"]) == (f"hash {HASH[:12]}", "unknown")
    assert cell["trials"][0]["cause"] == "unknown"
    assert document["cells"][3]["diagnosis"]["rule"] == ""


@pytest.mark.parametrize(("pattern", "fits"), [("frob .* went", True), ("^the frob", True), ("frob3", False)])
def test_a_pattern_is_looked_for_in_the_normalised_words(view, pattern, fits) -> None:
    told = retell(view, RuleBook((Rule("compile_error", pattern=pattern),)))
    assert set(causes(told)) == ({"compile_error", ""} if fits else {"unknown", ""})


def test_a_hash_says_more_than_a_pattern_wherever_it_stands() -> None:
    book = RuleBook((Rule("crash", pattern="frob"), Rule("oom", hash=HASH)))
    assert book.find(Diagnosis("message", normalised=WORDS, message_hash=HASH)).cause == "oom"
    assert book.find(Diagnosis("message", normalised=WORDS, message_hash=OTHER)).cause == "crash"
    assert book.find(Diagnosis("signal")) is None
    assert book.find(None) is None


def test_an_own_cause_brings_its_own_words_and_trouble_of_the_lab_is_lost(view) -> None:
    rule = Rule("local:frob", hash=HASH, text="the frob is loose", remedy="fasten it", stable=False, link="https://x.y")
    document = build_document(retell(view, RuleBook((rule,))))
    cell = document["cells"][0]
    told = {key: cell[key] for key in ("outcome", "cause", "message", "remedy", "link")}
    assert told == {
        "outcome": "lost",
        "cause": "local:frob",
        "message": "the frob is loose",
        "remedy": "fasten it",
        "link": "https://x.y",
    }
    assert document["incomplete"] is True
    assert document["summary"]["outcomes"]["lost"] == 3


def test_a_rule_that_is_gone_is_taken_back(view) -> None:
    rules = RuleBook((Rule("interrupted", hash=HASH, stable=False), Rule("crash", pattern="frob")))
    again = retell(retell(view, rules), NO_RULES)
    assert [(record.end.outcome, record.end.cause, record.end.rule) for record in again.cells] == [
        (record.end.outcome, record.end.cause, "") for record in view.cells
    ]
    assert retell(retell(view, rules), rules) == retell(view, rules)


def test_what_no_failed_trial_decided_stays() -> None:
    cell = make_cell("m")
    book = RuleBook((Rule("crash", pattern="."),))
    failed = make_trial(cell, "unknown", HASH)
    for end in (
        CellEnd(cell.name, Outcome.PASS, "placement"),
        CellEnd(cell.name, Outcome.LOST, "load", "device_unreachable"),
        CellEnd(cell.name, Outcome.FALLBACK, "placement", "no_nodes"),
    ):
        assert retell_end(end, [failed], book) == end
    wordless = replace(failed, result=replace(failed.result, diagnosis=None))
    interrupted = replace(failed, result=replace(failed.result, outcome=TrialOutcome.INTERRUPTED))
    for trials in ([], [wordless], [interrupted]):
        assert retell_end(make_end(cell, "unknown"), trials, book) == make_end(cell, "unknown")


def test_trouble_of_the_lab_is_tried_again_and_lost_when_that_does_not_help() -> None:
    cell = make_cell("m")
    failed = make_trial(cell, "unknown", HASH)
    rule = Rule("local:frob", hash=HASH, text="the frob is loose", remedy="fasten it", stable=False)
    told = trial_as_told(failed, RuleBook((rule,))).result
    assert (told.outcome, told.cause, told.message) == (TrialOutcome.INTERRUPTED, "local:frob", "the frob is loose")
    for book in (NO_RULES, RuleBook((replace(rule, stable=True),))):
        assert trial_as_told(failed, book) is failed
    lost = CellEnd(cell.name, Outcome.LOST, "load", "local:frob", "the frob is loose")
    end = retell_end(lost, [failed], RuleBook((rule,)))
    assert (end.outcome, end.rule, end.remedy) == (Outcome.LOST, f"hash {HASH[:12]}", "fasten it")
    away = replace(lost, cause="device_unreachable")
    assert retell_end(away, [failed], RuleBook((rule,))) == away


def test_the_first_failed_trial_decides(view) -> None:
    cell = make_cell("m")
    trials = [make_trial(cell, "unknown", OTHER, 1), make_trial(cell, "unknown", HASH, 0)]
    book = RuleBook((Rule("oom", hash=HASH), Rule("crash", hash=OTHER)))
    assert retell_end(make_end(cell, "unknown"), trials, book).cause == "oom"


def test_the_advice_about_unknown_words_can_be_copied() -> None:
    told = Diagnosis("message", normalised=WORDS, message_hash=HASH)
    assert f"learn {HASH[:12]} --cause CODE" in advice_on("unknown", told)
    assert f"learn {HASH} --cause CODE" in advice_on("unknown", told, digits=64)
    assert advice_on("oom", told) == remedy_for("oom")
    assert advice_on("unknown", None) == remedy_for("unknown")
