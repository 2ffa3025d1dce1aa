"""From records to the batch of images that a backbone takes."""

from __future__ import annotations

import torch

from segsuite.structures import ImageList


def preprocess_images(
    batched_inputs: list[dict],
    pixel_mean: torch.Tensor,
    pixel_std: torch.Tensor,
    size_divisibility: int,
) -> ImageList:
    """Normalised images padded to one size, to which the padding is the mean colour.

    Args:
        batched_inputs: one record an image, with ``image`` (C, H, W) uint8 or float, 0-255.
        pixel_mean, pixel_std: (C, 1, 1), on the device that the images are brought to.
        size_divisibility: of the backbone.

    Raises:
        ValueError: an image has another number of channels.
    """
    images = []
    for x in batched_inputs:
        image = x["image"].to(pixel_mean.device, non_blocking=True)
        if image.shape[0] != len(pixel_mean):
            raise ValueError(
                f"{record_name(x)}: 'image' is {tuple(image.shape)}, but the model takes "
                f"{len(pixel_mean)} channels first (the length of MODEL.PIXEL_MEAN)"
            )
        images.append((image.float() - pixel_mean) / pixel_std)
    return ImageList.from_tensors(images, size_divisibility)


def record_name(record: dict) -> str:
    """What error messages call a record."""
    return record.get("file_name", "a record without file_name")
