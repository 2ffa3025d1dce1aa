"""Supervisely's projects: a folder with ``meta.json`` and a folder for each data set in it.

Polygons with holes, bitmaps and rectangles are objects; figures of one class with the same
``instance`` are the parts of one. See
https://developer.supervisely.com/getting-started/supervisely-annotation-format.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segsuite.errors import DataError, MissingFileError

from ..catalog import Metadata
from ..folders import list_files
from .annotation_shapes import Bitmap, Box, Polygon, Shape, decode_bitmap, outline, to_points
from .exchange import (
    COCOContent,
    as_names,
    expect,
    label_text,
    read_json_file,
    register_annotations,
)
from .root import PATH_ADVICE

_THIN = ("point", "line", "graph", "cuboid", "cuboid_2d", "point_3d")


@dataclass(frozen=True)
class SuperviselyReader:
    """See `register_supervisely`."""

    project: str
    datasets: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()

    def files(self) -> list[Path]:
        return [self._meta, *(file for files in self._annotations().values() for file in files)]

    def read(self) -> COCOContent:
        meta = read_json_file(self._meta, "Supervisely")
        described = meta.get("classes") if isinstance(meta, dict) else None
        if not isinstance(described, list) or not all(isinstance(c, dict) for c in described):
            raise DataError(f"{self._meta} has no list 'classes'; expected that of Supervisely")
        listed = [str(c.get("title", "")) for c in described]
        content = COCOContent(self.project, self.classes, self.ignored, listed)
        for folder, files in self._annotations().items():
            for file in files:
                image = folder / "img" / file.relative_to(folder / "ann").with_suffix("")
                _add_file(content, file, image)
        return content

    @property
    def _meta(self) -> Path:
        return Path(self.project, "meta.json")

    def _annotations(self) -> dict[Path, list[Path]]:
        """The files of each data set's folder."""
        folder = Path(self.project)
        if not self._meta.is_file():
            raise MissingFileError(
                f"no {self._meta}; expected the folder of a Supervisely project: {PATH_ADVICE}"
            )
        there = sorted(p.parent.relative_to(folder).as_posix() for p in folder.rglob("ann"))
        for name in self.datasets or ():
            if name not in there:
                raise MissingFileError(
                    f"{folder} has no data set '{name}'; it has {', '.join(there) or 'none'}"
                )
        chosen = there if self.datasets is None else list(self.datasets)
        found = {folder / name: list_files(folder / name / "ann", (".json",)) for name in chosen}
        if not any(found.values()):
            raise MissingFileError(f"no file of annotations in {folder}/*/ann; {PATH_ADVICE}")
        return found


def register_supervisely(
    name: str,
    project: str | os.PathLike[str],
    *,
    datasets: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    ignore_classes: Sequence[str] = (),
) -> Metadata:
    """Register a project of Supervisely, or some of its data sets.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        project: the folder that has ``meta.json``.
        datasets: names of the folders in it; None: all.
        classes: titles in the order of the classes; None: those of ``meta.json``, in its order.
        ignore_classes: titles of classes whose objects are left out.
    """
    reader = SuperviselyReader(
        os.fspath(project),
        as_names(datasets, "DATASETS"),
        as_names(classes, "CLASSES"),
        as_names(ignore_classes, "IGNORE_CLASSES") or (),
    )
    return register_annotations(name, reader)


def _add_file(content: COCOContent, file: Path, image: Path) -> None:
    described = read_json_file(file, "Supervisely")
    if not isinstance(described, dict) or not isinstance(described.get("objects"), list):
        raise DataError(f"{file} has no list 'objects': it is no file of Supervisely")
    size = expect(described.get("size"), dict, str(file), "'size'")
    height, width = (expect(size.get(k), int, str(file), k) for k in ("height", "width"))
    if not image.is_file():
        raise MissingFileError(f"{file} is of the image {image}, which is not there; copy it there")
    image_id = content.add_image(image, (height, width))
    objects: dict[Any, tuple[str, list[Shape], str]] = {}
    for number, figure in enumerate(described["objects"]):
        where = f"{file}, object {figure.get('id', f'number {number} (from 0)')}"
        label, kind = label_text(figure.get("classTitle")), figure.get("geometryType")
        if kind in _THIN:
            content.leave_out(f"of the type '{kind}', which has no inside", where)
            continue
        try:
            shape = _shape(figure, kind, content.size(image_id))
        except DataError as e:
            raise DataError(f"{where} ('{label}'): {e}. Draw it anew, or delete it") from None
        group = figure.get("instance")
        key = number if not group else (label, str(group))
        objects.setdefault(key, (label, [], where))[1].append(shape)
    for label, shapes, where in objects.values():
        content.add_object(image_id, label, shapes, where)


def _shape(figure: dict[str, Any], kind: Any, size: tuple[int, int]) -> Shape:
    if kind == "bitmap":
        bitmap = figure.get("bitmap")
        if not isinstance(bitmap, dict):
            raise DataError("it has no 'bitmap'")
        ((left, top),) = to_points(bitmap.get("origin")).astype(int).tolist()
        return Bitmap(decode_bitmap(bitmap.get("data"), size, is_deflated=True), top, left)
    points = figure.get("points")
    if kind not in ("polygon", "rectangle") or not isinstance(points, dict):
        raise DataError(
            f"its geometryType is {kind!r}, its points {str(points)[:60]}; expected a polygon, "
            "rectangle or bitmap"
        )
    if kind == "polygon":
        holes = [outline(hole) for hole in points.get("interior") or ()]
        return Polygon(outline(points.get("exterior")), holes)
    corners = to_points(points.get("exterior"))
    (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return Box((x0, y0, x1, y1))
