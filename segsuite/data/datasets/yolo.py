"""YOLO's segmentation labels: a text file beside each image, and a ``data.yaml``.

A line is an object: its class and the corners of one polygon, as shares of the image's width and
height, ``class x0 y0 x1 y1 ...``. Five numbers are a box: class, centre, width and height. An image
without a file, or with an empty one, has no objects. As documented by Ultralytics at
https://docs.ultralytics.com/datasets/segment/.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segsuite.config.yaml_files import parse_yaml
from segsuite.errors import ConfigError, DataError, MissingFileError

from ..catalog import Metadata
from ..folders import IMAGE_SUFFIXES, list_files
from ..image import read_image_size
from .annotation_shapes import Box, Polygon, Shape
from .exchange import COCOContent, read_text_file, register_annotations
from .root import PATH_ADVICE

SPLITS = ("train", "val", "test")
# How far beyond the image corners may lie, as a share of its size, before they are told: programs
# write a little more than 1.
_SLACK = 0.01


@dataclass(frozen=True)
class YOLOReader:
    """See `register_yolo`."""

    data: str
    split: str

    def files(self) -> list[Path]:
        images = self._images(self._read_yaml())
        labels = [label_file(image) for image in images]
        return [Path(self.data), *images, *(file for file in labels if file.is_file())]

    def read(self) -> COCOContent:
        described = self._read_yaml()
        images = self._images(described)
        content = COCOContent(self.data, listed=class_names(described, self.data))
        if not any(label_file(image).is_file() for image in images):
            raise MissingFileError(
                f"{self.data}: none of the {len(images)} images of '{self.split}' has a file of "
                f"labels, such as {label_file(images[0])}; expected a folder 'labels' beside "
                "'images' with a text file for each"
            )
        names = class_names(described, self.data)
        for image in images:
            _add_image(content, image, names)
        return content

    def _read_yaml(self) -> dict[str, Any]:
        try:
            described = parse_yaml(read_text_file(self.data), self.data)
        except FileNotFoundError:
            raise MissingFileError(f"no file {self.data}; {PATH_ADVICE}") from None
        except ConfigError as e:
            raise DataError(str(e)) from None
        if not isinstance(described, dict) or "names" not in described:
            raise DataError(
                f"{self.data} has no 'names'; expected YOLO's data.yaml: names, and paths under "
                f"{', '.join(SPLITS)}"
            )
        return described

    def _images(self, described: Mapping[str, Any]) -> list[Path]:
        given = described.get(self.split)
        if not given:
            there = [split for split in SPLITS if described.get(split)]
            raise ConfigError(
                f"{self.data} has no '{self.split}'; it has {', '.join(there) or 'no split'}: "
                "choose one as SPLIT"
            )
        places = [given] if isinstance(given, str) else given
        if not isinstance(places, list) or not all(isinstance(p, str) for p in places):
            raise DataError(f"{self.data}: '{self.split}' is {given!r}; expected a path, or a list")
        found: list[Path] = []
        for place in places:
            path = self._locate(place.replace("\\", "/"), described)
            found += _listed(path) if path.is_file() else list_files(path, IMAGE_SUFFIXES)
        images = sorted(dict.fromkeys(found))
        if not images:
            raise MissingFileError(f"{self.data}: no image in '{self.split}', {given}")
        return images

    def _locate(self, place: str, described: Mapping[str, Any]) -> Path:
        """A path of data.yaml, which may be written for another folder to start from."""
        beside = Path(self.data).parent
        root = Path(str(described.get("path") or ".").replace("\\", "/"))
        candidates = [beside / root / place, root / place, beside / place]
        # Roboflow's exports say ../train/images for what lies beside the file.
        candidates.append(beside / Path(*(part for part in Path(place).parts if part != "..")))
        for candidate in candidates:
            if candidate.exists():
                return candidate
        tried = ", ".join(map(str, dict.fromkeys(candidates)))
        raise MissingFileError(
            f"{self.data}: '{self.split}' is {place}, but there is no {tried}; fix 'path' or "
            f"'{self.split}' in the file"
        )


def register_yolo(name: str, data: str | os.PathLike[str], split: str) -> Metadata:
    """Register a split of a data set in YOLO's segmentation format.

    Classes are the ``names`` of the file, in the order of their numbers. Where the sizes of images
    are needed, they are those of the upright image.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        data: ``data.yaml``.
        split: "train", "val" or "test".

    Raises:
        ConfigError: an unknown split.
    """
    if split not in SPLITS:
        raise ConfigError(f"data set '{name}': SPLIT is {split!r}; expected {', '.join(SPLITS)}")
    return register_annotations(name, YOLOReader(os.fspath(data), split))


def class_names(described: Mapping[str, Any], source: str) -> list[str]:
    """The names of a ``data.yaml``, a list or a mapping from 0 on, by class.

    Raises:
        DataError: they are something else, have gaps, or are not as many as ``nc``.
    """
    names = described["names"]
    if isinstance(names, dict):
        try:
            by_number = {int(k): v for k, v in names.items()}
        except (TypeError, ValueError):
            raise DataError(
                f"{source}: the keys of 'names' are {list(names)[:5]}; expected 0, 1, ..."
            ) from None
        missing = [k for k in range(len(by_number)) if k not in by_number]
        if missing:
            raise DataError(f"{source}: 'names' has no class {missing[0]}; expected 0, 1, 2, ...")
        names = [by_number[k] for k in range(len(by_number))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{source}: 'names' is {names!r}; expected a list, or a mapping from 0 on")
    count = described.get("nc")
    if count is not None and count != len(names):
        raise DataError(f"{source}: 'nc' is {count}, but there are {len(names)} names; fix one")
    return [_text(name) for name in names]


def _text(name: Any) -> str:
    # YAML makes a boolean of yes and no.
    return {True: "yes", False: "no"}[name] if isinstance(name, bool) else str(name)


def label_file(image: Path) -> Path:
    """The labels of an image: below ``labels`` where it is below ``images``, else beside it."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _listed(list_file: Path) -> list[Path]:
    """The images that a text file names, which start from its folder where they begin with ./"""
    images = []
    for line in read_text_file(list_file).splitlines():
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        beside = list_file.parent / name
        path = beside if beside.is_file() or not Path(name).is_file() else Path(name)
        if not path.is_file():
            raise MissingFileError(f"{list_file} names {name}, but there is no file {beside}")
        images.append(path)
    return images


def _add_image(content: COCOContent, image: Path, names: list[str]) -> None:
    size = read_image_size(image)
    image_id = content.add_image(image, size)
    file = label_file(image)
    if not file.is_file():
        return
    seen = set()
    for number, line in enumerate(read_text_file(file).splitlines(), 1):
        where = f"{file}, line {number}"
        if not line.strip():
            continue
        if line.strip() in seen:
            content.leave_out("lines that occur twice", where)
            continue
        seen.add(line.strip())
        label, shape = _parse(line, names, size, where)
        if isinstance(shape, Box):
            content.notice("boxes without a polygon (a box has no mask)", where)
        content.add_object(image_id, label, [shape], where)


def _parse(line: str, names: list[str], size: tuple[int, int], where: str) -> tuple[str, Shape]:
    try:
        values = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        raise DataError(
            f"{where} is {line[:60]!r}; expected numbers: class x0 y0 x1 y1 ..."
        ) from None
    if not all(map(math.isfinite, values)):
        raise DataError(f"{where} has a value that is no finite number")
    number = values[0]
    if number != int(number) or not 0 <= number < len(names):
        raise DataError(
            f"{where} has the class {number:g}; 'names' has 0 to {len(names) - 1}. Fix the line, "
            "or add the name"
        )
    if max(values[1:], default=0) > 1 + _SLACK or min(values[1:], default=0) < -_SLACK:
        raise DataError(
            f"{where} has the coordinate {max(values[1:], key=abs):g}; expected shares of the "
            "image's width and height, from 0 to 1, not pixels"
        )
    height, width = size
    if len(values) == 5:
        x, y, w, h = (v * n for v, n in zip(values[1:], (width, height) * 2, strict=True))
        return names[int(number)], Box((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    if len(values) < 7 or len(values) % 2 == 0:
        raise DataError(
            f"{where} has {len(values)} numbers; expected a class and 3 corners or more, x and y "
            "of each, or a class and 4 numbers of a box"
        )
    return names[int(number)], Polygon(np.array(values[1:]).reshape(-1, 2) * [width, height])
