"""LVIS's figures by their description, in plain loops, and ground truths made LVIS-like."""

import copy

import numpy as np
from pycocotools import mask as coco_mask

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}


def lvis_like(content, seed, negatives=4):
    """The content of a COCO file with what LVIS says beyond it."""
    rng = np.random.default_rng(seed)
    content = copy.deepcopy(content)
    for category in content["categories"]:
        category["frequency"] = str(rng.choice(list("rcf")))
    ids = [c["id"] for c in content["categories"]]
    for image in content["images"]:
        present = {a["category_id"] for a in content["annotations"] if a["image_id"] == image["id"]}
        absent = [i for i in ids if i not in present]
        image["neg_category_ids"] = rng.permutation(absent)[:negatives].tolist()
        image["not_exhaustive_category_ids"] = [i for i in present if rng.random() < 0.3]
    return content


def lvis_reference(content, detections, task):
    """The thirteen figures in [0, 1], -1 where there is nothing to find."""
    images = {image["id"]: image for image in content["images"]}
    best = []
    for image_id in images:
        of_image = [d for d in detections if d["image_id"] == image_id]
        best += sorted(of_image, key=lambda d: -d["score"])[:300]
    objects, found = grouped(content["annotations"]), grouped(best)
    precision, recall = {}, {}
    for category in content["categories"]:
        groups = []
        for image_id, image in sorted(images.items()):
            of_image = [group.get((image_id, category["id"]), []) for group in (objects, found)]
            if of_image[0] or category["id"] in image["neg_category_ids"]:
                exhaustive = category["id"] not in image["not_exhaustive_category_ids"]
                groups.append((*of_image, overlaps(*of_image, task, image), exhaustive))
        for letter, area_range in AREAS.items():
            matches, num_objects = [], 0
            for group in groups:
                of_group, number = match(*group, area_range, task)
                matches += of_group
                num_objects += number
            if num_objects:
                curve = precision_over_recall(matches, num_objects)
                precision[category["id"], letter], recall[category["id"], letter] = curve
    return summary(content, precision, recall)


def grouped(entries):
    groups = {}
    for entry in entries:
        groups.setdefault((entry["image_id"], entry["category_id"]), []).append(entry)
    return groups


def match(objects, found, ious, exhaustive, area_range, task):
    """For each detection its score and by threshold 1 (right), 0 (wrong) or None; and how many
    objects there are to find."""
    low, high = area_range
    ignored = [not low <= a["area"] <= high for a in objects]
    order = [i for i in range(len(objects)) if not ignored[i]]
    order += [i for i in range(len(objects)) if ignored[i]]
    results = [[] for _ in found]
    for threshold in THRESHOLDS:
        taken = set()
        for d, (detection, of_detection) in enumerate(zip(found, results, strict=True)):
            best, best_iou = None, threshold
            for i in order:
                if i in taken or (best is not None and ignored[i] and not ignored[best]):
                    continue
                if ious[d][i] >= best_iou:
                    best, best_iou = i, ious[d][i]
            if best is not None:
                taken.add(best)
                of_detection.append(None if ignored[best] else 1)
            else:
                outside = not low <= size(detection, task) <= high
                of_detection.append(None if outside or not exhaustive else 0)
    scores = [d["score"] for d in found]
    return list(zip(scores, results, strict=True)), ignored.count(False)


def overlaps(objects, found, task, image):
    """The IoU of each detection with each object."""
    key = "bbox" if task == "bbox" else "segmentation"
    size = image["height"], image["width"]
    true = [a[key] for a in objects]
    for i, segmentation in enumerate(true if task == "segm" else ()):
        if isinstance(segmentation, list):
            true[i] = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
        elif isinstance(segmentation["counts"], list):
            true[i] = coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.iou([d[key] for d in found], true, [0] * len(true))


def size(detection, task):
    if task == "bbox":
        return detection["bbox"][2] * detection["bbox"][3]
    return float(coco_mask.area(detection["segmentation"]))


def precision_over_recall(matches, num_objects):
    """(10, 101) precision and (10,) the recall reached."""
    matches = sorted(matches, key=lambda of: -of[0])
    precision, reached = np.zeros((10, 101)), np.zeros(10)
    for t in range(10):
        right = np.cumsum([of[1][t] == 1 for of in matches])
        wrong = np.cumsum([of[1][t] == 0 for of in matches])
        if not len(right):
            continue
        recall, precise = right / num_objects, right / np.maximum(right + wrong, 1)
        reached[t] = recall[-1]
        precision[t] = np.where(recall >= RECALLS[:, None], precise, 0).max(axis=1)
    return precision, reached


def summary(content, precision, recall):
    def mean(values):
        values = list(values)
        return float(np.mean(values)) if values else -1.0

    def of(curves, letter, categories=None):
        return [
            c for (k, a), c in curves.items() if a == letter and (not categories or k in categories)
        ]

    figures = {"AP": mean(of(precision, ""))}
    figures |= {f"AP{n}": mean(c[i] for c in of(precision, "")) for n, i in ((50, 0), (75, 5))}
    figures |= {f"AP{letter}": mean(of(precision, letter)) for letter in "sml"}
    for letter in "rcf":
        chosen = [c["id"] for c in content["categories"] if c["frequency"] == letter]
        figures[f"AP{letter}"] = mean(of(precision, "", chosen)) if chosen else -1.0
    return figures | {f"AR{letter}@300": mean(of(recall, letter)) for letter in AREAS}
