"""labelme's JSON files, one beside each image, of all its versions.

Polygons, rectangles, circles and masks are objects; shapes of one label with the same ``group_id``
are the parts of one. ``imageData``, a copy of the image in the file, is not looked at. See
https://github.com/wkentaro/labelme.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np

from segsuite.errors import DataError, MissingFileError

from ..catalog import Metadata
from ..folders import IMAGE_SUFFIXES, list_files
from .annotation_shapes import (
    Bitmap,
    Polygon,
    Shape,
    decode_bitmap,
    ellipse,
    outline,
    rectangle,
    to_points,
)
from .exchange import (
    COCOContent,
    ImageFinder,
    as_names,
    expect,
    label_text,
    read_json_file,
    register_annotations,
)
from .root import PATH_ADVICE

# Shapes that have no inside.
_THIN = ("line", "linestrip", "point", "points")


@dataclass(frozen=True)
class LabelmeReader:
    """See `register_labelme`."""

    annotations: str
    images: str | None = None
    classes: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()

    def files(self) -> list[Path]:
        if not Path(self.annotations).is_dir():
            raise MissingFileError(f"no folder {self.annotations} of JSON files; {PATH_ADVICE}")
        found = list_files(self.annotations, (".json",))
        if not found:
            raise MissingFileError(f"no JSON file of labelme in {self.annotations}; {PATH_ADVICE}")
        return found

    def read(self) -> COCOContent:
        content = COCOContent(self.annotations, self.classes, self.ignored)
        finder = ImageFinder(self.images or self.annotations)
        for file in self.files():
            _add_file(content, file, finder, self.annotations if self.images else None)
        return content


def register_labelme(
    name: str,
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    classes: Sequence[str] | None = None,
    ignore_classes: Sequence[str] = (),
) -> Metadata:
    """Register the JSON files of labelme in a folder and its subfolders.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        annotations: folder of the JSON files.
        images: folder of the images; None: where each file says, from its own place on.
        classes: labels in the order of the classes; None: all that occur, sorted. Give them where
            training and test images may not show the same ones.
        ignore_classes: labels whose objects are left out.
    """
    reader = LabelmeReader(
        os.fspath(annotations),
        None if images is None else os.fspath(images),
        as_names(classes, "CLASSES"),
        as_names(ignore_classes, "IGNORE_CLASSES") or (),
    )
    return register_annotations(name, reader)


def _add_file(content: COCOContent, file: Path, finder: ImageFinder, root: str | None) -> None:
    described = read_json_file(file, "labelme")
    if not isinstance(described, dict) or not isinstance(described.get("shapes"), list):
        raise DataError(
            f"{file} has no list 'shapes': it is no file of labelme. Move it away, or export again"
        )
    image = _image(described, file, finder, root)
    image_id = content.add_image(image, _size(described, file))
    size = content.size(image_id)
    objects: dict[Any, tuple[str, list[Shape], str]] = {}
    for number, shape in enumerate(described["shapes"]):
        where = f"{file}, shape {number} (from 0)"
        expect(shape, dict, where, "it")
        label = label_text(shape.get("label"))
        kind = shape.get("shape_type") or "polygon"  # before version 3 there was nothing else
        if kind in _THIN:
            content.leave_out(f"of the type '{kind}', which has no inside", where)
            continue
        try:
            drawn = _shape(shape, kind, size)
        except DataError as e:
            raise DataError(f"{where} ('{label}'): {e}. Draw it anew, or delete it") from None
        group = shape.get("group_id")
        key = number if group is None else (label, str(group))
        objects.setdefault(key, (label, [], where))[1].append(drawn)
    for label, shapes, where in objects.values():
        content.add_object(image_id, label, shapes, where)


def _size(described: dict[str, Any], file: Path) -> tuple[int, int] | None:
    height, width = described.get("imageHeight"), described.get("imageWidth")
    if height is None or width is None:
        return None
    height = expect(height, (int, float), str(file), "imageHeight")
    width = expect(width, (int, float), str(file), "imageWidth")
    return int(height), int(width)


def _image(described: dict[str, Any], file: Path, finder: ImageFinder, root: str | None) -> Path:
    """The image of a file: the one that it names, or else the one that is called as it is.

    Args:
        root: the folder of the JSON files, where images have one of their own.
    """
    name = str(described.get("imagePath") or "").replace("\\", "/")
    if root is None:
        for place in (file.parent / name, file.parent / unquote(name)):
            if place.is_file():
                return Path(os.path.normpath(place))
    folder = file.parent.relative_to(root) if root else Path()
    names = [(folder / PurePosixPath(name).name).as_posix(), name] if name else []
    stems = [(folder / f"{file.stem}{suffix}").as_posix() for suffix in IMAGE_SUFFIXES]
    return finder.find([*names, *stems], str(file))


def _shape(shape: dict[str, Any], kind: str, size: tuple[int, int]) -> Shape:
    values = shape.get("points")
    if kind == "polygon":
        return Polygon(outline(values))
    points = to_points(values)
    if kind == "oriented_rectangle":
        return Polygon(outline(values))
    if kind not in ("rectangle", "circle", "mask"):
        raise DataError(
            f"its shape_type is '{kind}'; expected polygon, rectangle, oriented_rectangle, circle "
            f"or mask (or {', '.join(_THIN)}, which are left out)"
        )
    if len(points) == 4 and kind == "rectangle":  # of some versions: all corners
        points = np.stack([points.min(axis=0), points.max(axis=0)])
    if len(points) != 2:
        raise DataError(f"its {kind} has {len(points)} points; expected 2")
    if kind == "circle":
        (cx, cy), radius = points[0], float(np.hypot(*(points[1] - points[0])))
        return ellipse(float(cx), float(cy), radius, radius)
    low, high = points.min(axis=0), points.max(axis=0)
    if kind == "rectangle":
        return rectangle([*low, *high])
    mask = decode_bitmap(shape.get("mask"), size)
    left, top = (round(float(v)) for v in low)
    return Bitmap(mask, top, left)
