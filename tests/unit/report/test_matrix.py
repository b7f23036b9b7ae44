from __future__ import annotations

import pytest
from edgesweep.report.matrix import matrix_blocks


def test_every_cell_stands_in_exactly_one_square(sample_doc):
    blocks = matrix_blocks(sample_doc)
    assert [block.title for block in blocks] == [
        "quickstart · onnxruntime 1.23.2 · cpu",
        "pi5-kitchen · onnxruntime 1.23.2 · cpu",
        "pi5-kitchen · onnxruntime 1.23.2 · xnnpack+cpu",
    ]
    names = [cell["name"] for block in blocks for cells in block.cells.values() for cell in cells]
    assert sorted(names) == sorted(cell["name"] for cell in sample_doc["cells"])


def test_columns_are_in_the_order_of_exporter_opset_and_planned_axes(sample_doc):
    columns = matrix_blocks(sample_doc)[0].columns
    assert [(column.exporter, column.opset, column.axes) for column in columns[:3]] == [
        ("dynamo", 13, "static"),
        ("dynamo", 13, "batch"),
        ("dynamo", 18, "static"),
    ]
    assert columns[-1].exporter == "torchscript"


@pytest.mark.parametrize("opsets", [range(13, 15), range(11, 24), range(18, 19)])
@pytest.mark.parametrize("width", [1, 4, 12])
def test_a_cut_matrix_keeps_every_column_and_never_splits_an_opset(make_doc, opsets, width):
    (block, *_) = matrix_blocks(make_doc(("mobile-cnn",), tuple(opsets)))
    tables = block.chunks(width)
    assert [column for table in tables for column in table] == list(block.columns)
    homes = {}
    for place, table in enumerate(tables):
        for column in table:
            assert homes.setdefault((column.exporter, column.opset), place) == place
        assert len(table) <= max(width, 2)
