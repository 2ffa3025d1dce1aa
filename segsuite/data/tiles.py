"""Tiles of large images as training samples: each epoch sees every part, and reads no more."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from segsuite.errors import ConfigError, DataError
from segsuite.structures import encode_masks
from segsuite.structures.run_lengths import decode_counts

from .boxes import corner_boxes, record_size
from .image import ImageReader
from .image_files import read_header
from .records import Record, RecordSequence
from .scene import Scene
from .transforms.transform import CropTransform

Tile = tuple[int, int, int, int]  # top, left, bottom, right

_TIFF = (".tif", ".tiff")


class TiledRecords(RecordSequence):
    """A record for each tile of the images of records.

    It has ``tile``, the (top, left, bottom, right) of the tile in pixels of the image, and of the
    ``annotations`` those whose boxes reach into it; all else is the image's.

    Args:
        records: of whole images.
        tiles: (T, 5) integers: the number of the record, and its tile.
    """

    def __init__(self, records: Sequence[Record], tiles: np.ndarray) -> None:
        self.records, self.tiles = records, tiles

    def __len__(self) -> int:
        return len(self.tiles)

    def record(self, index: int) -> Record:
        number, *corners = self.tiles[index].tolist()
        top, left, bottom, right = corners
        record = {**self.records[number], "tile": (top, left, bottom, right)}
        if record.get("annotations"):
            touched = _touched(record["annotations"], record_size(record), self.tiles[index, 1:])
            chosen = np.flatnonzero(touched)
            record["annotations"] = [record["annotations"][i] for i in chosen]
        return record

    def select(self, indices: np.ndarray) -> TiledRecords:
        return TiledRecords(self.records, self.tiles[indices])


def tile_records(
    records: Sequence[Record], size: Sequence[int], overlap: float, *, keep_empty: bool
) -> TiledRecords:
    """Cut images into tiles.

    Args:
        size: (height, width) of a tile in pixels; smaller images are one tile.
        overlap: share of a tile that its neighbour covers at least, in [0, 1).
        keep_empty: whether tiles of annotated images stay in which no object is.

    Raises:
        ConfigError: a size or the overlap is out of range.
        DataError: no tile is left.
    """
    if len(size) != 2 or min(size) < 1 or not 0 <= overlap < 1:
        raise ConfigError(
            f"INPUT.TILES.SIZE is {list(size)}, OVERLAP {overlap}; expected (height, width) in "
            "pixels, and a share in [0, 1)"
        )
    found = []
    for number, record in enumerate(records):
        image_size = record_size(record)
        tiles = np.array(list(tiles_of(image_size, size, overlap)))
        objects = record.get("annotations")
        if objects is not None and not keep_empty:
            objects = [a for a in objects if not a.get("iscrowd")]
            tiles = tiles[[_touched(objects, image_size, tile).any() for tile in tiles]]
        found.append(np.column_stack([np.full(len(tiles), number), tiles]))
    joined = np.concatenate(found).astype(np.int64)
    if not len(joined):
        raise DataError(
            "no tile of the training images has an object that is no crowd; set "
            "DATALOADER.FILTER_EMPTY_ANNOTATIONS False to train without any"
        )
    return TiledRecords(records, joined)


def tiles_of(
    image_size: tuple[int, int], size: Sequence[int], overlap: float
) -> Iterator[tuple[int, int, int, int]]:
    """Top, left, bottom and right of tiles that cover an image, all of one size but where it is
    smaller."""
    for top in _starts(image_size[0], size[0], overlap):
        for left in _starts(image_size[1], size[1], overlap):
            bottom = min(top + size[0], image_size[0])
            yield top, left, bottom, min(left + size[1], image_size[1])


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    last = max(length - tile, 0)
    return [*range(0, last, max(int(tile * (1 - overlap)), 1)), last]


def read_tile(
    file: str | os.PathLike[str], tile: Tile, reader: ImageReader
) -> tuple[np.ndarray, tuple[int, int]]:
    """A tile of an image, of a TIFF without decoding the rest of it.

    That needs rasterio, values that are not read by percentiles, and an upright file. Others are
    decoded whole.

    Returns:
        (h, w, C) uint8 as `reader` reads the whole, and (height, width) of the image.

    Raises:
        MissingFileError, DataError: as `ImageReader.read`.
    """
    top, left, bottom, right = tile
    if _has_windows(file, reader):
        with Scene(file, reader) as scene:
            size = scene.size
            if size == read_header(file, None, reader.expected_bands).size:
                return scene.window(slice(top, bottom), slice(left, right)), size
    pixels = reader.read(file)
    return pixels[top:bottom, left:right], (pixels.shape[0], pixels.shape[1])


def _has_windows(file: str | os.PathLike[str], reader: ImageReader) -> bool:
    is_tiff = os.fspath(file).lower().endswith(_TIFF)
    if not is_tiff or reader.value_range.has_percentiles or not os.path.isfile(file):
        return False
    return importlib.util.find_spec("rasterio") is not None


def crop_annotations(
    annotations: Sequence[Mapping[str, Any]], size: tuple[int, int], tile: Tile
) -> list[dict[str, Any]]:
    """The annotations of an image in the pixels of a tile, to which they are clipped.

    Args:
        size: (height, width) of the image.

    Returns:
        With boxes x0, y0, x1, y1 cut at the tile's edges; those of which nothing is left have no
        mask, or a box of no size.
    """
    from segsuite.structures import BoxMode

    top, left, bottom, right = tile
    crop = CropTransform(left, top, bottom - top, right - left)
    boxes = corner_boxes(annotations, size) - [left, top, left, top]
    boxes = boxes.clip(0, [right - left, bottom - top] * 2)
    cropped = []
    for annotation, box in zip(annotations, boxes.tolist(), strict=True):
        entry = {**annotation, "bbox": box, "bbox_mode": BoxMode.XYXY_ABS}
        segmentation = annotation.get("segmentation")
        if isinstance(segmentation, Mapping):
            entry["segmentation"] = _crop_rle(segmentation, size[0], tile)
        elif segmentation is not None and len(segmentation):
            points = [np.reshape(polygon, (-1, 2)) for polygon in segmentation]
            polygons = [p.ravel() for p in crop.apply_polygons(points) if len(p)]
            entry["segmentation"] = polygons
        cropped.append(entry)
    return cropped


def _crop_rle(rle: Mapping[str, Any], height: int, tile: Tile) -> dict[str, Any]:
    """Run lengths of a part of a mask, whose columns alone are drawn."""
    top, left, bottom, right = tile
    counts = rle["counts"]
    runs = np.array(counts if isinstance(counts, list) else decode_counts(counts), dtype=np.int64)
    ends = np.cumsum(runs)
    first, last = left * height, right * height
    begins, stops = ends[:-1:2].clip(first, last), ends[1::2].clip(first, last)
    changes = np.zeros(last - first + 1, dtype=np.int8)
    np.add.at(changes, begins[: len(stops)] - first, 1)
    np.add.at(changes, stops - first, -1)
    columns = np.cumsum(changes[:-1], dtype=np.int8).reshape(right - left, height)
    mask = torch.from_numpy(columns[:, top:bottom].T > 0)
    return encode_masks(mask[None])[0]


def _touched(
    annotations: Sequence[Mapping[str, Any]], size: tuple[int, int], tile: np.ndarray
) -> np.ndarray:
    """(N,) bool: which boxes have an area in common with a tile."""
    boxes = corner_boxes(annotations, size)
    top, left, bottom, right = tile
    return (
        (boxes[:, 0] < right) & (boxes[:, 2] > left) & (boxes[:, 1] < bottom) & (boxes[:, 3] > top)
    )
