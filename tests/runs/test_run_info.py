from __future__ import annotations

import os

from segsuite.config import load_config
from segsuite.runs import Run
from segsuite.runs.run_info import run_metadata
from segsuite.visualization.report import write_report
from tests.engine.tiny import CLASSES, run, tiny_config

OPTIONS = ["DATALOADER.NUM_WORKERS", 0, "SOLVER.MAX_ITER", 4]


def test_resuming_adds_to_the_history_and_the_report_tells_it(tmp_path, monkeypatch):
    options = [*OPTIONS, "OUTPUT_DIR", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["train.py", "first command"])
    run(tiny_config(), options)
    first = Run(tmp_path).info["starts"]
    monkeypatch.setattr("sys.argv", ["train.py", "second <command>"])
    monkeypatch.setattr("segsuite.runs.run_info.env_rows", lambda: [("torch", "99.9")])
    run(tiny_config(), [*options, "SOLVER.MAX_ITER", 6], resume=True)
    starts = Run(tmp_path).info["starts"]
    assert starts[:1] == first and len(starts) == 2
    assert [start["command"] for start in starts] == [
        "train.py 'first command'",
        "train.py 'second <command>'",
    ]
    assert [start["iteration"] for start in starts] == [0, 4]
    assert [start["processes"] for start in starts] == [1, 1]
    assert starts[0]["started"] <= starts[1]["started"]
    assert starts[0]["environment"]["torch"] != starts[1]["environment"]["torch"] == "99.9"
    page = write_report([tmp_path]).read_text()
    assert "at iteration 4" in page and "second &lt;command&gt;" in page
    assert f"torch {starts[0]['environment']['torch']} → 99.9" in page


def test_a_run_that_starts_anew_begins_its_history(tmp_path):
    options = [*OPTIONS, "OUTPUT_DIR", str(tmp_path)]
    run(tiny_config(), options, resume=True)  # there is nothing to resume
    (start,) = Run(tmp_path).info["starts"]
    assert start["iteration"] == 0
    for path in Run(tmp_path).checkpoints.values():
        os.unlink(path)
    run(tiny_config(), options)
    assert len(Run(tmp_path).info["starts"]) == 1


def test_classes_come_from_the_notes_or_from_the_data_set(tmp_path):
    cfg = load_config(tiny_config(), ["OUTPUT_DIR", str(tmp_path)])
    run(tiny_config(), [*OPTIONS, "OUTPUT_DIR", str(tmp_path)])
    assert run_metadata(cfg).stuff_classes == CLASSES
    Run(tmp_path).files.info.unlink()
    assert run_metadata(cfg).stuff_classes == CLASSES
