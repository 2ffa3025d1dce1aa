"""Label maps as files store them: one integer a pixel, in any container that keeps it."""

from __future__ import annotations

import os
from typing import IO

import cv2
import numpy as np
from PIL import Image, ImageFile

from segsuite.errors import DataError

from .arrays import LABEL_NAMES, is_array_file, read_array, read_array_header, without_ones
from .image_files import (
    check_one_frame,
    check_pixels,
    decode,
    opened,
    png_depth,
    stored_type,
    upright,
)
from .tiff import is_jpeg, is_tiff, plain_compression, read_tiff

_MODES = ("1", "L", "P", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
# Formats that may change values; of WebP the kind that always does is looked for.
_LOSSY = {"JPEG": "JPEG", "MPO": "JPEG", "AVIF": "AVIF", "JPEG2000": "JPEG 2000", "WEBP": "WebP"}
_SHOWN = 5
# From here on a float64 has no odd numbers.
_LARGEST_FLOAT = 2.0**53


class LabelFileError(DataError):
    """A file that can't be a label map.

    Attributes:
        kind: what the data doctor calls it.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message, kind)  # both, so that it can be pickled
        self.kind = kind


def read_stored_labels(file_name: str | os.PathLike) -> np.ndarray:
    """The integers of a label map as they are stored; of a palette image the indices.

    Returns:
        (H, W) of an integer type. Booleans are 0 and 1, and so are images of one bit; grey of 2 or
        4 bits has the stored numbers.

    Raises:
        MissingFileError: there is no such file.
        LabelFileError: colours, a format that changes values, numbers that are not whole.
        DataError: damaged, several pages, or no image.
    """
    with opened(file_name, file_name) as image:
        if isinstance(image, ImageFile.ImageFile):
            labels = _read_with_pillow(image, file_name)
        else:
            labels = _read_other(image, file_name)
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    return _whole_numbers(labels, file_name) if labels.dtype.kind == "f" else labels


def has_palette(file_name: str | os.PathLike) -> bool:
    """Whether a label map's numbers are those of a palette's colours."""
    with opened(file_name, file_name) as image:
        return isinstance(image, ImageFile.ImageFile) and image.mode == "P"


def _read_with_pillow(image: ImageFile.ImageFile, name: object) -> np.ndarray:
    bits = 8
    if image.format == "PNG":
        bits, _ = png_depth(image)
        if bits == 8 and image.mode == "L" and "transparency" not in image.info:
            labels = _read_grey_png(image)
            if labels is not None:
                return labels
    else:
        _check_lossless(image, name)
        check_one_frame(image, name)
    _check_mode(image, name)
    decode(image, name)
    labels = np.asarray(image)
    if image.mode == "L" and bits < 8:
        # Pillow spreads them over 0-255.
        return labels // np.uint8(255 // (2**bits - 1))
    return labels if labels.dtype == bool else labels.astype(stored_type(image)[0], copy=False)


def _read_grey_png(image: ImageFile.ImageFile) -> np.ndarray | None:
    """(H, W) uint8 of the usual kind of label map, faster than Pillow; None of a damaged one."""
    assert image.fp is not None  # as it has just been opened
    image.fp.seek(0)
    content = np.frombuffer(image.fp.read(), np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)


def _read_other(stream: IO[bytes], name: object) -> np.ndarray:
    start = stream.read(8)
    if is_array_file(start):
        shape, _ = read_array_header(stream, name, LABEL_NAMES)
        check_pixels(shape, name)
        labels = read_array(stream, name, LABEL_NAMES)
        labels = labels.reshape(without_ones(labels.shape, axes=2))
    elif is_tiff(start):
        page, values = read_tiff(stream, name)
        assert values is not None  # as they were asked for
        if is_jpeg(page.compression):
            raise _lossy(name, "JPEG")
        labels = upright(values, page.orientation)
        labels = labels[..., 0] if labels.shape[2] == 1 else labels
    else:
        with Image.open(stream) as image:
            _check_mode(image, name)
        raise AssertionError("only PNG files in colours are left")
    if labels.ndim != 2:
        raise LabelFileError(
            f"{name} has the shape {labels.shape}; a label map is (height, width) with one integer "
            "a pixel, the class id. Of one band a class, take np.argmax along the classes",
            "labels-rgb",
        )
    return labels


def _check_lossless(image: ImageFile.ImageFile, name: object) -> None:
    found = _LOSSY.get(image.format or "")
    if image.format == "TIFF" and is_jpeg(plain_compression(image)):
        found = "JPEG"
    elif image.format == "WEBP" and image.fp is not None:
        image.fp.seek(0)
        if b"VP8L" in image.fp.read():  # the part of a file that has kept its values
            found = None
    if found:
        raise _lossy(name, found)


def _lossy(name: object, format: str) -> LabelFileError:
    return LabelFileError(
        f"{name} is {format}, whatever its name ends in: it changes the values near edges, so that "
        "class ids become others. Write the label maps anew, as PNG, from where they come from; "
        "what is stored can't be trusted",
        "labels-lossy",
    )


def _check_mode(image: ImageFile.ImageFile, name: object) -> None:
    """Check that an image may be a label map: one integer a pixel.

    Raises:
        LabelFileError: it has colours.
    """
    if image.mode in _MODES:
        return
    raise LabelFileError(
        f"{name} is a {image.mode} image; a label map holds one integer a pixel (a grey "
        "or palette PNG with class ids). If its colours stand for classes, convert it: "
        "segsuite.data.colors_to_labels(read_image(file), colors) turns colours into class ids. If "
        "its channels are the same, save one of them: Image.open(file).getchannel(0)",
        "labels-rgb",
    )


def _whole_numbers(labels: np.ndarray, name: object) -> np.ndarray:
    """Real numbers as the integers that they are."""
    is_number = np.isfinite(labels) & (np.abs(labels.astype(np.float64)) < _LARGEST_FLOAT)
    if not is_number.all():
        raise LabelFileError(
            f"{name} is a label map of type float ({labels.dtype}), in which "
            f"{np.count_nonzero(~is_number)} pixels are NaN, infinite or beyond all integers. Set "
            "them to the ignore label, such as 255, and save integers: "
            "np.nan_to_num(labels, nan=255).astype(np.uint8)",
            "labels-float",
        )
    whole = labels.astype(np.int64)
    differ = whole != labels
    if differ.any():
        values, counts = np.unique(labels[differ], return_counts=True)
        shown = [f"{v:g} ({n} pixels)" for v, n in zip(values[:_SHOWN], counts, strict=False)]
        more = f" and {len(values) - _SHOWN} other values" if len(values) > _SHOWN else ""
        raise LabelFileError(
            f"{name} is a label map of type float ({labels.dtype}) that holds {', '.join(shown)}"
            f"{more}; a label map has whole numbers, the class ids. Turn probabilities into "
            "classes by a threshold or np.argmax, and ids that were divided by 255 back, and save "
            "integers",
            "labels-float",
        )
    return whole
