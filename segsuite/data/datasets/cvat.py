"""CVAT's export "CVAT for images": one XML file for all images.

Polygons, boxes, ellipses and masks are objects; shapes of one label with the same ``group_id`` are
the parts of one. See https://docs.cvat.ai/docs/manual/advanced/xml_format/.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from segsuite.errors import DataError, MissingFileError

from ..catalog import Metadata
from .annotation_shapes import Bitmap, Box, Polygon, Shape, ellipse, outline, rectangle
from .exchange import COCOContent, ImageFinder, as_names, register_annotations
from .root import PATH_ADVICE

_THIN = ("points", "polyline", "cuboid", "skeleton", "tag")
_SHAPES = ("polygon", "box", "ellipse", "mask")


@dataclass(frozen=True)
class CVATReader:
    """See `register_cvat`."""

    annotations: str
    images: str
    classes: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    subset: str | None = None

    def files(self) -> list[Path]:
        return [Path(self.annotations)]

    def read(self) -> COCOContent:
        elements = _elements(self.annotations)
        listed: list[str] = []
        content: COCOContent | None = None
        finder = ImageFinder(self.images)
        subsets = set()
        for element in elements:
            if element.tag == "meta":
                names = [(label.findtext("name") or "").strip() for label in element.iter("label")]
                listed = list(dict.fromkeys(filter(None, names)))
            elif element.tag == "track":
                raise DataError(
                    f"{self.annotations} has tracks: it was exported as 'CVAT for video'; export "
                    "it as 'CVAT for images 1.1'"
                )
            elif element.tag == "image":
                if content is None:
                    content = COCOContent(self.annotations, self.classes, self.ignored, listed)
                subsets.add(element.get("subset", ""))
                if self.subset is None or element.get("subset") == self.subset:
                    _add_image(content, element, finder, self.annotations)
                element.clear()
        if content is None:
            raise DataError(
                f"{self.annotations} has no <image>; expected CVAT's export 'CVAT for images 1.1'"
            )
        if self.subset is not None and self.subset not in subsets:
            raise DataError(
                f"{self.annotations} has no image of the subset '{self.subset}'; it has "
                f"{', '.join(sorted(map(repr, subsets)))}: fix SUBSET"
            )
        return content


def register_cvat(
    name: str,
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    ignore_classes: Sequence[str] = (),
    subset: str | None = None,
) -> Metadata:
    """Register an export "CVAT for images 1.1".

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        annotations: ``annotations.xml``.
        images: folder of the images.
        classes: labels in the order of the classes; None: those of the task, in its order.
        ignore_classes: labels whose objects are left out.
        subset: of the images, such as "Train"; None: all.
    """
    reader = CVATReader(
        os.fspath(annotations),
        os.fspath(images),
        as_names(classes, "CLASSES"),
        as_names(ignore_classes, "IGNORE_CLASSES") or (),
        subset,
    )
    return register_annotations(name, reader)


def _elements(file: str) -> Iterator[ElementTree.Element]:
    """The parts of the file below its root that are complete, one after another."""
    try:
        with open(file, "rb") as content:
            head = content.read(1 << 16)
            if b"<!DOCTYPE" in head or b"<!ENTITY" in head:  # entities can grow without bounds
                raise DataError(f"{file} defines entities, which CVAT's exports never do")
            content.seek(0)
            depth = 0
            for event, element in ElementTree.iterparse(content, events=("start", "end")):
                depth += 1 if event == "start" else -1
                if event == "start" and depth == 1 and element.tag != "annotations":
                    raise DataError(
                        f"{file} begins with <{element.tag}>; expected CVAT's <annotations>"
                    )
                if event == "end" and depth == 1:
                    yield element
    except FileNotFoundError:
        raise MissingFileError(f"no file {file}; {PATH_ADVICE}") from None
    except IsADirectoryError:
        raise DataError(f"{file} is a folder; name the XML file in it, annotations.xml") from None
    except ElementTree.ParseError as e:
        raise DataError(
            f"{file} is not an XML file: {e}. Unpack the archive that CVAT gave, or export again"
        ) from None


def _add_image(
    content: COCOContent, element: ElementTree.Element, finder: ImageFinder, file: str
) -> None:
    name = element.get("name") or ""
    where = f"{file}, image '{name}'"
    size = (int(_number(element, "height", where)), int(_number(element, "width", where)))
    image_id = content.add_image(finder.find([name], where), size)
    objects: dict[Any, tuple[str, list[Shape], str]] = {}
    for number, child in enumerate(element):
        label = child.get("label") or ""
        of_shape = f"{where}, shape {number} (from 0)"
        if child.tag in _THIN:
            content.leave_out(f"of the type '{child.tag}', which has no inside", of_shape)
            continue
        try:
            shape = _shape(child, content.size(image_id))
        except DataError as e:
            raise DataError(f"{of_shape} ('{label}'): {e}. Draw it anew, or delete it") from None
        group = child.get("group_id") or "0"
        key = number if group == "0" else (label, group)
        objects.setdefault(key, (label, [], of_shape))[1].append(shape)
    for label, shapes, of_shape in objects.values():
        content.add_object(image_id, label, shapes, of_shape)


def _shape(element: ElementTree.Element, size: tuple[int, int]) -> Shape:
    if element.tag == "polygon":
        pairs = (element.get("points") or "").split(";")
        return Polygon(outline([pair.split(",") for pair in pairs if pair.strip()]))
    if element.tag == "mask":
        return _mask(element, size)
    angle = _number(element, "rotation", "it") if element.get("rotation") else 0.0
    if element.tag == "box":
        corners = [_number(element, key, "it") for key in ("xtl", "ytl", "xbr", "ybr")]
        x0, y0, x1, y1 = corners
        return rectangle(corners, angle) if angle else Box((x0, y0, x1, y1))
    if element.tag == "ellipse":
        cx, cy, rx, ry = (_number(element, key, "it") for key in ("cx", "cy", "rx", "ry"))
        return ellipse(cx, cy, rx, ry, angle)
    raise DataError(f"<{element.tag}> is unknown; expected {', '.join(_SHAPES)}")


def _mask(element: ElementTree.Element, size: tuple[int, int]) -> Bitmap:
    """Runs of zeros and ones in turn along the rows of a window."""
    keys = ("height", "width", "top", "left")
    height, width, top, left = (int(_number(element, key, "it")) for key in keys)
    if not 0 < height <= size[0] or not 0 < width <= size[1]:
        raise DataError(
            f"its mask is {height} x {width}, the image {size[0]} x {size[1]} (height x width)"
        )
    try:
        runs = np.array([int(run) for run in (element.get("rle") or "").split(",")])
    except (ValueError, OverflowError):
        raise DataError("its rle is no list of numbers") from None
    if runs.min() < 0 or int(runs.sum()) != height * width:
        raise DataError(
            f"the runs of its rle add up to {runs.sum()}; expected {height} * {width} = "
            f"{height * width}"
        )
    values = np.arange(len(runs)) % 2 == 1
    return Bitmap(np.repeat(values, runs).reshape(height, width), top, left)


def _number(element: ElementTree.Element, key: str, where: str) -> float:
    text = element.get(key)
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise DataError(f"{where} has the {key} {text!r}; expected a number")
    return value
