"""From a head's logits of a padded batch to one prediction per image."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from segsuite.structures import ImageList, SemSegLogits


def sem_seg_predictions(
    logits: torch.Tensor,
    images: ImageList,
    sizes: Sequence[tuple[int, int]],
    stride: int | None = None,
    threshold: float = 0.5,
) -> list[SemSegLogits]:
    """The prediction of each image, without its padding.

    Args:
        logits: (N, K, h, w) for the padded batch.
        images: what they were computed from.
        sizes: (H, W) of each prediction.
        stride: None resizes straight from the logits, which cover the padded batch from edge to
            edge. Else as Detectron2 does it: logits are upsampled by this stride and cropped to
            the image, and that is resized to H x W. Where H x W is the image's own size this takes
            no more memory than the other way, else (K, height, width) float32 of the image.
        threshold: of one class, see `SemSegLogits`.
    """
    (padded_h, padded_w), (h, w) = images.tensor.shape[-2:], logits.shape[-2:]
    predictions = []
    for image_logits, (image_h, image_w), size in zip(
        logits, images.image_sizes, sizes, strict=True
    ):
        image_size = image_h, image_w
        source_size: tuple[float, float]
        if stride is None:
            # In this order what an image without padding covers is all, and not a rounding more.
            source_size = image_h * h / padded_h, image_w * w / padded_w
        else:
            source_size = image_h / stride, image_w / stride
        if stride is not None and size != image_size:
            image_logits = SemSegLogits(image_logits, source_size, image_size).full()
            source_size = image_size
        predictions.append(SemSegLogits(image_logits, source_size, size, threshold))
    return predictions
