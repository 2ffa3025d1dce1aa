"""The results as text."""

import math

from segsuite.evaluation.table import results_table


def test_semantic_table():
    results = {
        "sem_seg": {
            "mIoU": 76.5,
            "pACC": 100.0,
            "IoU-road": 90.0,
            "IoU-traffic-light": math.nan,
            "ACC-road": 100.0,
            "ACC-traffic-light": 0.123,
            "absent_classes": "nanmean",
        }
    }
    assert results_table(results, "camvid_val").splitlines() == [
        "camvid_val: sem_seg",
        "    mIoU    pACC",
        "  --------------",
        "   76.50  100.00",
        "  absent_classes: nanmean (neither labelled nor predicted: left out)",
        "",
        "  class             IoU     ACC",
        "  -----------------------------",
        "  road            90.00  100.00",
        "  traffic-light       -    0.12",
    ]


def test_at_most_80_columns():
    figures = {f"AP{i}": 100.0 for i in range(12)}
    names = ["x" * 90, "y"]
    figures |= {f"{f}-{name}": 100.0 for f in ("IoU", "ACC", "BIoU") for name in names}
    lines = results_table({"bbox": figures, "segm": {"AP": 1.0}}).splitlines()
    assert max(map(len, lines)) == 80
    assert all(any(f"AP{i} " in line + " " for line in lines) for i in range(12))
    assert any("xxx…" in line for line in lines)
    assert "segm" in lines


def test_figures_of_no_task_as_detectron2_allows():
    alone = {"score": 0.5, "rule": "mine"}
    assert results_table(alone, "my_val").splitlines()[:2] == ["my_val", "  score"]
    both = results_table({**alone, "sem_seg": {"mIoU": 1.0}}, "my_val").split("\n\n")
    assert "rule: mine" in both[0] and both[1].startswith("my_val: sem_seg")
