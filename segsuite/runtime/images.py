"""From an image in any usual form to what the graph of an exported model takes, and to pictures.

What training's evaluation does by `segsuite.data`, value for value, with NumPy and Pillow alone.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
from PIL import Image

from segsuite.errors import DataError

from .metadata import ExportMetadata
from .stored import Stored, decode, read_stored
from .value_range import ValueRange

Size = tuple[int, int]  # height, width
_COLOR, _GREY = 3, 1


def read_image(image: Any, metadata: ExportMetadata) -> np.ndarray:
    """An image as the model's evaluation reads it, in RGB where it is colours.

    Args:
        image: a file, a Pillow image, or an array (H, W, C) or (H, W), in RGB where it is colours.
            An array of as many bands as the model takes has been read already, but for its range of
            values.

    Returns:
        (H, W, C) uint8, C channels as the model has them; values of more than 8 bits are brought to
        0-255 as `ExportMetadata.value_range` says.

    Raises:
        MissingFileError: there is no such file.
        MissingPackageError: a PNG with several bands of 16 bits needs OpenCV, which is not
            installed.
        DataError: it is no image, or damaged; values of which no range is known; another number of
            bands than the model takes.
    """
    if isinstance(image, np.ndarray):
        return _of_array(image, metadata)
    if isinstance(image, Image.Image):
        return _chosen(decode(image, "the image"), metadata, "the image")
    if not isinstance(image, (str, os.PathLike)):
        raise DataError(
            f"a {type(image).__name__} is no image: expected a file, a Pillow image, or an array "
            "(height, width, bands)"
        )
    return _chosen(read_stored(image), metadata, image)


def shown(image: np.ndarray, metadata: ExportMetadata) -> np.ndarray:
    """What pictures show of an image that was read: (H, W, C) uint8 -> (H, W, 3) uint8 RGB."""
    bands = metadata.display_bands or range(_COLOR if image.shape[2] >= _COLOR else _GREY)
    picture = image[..., list(bands)]
    return picture if picture.shape[2] == _COLOR else np.repeat(picture, _COLOR, axis=2)


def resized_size(size: Size, metadata: ExportMetadata) -> Size:
    """The size to which an image of `size` is resized, by its short edge, rounded half up."""
    if metadata.resize is None:
        return size
    # The order of these operations, and so their rounding, is Detectron2's.
    scale = metadata.resize["min_size"] / min(size)
    edges = [edge * scale for edge in size]
    if max(edges) > metadata.resize["max_size"]:
        scale = metadata.resize["max_size"] / max(edges)
        edges = [edge * scale for edge in edges]
    height, width = (max(int(edge + 0.5), 1) for edge in edges)
    return height, width


def resize_bilinear(image: np.ndarray, size: Size) -> np.ndarray:
    """Resize as Pillow does, along x, to 8 bits, and along y; bands three at a time.

    Args:
        image: (H, W, C) uint8.
        size: (height, width).
    """
    if image.shape[:2] == size:
        return image
    groups = []
    for start in range(0, image.shape[2], _COLOR):
        bands = np.arange(start, start + _COLOR).clip(max=image.shape[2] - 1)
        pixels = Image.fromarray(np.ascontiguousarray(image[..., bands]))
        # In two calls: versions of Pillow differ in which axis comes first.
        pixels = pixels.resize((size[1], image.shape[0]), Image.Resampling.BILINEAR)
        pixels = pixels.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        groups.append(np.asarray(pixels))
    return np.concatenate(groups, axis=2)[..., : image.shape[2]]


def to_planes(image: np.ndarray, metadata: ExportMetadata) -> np.ndarray:
    """(H, W, C) uint8 in RGB -> (C, H, W) uint8 in the order of the model's channels."""
    if metadata.pixel_format == "BGR" and image.shape[2] == _COLOR:
        image = image[..., ::-1]
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _of_array(image: np.ndarray, metadata: ExportMetadata) -> np.ndarray:
    array = image[..., None] if image.ndim == 2 else image
    if array.ndim != 3 or not array.size or array.dtype.kind not in "buif":
        raise DataError(
            f"an image of {image.shape} {image.dtype}: expected (height, width, bands) or (height, "
            "width), of numbers"
        )
    stored = Stored(array.astype(array.dtype.newbyteorder("="), copy=False))
    if array.shape[2] == metadata.in_channels:
        return _of_8_bits(stored, metadata, "the array")
    return _chosen(stored, metadata, "the array")


def _chosen(stored: Stored, metadata: ExportMetadata, name: object) -> np.ndarray:
    """The bands of an image that the model takes, as many as it has channels, in 8 bits."""
    pixels, channels, bands = stored.pixels, metadata.in_channels, metadata.bands
    if bands:
        if max(bands) >= pixels.shape[2]:
            raise DataError(
                f"{name} has {pixels.shape[2]} bands, 0 to {pixels.shape[2] - 1}; the model takes "
                f"the bands {bands}"
            )
        pixels = pixels[..., bands]
    elif stored.has_alpha and pixels.shape[2] != channels:
        pixels = pixels[..., :-1]
    pixels = _of_8_bits(dataclasses.replace(stored, pixels=pixels), metadata, name)
    count = pixels.shape[2]
    if metadata.pixel_format == "L" and count == _COLOR:
        return to_grey(pixels)
    if count == _GREY and channels == _COLOR:
        return np.repeat(pixels, _COLOR, axis=2)
    if count != channels:
        raise DataError(
            f"{name} has {count} channel{'s'[: count != 1]}, but the model takes {channels} "
            f"({metadata.pixel_format}); give an image of {channels}"
        )
    return np.ascontiguousarray(pixels)


def _of_8_bits(stored: Stored, metadata: ExportMetadata, name: object) -> np.ndarray:
    value_range = ValueRange(metadata.value_range)
    pixels = stored.pixels
    try:
        return value_range.scale(pixels, name, bits=stored.bits, no_data=stored.no_data)
    except DataError as error:
        raise DataError(
            f"{error}. In an exported file the range is fixed: export the run again with "
            "INPUT.VALUE_RANGE set, or give values of uint8"
        ) from None


def to_grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB to (H, W, 1), as OpenCV does: ITU-R BT.601 in integers of 15 bits."""
    weighted = image.astype(np.int32) @ np.array([9798, 19235, 3735], np.int32)
    return ((weighted + (1 << 14)) >> 15).astype(np.uint8)[..., None]
