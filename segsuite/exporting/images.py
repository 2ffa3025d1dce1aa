"""The images that an export is checked with, and calibrated on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from segsuite.config import CfgNode
from segsuite.data import DatasetCatalog, ImageReader, InferenceMapper, get_records
from segsuite.data.image import channel_order
from segsuite.data.planes import to_planes
from segsuite.data.transforms import ResizeTransform
from segsuite.errors import UserError

_GENERATED = "shapes_val"


def check_records(cfg: CfgNode, count: int, size: tuple[int, int] | None) -> list[dict[str, Any]]:
    """Images of the data sets that `cfg` names for tests or training, else generated ones.

    Returns:
        Records as `image_records` gives them, one of an odd size where any size will do.
    """
    for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        if name in DatasetCatalog:
            try:
                return _of_all_sizes([*image_records(cfg, name, count, size)], size)
            except UserError:
                continue  # the data set is not here
    return _of_all_sizes([*image_records(cfg, _GENERATED, count, size)], size)


def _of_all_sizes(
    records: list[dict[str, Any]], size: tuple[int, int] | None
) -> list[dict[str, Any]]:
    """Where any size will do, with the last image cut to an odd one: those of a data set are often
    all of one size, which needs no padding."""
    if size is None and records:
        image = records[-1]["image"]
        height, width = (max(length * 3 // 4 | 1, 33) for length in image.shape[1:])
        records[-1] = {**records[-1], "image": image[:, :height, :width].contiguous()}
    return records


def image_records(
    cfg: CfgNode, dataset: str, count: int, size: tuple[int, int] | None
) -> Iterator[dict[str, Any]]:
    """`count` images of a data set, spread evenly over it.

    Args:
        size: height and width to bring them to; None: as test images are resized.

    Returns:
        Records as `InferenceMapper` makes them.

    Raises:
        UnknownNameError: there is no such data set.
        DataError, MissingFileError: it is not there, or an image is none of the model's.
    """
    records: Sequence[dict[str, Any]] = get_records(dataset)
    step = max(len(records) // count, 1)
    reader = ImageReader(cfg)
    mapper = InferenceMapper(cfg)
    for record in islice(records, 0, step * count, step):
        pixels = reader.read(record["file_name"])
        if size is None:
            yield mapper(pixels)
            continue
        height, width = pixels.shape[:2]
        resized = ResizeTransform(height, width, *size).apply_image(pixels)
        planes = to_planes(resized, channel_order(cfg))
        yield {"image": planes, "height": height, "width": width}
