"""Label Studio's exports "JSON" and "JSON-MIN".

Polygons, brushes, rectangles and ellipses are objects. Coordinates are percent of the image's width
and height. See https://labelstud.io/guide/export and https://labelstud.io/tags/.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from segsuite.errors import DataError

from ..catalog import Metadata
from ..image import read_image_size
from .annotation_shapes import Bitmap, Box, Polygon, Shape, ellipse, outline, rectangle
from .exchange import (
    COCOContent,
    ImageFinder,
    as_names,
    label_text,
    read_json_file,
    register_annotations,
)

# The kinds of results, which are also the keys of their labels.
_KINDS = ("polygonlabels", "brushlabels", "rectanglelabels", "ellipselabels")
# Label Studio puts eight hexadecimal digits and a dash before the names of uploads.
_UPLOAD_PREFIX = 9


@dataclass(frozen=True)
class LabelStudioReader:
    """See `register_label_studio`."""

    annotations: str
    images: str
    classes: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()

    def files(self) -> list[Path]:
        return [Path(self.annotations)]

    def read(self) -> COCOContent:
        tasks = read_json_file(self.annotations, "Label Studio")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise DataError(
                f"{self.annotations} is no list of tasks; expected Label Studio's export as JSON "
                "or JSON-MIN"
            )
        content = COCOContent(self.annotations, self.classes, self.ignored)
        finder = ImageFinder(self.images)
        for number, task in enumerate(tasks):
            where = f"{self.annotations}, task {task.get('id', f'number {number} (from 0)')}"
            results = _results(task, content, where)
            if results is None:
                content.leave_out("tasks that nobody annotated, or that were skipped", where)
                continue
            image = finder.find(_image_names(task, where), where)
            image_id = content.add_image(image, read_image_size(image))
            for index, result in enumerate(results):
                _add_result(content, image_id, result, f"{where}, result {index} (from 0)")
        return content


def register_label_studio(
    name: str,
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    ignore_classes: Sequence[str] = (),
) -> Metadata:
    """Register an export of Label Studio, JSON or JSON-MIN.

    Of a task that several people have annotated, the one marked as ground truth counts, or else the
    first; that others are left out is told, as it is of tasks that nobody has annotated.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        annotations: the JSON file.
        images: folder of the images.
        classes: labels in the order of the classes; None: all that occur, sorted.
        ignore_classes: labels whose objects are left out.
    """
    reader = LabelStudioReader(
        os.fspath(annotations),
        os.fspath(images),
        as_names(classes, "CLASSES"),
        as_names(ignore_classes, "IGNORE_CLASSES") or (),
    )
    return register_annotations(name, reader)


def _image_names(task: dict[str, Any], where: str) -> list[str]:
    """What the image may be called, from its address."""
    data = task.get("data", task)
    values = data.values() if isinstance(data, dict) else ()
    keyed = data.get("image") if isinstance(data, dict) else None
    address = keyed or next((v for v in values if isinstance(v, str) and "." in v), None)
    if not isinstance(address, str):
        raise DataError(f"{where} names no image in its 'data'")
    parsed = urlsplit(address.replace("\\", "/"))
    local = parse_qs(parsed.query).get("d")  # /data/local-files/?d=folder/a.jpg
    path = local[0] if local else parsed.path
    name = PurePosixPath(unquote(path)).name
    names = [path, name]
    prefix, rest = name[:_UPLOAD_PREFIX], name[_UPLOAD_PREFIX:]
    if rest and prefix.endswith("-") and all(c in "0123456789abcdef" for c in prefix[:-1]):
        names.append(rest)
    return names


def _results(task: dict[str, Any], content: COCOContent, where: str) -> list[dict[str, Any]] | None:
    """What is drawn in the image of a task; None where nobody has looked for objects in it."""
    annotations = task.get("annotations", task.get("completions"))
    if annotations is None:  # JSON-MIN: results stand in the task, by the names of their tags
        drawn = [r for value in task.values() if isinstance(value, list) for r in value]
        return [r for r in drawn if isinstance(r, dict) and "original_width" in r]
    done = [a for a in annotations if isinstance(a, dict) and not a.get("was_cancelled")]
    done.sort(key=lambda a: not a.get("ground_truth"))
    for _ in done[1:]:
        content.leave_out("annotations of a task by others than the first", where)
    return [r for r in done[0].get("result", ()) if isinstance(r, dict)] if done else None


def _add_result(content: COCOContent, image_id: int, result: dict[str, Any], where: str) -> None:
    value = result.get("value", result)
    kind = next((k for k in _KINDS if k in value), None)
    if kind is None:
        content.leave_out(f"of the type '{result.get('type')}', which has no inside", where)
        return
    labels = value[kind]
    if not isinstance(labels, list) or len(labels) != 1:
        raise DataError(f"{where} has the labels {labels!r}; expected one. Fix it in Label Studio")
    size = content.size(image_id)
    written = result.get("original_height", size[0]), result.get("original_width", size[1])
    if tuple(written) != size:
        raise DataError(
            f"{where} was drawn on an image of {written[0]} x {written[1]} pixels (height x "
            f"width), but the file has {size[0]} x {size[1]}; take the image that was annotated"
        )
    try:
        shape = _shape(value, kind, size)
    except DataError as e:
        raise DataError(f"{where} ('{labels[0]}'): {e}. Draw it anew, or delete it") from None
    if result.get("image_rotation"):
        content.notice("drawn on an image that was turned in the editor", where)
    content.add_object(image_id, label_text(labels[0]), [shape], where)


def _shape(value: dict[str, Any], kind: str, size: tuple[int, int]) -> Shape:
    height, width = size
    if kind == "polygonlabels":
        return Polygon(outline(value.get("points")) * [width / 100, height / 100])
    if kind == "brushlabels":
        if value.get("format", "rle") != "rle":
            raise DataError(f"its brush has the format {value['format']!r}; expected rle")
        return Bitmap(decode_brush(value.get("rle"), size), 0, 0)
    keys = ("x", "y", "width", "height") if kind == "rectanglelabels" else _ELLIPSE
    given = [value.get(key) for key in keys]
    numbers = [float(n) for n in given if isinstance(n, (int, float)) and np.isfinite(n)]
    if len(numbers) < 4:
        raise DataError(f"its {', '.join(keys)} are {given}; expected numbers")
    a, b, c, d = (n * m / 100 for n, m in zip(numbers, (width, height) * 2, strict=True))
    angle = float(value.get("rotation") or 0)
    if kind == "ellipselabels":
        return ellipse(a, b, c, d, angle)
    corners = (a, b, a + c, b + d)
    # Label Studio turns rectangles around their upper left corner.
    return rectangle(corners, angle, around=(a, b)) if angle else Box(corners)


_ELLIPSE = ("x", "y", "radiusX", "radiusY")


def decode_brush(rle: Any, size: tuple[int, int]) -> np.ndarray:
    """A brush's mask from its bits, which are packed as @thi.ng/rle-pack does.

    A header has the number of values (32 bits), the bits of a value less 1 (5), and four widths
    less 1 (4 each). A block then begins with a bit that says whether its values are one repeated;
    2 bits choose the width of the number, less 1, of its values, which follows. Values are the red,
    green, blue and alpha of each pixel, row by row.

    Args:
        rle: bytes, as a list of integers.
        size: (height, width) of the image.

    Returns:
        (height, width) bool.

    Raises:
        DataError: the bits end early, or are those of an image of another size.
    """
    try:
        data = np.array(rle, dtype=np.uint8) if isinstance(rle, list) else None
    except (ValueError, OverflowError, TypeError):
        data = None
    if data is None or data.ndim != 1:
        raise DataError("its rle is no list of bytes")
    bits = _Bits(data.tobytes())
    count = bits.read(32)
    if count != 4 * size[0] * size[1]:
        raise DataError(
            f"its brush has {count} values; expected 4 for each pixel of an image of {size[0]} x "
            f"{size[1]} (height x width), {4 * size[0] * size[1]}"
        )
    word = bits.read(5) + 1
    widths = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(count, dtype=np.uint8)
    start = 0
    while start < count:
        is_repeated = bits.read(1)
        end = start + 1 + bits.read(widths[bits.read(2)])
        if end > count:
            raise DataError("its brush has more values than it says")
        if is_repeated:
            values[start:end] = bits.read(word)
        else:
            values[start:end] = [bits.read(word) for _ in range(start, end)]
        start = end
    return values[3::4].reshape(size) > 0


class _Bits:
    """Reads numbers from bytes, the highest bit first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self, width: int) -> int:
        end = self._at + width
        if end > 8 * len(self._data):
            raise DataError("its brush is cut short")
        block = int.from_bytes(self._data[self._at // 8 : -(-end // 8)], "big")
        self._at = end
        return block >> -end % 8 & (1 << width) - 1
