"""How good the prediction of each image is, from the files that an evaluation has written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from segsuite.data import Metadata
from segsuite.data.boxes import corner_boxes, record_size
from segsuite.evaluation import image_ious, load_image_counts, panoptic_counts, panoptic_quality
from segsuite.evaluation.panoptic_files import PanopticGroundTruth, read_panoptic_results
from segsuite.runs.files import EvaluationFiles
from segsuite.structures import Boxes, pairwise_iou

_MIN_SCORE = _MIN_IOU = 0.5


@dataclass
class ImageScores:
    """Images by their quality.

    Attributes:
        task: the task of the evaluation that they belong to.
        name: of the score.
        scores: in [0, 1], by image id as text.
        classes: the names of the classes that are labelled or predicted in each image.
    """

    task: str
    name: str
    scores: dict[str, float]
    classes: dict[str, list[str]]


def semantic_scores(files: EvaluationFiles, metadata: Metadata) -> ImageScores | None:
    """The mIoU of each image; None where the evaluator kept no counts of the images."""
    path = files.image_counts
    if not path.exists():
        return None
    saved = load_image_counts(path)
    if saved["counts"] is None:
        return None
    names = metadata.semantic_labels()
    ious = image_ious(saved["counts"])
    present = saved["counts"][:, 1:].sum(1) > 0
    scores = {i: s for i, s in zip(saved["image_ids"], ious.tolist(), strict=True) if s == s}
    classes = {
        i: [names[k] for k in row.nonzero().flatten().tolist()]
        for i, row in zip(saved["image_ids"], present, strict=True)
    }
    return ImageScores("sem_seg", "mIoU", scores, classes)


def instance_scores(
    files: EvaluationFiles, records: Mapping[str, Mapping], metadata: Metadata
) -> ImageScores | None:
    """The F1 score of each image's boxes: those that overlap an object of their class by at least
    half are found. None where there are no predictions.

    Args:
        records: of the data set by image id as text.
    """
    path = files.coco_results
    if not path.exists():
        return None
    detections: dict[str, list[dict]] = {image_id: [] for image_id in records}
    for entry in json.loads(path.read_text()):
        if entry["score"] >= _MIN_SCORE and str(entry["image_id"]) in detections:
            detections[str(entry["image_id"])].append(entry)
    # Categories of records that come from no file are the classes themselves.
    contiguous = metadata.get("thing_dataset_id_to_contiguous_id") or {
        k: k for k in range(len(metadata.thing_classes))
    }
    result = ImageScores("bbox", "F1", {}, {})
    for image_id, record in records.items():
        truth = [a for a in record["annotations"] if not a.get("iscrowd")]
        found = sorted(detections[image_id], key=lambda d: -d["score"])
        found_classes = [contiguous[d["category_id"]] for d in found]
        true_classes = [a["category_id"] for a in truth]
        if not truth and not found:
            continue
        true_boxes = Boxes(torch.from_numpy(corner_boxes(truth, record_size(record), "float32")))
        iou = pairwise_iou(_boxes(found), true_boxes)
        same = torch.tensor(found_classes)[:, None] == torch.tensor(true_classes)[None]
        iou = iou * same.view_as(iou)
        matched = 0
        for i in range(len(found)):
            if iou.shape[1] and iou[i].max() >= _MIN_IOU:
                iou[:, iou[i].argmax()] = 0  # an object is found once
                matched += 1
        result.scores[image_id] = 2 * matched / (len(found) + len(truth))
        present = sorted({*found_classes, *true_classes})
        result.classes[image_id] = [metadata.thing_classes[k] for k in present]
    return result


def panoptic_scores(files: EvaluationFiles, metadata: Metadata) -> ImageScores | None:
    """The panoptic quality of each image; None where there are no predictions."""
    path = files.panoptic_results
    if not path.exists():
        return None
    truth = PanopticGroundTruth.read(metadata.panoptic_json, metadata.panoptic_root)
    everything = torch.ones(len(truth.names), dtype=torch.bool)
    result = ImageScores("panoptic_seg", "PQ", {}, {})
    for image_id, segmentation, segments in read_panoptic_results(path, truth):
        true = truth.images[image_id][1]
        target = truth.target(image_id)
        counts = panoptic_counts(segmentation, segments, target, true, len(truth.names))
        quality = panoptic_quality(counts).mean(everything)["pq"]
        if quality == quality:
            present = sorted({s.category for s in (*segments.values(), *true.values())})
            result.scores[str(image_id)] = quality
            result.classes[str(image_id)] = [truth.names[k] for k in present]
    return result


def _boxes(entries: list[dict[str, Any]]) -> Boxes:
    corners = torch.tensor([list(e["bbox"]) for e in entries]).float().reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return Boxes(corners)
