"""What a person may ask for, and what it means."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.fleet.provision.board import Board, Installed, Interpreter
from edgesweep.fleet.provision.wanted import DISTRIBUTIONS, parse_wanted, wanted_of_file
from edgesweep.fleet.provision.wheels import platform_tags
from edgesweep_agent.runtimes import flavour_of


@pytest.mark.parametrize(
    ("text", "requirement", "python"),
    [
        ("1.23.2", "onnxruntime==1.23.2", None),
        ("openvino-1.24.1", "onnxruntime-openvino==1.24.1", None),
        ("plain-1.23.2", "onnxruntime==1.23.2", None),
        ("cuda-1.23.2", "onnxruntime-gpu==1.23.2", None),
        ("trt-rtx-1.23.2", "onnxruntime-trt-rtx==1.23.2", None),
        ("newest", "onnxruntime", None),
        ("qnn-newest", "onnxruntime-qnn", None),
        ("1.19.2@py38", "onnxruntime==1.19.2", (3, 8)),
        ("openvino-1.24.1@py313", "onnxruntime-openvino==1.24.1", (3, 13)),
        ("1.24.0.dev20251031003", "onnxruntime==1.24.0.dev20251031003", None),
    ],
)
def test_ids_of_runtimes(text: str, requirement: str, python: tuple[int, int] | None) -> None:
    wanted = parse_wanted(text)
    assert (wanted.requirement, wanted.python) == (requirement, python)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("openvno-1.24.1", "did you mean 'openvino'"),
        ("1.23.2; rm -rf", "no runtime"),
        ("-1.23.2", "no runtime"),
        ("../1.23.2", "no runtime"),
        ("1", "no runtime"),
        ("", "no runtime"),
        ("1.19.2@3.8", "no runtime"),
    ],
)
def test_what_is_no_runtime_is_said_with_a_remedy(text: str, word: str) -> None:
    with pytest.raises(EdgesweepError, match=word) as caught:
        parse_wanted(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "flavour", "version"),
    [
        ("onnxruntime_gpu-1.23.0-cp310-cp310-linux_aarch64.whl", "gpu", "1.23.0"),
        ("onnxruntime-1.16.3+nv-cp38-cp38-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "", "1.16.3+nv"),
        ("onnxruntime_house_build-1.0.0-1-py3-none-any.whl", "house-build", "1.0.0"),
    ],
)
def test_a_file_says_by_its_name_what_it_brings(name: str, flavour: str, version: str) -> None:
    wanted = wanted_of_file(Path("/vendor") / name)
    assert (wanted.flavour, wanted.version, wanted.requirement) == (flavour, version, f"/vendor/{name}")


@pytest.mark.parametrize(
    "name", ["numpy-2.0-cp310-cp310-linux_x86_64.whl", "onnxruntime.whl", "onnxruntime-1.0.tar.gz"]
)
def test_a_file_that_is_no_wheel_of_onnxruntime_is_refused(name: str) -> None:
    with pytest.raises(EdgesweepError, match="not named as a wheel of onnxruntime"):
        wanted_of_file(Path(name))


def test_the_agent_tells_every_flavour_by_the_name_of_its_distribution() -> None:
    for flavour, distribution in DISTRIBUTIONS.items():
        assert flavour_of([(distribution, "1.2.3")], "1.2.3") == flavour


@pytest.mark.parametrize(
    ("text", "constraints"),
    [("1.18.1", ("numpy<2",)), ("openvino-1.9.0", ("numpy<2",)), ("1.19.0", ()), ("2.0.0", ()), ("newest", ())],
)
def test_old_releases_get_an_old_numpy(text: str, constraints: tuple[str, ...]) -> None:
    assert parse_wanted(text).constraints == constraints


def test_the_tags_are_those_that_the_boards_glibc_takes() -> None:
    tags = platform_tags(Interpreter("python3", (3, 8, 10), "aarch64", (2, 31)))
    assert tags[0] == "manylinux_2_31_aarch64"
    assert "manylinux_2_27_aarch64" in tags
    assert "manylinux_2_32_aarch64" not in tags
    assert tags.index("manylinux2014_aarch64") == tags.index("manylinux_2_17_aarch64") + 1
    assert tags[-1] == "linux_aarch64"


def test_a_name_means_the_folder_or_the_id_with_or_without_its_python() -> None:
    def made(name: str, version: str, python: str) -> Installed:
        return Installed(name, f"/s/runtimes/{name}", "", version, python)

    newer, older = made("1.19.2", "1.19.2", "3.12.1"), made("1.19.2@py38", "1.19.2", "3.8.18")
    only, foreign = made("1.20.1@py310", "1.20.1", "3.10.13"), Installed("by-hand", "/s/runtimes/by-hand")
    board = Board("/s", True, "me", (), (newer, older, only, foreign))  # noqa: FBT003
    assert board.named("1.19.2") == (newer,)
    assert board.named("1.19.2@py38") == (older,)
    assert board.named("1.19.2@py312") == (newer,)
    assert board.named("1.20.1") == (only,)
    assert board.named("by-hand") == (foreign,)
    assert board.named("1.20.1@py38") == ()
