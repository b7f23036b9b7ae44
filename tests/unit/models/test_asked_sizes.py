from __future__ import annotations

import pytest
from edgesweep.errors import EdgesweepError
from edgesweep.models.asked_sizes import AskedSizes, asked_sizes
from edgesweep_agent.onnx_header import OnnxHeader, ValueInfo


def header(**inputs: tuple[int | str | None, ...]) -> OnnxHeader:
    values = tuple(ValueInfo(name, "float32", dims) for name, dims in inputs.items())
    return OnnxHeader(8, 17, {"": 17}, values, (), (), 1)


FILE = header(image=("batch", 3, "height", None), ids=("batch", "2*seq"), seq=("seq",), fixed=(4,))


@pytest.mark.parametrize(
    ("texts", "sizes"),
    [
        ((), {}),
        (("batch=4",), {"batch": 4}),
        (("image=2x3x64x48",), {"batch": 2, "height": 64, "image_3": 48}),
        (("ids=2x10", "batch=2"), {"batch": 2, "d2_seq": 10}),
        (("2*seq=10",), {"d2_seq": 10}),
        (("seq=7",), {"seq": 7}),
        (("fixed=4",), {}),
    ],
)
def test_sizes_by_dimension_or_by_input(texts, sizes):
    asked = asked_sizes(FILE, texts)
    assert asked.sizes == sizes
    assert asked.dynamic == {"image": {3: "image_3"}, "ids": {1: "d2_seq"}}


def test_names_of_the_file_that_are_plain_words_stay():
    assert asked_sizes(header(x=("batch", 3)), ["batch=2"]) == AskedSizes({"batch": 2}, {})
    assert asked_sizes(header(x=("full", "static")), []).dynamic == {"x": {0: "dfull", 1: "dstatic"}}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (
            ["batch"],
            "--shape takes INPUT=SIZExSIZE or DIMENSION=SIZE, such as image=1x3x224x224 or batch=4, not 'batch'",
        ),
        (["batch=four"], "not 'batch=four'"),
        (["=4"], "not '=4'"),
        (["batch=-1"], "not 'batch=-1'"),
        (["batch=0"], "--shape batch=0: a size is at least 1"),
        (["btch=4"], "'btch' is no input and no dynamic dimension of the file, did you mean 'batch'?"),
        (["batch=4x4"], "'batch' is a dimension, which has one size"),
        (["image=1x3x64"], "the file's 'image' has 4 dimensions: batchx3xheightx?"),
        (["image=1x4x64x64"], "the file fixes 'image' at batchx3xheightx?"),
        (["fixed=5"], "the file fixes 'fixed' at 4"),
        (
            ["batch=2", "image=3x3x64x64"],
            "--shape batch=2 and --shape image=3x3x64x64 give dimension 'batch' two sizes",
        ),
    ],
)
def test_what_the_file_does_not_have_is_one_sentence(texts, words):
    with pytest.raises(EdgesweepError) as caught:
        asked_sizes(FILE, texts)
    assert caught.value.code == "usage"
    assert words in caught.value.message
