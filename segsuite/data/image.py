"""`ImageReader`: images as a model takes them, from files and arrays of any kind."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from segsuite.config import CfgNode, configurable
from segsuite.errors import ConfigError, DataError
from segsuite.runtime.value_range import ValueRange

from .image_files import ImageHeader, decode_plain, plain_header, read_header, read_stored

FORMATS = ("RGB", "BGR", "L")
_COLOR, _GREY = 3, 1


class ImageReader:
    """Reads images as 8-bit arrays of the bands that a model takes.

    In this order: bands are chosen, their values brought to 0-255, and the number of channels is
    brought to what the model has. Transparency is dropped, unless `bands` name it or the model has
    as many channels as the image has with it. A single band is repeated for a model of three.

    Args:
        channels: of the model; None: one for each band that is read, three for a grey image.
        format: "RGB" and "BGR" are read alike, the order is that of `DatasetMapper`; with "L"
            colours become grey (the luma of ITU-R BT.601).
        bands: numbers of the bands of a file, from 0 on, in the order of the model's channels;
            empty: all.
        value_range: how values of more than 8 bits are read, see `ValueRange`.
        display_bands: the three channels of the model that pictures show as red, green and blue, or
            one, shown as grey; empty: the first three, or the only one.

    Attributes:
        settings: these arguments.

    Raises:
        ConfigError: one of these that can't be.
    """

    @configurable
    def __init__(
        self,
        *,
        channels: int | None = None,
        format: str = "RGB",
        bands: Sequence[int] = (),
        value_range: Sequence[Any] = (),
        display_bands: Sequence[int] = (),
    ) -> None:
        if format not in FORMATS:
            raise ConfigError(
                f"image format '{format}' (INPUT.FORMAT): expected one of {', '.join(FORMATS)}"
            )
        self.settings: dict[str, Any] = {
            "channels": channels,
            "format": format if format == "L" else "RGB",  # which of the two makes no difference
            "bands": list(bands),
            "value_range": list(value_range),
            "display_bands": list(display_bands),
        }
        self.channels, self.bands = channels, _band_numbers(bands, "INPUT.BANDS")
        self.value_range = ValueRange(value_range)
        self.display_bands = _band_numbers(display_bands, "INPUT.DISPLAY_BANDS")
        self._to_grey = format == "L"
        if channels is not None:
            self._check_keys(channels)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {
            "channels": len(cfg.MODEL.PIXEL_MEAN),
            "format": cfg.INPUT.FORMAT,
            "bands": cfg.INPUT.BANDS,
            "value_range": cfg.INPUT.VALUE_RANGE,
            "display_bands": cfg.INPUT.DISPLAY_BANDS,
        }

    def _check_keys(self, channels: int) -> None:
        if len(self.bands) > 1 and len(self.bands) != channels:
            raise ConfigError(
                f"INPUT.BANDS names {len(self.bands)} bands, but MODEL.PIXEL_MEAN has {channels} "
                "numbers, one for each channel of the model; give both as many"
            )
        if self._to_grey and channels != _GREY:
            raise ConfigError(
                f"INPUT.FORMAT 'L' is one channel of grey, but MODEL.PIXEL_MEAN has {channels} "
                "numbers; give PIXEL_MEAN and PIXEL_STD one each"
            )
        if self.display_bands and max(self.display_bands) >= channels:
            raise ConfigError(
                f"INPUT.DISPLAY_BANDS is {list(self.display_bands)}, but the model has the "
                f"channels 0 to {channels - 1} (one for each number of MODEL.PIXEL_MEAN)"
            )
        if len(self.display_bands) not in (0, _GREY, _COLOR):
            raise ConfigError(
                f"INPUT.DISPLAY_BANDS is {list(self.display_bands)}: expected three bands, to be "
                "shown as red, green and blue, or one"
            )

    def read(self, file_name: str | os.PathLike) -> np.ndarray:
        """Read an image file, turned upright as its EXIF orientation says.

        Returns:
            (H, W, C) uint8, 0-255.

        Raises:
            MissingFileError, MissingPackageError: see `read_stored`.
            DataError: no image, or a damaged one; values of which no range is known; another number
                of bands than the model takes. The message names the key that decides.
        """
        return self.convert(*read_stored(file_name, None, self.expected_bands), file_name)

    def decode(
        self,
        content: bytes,
        name: str,
        *,
        max_pixels: int | None = None,
        formats: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Decode the bytes of an image file, as `read` reads a file.

        Args:
            name: where they come from, for the messages.
            max_pixels: images with more are refused, by what their headers say.
            formats: those that are taken, as Pillow calls them, and "NPY"; None: all. (Pillow hands
                some to other programs.)

        Raises:
            DataError: as `read`; or it has too many pixels.
        """
        file = io.BytesIO(content)
        height, width = read_header(file, name, self.expected_bands, formats).size
        if max_pixels is not None and width * height > max_pixels:
            raise DataError(
                f"{name} has {width} x {height} pixels, {width * height / 1e6:.1f} million; up to "
                f"{max_pixels / 1e6:g} million are taken"
            )
        return self.convert(*read_stored(file, name, self.expected_bands), name)

    def read_any(self, image: str | os.PathLike | np.ndarray | Image.Image) -> np.ndarray:
        """An image in any usual form as `read` would give it.

        Args:
            image: a file, a Pillow image, or an array (H, W, C) or (H, W). An array of as many
                bands as the model has channels has been read already, but for its range of values;
                another has the bands of a file.

        Raises:
            MissingFileError, MissingPackageError, DataError: see `read`.
            ValueError: an array of another shape, or not of numbers.
        """
        if isinstance(image, (str, os.PathLike)):
            return self.read(image)
        if isinstance(image, Image.Image):
            stored = image.copy()  # of a file of several the one that is before us
            pixels = decode_plain(stored, "the image")
            return self.convert(pixels, plain_header(stored, "the image"), "the image")
        array = np.asarray(image)
        if array.ndim == 2:
            array = array[..., None]
        if array.ndim != 3 or not array.size or array.dtype.kind not in "buif":
            raise ValueError(
                f"an image of {np.shape(image)} {array.dtype}: expected (height, width, bands) or "
                "(height, width), of numbers"
            )
        size = array.shape[0], array.shape[1]
        header = ImageHeader(size, array.shape[2], False, array.dtype.newbyteorder("="))
        array = np.ascontiguousarray(array.astype(header.dtype, copy=False))
        try:
            if header.bands == self.channels:
                return self.value_range.scale(array, "the array")
            return self.convert(array, header, "the array")
        except DataError as e:
            raise DataError(
                f"an image of {np.shape(image)} {array.dtype}: expected (height, width, "
                f"{self.channels or _COLOR}) uint8, or what can be read as that; {e}"
            ) from None

    def check(self, file_name: str | os.PathLike) -> ImageHeader:
        """Check, by its header, that the model can take an image, and return the header.

        Raises:
            MissingFileError, MissingPackageError, DataError: as `read`.
        """
        header = read_header(file_name, None, self.expected_bands)
        self.check_header(header, file_name)
        return header

    def check_header(self, header: ImageHeader, name: object) -> None:
        """`check` for an image whose header is known."""
        bands = self._chosen(header, name)
        count = header.bands if bands is None else len(bands)
        self.value_range.check(header.dtype, count, name)
        if count == _COLOR and self._to_grey:
            count = _GREY
        if count == _GREY and self.channels in (None, _COLOR):
            return
        self._check_channels(count, name)

    def display(self, image: np.ndarray) -> np.ndarray:
        """What pictures show of an image that was read: (H, W, C) uint8 -> (H, W, 3) uint8 RGB."""
        bands = self.display_bands or range(_COLOR if image.shape[2] >= _COLOR else _GREY)
        shown = image if image.shape[2] == _COLOR and not self.display_bands else image[..., bands]
        return shown if shown.shape[2] == _COLOR else np.repeat(shown, _COLOR, axis=2)

    @property
    def expected_bands(self) -> int | None:
        """The bands that a file should have, where it is known."""
        return None if self.bands else self.channels

    def convert(self, pixels: np.ndarray, header: ImageHeader, name: object) -> np.ndarray:
        """`read` for an image that `read_stored` has read.

        Args:
            name: for messages.
        """
        bands = self._chosen(header, name)
        if bands is not None:
            pixels = np.ascontiguousarray(pixels[..., bands])
        pixels = self.value_range.scale(pixels, name, bits=header.bits, no_data=header.no_data)
        return self._as_channels(pixels, name)

    def _chosen(self, header: ImageHeader, name: object) -> Sequence[int] | None:
        """The bands of an image that are read; None: all."""
        if self.bands:
            if max(self.bands) >= header.bands:
                raise DataError(
                    f"{name} has {header.bands} bands, 0 to {header.bands - 1}; INPUT.BANDS is "
                    f"{list(self.bands)}"
                )
            return self.bands
        if header.has_alpha and header.bands != self.channels:
            return range(header.bands - 1)
        return None

    def _as_channels(self, pixels: np.ndarray, name: object) -> np.ndarray:
        """(H, W, C) uint8 with as many channels as the model takes."""
        count = pixels.shape[2]
        if self._to_grey and count == _COLOR and not self.bands:
            return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
        if count == _GREY and self.channels in (None, _COLOR) and not self._to_grey:
            return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
        self._check_channels(count, name)
        return pixels

    def _check_channels(self, count: int, name: object) -> None:
        if self.channels in (None, count):
            return
        kind = {_GREY: " (grey)", _COLOR: " (RGB)"}.get(count, "")
        way = "INPUT.BANDS chooses among the bands of the files"
        if count == _COLOR and self.channels == _GREY:
            way += ", and INPUT.FORMAT L makes them grey"
        raise DataError(
            f"{name} has {count} channel{'s'[: count != 1]}{kind}, but MODEL.PIXEL_MEAN has "
            f"{self.channels} numbers, one for each channel that the model takes. Give PIXEL_MEAN "
            f"and PIXEL_STD {count}, or choose: {way}"
        )


def _band_numbers(bands: Sequence[int], key: str) -> list[int]:
    if any(not isinstance(b, int) or isinstance(b, bool) or b < 0 for b in bands):
        raise ConfigError(f"{key} is {list(bands)}: expected numbers of bands, from 0 on")
    return list(bands)


def channel_order(cfg: CfgNode) -> str:
    """The order in which the mappers give a model the channels: INPUT.FORMAT for colours, "RGB",
    which leaves it alone, where INPUT.BANDS says it or there are no colours."""
    is_color = len(cfg.MODEL.PIXEL_MEAN) == _COLOR and not cfg.INPUT.BANDS
    return cfg.INPUT.FORMAT if is_color else "RGB"


def read_image(
    file_name: str | os.PathLike,
    format: str = "RGB",
    *,
    bands: Sequence[int] = (),
    value_range: Sequence[Any] = (),
) -> np.ndarray:
    """Read an image, turned upright as its EXIF orientation says.

    Args:
        format: "RGB" or "BGR", the order of the channels of colours; "L": they become grey.
        bands: numbers of the bands to read, from 0 on, in this order; empty: all.
        value_range: how values of more than 8 bits are brought to 0-255, see `ValueRange`:
            ``(0, 4095)``, ``("2%", "98%")``, ``("full",)``.

    Returns:
        (H, W, C) uint8, 0-255, with a channel for each band; grey is expanded to three, palettes
        are colours, transparency is dropped.

    Raises:
        MissingFileError: there is no such file.
        DataError: no image, or a truncated or damaged one; more than 8 bits of which no range is
            known.
    """
    pixels = ImageReader(format=format, bands=bands, value_range=value_range).read(file_name)
    is_color = pixels.shape[2] == _COLOR and not bands
    return pixels[:, :, ::-1] if format == "BGR" and is_color else pixels


def read_image_size(file_name: str | os.PathLike) -> tuple[int, int]:
    """Height and width of an image as `read_image` would give it, from the file's header alone."""
    return read_header(file_name).size
