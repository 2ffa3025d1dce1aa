"""`Scene`: a GeoTIFF that is too large to be in memory, read in windows."""

from __future__ import annotations

import os
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import torch

from segsuite.errors import ConfigError, DataError, MissingFileError, MissingPackageError

from .image import ImageReader
from .image_files import ImageHeader
from .planes import to_planes

Slices = tuple[slice, slice, slice]


class Scene:
    """A GeoTIFF as the image of a record: it has a shape, and what is sliced is read then::

        with Scene("scene.tif", reader) as scene:
            window = scene[:, 512:1024, 0:512]  # (C, 512, 512) uint8

    Args:
        file: a GeoTIFF; tiled ones are read quickly.
        reader: makes of the file's bands what the model takes.
        image_format: the order of colours, see `to_planes`.
        scale: how many pixels of this image one of the file becomes along an edge.

    Attributes:
        shape: (C, H, W) of the image.
        size: (height, width) of the file, in pixels.
        crs: its coordinate reference system, of rasterio; None where it has none.
        transform: from columns and rows to coordinates, an `affine.Affine`.

    Raises:
        MissingPackageError: rasterio is not installed.
        MissingFileError, DataError: the file is missing, or no GeoTIFF.
        ConfigError: values are read by percentiles, which would differ from window to window.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        reader: ImageReader,
        *,
        image_format: str = "RGB",
        scale: float = 1.0,
    ) -> None:
        if reader.value_range.has_percentiles:
            raise ConfigError(
                "INPUT.VALUE_RANGE has percentiles, which differ from window to window of a scene; "
                "give numbers, such as [0, 4095]"
            )
        if not scale > 0:
            raise ConfigError(f"the scale of a scene is {scale}; expected a number above 0")
        self.name, self._reader, self._format = os.fspath(file), reader, image_format
        self._dataset = open_raster(file)
        self.size = self._dataset.height, self._dataset.width
        self.crs, self.transform = self._dataset.crs, self._dataset.transform
        self._scale = scale
        size = (max(round(length * scale), 1) for length in self.size)
        self.shape = (self.window(slice(0, 1), slice(0, 1)).shape[2], *size)

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def __getitem__(self, index: Slices) -> torch.Tensor:
        """A window of all channels: (C, h, w) uint8."""
        _, rows, columns = index
        window = self.window(_bounded(rows, self.shape[1]), _bounded(columns, self.shape[2]))
        return to_planes(window, self._format)

    def overview(self, longest: int) -> np.ndarray:
        """The whole scene as it is shown, with a longer edge of at most so many pixels.

        Returns:
            (h, w, 3) uint8 RGB.
        """
        shrink = min(1.0, longest / max(self.size))
        size = tuple(max(round(length * shrink), 1) for length in self.size)
        return self._reader.display(self._read((0, 0, *self.size), size))

    def valid(self, rows: slice) -> np.ndarray:
        """Where there are data: (rows, W) bool, in pixels of the file."""
        window = ((rows.start, rows.stop), (0, self.size[1]))
        return self._dataset.dataset_mask(window=window) > 0

    def window(self, rows: slice, columns: slice) -> np.ndarray:
        """A part of the scaled image: (h, w, C) uint8, RGB where it is colours."""
        top, left = rows.start / self._scale, columns.start / self._scale
        bottom = min(rows.stop / self._scale, self.size[0])
        right = min(columns.stop / self._scale, self.size[1])
        size = rows.stop - rows.start, columns.stop - columns.start
        return self._read((top, left, bottom, right), size)

    def _read(self, part: tuple[float, float, float, float], size: tuple[int, ...]) -> np.ndarray:
        rasterio = import_rasterio()
        top, left, bottom, right = part
        window = rasterio.windows.Window(left, top, right - left, bottom - top)
        is_exact = (bottom - top, right - left) == size
        way = rasterio.enums.Resampling
        try:
            bands = self._dataset.read(
                window=window,
                out_shape=(self._dataset.count, *size),
                resampling=way.nearest if is_exact else way.bilinear,
            )
        except rasterio.errors.RasterioError as e:
            raise DataError(f"{self.name} can't be decoded: {e}. Copy it again") from None
        pixels, header = self._expanded(bands.transpose(1, 2, 0))
        return self._reader.convert(np.ascontiguousarray(pixels), header, self.name)

    def _expanded(self, pixels: np.ndarray) -> tuple[np.ndarray, ImageHeader]:
        """Pixels and what they are, the colours of a palette for its numbers."""
        kinds = [kind.name for kind in self._dataset.colorinterp]
        if kinds == ["palette"]:
            table = np.zeros((256, 3), np.uint8)
            for number, color in self._dataset.colormap(1).items():
                table[number] = color[:3]
            pixels, kinds = table[pixels[..., 0]], ["red", "green", "blue"]
        header = ImageHeader(
            self.size,
            pixels.shape[2],
            len(kinds) in (2, 4) and kinds[-1] == "alpha",
            pixels.dtype,
            int(self._dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 0)),
            "TIFF",
            no_data=self._dataset.nodata,
        )
        return pixels, header


def open_raster(file: str | os.PathLike[str]) -> Any:
    """A GeoTIFF as a dataset of rasterio.

    Raises:
        MissingPackageError, MissingFileError, DataError: see `Scene`.
    """
    rasterio = import_rasterio()
    if not os.path.isfile(file):
        raise MissingFileError(f"no file {file}")
    try:
        with warnings.catch_warnings():
            # Files without a place on earth are taken too.
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            return rasterio.open(file, driver="GTiff")
    except rasterio.errors.RasterioIOError as e:
        raise DataError(f"{file} is no GeoTIFF: {e}. Convert it with gdal_translate") from None


def import_rasterio() -> ModuleType:
    """The package, which reads and writes GeoTIFF.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import rasterio
        import rasterio.enums
        import rasterio.features
        import rasterio.warp
        import rasterio.windows
    except ImportError:
        raise MissingPackageError(
            "scenes need the package rasterio: pip install 'segsuite-torch[geo]'"
        ) from None
    return rasterio


def _bounded(part: slice, length: int) -> slice:
    start, stop, _ = part.indices(length)
    return slice(start, stop)
