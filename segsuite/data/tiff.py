"""TIFF files: which of them Pillow reads as they are stored, and the others by tifffile."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from segsuite.errors import DataError, MissingPackageError

from .damaged import damaged

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 254, 258, 259, 262, 277
_DESCRIPTION, _ORIENTATION, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _GDAL_NODATA = 270, 274, 338, 339, 42113
_UNSIGNED, _SIGNED, _REAL = 1, 2, 3
_OVERVIEW_OR_MASK = 1 | 4  # bits of the tag of a page that is no image of its own
_BANDS_AS_PAGES = ("ImageJ", "<?xml")  # how ImageJ and OME-TIFF, which may have them, begin
_CMYK = 5
_BIG = 43  # where others have 42
_JPEGS = (6, 7, 34892)
_ALPHA = (1, 2)  # values of an extra sample
# With one band of these Pillow's values are those of the file.
_ONE_BAND = {(16, _UNSIGNED), (12, _UNSIGNED), (16, _SIGNED), (32, _SIGNED), (32, _REAL)}


def is_tiff(start: bytes) -> bool:
    """Whether the first bytes of a file are those of a TIFF."""
    return start.startswith(_SIGNATURES)


def is_plain(file: IO[bytes]) -> bool:
    """Whether Pillow reads all bands of a TIFF with all their bits."""
    try:
        file.seek(0)
        start = file.read(8)
        tags = ImageFileDirectory_v2(
            start if start[2] != _BIG and start[3] != _BIG else start + file.read(8)
        )
        file.seek(tags.next)
        tags.load(file)
        return _is_plain(tags)
    except Exception:  # of a damaged file, about which tifffile says more
        return False
    finally:
        file.seek(0)


def _is_plain(tags: Any) -> bool:
    if str(tags.get(_DESCRIPTION, "")).startswith(_BANDS_AS_PAGES):
        return False
    samples, bits = tags.get(_SAMPLES, 1), max(tags.get(_BITS, (1,)))
    kind = max(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)))
    if samples == 1 and bits > 8:
        return (bits, kind) in _ONE_BAND
    if bits > 8 or kind not in (_UNSIGNED, 4):
        return False
    colors = {1: 1, 2: 1, 3: 3, 4: 3}.get(samples)
    if tags.get(_PHOTOMETRIC) == _CMYK and samples == 4:
        colors = 4
    extra = tuple(tags.get(_EXTRA_SAMPLES, ()))
    return samples == colors or (samples <= 4 and len(extra) == 1 and extra[0] in _ALPHA)


def plain_type(image: Image.Image) -> tuple[np.dtype, int]:
    """The type of the values of a TIFF that `is_plain` of one band, and the bits used of it."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    bits = max(tags.get(_BITS, (1,)))
    kind = max(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)))
    letter = {_SIGNED: "i", _REAL: "f"}.get(kind, "u")
    return np.dtype(f"{letter}{(bits + 7) // 8}"), bits


def check_one_page(image: Image.Image, name: object) -> None:
    """Check that a TIFF that Pillow has opened is one picture; smaller versions of it and masks,
    which GIS programs and cameras add, don't count.

    Raises:
        DataError: there are several.
    """
    frames = getattr(image, "n_frames", 1)
    if frames == 1:
        return
    pages = 0
    for i in range(frames):
        image.seek(i)
        pages += not int(image.tag_v2.get(_SUBFILE, 0)) & _OVERVIEW_OR_MASK  # type: ignore[attr-defined]
    image.seek(0)
    if pages > 1:
        raise several_pages(name, pages)


def several_pages(name: object, pages: int, what: str = "pages") -> DataError:
    """The error for a file of several pictures."""
    return DataError(
        f"{name} has {pages} {what}, and it is not known which one is meant; write each to a file "
        "of its own (or, where they are the bands of one image, to one page of that many bands)"
    )


def is_jpeg(compression: int) -> bool:
    """Whether the pixels of a TIFF are stored as JPEG."""
    return compression in _JPEGS


def plain_compression(image: Image.Image) -> int:
    """The number of the compression of a TIFF that Pillow has opened."""
    return int(image.tag_v2.get(_COMPRESSION, 1))  # type: ignore[attr-defined]


def plain_no_data(image: Image.Image) -> float | None:
    """The value that GDAL's tag calls no data, of a TIFF that Pillow has opened."""
    return _number(image.tag_v2.get(_GDAL_NODATA))  # type: ignore[attr-defined]


@dataclass
class TiffPage:
    """A picture that tifffile reads.

    Attributes:
        shape: (height, width, bands) as stored.
        dtype, bits: of the values, and the bits used of them.
        has_alpha: whether the last band is transparency.
        orientation: as EXIF has it.
        no_data: the value that GDAL's tag calls so.
        compression: its number.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    bits: int
    has_alpha: bool
    orientation: int
    no_data: float | None
    compression: int


def read_tiff(
    file: IO[bytes], name: object, *, pixels: bool = True
) -> tuple[TiffPage, np.ndarray | None]:
    """What a TIFF holds, and, unless only that is asked for, its values (height, width, bands).

    Raises:
        MissingPackageError: tifffile is not installed, or imagecodecs, for the file's compression.
        DataError: damaged, or several pictures.
    """
    tifffile = _import_tifffile(name)
    file.seek(0)
    try:
        with tifffile.TiffFile(file) as tiff:
            page, order, shape = _describe(tiff, name)
            values = tiff.series[0].asarray() if pixels else None
    except DataError:
        raise
    except Exception as e:  # whatever its parsers meet in a damaged file
        if "imagecodecs" in str(e):
            raise _missing(name, "imagecodecs", str(e)) from None
        raise damaged(name, e) from None
    if values is not None:
        values = values.reshape(shape).transpose(order).reshape(page.shape)
        values = values.astype(page.dtype, copy=False)
    return page, values


def _describe(tiff: Any, name: object) -> tuple[TiffPage, tuple[int, ...], tuple[int, ...]]:
    """The page, and how the values of its series are brought to (height, width, bands)."""
    first, series = tiff.pages[0], tiff.series[0]
    others = [s for s in tiff.series[1:] if not int(s.keyframe.subfiletype) & _OVERVIEW_OR_MASK]
    kept = [
        (axis, length)
        for axis, length in zip(series.axes, series.shape, strict=True)
        if axis in "YX" or length > 1
    ]
    axes, shape = "".join(axis for axis, _ in kept), tuple(length for _, length in kept)
    if others:
        raise several_pages(name, len(others) + 1)
    if sorted(axes) not in (["X", "Y"], ["S", "X", "Y"], ["C", "X", "Y"]):
        extra = [f"{length} along {axis}" for axis, length in kept if axis not in "YXS"]
        raise several_pages(name, len(series.pages), f"pages ({', '.join(extra)})")
    order = tuple(axes.index(a) for a in "YX") + tuple(
        i for i, axis in enumerate(axes) if axis in "SC"
    )
    height, width, *bands = (shape[i] for i in order)
    count = bands[0] if bands else 1
    extra_samples = tuple(int(e) for e in first.extrasamples)
    orientation = first.tags.get(_ORIENTATION)
    no_data = first.tags.get(_GDAL_NODATA)
    page = TiffPage(
        shape=(height, width, count),
        dtype=np.dtype(series.dtype).newbyteorder("="),
        bits=int(first.bitspersample),
        has_alpha=len(extra_samples) == 1 and extra_samples[0] in _ALPHA and count in (2, 4),
        orientation=int(orientation.value) if orientation is not None else 1,
        no_data=_number(no_data.value) if no_data is not None else None,
        compression=int(first.compression),
    )
    return page, order, shape


def _number(text: Any) -> float | None:
    try:
        return float(str(text).strip().rstrip("\0"))
    except ValueError:
        return None


def _import_tifffile(name: object) -> ModuleType:
    try:
        import tifffile
    except ImportError:
        raise _missing(name, "tifffile", "it has bands or values that Pillow can't read") from None
    return tifffile


def _missing(name: object, package: str, why: str) -> MissingPackageError:
    return MissingPackageError(
        f"{name} needs the package {package} ({why}): pip install {package}, or "
        "segsuite-torch[tiff]"
    )
