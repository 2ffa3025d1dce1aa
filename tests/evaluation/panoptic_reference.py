"""Panoptic quality by its definitions, segment by segment with masks, to compare with.

Kirillov et al., "Panoptic Segmentation", section 4.1, with the rules about crowds that panopticapi
has beyond it, and for boundaries Cheng et al., "Boundary IoU": of each pair the smaller one of the
IoU of the masks and of their bands.
"""

import cv2
import numpy as np


def reference_counts(prediction, predicted, target, true, num_categories, crowds, ratio=None):
    """(K, 4): sum of IoU, matched, unmatched predicted and unmatched true segments."""
    result = np.zeros((num_categories, 4))
    void = target == 0
    matched_true = set()
    for p, segment in predicted.items():
        mask = prediction == p
        hit = False
        for t, other in true.items():
            if other.category != segment.category or other.is_crowd:
                continue
            iou = iou_outside_of(mask, target == t, void)
            if ratio is not None:
                bands = (band(m, ratio) for m in (mask, target == t))
                iou = min(iou, iou_outside_of(*bands, void))
            if iou > 0.5:
                hit = True
                matched_true.add(t)
                result[segment.category, :2] += (iou, 1)
        excused = void.copy()
        of_category = [
            t for t, other in true.items() if other.is_crowd and other.category == segment.category
        ]
        for t in of_category[-1:] if crowds == "panopticapi" else of_category:
            excused |= target == t
        if not hit and (mask & excused).sum() / mask.sum() <= 0.5:
            result[segment.category, 2] += 1
    for t, segment in true.items():
        if t not in matched_true and not segment.is_crowd:
            result[segment.category, 3] += 1
    return result


def iou_outside_of(mask, mask_true, void):
    """The IoU of two masks, of which the first one's pixels in `void` are not in the union."""
    return (mask & mask_true).sum() / ((mask & ~void) | mask_true).sum()


def band(mask, ratio):
    """The pixels of a mask that d erosions by a 3 x 3 square remove."""
    height, width = mask.shape
    d = max(1, round(ratio * np.hypot(height, width)))
    padded = np.pad(mask.astype(np.uint8), d)
    return mask & (cv2.erode(padded, np.ones((3, 3)), iterations=d)[d:-d, d:-d] == 0)
