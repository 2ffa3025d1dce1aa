"""The examination of image files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segsuite.errors import DataError

from ..image_files import EXIF_ORIENTATION, decode, open_image

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
        faults: (kind, detail) of each finding.
    """

    file_name: str
    size: tuple[int, int] | None = None
    digest: bytes = b""
    phash: int | None = None
    faults: list[tuple[str, str]] = field(default_factory=list)


def examine_image(file_name: str) -> ImageFacts:
    """Read an image file to its last byte."""
    facts = ImageFacts(file_name)
    try:
        facts.digest = hashlib.blake2b(Path(file_name).read_bytes(), digest_size=16).digest()
        image = open_image(file_name)
    except FileNotFoundError:
        facts.faults.append(("image-missing", ""))
        return facts
    except (OSError, DataError) as e:
        facts.faults.append(("image-unreadable", without_name(e, file_name)))
        return facts
    with image:
        try:
            decode(image, file_name)
        except DataError as e:
            facts.faults.append(("image-truncated", without_name(e, file_name)))
            return facts
        _examine_pixels(image, facts)
    return facts


def _examine_pixels(image: Image.Image, facts: ImageFacts) -> None:
    width, height = image.size
    orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    facts.size = (width, height) if orientation >= 5 else (height, width)
    if orientation != 1:
        facts.faults.append(("exif-rotation", f"orientation {orientation}"))
    if image.mode not in ("RGB", "L"):
        facts.faults.append(("image-mode", image.mode))
    expected = _FORMATS.get(os.path.splitext(facts.file_name)[1].lower())
    if expected and image.format not in expected:
        facts.faults.append(("image-suffix", f"the file is {image.format}"))
    grey = np.asarray(image.convert("L"))
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
