"""Images as they are stored, with all bands and bits: by Pillow, and PNGs of several bands of 16
bits, of which Pillow would drop the lower ones, by OpenCV where it is installed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from segsuite.errors import DataError, MissingFileError, MissingPackageError

_WITH_ALPHA = ("LA", "RGBA")
_CONVERTED = {"1": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}
_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
# Formats of up to 16 bits a value, of which Pillow makes 32.
_SIXTEEN_BITS = ("PNG", "PPM", "JPEG2000")
# Tags of TIFF, and the kinds of values.
_BITS, _SAMPLES, _SAMPLE_FORMAT, _GDAL_NODATA = 258, 277, 339, 42113
_UNSIGNED, _SIGNED, _REAL, _UNDEFINED = 1, 2, 3, 4
# With one band of these Pillow's values are those of the file.
_ONE_BAND = {(16, _UNSIGNED), (12, _UNSIGNED), (16, _SIGNED), (32, _SIGNED), (32, _REAL)}
_EXIF_ORIENTATION = 0x0112
_PNG_END = b"IEND\xaeB`\x82"
# Where a PNG's header has the type of its colours, and where OpenCV puts the bands of each.
_PNG_COLOR = 25
_PNG_BANDS = {2: [2, 1, 0], 4: [0, 3], 6: [2, 1, 0, 3]}


@dataclass(frozen=True)
class Stored:
    """The pixels of an image before a range of its values is chosen.

    Attributes:
        pixels: (H, W, C) of any integer or real type, upright, colours in RGB.
        has_alpha: whether the last band is transparency.
        bits: that are used of an unsigned type; 0: all.
        no_data: the value of pixels without data that the file declares.
    """

    pixels: np.ndarray
    has_alpha: bool = False
    bits: int = 0
    no_data: float | None = None


def read_stored(file: str | os.PathLike[str]) -> Stored:
    """
    Raises:
        MissingFileError: there is no such file.
        MissingPackageError: it needs OpenCV, which is not installed.
        DataError: it is no image that Pillow can read, or damaged.
    """
    try:
        with Image.open(file) as opened:
            if opened.format == "PNG" and _is_cut_to_8_bits(opened):
                orientation = opened.getexif().get(_EXIF_ORIENTATION, 1)
                return _read_deep_png(Path(file).read_bytes(), orientation, file)
            return decode(opened, file)
    except FileNotFoundError:
        raise MissingFileError(f"no image file {file}") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise DataError(
            f"{file} is no image that Pillow can read, or damaged: {error}. Files of other formats "
            "are read by segsuite.Predictor; here give their pixels, an array (height, width, "
            "bands)"
        ) from None


def decode(image: Image.Image, name: object) -> Stored:
    """The pixels of an image that Pillow has opened.

    Raises:
        DataError: it has several frames, or bits that Pillow would drop.
    """
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{name} has several frames; expected one image")
    if _is_cut_to_8_bits(image) or (image.format == "TIFF" and not _is_plain_tiff(image)):
        raise DataError(
            f"{name} has several bands of more than 8 bits, or values of a type of which Pillow "
            "would drop bits; segsuite.Predictor reads such files. Here give their pixels, an "
            "array (height, width, bands), as tifffile.imread reads them"
        )
    image.load()
    upright_image: Image.Image = ImageOps.exif_transpose(image)
    mode = upright_image.mode
    if mode in _DEEP:
        return _deep(image, upright_image)
    if mode == "P":
        mode = "RGBA" if "transparency" in upright_image.info else "RGB"
    elif mode == "LAB":
        profiles = (ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"))
        converted = ImageCms.profileToProfile(upright_image, *profiles, outputMode="RGB")
        upright_image, mode = converted or upright_image, "RGB"
    elif mode not in ("L", "RGB", *_WITH_ALPHA):
        mode = _CONVERTED.get(mode, "RGB")
    pixels = np.array(upright_image if mode == upright_image.mode else upright_image.convert(mode))
    return Stored(pixels if pixels.ndim == 3 else pixels[..., None], mode in _WITH_ALPHA)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) turned and mirrored as the number of an EXIF orientation, 1 to 8, says."""
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.rot90(pixels, turns) if turns else pixels


def _deep(image: Image.Image, upright_image: Image.Image) -> Stored:
    """One band of more than 8 bits, in the type of the file."""
    pixels, bits, no_data = np.array(upright_image)[..., None], 0, None
    if image.format == "TIFF":
        bits, kind = _type_of_tiff(image)
        letter = {_SIGNED: "i", _REAL: "f"}.get(kind, "u")
        pixels = pixels.astype(f"{letter}{(bits + 7) // 8}")
        no_data = _number(_tags(image).get(_GDAL_NODATA))
    elif image.mode.startswith("I;16") or image.format in _SIXTEEN_BITS:
        pixels = pixels.astype(np.uint16)
    return Stored(pixels, bits=bits, no_data=no_data)


def _read_deep_png(content: bytes, orientation: int, name: object) -> Stored:
    try:
        import cv2
    except ImportError as error:
        raise MissingPackageError(
            f"{name} has several bands of 16 bits, of which Pillow reads the upper 8: pip install "
            "opencv-python-headless, or give its pixels, an array (height, width, bands) of uint16"
        ) from error
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    # Some versions of OpenCV fill up what is missing of a file that has been cut short.
    if pixels is None or pixels.ndim != 3 or _PNG_END not in content[-4096:]:
        raise OSError("OpenCV does not read it")
    bands = _PNG_BANDS[content[_PNG_COLOR]]
    pixels = np.ascontiguousarray(upright(pixels[..., bands], orientation))
    return Stored(pixels, len(bands) in (2, 4))


def _is_cut_to_8_bits(image: Image.Image) -> bool:
    """Whether an image has several bands of 16 bits, of which Pillow is to keep 8."""
    tiles = getattr(image, "tile", ())
    return image.mode not in _DEEP and any(";16" in str(tile) for tile in tiles)


def _is_plain_tiff(image: Image.Image) -> bool:
    bits, kind = _type_of_tiff(image)
    if bits > 8:
        return _tags(image).get(_SAMPLES, 1) == 1 and (bits, kind) in _ONE_BAND
    return kind in (_UNSIGNED, _UNDEFINED)


def _type_of_tiff(image: Image.Image) -> tuple[int, int]:
    """The bits and the kind of the values."""
    tags = _tags(image)
    return max(tags.get(_BITS, (1,))), max(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)))


def _tags(image: Image.Image) -> Any:
    return image.tag_v2  # type: ignore[attr-defined]


def _number(text: Any) -> float | None:
    try:
        return float(str(text).strip("\0 ")) if text is not None else None
    except ValueError:
        return None
