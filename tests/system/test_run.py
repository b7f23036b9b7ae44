"""A small plan through the real command line, agent, worker, exporter and store."""

from __future__ import annotations

import json


def test_a_plan_is_exported_pushed_measured_and_reported(lab, outcomes) -> None:
    lab.add_agent("board")
    dry = lab.cli("run", "tiny.yaml", "--dry-run", "-o", "json")
    planned = json.loads(dry.stdout)["cells"]
    document = lab.run_json("tiny.yaml")

    assert sorted(outcomes(document)) == sorted(planned)
    assert set(outcomes(document).values()) == {"pass"}
    for cell in document["cells"]:
        assert cell["produced"]["opset"] == cell["opset"]
        assert cell["latency_s"]["n"] >= 10
        assert cell["latency_s"]["median"] > 0
        assert cell["memory_bytes"]["session_peak"] > 0
        assert cell["numerics"]["max_absolute_error"] < 1e-4
        assert cell["placement"]
        assert cell["verdict"] in {"doubtful", "invalid"}
        assert any("single trial" in reason for reason in cell["reasons"])

    runs = json.loads(lab.cli("runs", "-o", "json").stdout)["runs"]
    assert [run["id"] for run in runs] == [document["run"]["id"]]
    again = json.loads(lab.cli("report", "latest", "-o", "json").stdout)
    assert outcomes(again) == outcomes(document)


def test_plain_progress_is_one_line_a_cell_without_control_codes(lab) -> None:
    lab.add_agent("board")
    done = lab.cli("run", "tiny.yaml", "-o", "none")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    cells = json.loads(lab.cli("report", "latest", "-o", "json").stdout)["cells"]
    for cell in cells:
        assert (
            sum(
                cell["name"].split("/", 1)[1].split("/")[1] in line and "pass" in line
                for line in done.stderr.splitlines()
            )
            == 1
        )


def test_a_second_run_exports_nothing_and_uploads_nothing(lab) -> None:
    lab.add_agent("board")
    lab.run_json("tiny.yaml")
    done = lab.cli("run", "tiny.yaml", "-o", "none", "--progress", "plain")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cached") >= 1


def test_every_form_of_report_is_made_and_two_cells_are_compared_node_by_node(lab, tmp_path) -> None:
    lab.add_agent("board")
    plan = (lab.root / "tiny.yaml").read_text().replace("measure: {", "measure: {node_profile: true, ")
    lab.write("tiny.yaml", plan)
    cells = lab.run_json("tiny.yaml")["cells"]
    for form in ("table", "md", "csv", "json"):
        shown = lab.cli("report", "latest", "-o", form)
        assert shown.returncode == 0, shown.stderr
        assert "tiny" in shown.stdout
    page = lab.cli("report", "latest", "-o", "html", "--output", "night.html")
    assert page.returncode == 0, page.stderr
    assert "torchscript-opset17-static-fp32" in (lab.root / "night.html").read_text()

    for cell in cells:
        assert cell["node_profile"]["total_s"] > 0
        assert sum(cell["placement"]["shares"][0]["operators"].values()) == cell["placement"]["shares"][0]["nodes"]
        assert cell["placement"]["model_nodes"] == cell["produced"]["nodes"]
    first, second = cells[0]["name"], cells[-1]["name"]
    compared = lab.cli("compare", "--nodes", first, f"tiny:{second}", "-o", "json")
    assert compared.returncode == 0, compared.stderr
    document = json.loads(compared.stdout)
    assert (document["a"]["cell"], document["b"]["cell"]) == (first, second)
    assert document["nodes"]
    assert not any(row["moved"] for row in document["nodes"])


def test_two_devices_are_swept_in_one_run(lab, outcomes) -> None:
    lab.add_agent("board-a")
    lab.add_agent("board-b")
    document = lab.run_json("tiny.yaml")
    devices = {name.split("/")[0] for name in outcomes(document)}
    assert devices == {"board-a", "board-b"}
    assert set(outcomes(document).values()) == {"pass"}
