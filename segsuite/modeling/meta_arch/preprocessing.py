"""From records to the batch of images that a backbone takes, and to their label maps."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from segsuite.errors import DataError
from segsuite.structures import ImageList, num_labels
from segsuite.utils.record_name import record_name


def preprocess_images(
    batched_inputs: list[dict],
    pixel_mean: torch.Tensor,
    pixel_std: torch.Tensor,
    size_divisibility: int,
    padding_constraints: Mapping[str, int] | None = None,
) -> ImageList:
    """Normalised images padded to one size, to which the padding is the mean colour.

    Args:
        batched_inputs: one record an image, with ``image`` (C, H, W) uint8 or float, 0-255.
        pixel_mean, pixel_std: (C, 1, 1), on the device that the images are brought to.
        size_divisibility, padding_constraints: of the backbone, see `ImageList.from_tensors`.

    Raises:
        DataError: an image has another number of channels.
    """
    images = []
    for x in batched_inputs:
        image = x["image"].to(pixel_mean.device, non_blocking=True)
        if image.shape[0] != len(pixel_mean):
            raise DataError(
                f"{record_name(x)}: 'image' is {tuple(image.shape)}, but the model takes "
                f"{len(pixel_mean)} channels first (the length of MODEL.PIXEL_MEAN)"
            )
        images.append(image)
    if len({(image.shape, image.dtype) for image in images}) == 1 < len(images):
        # At once, since a GPU takes as long to start with an image as with all of them.
        images = list(torch.stack(images).float().sub_(pixel_mean).div_(pixel_std))
    else:
        images = [(image.float() - pixel_mean) / pixel_std for image in images]
    return ImageList.from_tensors(
        images, size_divisibility, padding_constraints=padding_constraints
    )


def pad_label_maps(
    batched_inputs: list[dict],
    device: torch.device,
    size_divisibility: int,
    ignore_value: int,
    padding_constraints: Mapping[str, int] | None = None,
) -> torch.Tensor:
    """The label maps of records, ``sem_seg``, padded as the images are: (N, Hp, Wp) int64.

    Raises:
        DataError: one is missing, or of another size than its image.
    """
    maps = []
    for x in batched_inputs:
        if "sem_seg" not in x:
            raise DataError(
                f"{record_name(x)}: training needs 'sem_seg', the label map; the record has "
                f"{', '.join(sorted(x))}"
            )
        if x["sem_seg"].shape != x["image"].shape[-2:]:
            raise DataError(
                f"{record_name(x)}: 'sem_seg' is {tuple(x['sem_seg'].shape)}, but 'image' is "
                f"{tuple(x['image'].shape)}; height and width must agree"
            )
        maps.append(x["sem_seg"].to(device, non_blocking=True).long())
    return ImageList.from_tensors(maps, size_divisibility, ignore_value, padding_constraints).tensor


def check_label_maps(batched_inputs: list[dict], num_classes: int, ignore_value: int) -> None:
    """Look for labels that are neither a class nor ignored.

    Losses do not check: on a GPU that would wait for the device in every step. An index error
    inside them on the CPU, or a failed assertion on the GPU, is what such a label looks like.

    Raises:
        DataError: there are some; names the record, the values and the number of pixels.
    """
    for x in batched_inputs:
        labels = x["sem_seg"]
        largest = num_labels(num_classes) - 1
        wrong = (labels != ignore_value) & ((labels < 0) | (labels > largest))
        if wrong.any():
            values, counts = labels[wrong].unique(return_counts=True)
            found = ", ".join(f"{v} ({n} pixels)" for v, n in zip(values, counts, strict=True))
            raise DataError(
                f"{record_name(x)}: 'sem_seg' holds {found}; labels go from 0 to "
                f"{largest} (MODEL.SEM_SEG_HEAD.NUM_CLASSES is {num_classes}), and "
                f"{ignore_value} (IGNORE_VALUE) is ignored"
            )
