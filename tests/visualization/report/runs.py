"""Output folders for reports, written by hand."""

from __future__ import annotations

import json
from pathlib import Path


def write_instance_run(folder: Path, name: str = "coco_run", **overrides: object) -> Path:
    """A run on instances with two classes, one of which is never in the ground truth."""
    run = folder / name
    evaluation = run / "evaluation" / "zoo_val"
    evaluation.mkdir(parents=True)
    lr = overrides.get("lr", 0.01)
    (run / "config.yaml").write_text(f"SOLVER: {{BASE_LR: {lr}, MAX_ITER: 9}}\nSEED: 1\n")
    figures = {"AP": 31.5, "AP50": 50.25, "APs": 10.0, "APm": None, "APl": 44.0}
    figures |= {"AP-cat": 31.5, "AP-<dog>": None}
    content = {
        "dataset": "zoo_val",
        "results": {"bbox": figures, "segm": figures},
        "pr_curves": {"bbox": {"0.50": [1.0, 0.8, 0.5, None], "0.50:0.95": [0.7, 0.5, 0.1, 0.0]}},
    }
    (evaluation / "coco_evaluation.json").write_text(json.dumps(content))
    lines = [
        {"iteration": i, "total_loss": 1 / (i + 1), "loss_cls": 0.1, "loss_mask": None}
        for i in range(9)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.json").write_text(text + '{"iteration": 9, "total_')
    return run
