"""From the network's input pixels to those of the image that was asked for."""

from __future__ import annotations

from segsuite.structures import Instances, ROIMasks, whole_pixel_boxes


def detector_postprocess(
    results: Instances,
    height: int,
    width: int,
    mask_threshold: float = 0.5,
    whole_pixel_masks: bool = False,
) -> Instances:
    """Bring detections or proposals to an image of `height` x `width` pixels.

    Boxes are scaled and clipped, and instances whose box is empty then are dropped.

    Args:
        results: `pred_boxes` or `proposal_boxes`, and maybe `pred_masks` (N, M, M), the
            probabilities within the boxes.
        mask_threshold: the probability from which on a pixel belongs to the mask.
        whole_pixel_masks: paste masks as torchvision does, see `whole_pixel_boxes`; otherwise as
            Detectron2.

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
        masks, in_boxes = resized.pred_masks, resized.get(name).tensor
        if whole_pixel_masks:
            in_boxes = whole_pixel_boxes(in_boxes, masks.shape[-1])
        resized.pred_masks = ROIMasks(masks, in_boxes, (height, width), mask_threshold)
    return resized
