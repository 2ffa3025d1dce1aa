"""The images that an export is checked with, and calibrated on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from segsuite.config import CfgNode
from segsuite.data import DatasetCatalog, ImageReader, InferenceMapper, get_records
from segsuite.data.folders import IMAGE_SUFFIXES, list_files
from segsuite.errors import DataError, UnknownNameError, UserError
from segsuite.runtime import ExportMetadata
from segsuite.runtime.frame import Frame
from segsuite.utils.registry import unknown_name

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
    cfg: CfgNode, source: str | os.PathLike[str], count: int, metadata: ExportMetadata
) -> Iterator[dict[str, Any]]:
    """`count` images of a data set or folder, spread evenly over it; all where there are fewer.

    Args:
        source: the name of a data set, or a folder with images in it and its subfolders, which need
            no labels.
        metadata: of the file that they are for.

    Returns:
        Records as `InferenceMapper` makes them, each read when it is asked for; of a graph of fixed
        size the image is what the runtime gives to it, padded where it is smaller, and height and
        width are those of the whole.

    Raises:
        UnknownNameError: there is no such data set or folder.
        DataError, MissingFileError: it is not there, or has no images; when a record is asked for,
            its image is damaged or none of the model's.
    """
    return _read(cfg, _chosen_files(source, count), metadata)


def _chosen_files(source: str | os.PathLike[str], count: int) -> list[str]:
    name = os.fspath(source)
    if name in DatasetCatalog:
        records = get_records(name)
        return [records[i]["file_name"] for i in _spread(len(records), count)]
    folder = Path(source)
    if not folder.is_dir():
        known = unknown_name(name, DatasetCatalog.list(), "DatasetCatalog")
        raise UnknownNameError(f"{known} Nor is there a folder '{folder}'.")
    files = list_files(folder, IMAGE_SUFFIXES)
    if not files:
        raise DataError(
            f"the folder '{folder}' has no images: expected files that end in "
            f"{' '.join(IMAGE_SUFFIXES)}"
        )
    return [os.fspath(files[i]) for i in _spread(len(files), count)]


def _spread(length: int, count: int) -> range:
    """Up to `count` places of a list, evenly."""
    step = max(length // max(count, 1), 1)
    return range(0, min(step * count, length), step)


def _read(cfg: CfgNode, files: Iterable[str], metadata: ExportMetadata) -> Iterator[dict[str, Any]]:
    reader = ImageReader(cfg)
    mapper = InferenceMapper(cfg)
    for file in files:
        yield _framed(mapper(reader.read(file)), metadata)


def _framed(record: dict[str, Any], metadata: ExportMetadata) -> dict[str, Any]:
    frame = Frame(record["image"].numpy(), (record["height"], record["width"]), metadata)
    height, width = frame.output_size
    image = torch.from_numpy(frame.inputs()[metadata.inputs[0]][0])
    return {"image": image, "height": height, "width": width}
