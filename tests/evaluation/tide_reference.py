"""The errors of TIDE (Bolya et al. 2020) by its definition: one detection after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

KINDS = ("class", "localisation", "both", "duplicate", "background", "missed")


def box_iou(a, b, crowd=False):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    union = a[2] * a[3] if crowd else a[2] * a[3] + b[2] * b[3] - common
    return common / union if union else 0.0


def average_precision(points, num_objects):
    """Of (score, right) points by COCO's 101 recalls."""
    points = sorted(points, key=lambda p: -p[0])
    right = wrong = 0
    curve = []
    for _, is_right in points:
        right, wrong = right + is_right, wrong + (not is_right)
        curve.append((right / num_objects, right / (right + wrong)))
    total = 0.0
    for recall in np.linspace(0, 1, 101):
        total += max((p for r, p in curve if r >= recall), default=0.0)
    return total / 101


def mean_ap(points: dict[Any, list], num_objects: dict[Any, int]) -> float:
    values = [average_precision(points.get(c, []), n) for c, n in num_objects.items() if n > 0]
    return float(np.mean(values)) if values else float("nan")


def match(detections, objects, iou):
    """Whether each detection is right; the objects note that they are found."""
    right = []
    for d in detections:
        free = [
            (iou(d, o), -i)
            for i, o in enumerate(objects)
            if o["category"] == d["category"] and not o["found"] and iou(d, o) >= 0.5
        ]
        if free:
            objects[-max(free)[1]]["found"] = True
        right.append(bool(free))
    return right


def mistake(d, objects, iou):
    """The kind of a detection that is not right, and the object it means."""
    pairs = [(iou(d, o), -i, o["category"] == d["category"]) for i, o in enumerate(objects)]
    own = max((p for p in pairs if p[2]), default=(0.0, 0))
    other = max((p for p in pairs if not p[2]), default=(0.0, 0))
    if 0.1 <= own[0] < 0.5:
        return "localisation", objects[-own[1]]
    if other[0] >= 0.5:
        return "class", objects[-other[1]]
    if own[0] >= 0.5:
        return "duplicate", None
    return ("background" if max(own[0], other[0]) <= 0.1 else "both"), None


def judge(truth, found, iou):
    """Each detection as [score, category, kind or None, object meant], and the objects."""
    judged, all_objects = [], []
    for image in truth:
        objects = [
            {**o, "found": False, "reachable": False, "best": None}
            for o in truth[image]
            if not o["crowd"]
        ]
        all_objects += objects
        crowds = [o for o in truth[image] if o["crowd"]]
        detections = sorted(found.get(image, []), key=lambda d: -d["score"])
        for d, is_right in zip(detections, match(detections, objects, iou), strict=True):
            if is_right:
                judged.append([d["score"], d["category"], None, None])
                continue
            own_crowds = (c for c in crowds if c["category"] == d["category"])
            if any(iou(d, c, crowd=True) >= 0.5 for c in own_crowds):
                continue
            kind, meant = mistake(d, objects, iou)
            judged.append([d["score"], d["category"], kind, meant])
            if meant is not None and not meant["found"]:
                meant["reachable"] = True
                if meant["best"] is None or meant["best"][0] < d["score"]:
                    meant["best"] = judged[-1]
    return judged, all_objects


def corrected(judged, fixed):
    """The points of the curves by category where mistakes of some kinds are corrected."""
    points: dict[Any, list] = {}
    for entry in judged:
        score, category, kind, meant = entry
        if kind is None or kind not in fixed:
            points.setdefault(category, []).append((score, kind is None))
        elif meant is not None and not meant["found"] and meant["best"] is entry:
            points.setdefault(meant["category"], []).append((score, True))
    return points


def tide(truth, found, iou):
    """AP50, the counts and what each kind costs.

    Args:
        truth: by image dicts with category, crowd and what `iou` compares.
        found: likewise, with score.
    """
    judged, objects = judge(truth, found, iou)
    categories = {o["category"] for o in objects}
    missed = [o for o in objects if not o["found"] and not o["reachable"]]

    def number(chosen):
        return {c: sum(o["category"] == c for o in chosen) for c in categories}

    def ap(fixed=()):
        left = [o for o in objects if "missed" not in fixed or not any(o is m for m in missed)]
        return mean_ap(corrected(judged, fixed), number(left))

    base = ap()
    counts = {kind: sum(entry[2] == kind for entry in judged) for kind in KINDS}
    right = corrected([entry for entry in judged if entry[2] is None], ())
    of_found = number([o for o in objects if o["found"]])
    return {
        "ap50": base,
        "counts": {**counts, "missed": len(missed)},
        "cost": {kind: ap((kind,)) - base for kind in KINDS},
        "false_positives": mean_ap(right, number(objects)) - base,
        "false_negatives": mean_ap(corrected(judged, ()), of_found) - base,
    }
