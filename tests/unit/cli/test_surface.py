"""The command line's surface: what help, docs and exit codes promise exists, and nothing heavy is imported for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from edgesweep.cli.main import cli
from edgesweep.errors import CATALOGUE, ExitCode
from edgesweep.models.source import SourceKind
from edgesweep.plan.load import parse_plan
from edgesweep.plan.sources import sources_of

ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "onnx", "onnxruntime", "grpc", "sqlalchemy", "numpy", "pyarrow", "pydantic"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(cli))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help_and_every_option_too(path) -> None:
    command = ALL[path]
    assert command.help, path
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, (path, parameter.name)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from edgesweep.cli.main import main\n"
        "try:\n    main(['run', '--help'])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_reading_a_plan_imports_no_torch(tmp_path) -> None:
    plan = tmp_path / "p.yaml"
    plan.write_text("version: 1\nname: p\nmodels: [{zoo: mobile-cnn}]\n")
    code = f"import sys\nfrom edgesweep.cli.main import main\ntry:\n    main(['plan', 'check', {str(plan)!r}])\n"
    code += "except SystemExit as end:\n    assert not end.code, end.code\nprint('torch' in sys.modules, 'grpc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


def test_every_command_that_the_readme_names_exists() -> None:
    text = (ROOT / "README.md").read_text()
    named = re.findall(r"^(?:agent/bin/)?edgesweep ((?:[a-z]+ ?)+)", text, flags=re.MULTILINE)
    assert len(named) >= 6
    for words in named:
        parts = tuple(words.split())
        assert any(parts[:length] in ALL for length in (1, 2)), words


def test_the_plan_in_the_readme_runs_as_it_is_printed(tmp_path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    loaded = parse_plan(text, tmp_path, "nightly.yaml")
    assert {source.kind for source in sources_of(loaded.plan, tmp_path)} == {SourceKind.ZOO}


def test_every_exit_code_is_in_the_readme() -> None:
    line = re.search(r"Exit codes: (.*?)\n\n", (ROOT / "README.md").read_text().replace("\n6", " 6"), flags=re.DOTALL)
    numbers = {int(number) for number in re.findall(r"\b\d+\b", line.group(1).split("[")[0])}
    assert {code.value for code in ExitCode} <= numbers


def test_every_code_says_what_is_wrong_and_what_to_do() -> None:
    for code, entry in CATALOGUE.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", code)
        assert entry.text, code
        assert not entry.text.endswith("."), code
        assert entry.remedy, code
        assert isinstance(entry.exit_code, ExitCode)


def test_codes_named_in_the_controller_are_in_the_catalogue() -> None:
    named = set()
    for path in (ROOT / "controller" / "src").rglob("*.py"):
        named |= set(re.findall(r'EdgesweepError\(\s*"([a-z_]+)"', path.read_text()))
    assert len(named) > 10
    assert named <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (["nonsense"], 2, "nonsense"),
        (["run"], 2, "PLAN"),
        (["run", "a.yaml", "--resume", "x"], 2, "PLAN"),
        (["report", "latest"], 3, "edgesweep run"),
        (["report", "latest", "-o", "pdf"], 2, "pdf"),
        (["device", "show", "nobody"], 2, "nobody"),
        (["device", "add", "Bad Name", "host:1"], 2, "name"),
        (["device", "add", "pi", "nowhere"], 2, "nowhere"),
        (["run", "--resume", "nothing"], 3, "run"),
        (["pki", "issue", "pi"], 5, "pki init"),
    ],
)
def test_misuse_is_one_sentence_a_remedy_and_a_code(tmp_path, monkeypatch, capsys, args, code, word) -> None:
    from edgesweep.cli.main import main

    monkeypatch.setenv("EDGESWEEP_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        main(args)
    said = capsys.readouterr().err
    assert end.value.code == code, said
    assert said.startswith("error: ")
    assert "remedy: " in said
    assert word in said
    assert "Traceback" not in said


def test_a_bug_is_saved_with_its_traceback(tmp_path, monkeypatch, capsys) -> None:
    from edgesweep.cli import main as module

    monkeypatch.setenv("EDGESWEEP_HOME", str(tmp_path))
    monkeypatch.setattr(module.cli, "main", lambda **_: 1 / 0)
    with pytest.raises(SystemExit) as end:
        module.main([])
    assert end.value.code == ExitCode.BUG
    saved = list((tmp_path / "state" / "crashes").iterdir())
    assert "ZeroDivisionError" in saved[0].read_text()
    assert str(saved[0]) in capsys.readouterr().err


def command(tmp_path, *args: str, **streams) -> subprocess.Popen[str]:
    env = {**os.environ, "EDGESWEEP_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "edgesweep", *args]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, **streams)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "args", [("device", "list", "-o", "json"), ("--help",), ("measure", "--help"), ("plan", "schema")]
)
def test_output_onto_a_full_disk_is_one_sentence_and_no_bug(tmp_path, args) -> None:
    with Path("/dev/full").open("w") as full:
        process = command(tmp_path, *args, stdout=full)
        said = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == ExitCode.USAGE, said
    assert said[0].startswith("error: the output cannot be written: ")
    assert "No space left on device" in said[0]
    assert said[1].startswith("remedy: ")
    assert len(said) == 2
    assert not (tmp_path / "state" / "crashes").exists()


def test_a_reader_that_goes_away_is_no_finding(tmp_path) -> None:
    read, write = os.pipe()
    os.close(read)
    process = command(tmp_path, "plan", "schema", stdout=write)
    os.close(write)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (ExitCode.OK, "")
