"""From an image in any usual form to what the graph of an exported model takes, and to pictures.

What training's evaluation does by `segsuite.data`, value for value, with NumPy and Pillow alone; of
images with more than 8 bits a value it takes none.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from segsuite.errors import DataError, MissingFileError

from .metadata import ExportMetadata

Size = tuple[int, int]  # height, width
_COLOR, _GREY = 3, 1
_WITH_ALPHA = ("LA", "RGBA")
_CONVERTED = {"1": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}


def read_image(image: Any, metadata: ExportMetadata) -> np.ndarray:
    """An image as the model's evaluation reads it, in RGB where it is colours.

    Args:
        image: a file, a Pillow image, or an array (H, W, C) or (H, W) uint8, in RGB where it is
            colours. An array of as many bands as the model takes has been read already.

    Returns:
        (H, W, C) uint8, C channels as the model has them.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no image, or damaged; values of more than 8 bits; another number of bands
            than the model takes.
    """
    if isinstance(image, np.ndarray):
        return _of_array(image, metadata)
    if isinstance(image, Image.Image):
        pixels, has_alpha = _decode(image, "the image")
        return _chosen(pixels, has_alpha, metadata, "the image")
    if not isinstance(image, (str, os.PathLike)):
        raise DataError(
            f"a {type(image).__name__} is no image: expected a file, a Pillow image, or an array "
            "(height, width, bands) uint8"
        )
    try:
        with Image.open(image) as opened:
            pixels, has_alpha = _decode(opened, image)
    except FileNotFoundError:
        raise MissingFileError(f"no image file {image}") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise DataError(f"{image} is no image that Pillow can read, or damaged: {error}") from None
    return _chosen(pixels, has_alpha, metadata, image)


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
    if array.ndim != 3 or not array.size or array.dtype != np.uint8:
        raise DataError(
            f"an image of {image.shape} {image.dtype}: expected (height, width, bands) or (height, "
            "width) of uint8, 0-255"
        )
    if array.shape[2] == metadata.in_channels:
        return array
    return _chosen(array, False, metadata, "the array")


def _decode(image: Image.Image, name: object) -> tuple[np.ndarray, bool]:
    """(H, W, C) uint8, upright, and whether its last band is transparency."""
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{name} has several frames; expected one image")
    # Pillow would drop the lower bits of a PNG with several bands of 16.
    if image.mode[0] in "IF" or any(";16" in str(part) for part in getattr(image, "tile", ())):
        raise DataError(
            f"{name} has values of more than 8 bits, and an exported model reads such files only "
            "by segsuite.Predictor; give an array of uint8 instead, with the values that "
            "INPUT.VALUE_RANGE had in training brought to 0-255"
        )
    image.load()
    upright: Image.Image = ImageOps.exif_transpose(image)
    mode = upright.mode
    if mode == "P":
        mode = "RGBA" if "transparency" in upright.info else "RGB"
    elif mode == "LAB":
        profiles = (ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"))
        upright = ImageCms.profileToProfile(upright, *profiles, outputMode="RGB") or upright
        mode = "RGB"
    elif mode not in ("L", "RGB", *_WITH_ALPHA):
        mode = _CONVERTED.get(mode, "RGB")
    pixels = np.array(upright if mode == upright.mode else upright.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None], mode in _WITH_ALPHA


def _chosen(
    pixels: np.ndarray, has_alpha: bool, metadata: ExportMetadata, name: object
) -> np.ndarray:
    """The bands of an image that the model takes, as many as it has channels."""
    channels, bands = metadata.in_channels, metadata.bands
    if bands:
        if max(bands) >= pixels.shape[2]:
            raise DataError(
                f"{name} has {pixels.shape[2]} bands, 0 to {pixels.shape[2] - 1}; the model takes "
                f"the bands {bands}"
            )
        pixels = pixels[..., bands]
    elif has_alpha and pixels.shape[2] != channels:
        pixels = pixels[..., :-1]
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


def to_grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB to (H, W, 1), as OpenCV does: ITU-R BT.601 in integers of 15 bits."""
    weighted = image.astype(np.int32) @ np.array([9798, 19235, 3735], np.int32)
    return ((weighted + (1 << 14)) >> 15).astype(np.uint8)[..., None]
