"""`edgesweep plan init` and `list`: a built-in plan as a file of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edgesweep.cli.main import main
from edgesweep.plan.builtin import builtin_plans, builtin_summary, builtin_text
from edgesweep.plan.load import load_plan


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["plan", *args])
    return int(end.value.code or 0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", builtin_plans())
def test_a_built_in_plan_becomes_a_file_that_is_valid_and_named_after_it(name: str, here: Path, capsys) -> None:
    assert call("init", "--from", name) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"edgesweep export matrix {name}.yaml" in err
    assert (here / f"{name}.yaml").read_text() == builtin_text(name)
    assert load_plan(here / f"{name}.yaml").plan.name == name


def test_a_file_that_is_there_is_kept_unless_it_is_said_otherwise(here: Path, capsys) -> None:
    mine = here / "mine.yaml"
    mine.write_text("mine\n")
    assert call("init", "mine.yaml") == 2
    assert mine.read_text() == "mine\n"
    assert "there is a file mine.yaml already" in (told := capsys.readouterr().err)
    assert "--force" in told
    assert call("init", "mine.yaml", "--force") == 0
    assert mine.read_text() == builtin_text("quickstart")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--from", "architecture"], "did you mean 'architectures'"),
        (["--from", "../secrets"], "there is no built-in plan"),
        (["nowhere/plan.yaml"], "cannot write nowhere/plan.yaml: No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(args: list[str], words: str, here: Path, capsys) -> None:
    assert call("init", *args) == 2
    error, remedy = capsys.readouterr().err.splitlines()
    assert words in error
    assert remedy.startswith("remedy: ")
    assert list(here.iterdir()) == []


def test_the_list_names_every_plan_and_says_what_it_is(capsys) -> None:
    assert call("list", "-o", "json") == 0
    plans = json.loads(capsys.readouterr().out)["plans"]
    assert [row["name"] for row in plans] == ["architectures", "quickstart"]
    assert all(row["summary"] == builtin_summary(row["name"]) and row["summary"].endswith(".") for row in plans)
    assert call("list") == 0
    assert "architectures" in capsys.readouterr().out


def test_checking_names_the_entries_that_do_nothing(here: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("EDGESWEEP_HOME", str(here / "home"))
    plan = here / "plan.yaml"
    plan.write_text(
        "version: 1\nmodels: [{zoo: mobile-cnn}]\n"
        "exclude: [{opset: 13, until: 2020-01-01}]\n"
        "known_failures: [{opset: 9, reason: issue 7}, {opset: 17, device: pi5}]\n"
    )
    assert call("check", "plan.yaml") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[:2] == [
        "plan.yaml: exclude[0] ended on 2020-01-01 and no longer counts",
        "plan.yaml: known_failures[0] means no cell of this plan",
    ]
    assert "plan.yaml is valid" in err
    assert "known_failures[1]" not in err
