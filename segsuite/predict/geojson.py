"""GeoJSON of what is found in a scene (RFC 7946)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segsuite.data.outlines import trace
from segsuite.data.scene import import_rasterio, open_raster
from segsuite.errors import ConfigError, DataError
from segsuite.modeling.inference.joining import Piece
from segsuite.utils.files import atomic_file

CRS_CHOICES = ("rfc7946", "file")
_DEGREES, _METRES = 8, 4  # decimals, of a millimetre and less

Rings = list[np.ndarray]
Geometry = list[Rings]


class Features:
    """How coordinates are written.

    Args:
        crs: the coordinate reference system of the scene, of rasterio.
        choice: "rfc7946", longitude and latitude (WGS 84), or "file", that of the scene.
        name: of the scene, for messages.

    Raises:
        ConfigError: another choice.
        DataError: the scene has no system, or for "file" one without a name.
    """

    def __init__(self, crs: Any, choice: str, name: str) -> None:
        if choice not in CRS_CHOICES:
            raise ConfigError(f"--geojson is {choice!r}; expected {' or '.join(CRS_CHOICES)}")
        if crs is None:
            raise DataError(
                f"{name} has no coordinate reference system, so that no place on earth is known; "
                "add it with gdal_edit -a_srs, or leave out --geojson"
            )
        self._crs, self._choice = crs, choice
        self.member: dict[str, Any] | None = None
        if choice == "file":
            authority = crs.to_authority()
            if authority is None:
                raise DataError(
                    f"the coordinate reference system of {name} has no name, such as EPSG:32633; "
                    "take --geojson rfc7946"
                )
            urn = f"urn:ogc:def:crs:{authority[0]}::{authority[1]}"
            self.member = {"type": "name", "properties": {"name": urn}}

    def coordinates(self, geometry: Geometry) -> list[list[list[list[float]]]]:
        """Polygons with the coordinates that are wanted, their outer rings counterclockwise."""
        return [
            [self._ring(ring, is_outer=not number) for number, ring in enumerate(rings)]
            for rings in geometry
        ]

    def _ring(self, points: np.ndarray, is_outer: bool) -> list[list[float]]:
        decimals = _METRES
        if self._choice == "rfc7946":
            warp = import_rasterio().warp
            decimals = _DEGREES
            x, y = warp.transform(self._crs, "EPSG:4326", *points.T.tolist())
            points = np.stack([x, y], axis=1)
        elif self._crs.is_geographic:
            decimals = _DEGREES
        x, y = (points - points[0]).T
        if (float(x @ np.roll(y, -1) - np.roll(x, -1) @ y) > 0) != is_outer:
            points = points[::-1]
        rounded = points.round(decimals).tolist()
        return [*rounded, rounded[0]]


def write_geojson(
    path: Path, features: Features, described: Iterable[tuple[dict[str, Any], Geometry]]
) -> Path:
    """Write a collection of features, one after another.

    Args:
        described: properties and geometry of each.

    Returns:
        The file.
    """
    with atomic_file(path) as file:
        head: dict[str, Any] = {"type": "FeatureCollection"}
        if features.member is not None:
            head["crs"] = features.member
        file.write(json.dumps(head)[:-1] + ', "features": [')
        separator = "\n"
        for properties, geometry in described:
            polygons = features.coordinates(geometry)
            kind = "Polygon" if len(polygons) == 1 else "MultiPolygon"
            place = {"type": kind, "coordinates": polygons[0] if kind == "Polygon" else polygons}
            feature = {"type": "Feature", "properties": properties, "geometry": place}
            file.write(separator + json.dumps(feature))
            separator = ",\n"
        file.write("\n]}\n")
    return path


def instance_geometry(piece: Piece, transform: Any) -> Geometry:
    """The outlines of an object in the coordinates of its scene; of its box without a mask."""
    top, left, mask = piece.window()
    corner = np.array([left, top])
    return [
        [_placed(ring + corner, transform) for ring in (outline.points, *outline.holes)]
        for outline in trace(mask.numpy())
    ]


def label_geometries(
    file: str | os.PathLike[str], names: Sequence[str]
) -> Iterator[tuple[dict[str, Any], Geometry]]:
    """Each region of a class in a GeoTIFF of labels, in its coordinates."""
    rasterio = import_rasterio()
    with open_raster(file) as labels:
        band = rasterio.band(labels, 1)
        for shape, value in rasterio.features.shapes(band, transform=labels.transform):
            if int(value) < len(names):
                rings = [np.array(ring)[:-1] for ring in shape["coordinates"]]
                yield {"class": names[int(value)], "class_id": int(value)}, [rings]


def _placed(points: np.ndarray, transform: Any) -> np.ndarray:
    x, y = points.T.astype(np.float64)
    t = transform
    return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=1)
