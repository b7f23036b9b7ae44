"""The rules file: what it takes, what is wrong with it by line, and entries that are added without losing comments."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgesweep.errors import CAUSES, EdgesweepError
from edgesweep.failures.rules import Rule, RuleBook
from edgesweep.failures.rules_file import add_rule, read_rules, rule_of

HASH = "3f2a91c07b1e"

GOOD = f"""\
# what this lab knows
version: 1
rules:
  - hash: {HASH}
    cause: unsupported_op
    note: the NPU says so
  - pattern: "frob .* went away"   # see the ticket
    cause: local:frob
    text: the frob is loose
    remedy: fasten it
    stable: false
    link: https://tracker.example/1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "rules.yaml"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_that_is_not_there_or_empty_has_no_rules(path) -> None:
    assert read_rules(path) == RuleBook()
    assert read_rules(write(path, "")) == RuleBook()
    assert read_rules(write(path, "version: 1\n")) == RuleBook()


def test_the_whole_of_a_good_file(path) -> None:
    first, second = read_rules(write(path, GOOD)).rules
    assert first == Rule("unsupported_op", hash=HASH, note="the NPU says so")
    assert (second.cause, second.text, second.advice, second.stable) == (
        "local:frob",
        "the frob is loose",
        "fasten it",
        False,
    )
    assert first.advice == CAUSES["unsupported_op"].remedy


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("    note:", "    notes:", "6:5", "unknown key 'notes', did you mean 'note'?"),
        ("rules:", "rule:", "3:1", "unknown key 'rule', did you mean 'rules'?"),
        ("unsupported_op", "unsuported_op", "5:12", "did you mean 'unsupported_op'?"),
        (HASH, "3F2A", "4:11", "8 to 64 of the digits"),
        ("frob .*", "frob (", "7:14", "no regular expression"),
        ("    text: the frob is loose\n", "", "7:5", "give it a text and a remedy"),
        ("    note: the NPU says so", "    text: x", "4:5", "are for an own cause"),
        ("    note: the NPU says so", "    pattern: x", "4:5", "a hash or a pattern, and not both"),
        ("local:frob", "local:Frob 1", "8:12", "small letters"),
        ("https://", "ftp://", "12:11", "begins with https://"),
        ("stable: false", "stable: perhaps", "11:13", "stable: input should be a valid boolean"),
        ("version: 1", "version: 2", "2:10", "newer than this Edgesweep knows"),
        ("    cause: unsupported_op\n", "", "4:5", "the key 'cause' is missing"),
        ('"frob .* went away"', f'"x"\n    cause: oom\n  - hash: {HASH}', "9:5", "two rules are about"),
        ("rules:\n", "rules\n", "", "this is not YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(path, old, new, place, words) -> None:
    assert old in GOOD
    write(path, GOOD.replace(old, new, 1))
    with pytest.raises(EdgesweepError) as caught:
        read_rules(path)
    assert caught.value.code == "config_invalid"
    assert caught.value.message.startswith(f"{path}:{place}")
    assert words in caught.value.message


def test_an_entry_is_added_and_comments_stay(path) -> None:
    write(path, GOOD)
    new = rule_of(hash="ab" * 32, cause="compile_error", link=None, note="new")
    assert add_rule(path, new) is False
    text = path.read_text()
    assert "# what this lab knows" in text
    assert "# see the ticket" in text
    assert read_rules(path).rules[-1] == new
    assert "stable" not in text.split("ab" * 32)[1]
    assert [entry.name for entry in path.parent.iterdir()] == ["rules.yaml"]


def test_an_entry_about_the_same_hash_takes_the_place_of_the_old_one(path) -> None:
    write(path, GOOD)
    whole = HASH + "0" * 52
    assert add_rule(path, rule_of(hash=whole, cause="oom", stable=False)) is True
    rules = read_rules(path).rules
    assert len(rules) == 2
    assert rules[0] == Rule("oom", hash=whole, stable=False)


def test_the_first_entry_makes_the_file(path) -> None:
    add_rule(path, rule_of(hash=HASH, cause="local:x", text="a", remedy="b"))
    assert path.read_text().startswith("version: 1\n")
    assert read_rules(path).rules == (Rule("local:x", hash=HASH, text="a", remedy="b"),)


def test_nothing_is_written_into_a_broken_file(path) -> None:
    write(path, GOOD + "  - nonsense: 1\n")
    before = path.read_text()
    with pytest.raises(EdgesweepError):
        add_rule(path, rule_of(hash=HASH, cause="oom"))
    assert path.read_text() == before


def test_trouble_of_the_lab_stays_so_unless_the_rule_says_otherwise() -> None:
    assert rule_of(hash=HASH, cause="interrupted").stable is False
    assert rule_of(hash=HASH, cause="interrupted", stable=True).stable is True
    with pytest.raises(EdgesweepError, match="a hash or a pattern"):
        rule_of(cause="oom")
