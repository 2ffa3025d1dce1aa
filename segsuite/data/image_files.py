"""Image files as they are stored: any number of bands, any type of values.

Pillow reads what it can read without a loss. It has no place for several bands of more than 8 bits,
nor for more than four, so those are read by OpenCV (PNG) and tifffile. Arrays of NumPy are images
too.
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TypeAlias

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from segsuite.errors import DataError, FileAccessError, MissingFileError
from segsuite.runtime.stored import upright

from .arrays import band_axis, is_array_file, read_array, read_array_header, without_ones
from .damaged import damaged, decoding
from .tiff import (
    TiffPage,
    check_one_page,
    is_plain,
    is_tiff,
    plain_no_data,
    plain_type,
    read_tiff,
    several_pages,
)

# The EXIF tag 274 tells how the camera was held; 5-8 are quarter turns, which swap the edges.
EXIF_ORIENTATION = 0x0112
JPEG_END, PNG_END = b"\xff\xd9", b"IEND\xaeB`\x82"
File: TypeAlias = str | os.PathLike | IO[bytes]
_GREY = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
# Formats of up to 16 bits a value, of which Pillow makes 32; those of fewer it spreads over 16.
_SIXTEEN_BITS = ("PNG", "PPM", "JPEG2000")
_WITH_ALPHA = {"LA": 2, "La": 2, "PA": 4, "RGBA": 4, "RGBa": 4}
# Where OpenCV puts the bands of a 16-bit PNG, by its type of colour.
_DEEP_COLORS = ((16, 2), (16, 4), (16, 6))
_PNG_BANDS = {0: [0], 2: [2, 1, 0], 4: [0, 3], 6: [2, 1, 0, 3]}


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before its pixels are decoded.

    Attributes:
        size: (height, width), upright.
        bands: their number, with that of transparency.
        has_alpha: whether the last band is transparency.
        dtype: of the stored values; bool for one bit.
        bits: that are used of an unsigned type, where they may be fewer than it has; else 0.
        format: as Pillow calls it, or "NPY".
        no_data: the value of pixels without data that the file declares, as GIS programs do.
        orientation: of EXIF; 1 is upright.
        mode: as Pillow calls it, of files that Pillow reads.
    """

    size: tuple[int, int]
    bands: int
    has_alpha: bool
    dtype: np.dtype
    bits: int = 0
    format: str = ""
    no_data: float | None = None
    orientation: int = 1
    mode: str = ""


def open_image(
    file: File, name: object = None, formats: tuple[str, ...] | None = None
) -> ImageFile.ImageFile:
    """Open an image that Pillow can read, without decoding its pixels.

    Args:
        name: what messages call it; by default its path.
        formats: those that are taken, as Pillow calls them; None: all.

    Raises:
        MissingFileError: there is no such file.
        DataError: it is no image that Pillow can read, or a suspiciously large one.
    """
    name = file if name is None else name
    try:
        return Image.open(file, formats=formats)
    except FileNotFoundError:
        raise MissingFileError(f"no image file {name}") from None
    except Image.DecompressionBombError as e:
        raise _too_large(name, str(e)) from None
    except UnidentifiedImageError:
        size = _size_in_bytes(file)
        if isinstance(file, io.BytesIO):
            what = f"the {size} bytes of {name} are not an image that Pillow can read"
            raise DataError(what) from None
        raise DataError(
            f"{name} ({size} bytes) is not an image that Pillow can read; "
            "replace it or leave it out of the data set"
        ) from None
    except OSError as e:
        raise FileAccessError(e.errno, f"{name} can't be read: {e.strerror or e}") from None
    except Exception as e:  # whatever its parsers meet in a damaged file
        raise damaged(name, e) from None


def decode(image: Image.Image, name: object) -> None:
    """Decode the pixels of an image that `open_image` gave.

    Raises:
        DataError: the file is truncated or damaged.
    """
    with decoding(name):
        image.load()


def read_header(
    file: File,
    name: object = None,
    expected_bands: int | None = None,
    formats: Sequence[str] | None = None,
) -> ImageHeader:
    """What an image file holds, from its header alone.

    Args:
        name: what messages call it; by default its path.
        expected_bands: tells which axis of an array is that of the bands, see `band_axis`.
        formats: those that are taken, as Pillow calls them, and "NPY"; None: all.

    Raises:
        MissingFileError, DataError, MissingPackageError: as `read_stored`.
    """
    name = file if name is None else name
    with opened(file, name, formats) as image:
        if isinstance(image, ImageFile.ImageFile):
            return plain_header(image, name)
        return _other_header(image, name, expected_bands)


def read_stored(
    file: File, name: object = None, expected_bands: int | None = None
) -> tuple[np.ndarray, ImageHeader]:
    """The pixels of an image file with all bands and bits, upright.

    Colours are RGB, whatever the file's are (CMYK, YCbCr, L*a*b*, a palette); fewer than 8 bits of
    grey are brought to 0-255.

    Args:
        name, expected_bands: as `read_header`.

    Returns:
        (H, W, C) bool, integer or real, and the header.

    Raises:
        MissingFileError: there is no such file.
        DataError: no image, a truncated or damaged one, several in one file, or one so large that
            it looks like an attack (``PIL.Image.MAX_IMAGE_PIXELS``).
        MissingPackageError: a TIFF that needs tifffile, which is not installed.
    """
    name = file if name is None else name
    with opened(file, name) as image:
        if not isinstance(image, ImageFile.ImageFile):
            return _read_other(image, name, expected_bands)
        if image.format == "JPEG" and image.mode in ("L", "RGB"):
            pixels = _read_jpeg(image)
            if pixels is not None:
                size = pixels.shape[0], pixels.shape[1]
                return pixels, ImageHeader(size, pixels.shape[2], False, pixels.dtype, 0, "JPEG")
        return decode_plain(image, name), plain_header(image, name)


def _read_jpeg(image: ImageFile.ImageFile) -> np.ndarray | None:
    """What Pillow reads, orientation included, with fewer copies on the way; None: it has to."""
    is_grey = image.mode == "L"
    assert image.fp is not None  # as it has just been opened
    image.fp.seek(0)
    content = np.frombuffer(image.fp.read(), np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE if is_grey else cv2.IMREAD_COLOR)
    # Some versions of OpenCV fill up what is missing of a truncated file.
    if pixels is None or content[-2:].tobytes() != JPEG_END:
        return None
    return pixels[..., None] if is_grey else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def check_complete(file_name: str | os.PathLike) -> None:
    """See whether an image file has been cut short, without decoding it if its end is there.

    Raises:
        MissingFileError, DataError, MissingPackageError: as `read_stored`.
    """
    with opened(file_name, file_name) as image:
        if not isinstance(image, ImageFile.ImageFile):
            if is_array_file(_first_bytes(image)):  # its header says how long it is
                read_array_header(image, file_name)
            else:
                _read_other(image, file_name, None)
            return
        ends = {"JPEG": JPEG_END, "PNG": PNG_END}
        end = ends.get(image.format or "")
        if end is not None and image.fp is not None:
            image.fp.seek(-min(len(end), os.path.getsize(file_name)), os.SEEK_END)
            if image.fp.read() == end:
                return
    with open_image(file_name) as image:
        decode(image, file_name)


@contextmanager
def opened(
    file: File, name: object, formats: Sequence[str] | None = None
) -> Iterator[ImageFile.ImageFile | IO[bytes]]:
    """A file as Pillow opens it where Pillow reads all that it holds, else its bytes: those of a
    16-bit PNG in colours, of a TIFF, or of NumPy's formats."""
    with _stream(file, name) as stream:
        start = stream.read(8)
        own = "NPY" if is_array_file(start) else ""
        if is_tiff(start) and not is_plain(stream):
            own = "TIFF"
        stream.seek(0)
        if own and (formats is None or own in formats):
            yield stream
            return
        pillows = None if formats is None else tuple(f for f in formats if f != "NPY")
        with open_image(stream, name, pillows) as image:
            if image.format == "PNG" and png_depth(image) in _DEEP_COLORS:
                yield stream
            else:
                yield image


@contextmanager
def _stream(file: File, name: object) -> Iterator[IO[bytes]]:
    if not isinstance(file, (str, os.PathLike)):
        file.seek(0)
        yield file
        return
    try:
        stream = open(file, "rb")  # noqa: SIM115  (closed below)
    except FileNotFoundError:
        raise MissingFileError(f"no image file {name}") from None
    except OSError as e:
        raise FileAccessError(e.errno, f"{name} can't be read: {e.strerror or e}") from None
    with stream:
        yield stream


def png_depth(image: Image.Image) -> tuple[int, int]:
    """Bits of a sample, and the type of colour, of a PNG that Pillow has opened."""
    stream = image.fp  # type: ignore[attr-defined]
    place = stream.tell()
    stream.seek(24)  # in the IHDR, which comes first
    bits, color = stream.read(2)
    stream.seek(place)
    return bits, color


def check_one_frame(image: Image.Image, name: object) -> None:
    """Check that a file is one picture and no animation. (A phone's JPEG may have others for itself
    beside its first.)

    Raises:
        DataError: there are several.
    """
    with decoding(name):
        if image.format == "TIFF":
            check_one_page(image, name)
        elif image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise several_pages(name, image.n_frames, "frames")  # type: ignore[attr-defined]


def is_turned_by_exif(file_name: str | os.PathLike[str]) -> bool:
    """Whether the EXIF orientation of an image that Pillow reads turns it by a quarter."""
    try:
        with open_image(file_name) as image:
            return bool(image.getexif().get(EXIF_ORIENTATION, 1) >= 5)
    except (OSError, DataError):  # of a format of its own, which has no EXIF data
        return False


def plain_header(image: Image.Image, name: object) -> ImageHeader:
    """The header of an image that Pillow reads without a loss."""
    check_one_frame(image, name)
    width, height = image.size
    # Pillow would decode a whole PNG in search of EXIF data at its end.
    has_exif = image.format != "PNG" or "exif" in image.info
    orientation = image.getexif().get(EXIF_ORIENTATION, 1) if has_exif else 1
    dtype, bits = stored_type(image)
    mode = image.mode
    if mode == "P" and "transparency" in image.info:
        mode = "RGBA"
    return ImageHeader(
        size=(width, height) if orientation >= 5 else (height, width),
        bands=_WITH_ALPHA.get(mode, 1 if mode in _GREY else 3),
        has_alpha=mode in _WITH_ALPHA,
        dtype=dtype,
        bits=bits,
        format=image.format or "",
        no_data=plain_no_data(image) if image.format == "TIFF" else None,
        orientation=orientation,
        mode=image.mode,
    )


def stored_type(image: Image.Image) -> tuple[np.dtype, int]:
    """The type of the values that an image that Pillow reads without a loss has in its file, and
    the bits used of it, see `ImageHeader`."""
    mode = image.mode
    if mode in ("I", "F", "I;16", "I;16B", "I;16L", "I;16N"):
        if image.format == "TIFF":
            return plain_type(image)
        if mode in ("I", "F") and image.format not in _SIXTEEN_BITS:
            return np.dtype(np.int32 if mode == "I" else np.float32), 0
        return np.dtype(np.uint16), 0
    return np.dtype(np.uint8), 0


def decode_plain(image: Image.Image, name: object) -> np.ndarray:
    """(H, W, C) of an image that Pillow reads without a loss; see `read_stored`."""
    check_one_frame(image, name)
    decode(image, name)
    dtype, _ = stored_type(image)
    upright: Image.Image = ImageOps.exif_transpose(image)
    mode = upright.mode
    if mode == "1":
        upright = upright.convert("L")
    elif mode == "P":
        upright = upright.convert("RGBA" if "transparency" in upright.info else "RGB")
    elif mode in ("PA", "La", "RGBa"):
        upright = upright.convert("LA" if mode == "La" else "RGBA")
    elif mode == "LAB":
        profiles = (ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"))
        converted = ImageCms.profileToProfile(upright, *profiles, outputMode="RGB")
        assert converted is not None  # as it would be in place
        upright = converted
    elif mode not in _GREY and mode not in ("LA", "RGB", "RGBA"):
        upright = upright.convert("RGB")
    pixels = np.array(upright)
    if pixels.dtype != dtype:
        pixels = pixels.astype(dtype)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _other_header(stream: IO[bytes], name: object, expected: int | None) -> ImageHeader:
    start = _first_bytes(stream)
    if is_array_file(start):
        shape, dtype = read_array_header(stream, name)
        shape = without_ones(shape)
        axis = band_axis(shape, name, expected)
        size = tuple(length for i, length in enumerate(shape) if i != axis)
        header = ImageHeader(
            size=(size[0], size[1]),
            bands=1 if axis is None else shape[axis],
            has_alpha=False,
            dtype=dtype.newbyteorder("="),
            format="NPY",
        )
    elif is_tiff(start):
        page, _ = read_tiff(stream, name, pixels=False)
        header = _tiff_header(page)
    else:
        with Image.open(stream) as image:
            bands = len(_PNG_BANDS[png_depth(image)[1]])
            plain = plain_header(image, name)
        header = dataclasses.replace(
            plain, bands=bands, has_alpha=bands in (2, 4), dtype=np.dtype(np.uint16), mode=""
        )
    check_pixels(header.size, name)
    return header


def _tiff_header(page: TiffPage) -> ImageHeader:
    height, width, bands = page.shape
    return ImageHeader(
        size=(width, height) if page.orientation >= 5 else (height, width),
        bands=bands,
        has_alpha=page.has_alpha,
        dtype=page.dtype,
        bits=page.bits,
        format="TIFF",
        no_data=page.no_data,
        orientation=page.orientation,
    )


def _read_other(
    stream: IO[bytes], name: object, expected: int | None
) -> tuple[np.ndarray, ImageHeader]:
    header = _other_header(stream, name, expected)
    start = _first_bytes(stream)
    if is_array_file(start):
        pixels = read_array(stream, name)
        pixels = pixels.reshape(without_ones(pixels.shape))
        axis = band_axis(pixels.shape, name, expected)
        pixels = pixels[..., None] if axis is None else np.moveaxis(pixels, axis, 2)
    elif is_tiff(start):
        page, values = read_tiff(stream, name)
        assert values is not None  # as they were asked for
        pixels = upright(values, page.orientation)
    else:
        pixels = _read_deep_png(stream, name)
    return np.ascontiguousarray(pixels), header


def _read_deep_png(stream: IO[bytes], name: object) -> np.ndarray:
    stream.seek(0)
    with Image.open(stream) as image:
        orientation = 1
        if "exif" in image.info:
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        color = png_depth(image)[1]
        stream.seek(0)
        content = stream.read()
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or PNG_END not in content[-4096:]:
            stream.seek(0)
            decode(Image.open(stream), name)  # says what is wrong
            raise damaged(name, "OpenCV does not read it")
    pixels = pixels[..., _PNG_BANDS[color]] if pixels.ndim == 3 else pixels[..., None]
    return upright(pixels, orientation)


def check_pixels(size: Sequence[int], name: object) -> None:
    """Check that an image is no larger than Pillow would take.

    Raises:
        DataError: it has more than twice ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    limit = Image.MAX_IMAGE_PIXELS
    pixels = math.prod(size)
    if limit is not None and pixels > 2 * limit:
        raise _too_large(name, f"Image size ({pixels} pixels) exceeds limit of {2 * limit} pixels.")


def _too_large(name: object, why: str) -> DataError:
    return DataError(f"{name}: {why} Cut it into tiles, or raise PIL.Image.MAX_IMAGE_PIXELS")


def _first_bytes(file: File) -> bytes:
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as stream:
            return stream.read(8)
    file.seek(0)
    return file.read(8)


def _size_in_bytes(file: File) -> int:
    if isinstance(file, (str, os.PathLike)):
        return os.path.getsize(file)
    return file.seek(0, os.SEEK_END)
