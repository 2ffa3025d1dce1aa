"""The examination of image files, and of what two of them have in common."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..image import EXIF_ORIENTATION, decode, open_image
from .report import Report

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
# Bits of the perceptual hash that may differ. Five bands of it: two hashes that differ in at most
# four bits are equal in one of them.
_MAX_DISTANCE = 4
_BANDS = ((0, 13), (13, 26), (26, 39), (39, 52), (52, 64))
_LARGEST_GROUP = 1000


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
    except (OSError, ValueError) as e:
        facts.faults.append(("image-unreadable", without_name(e, file_name)))
        return facts
    with image:
        try:
            decode(image, file_name)
        except ValueError as e:
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


def report_duplicates(images: dict[str, Sequence[ImageFacts]], report: Report) -> None:
    """Find the same file, and pictures that look the same, within data sets and between them."""
    named = [(name, facts) for name, of_this in images.items() for facts in of_this if facts.size]
    same = defaultdict(list)
    for name, facts in named:
        same[facts.digest].append((name, facts.file_name))
    for (first_name, first), *others in same.values():
        for name, file_name in others:
            detail = f"the same as {first}"
            if name != first_name:
                report.add(f"{first_name} and {name}", "leakage", file_name, detail)
            elif file_name != first:
                report.add(name, "duplicate-image", file_name, detail)
    for i, j, distance in near_pairs([facts.phash for _, facts in named]):
        (name, facts), (other_name, other) = named[i], named[j]
        if facts.digest == other.digest:
            continue
        detail = f"looks like {facts.file_name} ({64 - distance} of 64 bits agree)"
        if name == other_name:
            report.add(name, "near-duplicate", other.file_name, detail)
        else:
            report.add(f"{name} and {other_name}", "near-leakage", other.file_name, detail)


def near_pairs(hashes: Sequence[int | None]) -> Iterator[tuple[int, int, int]]:
    """The pairs i < j of hashes that differ in at most 4 bits, each once, and in how many.

    Groups of over a thousand hashes that share a band are looked at no further: such pictures share
    a frame or a background rather than their content.
    """
    found = set()
    for start, stop in _BANDS:
        groups = defaultdict(list)
        for i, value in enumerate(hashes):
            if value is not None:
                groups[value >> start & ((1 << stop - start) - 1)].append(i)
        for group in groups.values():
            if len(group) > _LARGEST_GROUP:
                continue
            for i, j in combinations(group, 2):
                distance = (hashes[i] ^ hashes[j]).bit_count()
                if distance <= _MAX_DISTANCE and (i, j) not in found:
                    found.add((i, j))
                    yield i, j, distance


def without_name(error: Exception, file_name: str) -> str:
    """The text of an error without the file that it begins with."""
    return str(error).removeprefix(str(file_name)).lstrip(" :")
