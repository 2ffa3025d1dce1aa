"""The recipes for one's own data: copied, then checked and trained on data where they look for it.

The networks are narrowed and the images small; all else is as in the recipe.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segsuite.config import load_config
from segsuite.runs import Run
from tests.processes import run_segsuite_here

SIZE = (64, 96)
NARROW = ("MODEL.WEIGHTS", "", "MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64)
SHORT = (
    *("MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", 0, "SOLVER.MAX_ITER", 2),
    *("SOLVER.IMS_PER_BATCH", 2, "TEST.EXAMPLES", 1),
)
CROP = ("INPUT.CROP.SIZE", "64,64")
SMALL_RCNN = (
    *("INPUT.MIN_SIZE_TRAIN", 64, "INPUT.MIN_SIZE_TEST", 64, "MODEL.FPN.OUT_CHANNELS", 32),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", 32, "MODEL.ROI_MASK_HEAD.CONV_DIM", 32),
    *("MODEL.RPN.PRE_NMS_TOPK_TEST", 50, "MODEL.RPN.POST_NMS_TOPK_TEST", 20),
)


def draw(folder: Path, labels: str, value: int) -> None:
    """Four images in each split with a bright box, which is `value` in the label maps."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        coco = {"images": [], "annotations": []}
        coco["categories"] = [{"id": i, "name": name} for i, name in enumerate("abc", 1)]
        for kind in ("images", labels):
            (folder / "data" / split / kind).mkdir(parents=True)
        for i in range(4):
            x, y = rng.integers(0, (40, 20))
            mask = np.zeros(SIZE, np.uint8)
            mask[y : y + 32, x : x + 40] = value
            image = rng.integers(0, 120, (*SIZE, 3)) + 120 * (mask > 0)[..., None]
            Image.fromarray(image.astype(np.uint8)).save(
                folder / "data" / split / "images" / f"{i}.jpg"
            )
            Image.fromarray(mask).save(folder / "data" / split / labels / f"{i}.png")
            height, width = SIZE
            coco["images"].append(
                {"id": i, "file_name": f"{i}.jpg", "height": height, "width": width}
            )
            corners = [[x, y], [x + 40, y], [x + 40, y + 32], [x, y + 32]]
            entry = {"id": i + 1, "image_id": i, "category_id": 1 + i % 3, "iscrowd": 0}
            entry |= {"bbox": [int(x), int(y), 40, 32], "area": 1280}
            coco["annotations"].append(
                entry | {"segmentation": [np.array(corners).ravel().tolist()]}
            )
        (folder / "data" / f"{split}.json").write_text(json.dumps(coco))


@pytest.mark.parametrize(
    ("recipe", "labels", "value", "overrides", "figure"),
    [
        ("semantic", "labels", 2, (*NARROW, *CROP), "sem_seg/IoU-car"),
        ("binary", "masks", 255, (*NARROW, *CROP), "sem_seg/IoU-foreground"),
        ("instances", "labels", 1, (*NARROW, *SMALL_RCNN), "segm/AP"),
    ],
)
def test_copied_checked_and_trained(
    recipe, labels, value, overrides, figure, tmp_path, monkeypatch, capsys
):
    draw(tmp_path, labels, value)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # paths are relative to the copy
    assert run_segsuite_here("recipes", f"own/{recipe}", "--copy", "../my.yaml") == 0
    assert run_segsuite_here("check", "--config-file", "../my.yaml") == 0
    assert "0 errors" in capsys.readouterr().out
    command = ("train", "--config-file", "../my.yaml", *SHORT, *overrides)
    assert run_segsuite_here(*command) == 0
    run = Run(f"output/my_{recipe}")
    assert {"model_best.pth", "model_final.pth"} <= {p.name for p in run.files.folder.iterdir()}
    assert figure in run.metrics[-1]


@pytest.mark.parametrize("recipe", ["semantic", "binary", "instances"])
def test_periods_and_schedule_fit_the_length(recipe):
    cfg = load_config(f"own/{recipe}")
    for period in (cfg.TEST.EVAL_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD):
        assert cfg.SOLVER.MAX_ITER % period == 0 and cfg.SOLVER.MAX_ITER // period >= 10
    if cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupMultiStepLR":
        assert 0.5 * cfg.SOLVER.MAX_ITER < cfg.SOLVER.STEPS[0] < cfg.SOLVER.MAX_ITER
    assert cfg.SOLVER.WARMUP_ITERS < 0.1 * cfg.SOLVER.MAX_ITER
    assert cfg.MODEL.WEIGHTS
