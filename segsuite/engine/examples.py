"""The worst and best predictions of an evaluation, kept as pictures for the report."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segsuite.config import CfgNode
from segsuite.data import InferenceMapper, MetadataCatalog, get_records, read_image, read_sem_seg
from segsuite.evaluation import evaluating, image_ious, load_image_counts
from segsuite.structures import Boxes, pairwise_iou
from segsuite.visualization import Prediction
from segsuite.visualization.examples import instance_views, save_views, semantic_views

logger = logging.getLogger(__name__)

_MIN_SCORE = _MIN_IOU = 0.5
_LABELS = ("sem_seg_file_name", "annotations")  # of a record, that its pictures need


def save_examples(
    cfg: CfgNode, model: nn.Module, dataset_name: str, folder: Path, *, count: int = 6
) -> None:
    """Predict the images again on which an evaluation went worst and best, and draw them.

    Semantic predictions are ranked by the image's own mIoU; instances by the F1 score of boxes
    that overlap an object of their class by at least half. Writes ``examples/examples.json``, a
    list with ``image_id``, ``kind``, ``score`` in [0, 1], ``score_name``, ``classes``, ``width``,
    ``height`` and the picture files, and these; nothing for data sets without such labels.

    Args:
        folder: where the evaluator has written its files.
        count: the number of worst images, and of best.
    """
    records = {str(r["image_id"]): r for r in get_records([dataset_name])}
    names = MetadataCatalog.get(dataset_name)
    has = {key: all(key in r for r in records.values()) for key in _LABELS}
    if has["sem_seg_file_name"] and (folder / "image_counts.pt").exists():
        scores, classes, score_name = *_semantic_scores(folder, names.stuff_classes), "mIoU"
    elif has["annotations"] and (folder / "coco_instances_results.json").exists():
        scores, classes = _instance_scores(folder, records, names)
        score_name = "F1"
    else:
        return
    ranked = sorted((i for i in scores if i in records), key=lambda i: scores[i])
    worst = ranked[: min(count, (len(ranked) + 1) // 2)]
    best = ranked[len(worst) :][-count:][::-1]
    target = folder / "examples"
    shutil.rmtree(target, ignore_errors=True)
    mapper = InferenceMapper(cfg)
    examples = []
    with evaluating(model), torch.inference_mode():
        for number, image_id in enumerate(worst + best):
            record = records[image_id]
            image = read_image(record["file_name"])
            prediction = Prediction(image, model([mapper(image)])[0], names)
            if score_name == "mIoU":
                label_map = record.get("label_map")
                views = semantic_views(
                    prediction, read_sem_seg(record["sem_seg_file_name"], label_map)
                )
            else:
                views = instance_views(prediction, record["annotations"])
            height, width = views["image"].shape[:2]
            examples.append(
                {
                    "image_id": image_id,
                    "kind": "worst" if number < len(worst) else "best",
                    "score": scores[image_id],
                    "score_name": score_name,
                    "classes": classes[image_id],
                    "width": width,
                    "height": height,
                    "views": save_views(target, f"{number:02d}", views),
                }
            )
    target.mkdir(exist_ok=True)
    (target / "examples.json").write_text(json.dumps({"examples": examples}) + "\n")


def _semantic_scores(
    folder: Path, names: list[str]
) -> tuple[dict[str, float], dict[str, list[str]]]:
    """mIoU of each image, and the classes that are labelled or predicted in it."""
    saved = load_image_counts(folder / "image_counts.pt")
    if saved["counts"] is None:
        return {}, {}
    ious = image_ious(saved["counts"])
    present = saved["counts"][:, 1:].sum(1) > 0
    scores = {i: s for i, s in zip(saved["image_ids"], ious.tolist(), strict=True) if s == s}
    classes = {
        i: [names[k] for k in row.nonzero().flatten().tolist()]
        for i, row in zip(saved["image_ids"], present, strict=True)
    }
    return scores, classes


def _instance_scores(
    folder: Path, records: dict[str, dict], names: Any
) -> tuple[dict[str, float], dict[str, list[str]]]:
    """F1 of each image's boxes, and the classes that are labelled or predicted in it."""
    detections: dict[str, list[dict]] = {image_id: [] for image_id in records}
    for entry in json.loads((folder / "coco_instances_results.json").read_text()):
        if entry["score"] >= _MIN_SCORE and str(entry["image_id"]) in detections:
            detections[str(entry["image_id"])].append(entry)
    contiguous = names.thing_dataset_id_to_contiguous_id
    scores, classes = {}, {}
    for image_id, record in records.items():
        truth = [a for a in record["annotations"] if not a.get("iscrowd")]
        found = sorted(detections[image_id], key=lambda d: -d["score"])
        found_classes = [contiguous[d["category_id"]] for d in found]
        true_classes = [a["category_id"] for a in truth]
        if not truth and not found:
            continue
        iou = pairwise_iou(_boxes(found), _boxes(truth))
        same = torch.tensor(found_classes)[:, None] == torch.tensor(true_classes)[None]
        iou = iou * same.view_as(iou)
        matched = 0
        for i in range(len(found)):
            if iou.shape[1] and iou[i].max() >= _MIN_IOU:
                iou[:, iou[i].argmax()] = 0  # an object is found once
                matched += 1
        scores[image_id] = 2 * matched / (len(found) + len(truth))
        present = sorted({*found_classes, *true_classes})
        classes[image_id] = [names.thing_classes[k] for k in present]
    return scores, classes


def _boxes(entries: list[dict]) -> Boxes:
    corners = torch.tensor([list(e["bbox"]) for e in entries]).float().reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return Boxes(corners)
