"""One panoptic segmentation out of instances and a semantic segmentation.

The heuristics of Kirillov et al., "Panoptic Segmentation" (CVPR 2019), section 7, in the form of
"Panoptic Feature Pyramid Networks" (CVPR 2019).
"""

from __future__ import annotations

from typing import Any

import torch

from segsuite.structures import Instances

# The semantic label of all that is no stuff.
THINGS = 0


def merge_panoptic(
    instances: Instances,
    labels: torch.Tensor,
    num_classes: int,
    *,
    overlap_threshold: float = 0.5,
    stuff_area_limit: int = 4096,
    score_threshold: float = 0.5,
) -> tuple[torch.Tensor, list[dict[str, Any]]]:
    """Lay instances over one another, the best on top, and stuff below them.

    Args:
        instances: `scores`, `pred_classes` and `pred_masks` (`ROIMasks`) of the image.
        labels: (H, W) integers, semantic labels: 0 for things, 1 to `num_classes` - 1 for stuff;
            others are nothing.
        overlap_threshold: an instance of which a larger share than this is covered by better ones
            is left out.
        stuff_area_limit: stuff of fewer pixels in all is left out.
        score_threshold: instances of lower scores are left out.

    Returns:
        The segments' ids (H, W) int32, 0 where there is none, and what each segment is: ``id``,
        ``isthing`` and ``category_id``, the predicted class or the semantic label; for things
        ``score`` and ``instance_id``, the index in `instances`, for stuff its ``area`` in pixels.
    """
    segmentation = torch.zeros(labels.shape, dtype=torch.int32, device=labels.device)
    segments: list[dict[str, Any]] = []
    order = instances.scores.argsort(descending=True, stable=True)
    order = order[instances.scores[order] >= score_threshold]
    chosen = instances[order]
    for index, score, category, (y, x, mask) in zip(
        order.tolist(),
        chosen.scores.tolist(),
        chosen.pred_classes.tolist(),
        chosen.pred_masks.windows(),
        strict=True,
    ):
        below = segmentation[y : y + mask.shape[0], x : x + mask.shape[1]]
        free = mask & (below == 0)
        area, free_area = torch.stack([mask.sum(), free.sum()]).tolist()
        if area == 0 or (area - free_area) / area > overlap_threshold:
            continue
        segments.append(
            {
                "id": len(segments) + 1,
                "isthing": True,
                "category_id": category,
                "score": score,
                "instance_id": index,
            }
        )
        below[free] = len(segments)

    free = segmentation == 0
    areas = labels[free].long().bincount(minlength=num_classes).tolist()
    ids = torch.zeros(len(areas), dtype=torch.int32)
    for label in range(THINGS + 1, num_classes):
        if areas[label] >= max(stuff_area_limit, 1):
            ids[label] = len(segments) + 1
            segments.append(
                {
                    "id": len(segments) + 1,
                    "isthing": False,
                    "category_id": label,
                    "area": areas[label],
                }
            )
    segmentation[free] = ids.to(labels.device)[labels[free].long()]
    return segmentation, segments
