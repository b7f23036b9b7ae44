"""The same trouble has the same hash on every board, another trouble another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("numpy")
hypothesis = pytest.importorskip("hypothesis")

from edgesweep_worker.failures.normalise import NORMALISED_LIMIT, message_hash, normalise  # noqa: E402

st = hypothesis.strategies
settings = hypothesis.settings(deadline=None, max_examples=150)
given = hypothesis.given

MESSAGES = [row["text"] for row in json.loads((Path(__file__).parent / "failure_messages.json").read_text())]
NAMES = st.text("abcdefXYZ_.0123456789", min_size=1, max_size=12)
PATHS = st.lists(st.text("abcXYZ09._-", min_size=1, max_size=8), min_size=2, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
TEMPLATE = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Frob node. Name:'{name}' "
    'Status Message: {path}:{number} void onnxruntime::Frob(int) bad thing at 0x{number:x} in "{name}", '
    "{number} of {number}.5 elements, shape {{{number},{number}}} hostname={name}"
)


@settings
@given(NAMES, PATHS, st.integers(0, 2**40), NAMES, PATHS, st.integers(0, 2**40))
def test_names_paths_addresses_and_numbers_do_not_count(name, path, number, other_name, other_path, other_number):
    one = normalise(TEMPLATE.format(name=name, path=path, number=number))
    two = normalise(TEMPLATE.format(name=other_name, path=other_path, number=other_number))
    assert one == two
    assert message_hash(one) == message_hash(two)
    assert "Frob" in one
    assert "bad thing" in one


@settings
@given(st.one_of(st.text(max_size=300), st.sampled_from(MESSAGES), st.text("'\"`/\\<>n0x1:;()[]{} =aN", max_size=60)))
def test_what_is_normalised_stays_as_it_is(text):
    once = normalise(text)
    assert normalise(once) == once
    assert len(once) <= NORMALISED_LIMIT
    assert once == once.strip()


@settings
@given(st.sampled_from(MESSAGES), st.integers(1, 9), PATHS)
def test_more_dimensions_or_another_place_of_the_sources_change_nothing(text, number, path):
    moved = text.replace("/onnxruntime_src/onnxruntime", path + "/onnxruntime").replace(
        "{2,3}", f"{{{number},{number},{number}}}"
    )
    assert normalise(moved) == normalise(text)


def test_another_operator_type_or_word_is_another_trouble():
    texts = [
        "Could not find an implementation for Det(11) node with name 'a'",
        "Could not find an implementation for Sin(11) node with name 'a'",
        "MLDataType for: tensor(int4) is not currently registered or supported",
        "MLDataType for: tensor(int8) is not currently registered or supported",
        "the graph is not acyclic",
    ]
    assert len({message_hash(normalise(text)) for text in texts}) == len(texts)
    assert message_hash("") == ""


def test_bytes_that_are_no_text_do_no_harm():
    broken = "no kernel \udcff for 'x' \ud800"
    assert normalise(broken) == "no kernel ? for <name> ?"
    assert len(message_hash(normalise(broken))) == 64


def test_colours_and_the_moment_of_a_log_line_do_not_count():
    line = "{}[E:onnxruntime:Default, x.cc:1 Create] stoi{}"
    plain = normalise(line.format("", ""))
    assert normalise(line.format("\x1b[1;31m2026-11-26 07:46:15.180978081 ", "\x1b[m\n")) == plain
