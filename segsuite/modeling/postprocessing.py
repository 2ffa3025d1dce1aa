"""From the network's input pixels to those of the image that was asked for."""

from __future__ import annotations

from segsuite.structures import Instances, ROIMasks


def detector_postprocess(
    results: Instances, height: int, width: int, mask_threshold: float = 0.5
) -> Instances:
    """Bring detections or proposals to an image of `height` x `width` pixels.

    Boxes are scaled and clipped, and instances whose box is empty then are dropped.

    Args:
        results: `pred_boxes` or `proposal_boxes`, and maybe `pred_masks` (N, M, M), the
            probabilities within the boxes.
        mask_threshold: the probability from which on a pixel belongs to the mask.

    Returns:
        New `Instances`; `pred_masks` are `ROIMasks`.
    """
    name = "pred_boxes" if results.has("pred_boxes") else "proposal_boxes"
    boxes = results.get(name).clone()
    boxes.scale(width / results.image_size[1], height / results.image_size[0])
    boxes.clip((height, width))
    resized = Instances((height, width), **{**results.get_fields(), name: boxes})
    resized = resized[boxes.nonempty()]
    if resized.has("pred_masks"):
        resized.pred_masks = ROIMasks(
            resized.pred_masks, resized.get(name).tensor, (height, width), mask_threshold
        )
    return resized
