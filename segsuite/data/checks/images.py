"""The examination of image files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from segsuite.errors import DataError, MissingPackageError

from ..damaged import DamagedFileError
from ..image import ImageReader
from ..image_files import ImageHeader, read_header, read_stored
from .pixels import PixelFacts, examine_pixels, grey_picture

# File formats by the endings that stand for them.
_FORMATS = {
    ".jpg": ("JPEG", "MPO"),
    ".jpeg": ("JPEG", "MPO"),
    ".png": ("PNG",),
    ".bmp": ("BMP",),
    ".tif": ("TIFF",),
    ".tiff": ("TIFF",),
    ".webp": ("WEBP",),
    ".ppm": ("PPM",),
    ".pgm": ("PPM",),
    ".gif": ("GIF",),
    ".jp2": ("JPEG2000",),
    ".avif": ("AVIF",),
    ".npy": ("NPY",),
    ".npz": ("NPY",),
}

# Kinds of faults with which an image is of no use.
UNUSABLE = {"image-missing", "image-unreadable", "image-truncated"}


@dataclass
class ImageFacts:
    """What is known of an image file.

    Attributes:
        size: (height, width) upright; None where it can't be read.
        digest: of the bytes of the file.
        phash: 64 bits that similar pictures share most of; None for blank or unreadable ones.
        pixels: what its values are; None where it can't be read as the model takes it.
        faults: (kind, detail) of each finding.
        is_turned: whether the EXIF orientation turns it by a quarter.
    """

    file_name: str
    size: tuple[int, int] | None = None
    digest: bytes = b""
    phash: int | None = None
    pixels: PixelFacts | None = None
    faults: list[tuple[str, str]] = field(default_factory=list)
    is_turned: bool = False


def examine_image(file_name: str, reader: ImageReader | None = None) -> ImageFacts:
    """Read an image file to its last byte.

    Args:
        reader: that a model gets its images from; None: any bands that can be read.
    """
    facts, reader = ImageFacts(file_name), reader or ImageReader()
    try:
        facts.digest = hashlib.blake2b(Path(file_name).read_bytes(), digest_size=16).digest()
        before = read_header(file_name, None, reader.expected_bands)
        pixels, header = read_stored(file_name, None, reader.expected_bands)
    except FileNotFoundError:
        facts.faults.append(("image-missing", ""))
        return facts
    except (OSError, DataError, MissingPackageError) as e:
        is_cut = isinstance(e, DamagedFileError)
        kind = "image-truncated" if is_cut else "image-unreadable"
        facts.faults.append((kind, without_name(e, file_name)))
        return facts
    # Of a JPEG the header alone has it, of a PNG it may stand behind the pixels.
    orientation = max(before.orientation, header.orientation)
    facts.size, facts.is_turned = header.size, orientation >= 5
    if orientation != 1:
        facts.faults.append(("exif-rotation", f"orientation {orientation}"))
    if before.mode not in ("RGB", "L", "") and header.dtype == np.uint8:
        facts.faults.append(("image-mode", before.mode))
    expected = _FORMATS.get(os.path.splitext(file_name)[1].lower())
    if expected and before.format not in expected:
        facts.faults.append(("image-suffix", f"the file is {before.format}"))
    _examine_values(pixels, header, facts, reader)
    return facts


def _examine_values(
    pixels: np.ndarray, header: ImageHeader, facts: ImageFacts, reader: ImageReader
) -> None:
    try:
        reader.check_header(header, facts.file_name)
        facts.pixels = examine_pixels(pixels, header, reader, facts.file_name)
    except DataError as e:
        facts.faults.append(("image-unfit", without_name(e, facts.file_name)))
    grey = grey_picture(pixels)
    low, high = int(grey.min()), int(grey.max())
    if low == high:
        facts.faults.append(("image-blank", f"grey value {low}"))
    else:
        facts.phash = perceptual_hash(grey)


def perceptual_hash(grey: np.ndarray) -> int:
    """64 bits that change little when a picture is scaled or compressed anew.

    The signs of its lowest frequencies: the cosine transform of the picture at 32 x 32, its 8 x 8
    lowest coefficients against their median (Zauner, "Implementation and Benchmarking of Perceptual
    Image Hash Functions", 2010).

    Args:
        grey: (H, W) uint8.
    """
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def without_name(error: Exception, file_name: str) -> str:
    """The text of an error without the file that it begins with."""
    return str(error).removeprefix(str(file_name)).lstrip(" :")
