"""COCO ground truths with detections near their objects, and the figures of pycocotools itself."""

from __future__ import annotations

import contextlib
import copy
import io
import json

import numpy as np
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from segsuite.evaluation import inference_on_dataset
from segsuite.structures import Boxes, Instances, decode_masks
from tests.helpers import SHARED

SUMMARY = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
SUMMARY += ["AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def coco_tiny():
    return json.loads((SHARED / "data/coco_tiny/annotations/instances_val2017.json").read_text())


def rle_of(mask):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def box_mask(height, width, box):
    x, y, w, h = (round(v) for v in box)
    mask = np.zeros((height, width), dtype=bool)
    mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = True
    return mask


def made_up(seed, images=6, objects=5, categories=(3, 7, 20, 21), size=(130, 140)):
    """Boxes and their masks: crowds, an empty image, sizes about 32 and 96; none of category 21."""
    rng = np.random.default_rng(seed)
    height, width = size
    content = {
        "images": [
            {"id": 11 * i + 5, "height": height, "width": width, "file_name": f"{i}.jpg"}
            for i in range(images)
        ],
        "categories": [{"id": c, "name": f"c{c}"} for c in categories],
        "annotations": [],
    }
    for image in content["images"][1:]:  # nothing in the first
        for _ in range(objects):
            w, h = rng.choice([8, 31, 32, 33, 95, 96, 97], 2)
            x, y = rng.integers(0, width - w), rng.integers(0, height - h)
            box = [float(v) for v in (x, y, w, h)]
            mask = box_mask(height, width, box)
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 100,
                    "image_id": image["id"],
                    "category_id": int(rng.choice(categories[:-1])),
                    "bbox": box,
                    "area": float(mask.sum()),
                    "iscrowd": int(rng.random() < 0.2),
                    "segmentation": rle_of(mask),
                }
            )
    return content


def detections_near(content, seed, per_object=3, jitter=4.0):
    """Boxes and masks moved a little, some of them of another category; scores with ties."""
    rng = np.random.default_rng(seed)
    index = as_coco(content)
    categories = [c["id"] for c in content["categories"]]
    detections = []
    for annotation in content["annotations"]:
        mask = index.annToMask(annotation)
        for _ in range(per_object):
            dy, dx = np.rint(rng.normal(0, jitter, 2)).astype(int)
            x, y, w, h = annotation["bbox"]
            x, y = x + rng.normal(0, jitter), y + rng.normal(0, jitter)
            own = rng.random() < 0.8
            detections.append(
                {
                    "image_id": annotation["image_id"],
                    "category_id": annotation["category_id"]
                    if own
                    else int(rng.choice(categories)),
                    "bbox": [float(v) for v in (x, y, w * rng.uniform(0.9, 1.1), h)],
                    "score": round(float(rng.random()), 2),
                    "segmentation": rle_of(np.roll(mask, (dy, dx), (0, 1))),
                }
            )
    return detections


def as_coco(content):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(content)
        coco.createIndex()
    return coco


def reference(content, detections, task):
    """The figures by name as pycocotools prints them, -1 as NaN, and AP by category."""
    truth = as_coco(content)
    other = "bbox" if task == "segm" else "segmentation"
    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes([{k: v for k, v in d.items() if k != other} for d in detections])
        evaluation = COCOeval(truth, found, task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    by_category = {}
    for k, category in enumerate(evaluation.params.catIds):
        values = evaluation.eval["precision"][:, :, k, 0, 2]
        values = values[values > -1]
        by_category[category] = values.mean() if values.size else np.nan
    stats = np.where(evaluation.stats == -1, np.nan, evaluation.stats)
    return dict(zip(SUMMARY, stats, strict=True)), by_category


class Oracle(nn.Module):
    """Returns each record's ``instances``."""

    def forward(self, inputs):
        return [{"instances": record["instances"]} for record in inputs]


def make_records(content, detections):
    """Records whose instances are these detections."""
    classes = {c: k for k, c in enumerate(sorted(c["id"] for c in content["categories"]))}
    records = []
    for image in content["images"]:
        size = (image["height"], image["width"])
        found = [d for d in detections if d["image_id"] == image["id"]]
        boxes = torch.tensor([d["bbox"] for d in found], dtype=torch.float64).view(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = Instances(
            size,
            pred_boxes=Boxes(boxes.float()),
            scores=torch.tensor([d["score"] for d in found]),
            pred_classes=torch.tensor([classes[d["category_id"]] for d in found]).long(),
            pred_masks=decode_masks([d["segmentation"] for d in found], *size),
        )
        records.append(
            {"image_id": image["id"], "file_name": image["file_name"], "instances": instances}
        )
    return records


def write(folder, content):
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def run(records, evaluator):
    return inference_on_dataset(Oracle(), [[r] for r in records], evaluator)
