"""Which wheels are collected for which Python of a board; pip itself decides, for boards that are not here."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.provision.board import Board, Interpreter
from edgesweep.fleet.provision.service import Provisioner
from edgesweep.fleet.provision.wanted import parse_wanted, wanted_of_file
from edgesweep.fleet.provision.wheels import NO_PIP, Source, UnfitError, collect

PYTHON = Interpreter("/usr/bin/python3", (3, 10, 12), "aarch64", (2, 35), ensurepip=True)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    return folder


async def test_old_releases_come_with_an_old_numpy(wheels: Path, wheel, into: Path, other: Path) -> None:
    wheel(wheels, "onnxruntime", "1.16.3", requires=("numpy>=1.20",))
    wheel(wheels, "onnxruntime", "1.23.2", requires=("numpy>=1.20",))
    wheel(wheels, "numpy", "1.26.4")
    wheel(wheels, "numpy", "2.1.0")
    old = await collect(parse_wanted("1.16.3"), PYTHON, Source(wheels), into)
    assert {path.name.rsplit("-", 3)[0] for path in old.files} >= {"onnxruntime-1.16.3", "numpy-1.26.4"}
    new = await collect(parse_wanted("1.23.2"), PYTHON, Source(wheels), other)
    assert {path.name.rsplit("-", 3)[0] for path in new.files} >= {"onnxruntime-1.23.2", "numpy-2.1.0"}


async def test_the_newest_is_the_newest_that_fits(wheels: Path, wheel, into: Path) -> None:
    wheel(wheels, "onnxruntime", "1.23.2", tag="cp310-cp310-manylinux_2_27_aarch64")
    wheel(wheels, "onnxruntime", "1.24.4", tag="cp311-cp311-manylinux_2_27_aarch64")
    wheel(wheels, "onnxruntime", "1.25.0", tag="cp310-cp310-manylinux_2_38_aarch64")
    wheel(wheels, "onnxruntime", "1.26.0", tag="cp310-cp310-manylinux_2_27_x86_64")
    collected = await collect(parse_wanted("newest"), PYTHON, Source(wheels), into)
    assert collected.version == "1.23.2"


async def test_the_room_on_the_board_counts_what_is_packed_too(wheels: Path, wheel, into: Path) -> None:
    wheel(wheels, "onnxruntime", "1.23.2", ballast=50_000_000)
    collected = await collect(parse_wanted("1.23.2"), PYTHON, Source(wheels), into)
    assert collected.needs_bytes > 50_000_000


async def test_a_wheel_that_does_not_fit_says_what_there_is(wheels: Path, wheel, into: Path) -> None:
    for version in ("1.20.0", "1.21.0"):
        wheel(wheels, "onnxruntime", version, tag="cp310-cp310-manylinux_2_27_aarch64")
    with pytest.raises(UnfitError, match=r"has wheels of 1\.20\.0 to 1\.21\.0"):
        await collect(parse_wanted("1.16.3"), PYTHON, Source(wheels), into)


@pytest.mark.parametrize("status", [None, 401, 404, 503])
async def test_an_index_that_does_not_answer_is_no_lack_of_wheels(status, monkeypatch, into: Path) -> None:
    """A local server that refuses, or none at all; pip's own words are the same for all of them."""
    server = await asyncio.start_server(lambda reader, writer: refuse(reader, writer, status), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if status is None:
        server.close()
        await server.wait_closed()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    if status == 404:
        with pytest.raises(UnfitError, match="No matching distribution"):
            await collect(parse_wanted("1.20.1"), PYTHON, Source(), into)
    else:
        with pytest.raises(EdgesweepError, match="cannot be fetched from the package index") as caught:
            await collect(parse_wanted("1.20.1"), PYTHON, Source(), into)
        assert caught.value.code == "index_unreachable"
    server.close()
    assert os.listdir(into) == []  # noqa: PTH208 - one call, in a test without a loop to hold up


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    writer.close()


async def test_a_vendors_file_that_is_for_another_python_does_not_fit(wheels: Path, wheel, into: Path) -> None:
    path = wheel(wheels.parent / "vendor", "onnxruntime-gpu", "1.23.0", tag="cp38-cp38-linux_aarch64")
    with pytest.raises(UnfitError, match="not a supported wheel"):
        await collect(wanted_of_file(path), PYTHON, Source(wheels), into)


async def test_a_file_that_is_no_zip_is_said_so(wheels: Path, into: Path) -> None:
    (wheels / "onnxruntime-1.23.2-py3-none-any.whl").write_text("an error page of a mirror")
    with pytest.raises(EdgesweepError, match=r"pip could not collect the wheels|not a whole wheel"):
        await collect(parse_wanted("1.23.2"), PYTHON, Source(wheels), into)


async def test_without_a_wheel_of_pip_the_board_needs_its_own(tmp_path: Path, wheel, into: Path) -> None:
    folder = tmp_path / "bare"
    wheel(folder, "onnxruntime", "1.23.2")
    wheel(folder, "numpy", "2.1.0")
    collected = await collect(parse_wanted("1.23.2"), PYTHON, Source(folder), into)
    # numpy is the worker's own need: this runtime's wheel asks for none.
    assert [path.name.split("-")[0] for path in collected.files] == ["numpy", "onnxruntime"]
    bare = Interpreter("/usr/bin/python3", (3, 10, 12), "aarch64", (2, 35))
    with pytest.raises(UnfitError, match="has no pip of its own") as caught:
        await collect(parse_wanted("1.23.2"), bare, Source(folder), into)
    assert str(caught.value) == NO_PIP


class OtherBoard(Provisioner):
    """A board that is not here: what it says of itself is made up, and what it is told to do is kept."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.told: list[dict[str, object]] = []
        super().__init__(SimpleNamespace(place="nowhere"), "/var/lib/edgesweep", None, lambda _: None)

    async def look(self) -> Board:
        return self._board

    async def _do(self, job, files=(), what=""):
        self.told.append({**job, "files": [path.name for path in files]})
        return {"path": f"/s/{job['name']}", "present": True}


async def test_the_newest_python_with_a_wheel_is_taken(wheels: Path, wheel, tmp_path: Path) -> None:
    wheel(wheels, "onnxruntime", "1.19.2", tag="cp38-cp38-manylinux_2_27_aarch64")
    wheel(wheels, "onnxruntime", "1.23.2", tag="cp310-cp310-manylinux_2_27_aarch64")
    wheel(wheels, "onnxruntime", "1.23.2", tag="cp38-cp38-manylinux_2_27_aarch64")
    old = Interpreter("/usr/bin/python3.8", (3, 8, 10), "aarch64", (2, 31), ensurepip=True)
    new = Interpreter("/opt/python3.12", (3, 12, 1), "aarch64", (2, 31), ensurepip=True)
    board = Board("/s", True, "me", (new, old, PYTHON, Interpreter("/x", fault="it is broken")), ())  # noqa: FBT003
    there = OtherBoard(board)
    outcomes = []
    wanted = [parse_wanted(text) for text in ("1.19.2", "1.23.2", "1.23.2@py38", "1.30.0")]
    await there.install(wanted, Source(wheels), tmp_path / "cache", online=False, done=outcomes.append)
    assert [told["python"] for told in there.told] == ["/usr/bin/python3.8", "/usr/bin/python3", "/usr/bin/python3.8"]
    assert outcomes[-1].state == "failed"
    assert outcomes[-1].error.code == "runtime_unfit"
    assert "Python 3.8 has wheels of 1.19.2 to 1.23.2" in outcomes[-1].error.message
