"""How many detections of an image count, and what is said where there could be more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from segsuite.errors import ConfigError

from .coco_arrays import COCOObjects
from .coco_files import COCOIndex


def check_limits(max_detections: Sequence[int]) -> tuple[int, ...]:
    """Limits of detections, as the configuration has them.

    Raises:
        ConfigError: one is no positive whole number.
    """
    given = max_detections if isinstance(max_detections, (list, tuple)) else [max_detections]
    for limit in given:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigError(
                f"TEST.COCO_MAX_DETECTIONS is {max_detections!r}; expected positive whole numbers, "
                "such as (300, 1000)"
            )
    return tuple(given)


def limit_warnings(
    objects: COCOObjects,
    index: COCOIndex,
    names: Mapping[Any, str],
    limit: int,
    detections_per_image: int | None,
) -> Iterator[str]:
    """What the limits make impossible to find, as texts.

    Args:
        names: of the categories by id.
        limit: the largest one of the detections of an image and category that count.
        detections_per_image: how many the model gives at most; None: not known.
    """
    found = objects.take(~objects.crowds)
    num_categories = max(len(index.category_ids), 1)
    pairs, counts = np.unique(found.images * num_categories + found.categories, return_counts=True)
    too_many = counts > limit
    if too_many.any():
        most = int(counts.argmax())
        image, category = divmod(int(pairs[most]), num_categories)
        yield (
            f"{index.source}: image {index.image_ids[image]} has {counts[most]} objects of "
            f"category '{names[index.category_ids[category]]}', and of an image and category the "
            f"best {limit} detections count, so not all can be found and AP can't reach 100 "
            f"({_images(len(np.unique(pairs[too_many] // num_categories)))} with so many). Add "
            f"{counts[most]} or more to TEST.COCO_MAX_DETECTIONS for figures with that limit"
        )
    if detections_per_image is None:
        return
    images, counts = np.unique(found.images, return_counts=True)
    too_many = counts > detections_per_image
    if too_many.any():
        most = int(counts.argmax())
        yield (
            f"{index.source}: image {index.image_ids[int(images[most])]} has {counts[most]} "
            f"objects, but TEST.DETECTIONS_PER_IMAGE is {detections_per_image}, so not all can be "
            f"found ({_images(int(too_many.sum()))} with so many)"
        )
    if detections_per_image > limit:
        yield (
            f"TEST.DETECTIONS_PER_IMAGE is {detections_per_image}, but of an image and category "
            f"the best {limit} detections count; add {detections_per_image} to "
            "TEST.COCO_MAX_DETECTIONS for figures with that limit"
        )


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"
