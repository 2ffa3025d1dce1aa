"""From the network's input pixels to those of the image that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from segsuite.structures import (
    InstanceBatch,
    Instances,
    ROIMasks,
    clip_boxes,
    size_tensor,
    whole_pixel_boxes,
)


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
    _paste_masks(resized, name, mask_threshold, whole_pixel_masks)
    return resized


def postprocess_batch(
    results: InstanceBatch,
    image_sizes: Sequence[tuple[int, int]],
    mask_threshold: float = 0.5,
    whole_pixel_masks: bool = False,
) -> list[Instances]:
    """`detector_postprocess` of N images to `image_sizes` (height, width) of their own, which waits
    for the device once."""
    name = "pred_boxes" if "pred_boxes" in results.fields else "proposal_boxes"
    ratios = [
        (new[0] / old[0], new[1] / old[1])
        for new, old in zip(image_sizes, results.image_sizes, strict=True)
    ]
    device = results.valid.device
    scale = size_tensor(ratios, device).flip(1).repeat(1, 2)[:, None]
    boxes = clip_boxes(results.fields[name] * scale, size_tensor(image_sizes, device))
    nonempty = (boxes[..., 2:] > boxes[..., :2]).all(dim=2)
    fields = {**results.fields, name: boxes}
    resized = InstanceBatch(image_sizes, results.valid & nonempty, fields, results.late_fields)
    for of_image in resized:
        _paste_masks(of_image, name, mask_threshold, whole_pixel_masks)
    return list(resized)


def _paste_masks(
    instances: Instances, name: str, mask_threshold: float, whole_pixel_masks: bool
) -> None:
    """Let `pred_masks`, if there are any, lie in the boxes called `name`."""
    if not instances.has("pred_masks"):
        return
    masks, boxes = instances.pred_masks, instances.get(name).tensor
    if whole_pixel_masks:
        boxes = whole_pixel_boxes(boxes, masks.shape[-1])
    instances.pred_masks = ROIMasks(masks, boxes, instances.image_size, mask_threshold)
