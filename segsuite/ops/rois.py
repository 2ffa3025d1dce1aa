"""Regions of interest as the operators take them, and the checks of what is given."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def boxes_to_rois(boxes: Tensor | Sequence[Tensor]) -> Tensor:
    """Number the images: for each image (M_i, 4) boxes -> (M_1 + ... + M_N, 5) image and box.

    Args:
        boxes: one floating-point tensor for each image, empty where there are none; or all in one,
            (N, M, 4).

    Raises:
        ValueError: boxes of another shape.
    """
    if isinstance(boxes, Tensor):
        numbers = torch.arange(boxes.shape[0], device=boxes.device, dtype=boxes.dtype)
        numbers = numbers[:, None, None].expand(-1, boxes.shape[1], 1)
        return torch.cat([numbers, boxes], dim=2).flatten(0, 1)
    for image, box in enumerate(boxes):
        if box.dim() != 2 or box.shape[1] != 4:
            raise ValueError(
                f"the boxes of image {image} are {tuple(box.shape)}; expected (M, 4) x1, y1, x2, y2"
            )
    images = [box.new_full((len(box), 1), image) for image, box in enumerate(boxes)]
    return torch.cat([torch.cat(images), torch.cat(list(boxes))], dim=1)


def as_rois(rois: Tensor | Sequence[Tensor], features: Tensor) -> Tensor:
    """(R, 5) image and box, of RoIs that are that already or a list of boxes for each image.

    Args:
        features: (N, C, H, W), of the images that the boxes are of.

    Raises:
        ValueError: boxes of another shape, or of another number of images.
    """
    if isinstance(rois, Tensor):
        return rois
    if len(rois) != len(features):
        raise ValueError(
            f"boxes of {len(rois)} images for features of {len(features)}; expected one tensor of "
            "boxes for each image, empty if there are none, or (R, 5): image, x1, y1, x2, y2"
        )
    return boxes_to_rois(rois) if len(rois) else features.new_empty(0, 5)


def check_features(features: Sequence[Tensor], rois: Tensor) -> None:
    """Check feature maps, and that the RoIs suit them as tensors.

    Raises:
        ValueError: another shape, type or device.
    """
    for x in features:
        if x.dim() != 4 or x.shape[2] == 0 or x.shape[3] == 0:
            raise ValueError(
                f"a feature map is {tuple(x.shape)}; expected (N, C, H, W) with H, W > 0"
            )
        if x.dtype not in _FLOATS:
            raise ValueError(
                f"a feature map is {x.dtype}; expected float32, float64, float16 or bfloat16"
            )
        if x.device != rois.device:
            raise ValueError(
                f"a feature map is on {x.device} and the RoIs on {rois.device}; "
                "they must be on the same device"
            )
    if rois.dim() != 2 or rois.shape[1] != 5:
        raise ValueError(f"rois are {tuple(rois.shape)}; expected (R, 5): image, x1, y1, x2, y2")
    if not rois.is_floating_point():
        raise ValueError(f"rois are {rois.dtype}; expected a floating point type (`.float()`)")


def check_rois(rois: Tensor, num_images: int) -> None:
    """Look at the values of RoIs, which waits for their device.

    Raises:
        ValueError: one is of an image that is not there, of negative size or not finite.
    """
    image, size = rois[:, 0], rois[:, 3:] - rois[:, 1:3]
    outside = ~((image >= 0) & (image < num_images))
    bad = ~((size >= 0) & (size < math.inf))  # of NaN, too
    if not (outside.any() or bad.any()):
        return
    if outside.any():
        i = int(outside.nonzero()[0])
        raise ValueError(
            f"rois[{i}] = {rois[i].tolist()} is in image {image[i]:g}; "
            f"there are {num_images} images, numbered from 0"
        )
    i = int(bad.any(1).nonzero()[0])
    raise ValueError(
        f"rois[{i}] = {rois[i].tolist()} is {size[i, 1]:g} x {size[i, 0]:g} (height x width); "
        "expected image, x1, y1, x2, y2, finite, with x1 <= x2 and y1 <= y2"
    )
