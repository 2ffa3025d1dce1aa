"""The images that an export is checked with, and calibrated on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch

from segsuite.config import CfgNode
from segsuite.data import DatasetCatalog, ImageReader, InferenceMapper, get_records
from segsuite.errors import UserError
from segsuite.runtime import ExportMetadata
from segsuite.runtime.frame import Frame

_GENERATED = "shapes_val"


def check_records(cfg: CfgNode, count: int, metadata: ExportMetadata) -> list[dict[str, Any]]:
    """Images of the data sets that `cfg` names for tests or training, else generated ones.

    Returns:
        Records as `image_records` gives them, one of an odd size where any size will do.
    """
    for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        if name in DatasetCatalog:
            try:
                return _of_all_sizes([*image_records(cfg, name, count, metadata)], metadata)
            except UserError:
                continue  # the data set is not here
    return _of_all_sizes([*image_records(cfg, _GENERATED, count, metadata)], metadata)


def _of_all_sizes(records: list[dict[str, Any]], metadata: ExportMetadata) -> list[dict[str, Any]]:
    """Where any size will do, with the last image cut to an odd one: those of a data set are often
    all of one size, which needs no padding."""
    if metadata.dynamic["size"] and records:
        image = records[-1]["image"]
        height, width = (max(length * 3 // 4 | 1, 33) for length in image.shape[1:])
        records[-1] = {**records[-1], "image": image[:, :height, :width].contiguous()}
    return records


def image_records(
    cfg: CfgNode, dataset: str, count: int, metadata: ExportMetadata
) -> Iterator[dict[str, Any]]:
    """`count` images of a data set, spread evenly over it.

    Args:
        metadata: of the file that they are for.

    Returns:
        Records as `InferenceMapper` makes them; of a graph of fixed size the image is what the
        runtime gives to it, padded where it is smaller, and height and width are those of the
        whole.

    Raises:
        UnknownNameError: there is no such data set.
        DataError, MissingFileError: it is not there, or an image is none of the model's.
    """
    records: Sequence[dict[str, Any]] = get_records(dataset)
    step = max(len(records) // count, 1)
    reader = ImageReader(cfg)
    mapper = InferenceMapper(cfg)
    for record in islice(records, 0, step * count, step):
        yield _framed(mapper(reader.read(record["file_name"])), metadata)


def _framed(record: dict[str, Any], metadata: ExportMetadata) -> dict[str, Any]:
    frame = Frame(record["image"].numpy(), (record["height"], record["width"]), metadata)
    height, width = frame.output_size
    image = torch.from_numpy(frame.inputs()[metadata.inputs[0]][0])
    return {"image": image, "height": height, "width": width}
