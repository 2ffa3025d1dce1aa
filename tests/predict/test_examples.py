"""The pictures of an evaluation's worst and best images, for each kind of model."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from segsuite.config import load_config
from segsuite.data import (
    MetadataCatalog,
    get_records,
    read_image,
    read_panoptic,
    register_from_config,
)
from segsuite.engine import DefaultTrainer
from segsuite.structures import Boxes, Instances, SemSegLogits
from segsuite.visualization import ERROR_COLORS
from tests.engine.tiny import tiny_config
from tests.engine.tiny_coco import OBJECTS, SIZE, coco_config


class Oracle(nn.Module):
    """Predicts the ground truth of the images of a data set, but for what a test takes away.

    Args:
        outputs: by the index of the image.
    """

    def __init__(self, records, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self._outputs = {
            read_image(r["file_name"]).tobytes(): o for r, o in zip(records, outputs, strict=True)
        }

    def forward(self, batch):
        return [self._outputs[r["image"].permute(1, 2, 0).numpy().tobytes()] for r in batch]


def rectangles(objects):
    """`Instances` of (category, x, y, width, height)."""
    masks = torch.zeros(len(objects), *SIZE, dtype=torch.bool)
    for mask, (_, x, y, w, h) in zip(masks, objects, strict=True):
        mask[y : y + h, x : x + w] = True
    return Instances(
        SIZE,
        pred_boxes=Boxes(torch.tensor([[x, y, x + w, y + h] for _, x, y, w, h in objects]).float()),
        scores=torch.full((len(objects),), 0.9),
        pred_classes=torch.tensor([{2: 0, 5: 1}[c] for c, *_ in objects], dtype=torch.long),
        pred_masks=masks,
    )


def examples(config, tmp_path, outputs_of, count=2):
    """What an evaluation of an `Oracle` leaves for the report: examples.json and its folder."""
    overrides = ["OUTPUT_DIR", str(tmp_path), "TEST.EXAMPLES", count, "DATALOADER.NUM_WORKERS", 0]
    cfg = load_config(config, overrides)
    register_from_config(cfg)
    (name,) = cfg.DATASETS.TEST
    records = get_records([name])
    outputs = [outputs_of(i, record) for i, record in enumerate(records)]
    DefaultTrainer.test(cfg, Oracle(records, outputs).eval())
    folder = tmp_path / "evaluation" / name / "examples"
    content = json.loads((folder / "examples.json").read_text())
    for example in content["examples"]:
        for file in (*example["views"].values(), *example["class_errors"].values()):
            picture = Image.open(folder / file)
            assert picture.size == (example["width"], example["height"])
    return content, folder


def shows(folder, file, kind):
    """Whether a good part of an error map has the colour of a kind of error."""
    pixels = np.asarray(Image.open(folder / file).convert("RGB")).astype(int)
    near = np.abs(pixels - np.array(ERROR_COLORS[kind])).max(-1) < 40
    return near.mean() > 0.03


@pytest.mark.parametrize(
    "form",
    [
        lambda x: SemSegLogits(x, tuple(x.shape[1:]), tuple(x.shape[1:])),
        lambda x: x,  # as Detectron2's models have it
        lambda x: x.argmax(0),
    ],
    ids=["SemSegLogits", "logits", "labels"],
)
def test_semantic(tmp_path, form):
    def outputs(i, record):
        labels = torch.from_numpy(
            np.asarray(Image.open(record["sem_seg_file_name"])).astype(np.int64)
        )
        if i == 2:
            labels[:] = 0
        logits = nn.functional.one_hot(labels, 2).permute(2, 0, 1).float()
        return {"sem_seg": form(logits)}

    content, folder = examples(tiny_config(), tmp_path, outputs)
    assert content["task"] == "sem_seg"
    worst = content["examples"][0]
    assert worst["image_id"] == "02" and worst["kind"] == "worst" and worst["score"] < 0.5
    assert worst["classes"] == ["ground", "box"] == list(worst["class_errors"])
    assert shows(folder, worst["views"]["errors"], "another class")
    assert shows(folder, worst["class_errors"]["box"], "missed")
    assert shows(folder, worst["class_errors"]["ground"], "false")
    assert [e["score"] for e in content["examples"][2:]] == [1, 1]
    assert shows(folder, content["examples"][-1]["class_errors"]["box"], "found")


def test_instances(tmp_path):
    def outputs(i, record):
        given = {0: OBJECTS[0][:1], 1: [(5, *OBJECTS[1][0][1:])]}.get(i, OBJECTS[i])
        return {"instances": rectangles(given)}

    content, folder = examples(coco_config("instances"), tmp_path, outputs)
    assert content["task"] == "bbox"
    by_id = {e["image_id"]: e for e in content["examples"]}
    assert {i: e["score"] for i, e in by_id.items()} == {
        "1": pytest.approx(2 / 3),
        "2": 0,
        "3": 1,
        "4": 1,
    }
    assert [e["kind"] for e in content["examples"]] == ["worst", "worst", "best", "best"]
    assert by_id["1"]["classes"] == ["light", "dark"]
    assert shows(folder, by_id["1"]["views"]["errors"], "missed")
    assert shows(folder, by_id["1"]["class_errors"]["dark"], "missed")
    assert not shows(folder, by_id["1"]["class_errors"]["light"], "missed")
    assert shows(folder, by_id["2"]["views"]["errors"], "another class")
    assert shows(folder, by_id["2"]["class_errors"]["dark"], "false")
    assert shows(folder, by_id["3"]["views"]["errors"], "found")


@pytest.mark.parametrize("kind", ["panoptic", "panoptic_alone"])
def test_panoptic(tmp_path, kind):
    def outputs(i, record):
        segments = torch.from_numpy(read_panoptic(record["pan_seg_file_name"]))
        infos = record["segments_info"]
        objects = OBJECTS[i]
        if i == 0:  # the dark rectangle is taken for ground
            segments[segments == 3], infos, objects = 1, infos[:2], objects[:1]
        logits = torch.stack([(segments > 1).float(), (segments == 1).float()])
        return {
            "panoptic_seg": (segments, infos),
            "instances": rectangles(objects),
            "sem_seg": SemSegLogits(logits, SIZE, SIZE),
        }

    content, folder = examples(coco_config(kind), tmp_path, outputs)
    assert content["task"] == "panoptic_seg"
    worst = content["examples"][0]
    assert worst["image_id"] == "1" and worst["score_name"] == "PQ" and 0.4 < worst["score"] < 0.8
    assert worst["classes"] == ["light", "dark", "ground"] == list(worst["class_errors"])
    assert shows(folder, worst["class_errors"]["dark"], "missed")
    assert shows(folder, worst["class_errors"]["ground"], "false")
    assert [e["score"] for e in content["examples"][1:]] == [1, 1, 1]
    metadata = MetadataCatalog.get(f"tiny_{kind}")
    assert metadata.stuff_classes == ["things", "ground"]
