"""The command line: what is wrong is told in one sentence, with status 2."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from edgesweep_agent.interpreters import Interpreter
from edgesweep_agent.runtimes import PluginFile
from edgesweep_agent.settings import listen_address, parse_arguments
from edgesweep_agent.tls import is_loopback

BASE = ["serve", "--state-dir", "state"]


def test_a_plain_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = parse_arguments(
        [*BASE, "--listen", "[::1]:5", "--insecure", "--name", "n", "--runtime", sys.executable, "--runtime", "old=sh"]
    )
    assert (told.host, told.port, told.address, told.name) == ("::1", 5, "[::1]:5", "n")
    assert told.state_dir == tmp_path / "state"
    assert told.tls_dir is None
    assert told.runtimes[0] == Interpreter(sys.executable)
    assert told.runtimes[1].name == "old"
    assert told.runtimes[1].python.endswith("/sh")
    assert parse_arguments([*BASE, "--listen", "0.0.0.0:1", "--tls-dir", "t"]).tls_dir == tmp_path / "t"
    assert listen_address("a", 1) == "a:1"


def test_plug_in_libraries_are_named_by_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    library = tmp_path / "lab.so"
    library.touch()
    plain = [*BASE, "--listen", "localhost:1", "--insecure"]
    told = parse_arguments([*plain, "--plugin", "LabExecutionProvider=lab.so", "--provider-seconds", "2.5"])
    assert told.plugins == (PluginFile("LabExecutionProvider", str(library)),)
    assert told.provider_seconds == 2.5
    assert parse_arguments(plain).plugins == ()
    assert parse_arguments(plain).provider_seconds is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--listen", "0.0.0.0:1", "--insecure"], "0.0.0.0 is reachable from outside; give --tls-dir"),
        (["--listen", "[::]:1", "--insecure"], ":: is reachable from outside"),
        (["--listen", "127.0.0.1", "--insecure"], "takes HOST:PORT"),
        (["--listen", ":1", "--insecure"], "takes HOST:PORT"),
        (["--listen", "localhost:99999", "--insecure"], "takes HOST:PORT"),
        (["--listen", "no.such.host.invalid:1", "--insecure"], "has no address"),
        (["--listen", "localhost:1"], "--tls-dir --insecure is required"),
        (["--listen", "localhost:1", "--insecure", "--tls-dir", "x"], "not allowed with"),
        (["--listen", "localhost:1", "--insecure", "--runtime", "/no/python"], "is no program that can be run"),
        (["--listen", "localhost:1", "--insecure", "--max-blob-bytes", "many"], "invalid int"),
        (["--listen", "localhost:1", "--insecure", "--max-worker-bytes", "0"], "a size is a number of bytes above 0"),
        (["--listen", "localhost:1", "--insecure", "--max-worker-bytes", "2GB"], "bytes above 0, not '2GB'"),
        (["--listen", "localhost:1", "--insecure", "--plugin", "/opt/lab.so"], "--plugin takes NAME=LIBRARY"),
        (["--listen", "localhost:1", "--insecure", "--plugin", "a/b=/opt/lab.so"], "--plugin takes NAME=LIBRARY"),
        (["--listen", "localhost:1", "--insecure", "--plugin", "Lab=/no/lab.so"], "there is no file '/no/lab.so'"),
        (
            ["--listen", "localhost:1", "--insecure", "--plugin", "A=/bin/sh", "--plugin", "A=/bin/sh"],
            "A is given twice",
        ),
        (["--listen", "localhost:1", "--insecure", "--provider-seconds", "soon"], "seconds above 0, not 'soon'"),
        (["--listen", "localhost:1", "--insecure", "--provider-seconds", "inf"], "seconds above 0, not 'inf'"),
    ],
)
def test_what_is_wrong_ends_with_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments([*BASE, *arguments])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err.replace("\n", " ")


def test_loopback_means_every_address() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("127.9.9.9")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("192.0.2.1")


def test_help_needs_no_grpc(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["serve", "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "--insecure" in out
    assert "--sysroot" not in out
