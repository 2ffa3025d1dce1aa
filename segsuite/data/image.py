"""Read image files."""

from __future__ import annotations

import io
import os

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from segsuite.errors import ConfigError, DataError, FileAccessError, MissingFileError

FORMATS = ("RGB", "BGR")
# The EXIF tag 274 tells how the camera was held; 5-8 are quarter turns, which swap the edges.
EXIF_ORIENTATION = 0x0112
_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND\xaeB`\x82"


def open_image(file_name: str | os.PathLike) -> ImageFile.ImageFile:
    """Open an image without decoding its pixels.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no image that Pillow can read, or a suspiciously large one.
    """
    try:
        return Image.open(file_name)
    except FileNotFoundError:
        raise MissingFileError(f"no image file {file_name}") from None
    except Image.DecompressionBombError as e:
        raise DataError(
            f"{file_name}: {e} Cut it into tiles, or raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from None
    except UnidentifiedImageError:
        size = os.path.getsize(file_name)
        raise DataError(
            f"{file_name} ({size} bytes) is not an image that Pillow can read; "
            "replace it or leave it out of the data set"
        ) from None
    except OSError as e:
        raise FileAccessError(e.errno, f"{file_name} can't be read: {e.strerror or e}") from None


def decode(image: Image.Image, file_name: str | os.PathLike) -> None:
    """Decode the pixels of an image that `open_image` gave.

    Raises:
        DataError: the file is truncated or damaged.
    """
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as e:
        raise DataError(
            f"{file_name} can't be decoded: {e}. The file is cut short or damaged; "
            "copy it again or leave it out of the data set"
        ) from None


def read_image(file_name: str | os.PathLike, format: str = "RGB") -> np.ndarray:
    """Read an image, turned upright as its EXIF orientation says.

    Args:
        format: "RGB" or "BGR", the order of the channels.

    Returns:
        (H, W, 3) uint8, 0-255. Grey and palette images are expanded, transparency is dropped.

    Raises:
        MissingFileError: there is no such file.
        DataError: no image, or a truncated or damaged one.
    """
    if format not in FORMATS:
        raise ConfigError(f"image format '{format}' (INPUT.FORMAT): expected one of {FORMATS}")
    with open_image(file_name) as image:
        if image.format == "JPEG" and image.mode in ("L", "RGB"):
            # The same pixels, orientation included, with fewer copies on the way.
            content = np.fromfile(file_name, np.uint8)
            pixels = cv2.imdecode(content, cv2.IMREAD_COLOR)
            # Some versions of OpenCV fill up what is missing of a truncated file.
            if pixels is not None and content[-2:].tobytes() == _JPEG_END:
                return pixels if format == "BGR" else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        decode(image, file_name)
        pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    return pixels if format == "RGB" else pixels[:, :, ::-1]


def check_complete(file_name: str | os.PathLike) -> None:
    """See whether an image file has been cut short, without decoding it if its end is there.

    Raises:
        MissingFileError, DataError: as `read_image`.
    """
    with open_image(file_name) as image:
        ends = {"JPEG": _JPEG_END, "PNG": _PNG_END}
        end = ends.get(image.format or "")
        if end is not None and image.fp is not None:
            image.fp.seek(-min(len(end), os.path.getsize(file_name)), os.SEEK_END)
            if image.fp.read() == end:
                return
    with open_image(file_name) as image:
        decode(image, file_name)


def decode_image(
    content: bytes,
    name: str,
    *,
    max_pixels: int | None = None,
    formats: tuple[str, ...] | None = None,
) -> np.ndarray:
    """Decode the bytes of an image file, as `read_image` reads a file.

    Args:
        name: where they come from, for the messages.
        max_pixels: images with more are refused, by what their headers say.
        formats: of Pillow, such as "PNG"; None: all. (It hands some to other programs.)

    Raises:
        DataError: they are no image, or a truncated or damaged one.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError:
        raise DataError(
            f"the {len(content)} bytes of {name} are not an image that Pillow can read"
        ) from None
    except Image.DecompressionBombError as e:
        raise DataError(f"{name}: {e} Raise PIL.Image.MAX_IMAGE_PIXELS") from None
    width, height = image.size
    if max_pixels is not None and width * height > max_pixels:
        raise DataError(
            f"{name} has {width} x {height} pixels, {width * height / 1e6:.1f} million; up to "
            f"{max_pixels / 1e6:g} million are taken"
        )
    decode(image, name)
    return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def as_rgb(image: str | os.PathLike | np.ndarray | Image.Image) -> np.ndarray:
    """An image in any usual form as (H, W, 3) uint8 RGB.

    Args:
        image: a file, a Pillow image, or an array (H, W, 3) or (H, W) uint8, RGB or grey.

    Raises:
        MissingFileError, DataError: as `read_image`.
        ValueError: an array of another shape or type.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    if isinstance(image, Image.Image):
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    array = np.asarray(image)
    if array.dtype == np.uint8 and array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ValueError(
            f"an image of {array.shape} {array.dtype}: expected (height, width, 3) uint8 RGB or "
            "(height, width) uint8 grey"
        )
    return array


def read_image_size(file_name: str | os.PathLike) -> tuple[int, int]:
    """Height and width of an image as `read_image` would give it, from the file's header alone."""
    with open_image(file_name) as image:
        width, height = image.size
        # Pillow would decode a whole PNG in search of EXIF data at its end.
        has_exif = image.format != "PNG" or "exif" in image.info
        turned = has_exif and image.getexif().get(EXIF_ORIENTATION, 1) >= 5
    return (width, height) if turned else (height, width)
