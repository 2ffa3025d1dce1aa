"""Instance label maps: images whose pixels are the number of an object, 0 for the background.

What class an object has is told in one of three ways: there is one class; each class has a folder
of maps of its own; or a second map has a class for each pixel. Pascal VOC's SegmentationObject and
SegmentationClass are such maps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segsuite.errors import ConfigError, DataError, MissingFileError

from ..catalog import Metadata
from ..folders import IMAGE_SUFFIXES, LABEL_SUFFIXES
from ..sem_seg import read_sem_seg
from .annotation_shapes import Bitmap
from .exchange import COCOContent, as_names, read_text_file, register_annotations
from .folder import files_by_stem, load_sem_seg_folder
from .root import PATH_ADVICE
from .voc import CLASSES as VOC_CLASSES

# Pixels of VOC that are hard to tell: the outlines of objects.
_VOC_VOID = 255


@dataclass(frozen=True)
class InstanceMap:
    """The maps of one image.

    Attributes:
        image: the file.
        objects: maps of objects, and the class of all objects in each, or None.
        classes: a map with a class for each pixel, or None.
    """

    image: Path
    objects: tuple[tuple[Path, str | None], ...]
    classes: Path | None = None


@dataclass(frozen=True)
class InstanceMapReader:
    """See `register_instance_maps`."""

    images: str
    labels: str
    classes: tuple[str, ...]
    class_maps: str | None = None
    ignore_ids: tuple[int, ...] = ()
    image_suffix: str = ""
    label_suffix: str = ""

    def files(self) -> list[Path]:
        return _map_files(self._maps())

    def read(self) -> COCOContent:
        content = COCOContent(self.labels, self.classes)
        names = dict(enumerate(self.classes, 1))
        for maps in self._maps():
            add_maps(content, maps, names, set(self.ignore_ids))
        return content

    def _maps(self) -> list[InstanceMap]:
        folders = [Path(self.labels, name) for name in self.classes]
        if self.class_maps is None and all(folder.is_dir() for folder in folders):
            return self._maps_by_class(folders)
        if self.class_maps is None and len(self.classes) != 1:
            raise ConfigError(
                f"{self.labels}: maps of objects of {len(self.classes)} classes "
                f"({', '.join(self.classes)}) do not say which class an object has; give "
                "CLASS_MAPS, a folder of maps with a class for each pixel, or a folder of maps for "
                f"each class, such as {folders[0]}"
            )
        pairs = load_sem_seg_folder(self.images, self.labels, self.image_suffix, self.label_suffix)
        by_stem: Mapping[str, Path] = {}
        if self.class_maps is not None:
            by_stem = self._by_stem(Path(self.class_maps), "class maps")
        maps = []
        for pair in pairs:
            of_classes = by_stem.get(pair["image_id"])
            if self.class_maps is not None and of_classes is None:
                raise MissingFileError(
                    f"{pair['sem_seg_file_name']} has no map of classes in {self.class_maps}; "
                    "expected one of the same name"
                )
            only = self.classes[0] if of_classes is None else None
            objects = ((Path(pair["sem_seg_file_name"]), only),)
            maps.append(InstanceMap(Path(pair["file_name"]), objects, of_classes))
        return maps

    def _maps_by_class(self, folders: Sequence[Path]) -> list[InstanceMap]:
        suffix = self.image_suffix
        images = files_by_stem(Path(self.images), suffix, IMAGE_SUFFIXES, "images")
        by_class = [
            (self._by_stem(folder, f"label maps of '{name}'"), name)
            for folder, name in zip(folders, self.classes, strict=True)
        ]
        for files, name in by_class:
            unused = sorted(files.keys() - images.keys())
            if unused:
                raise MissingFileError(
                    f"{files[unused[0]]} ('{name}') is of no image in {self.images}; expected one "
                    "of the same name"
                )
        return [
            InstanceMap(images[stem], tuple((f[stem], n) for f, n in by_class if stem in f))
            for stem in sorted(images)
        ]

    def _by_stem(self, folder: Path, kind: str) -> dict[str, Path]:
        return files_by_stem(folder, self.label_suffix, LABEL_SUFFIXES, kind)


@dataclass(frozen=True)
class VOCInstanceReader:
    """See `register_voc_instances`."""

    folder: str
    split: str
    classes: tuple[str, ...]

    def files(self) -> list[Path]:
        return [self._list_file, *_map_files(self._maps())]

    def read(self) -> COCOContent:
        content = COCOContent(self._list_file, self.classes)
        names = dict(enumerate(self.classes, 1))
        for maps in self._maps():
            add_maps(content, maps, names, {_VOC_VOID})
        return content

    @property
    def _list_file(self) -> Path:
        return Path(self.folder, "ImageSets", "Segmentation", f"{self.split}.txt")

    def _maps(self) -> list[InstanceMap]:
        if not self._list_file.is_file():
            raise MissingFileError(
                f"no list {self._list_file}; expected the folder of a year, such as "
                f"VOCdevkit/VOC2012: {PATH_ADVICE}"
            )
        maps = []
        for name in read_text_file(self._list_file).split():
            image = Path(self.folder, "JPEGImages", f"{name}.jpg")
            objects = Path(self.folder, "SegmentationObject", f"{name}.png")
            classes = Path(self.folder, "SegmentationClass", f"{name}.png")
            for file in (image, objects, classes):
                if not file.is_file():
                    raise MissingFileError(
                        f"{self._list_file} names '{name}', but {file} is missing"
                    )
            maps.append(InstanceMap(image, ((objects, None),), classes))
        return maps


def register_instance_maps(
    name: str,
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    classes: Sequence[str],
    *,
    class_maps: str | os.PathLike[str] | None = None,
    ignore_ids: Sequence[int] = (),
    image_suffix: str = "",
    label_suffix: str = "",
) -> Metadata:
    """Register label maps of objects: 8- or 16-bit, 0 for the background, one number an object.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        images: folder of images, subfolders included.
        labels: folder of the maps, of the names of the images; or of a folder of maps for each
            class, called as it is.
        classes: names of the classes.
        class_maps: folder of maps with the class of each pixel, counted from 1 in the order of
            `classes`; that of most of an object's pixels is its.
        ignore_ids: numbers that are no objects.
        image_suffix, label_suffix: see `register_sem_seg_folder`.

    Raises:
        ConfigError: `classes` is no list of names.
    """
    names = as_names(classes, "CLASSES")
    if not names:
        raise ConfigError(f"data set '{name}': CLASSES is {classes!r}; expected a name at least")
    reader = InstanceMapReader(
        os.fspath(images),
        os.fspath(labels),
        names,
        None if class_maps is None else os.fspath(class_maps),
        tuple(ignore_ids),
        image_suffix,
        label_suffix,
    )
    return register_annotations(name, reader)


def register_voc_instances(
    name: str,
    folder: str | os.PathLike[str],
    split: str,
    *,
    classes: Sequence[str] | None = None,
) -> Metadata:
    """Register the objects of a Pascal VOC data set, or of one laid out as it is.

    Pixels of 255, the outlines of objects, are part of none.

    Args:
        name: the name for DATASETS.TRAIN and DATASETS.TEST.
        folder: of a year, such as ``VOCdevkit/VOC2012``.
        split: the list in ``ImageSets/Segmentation`` without its ending, such as "train".
        classes: names of the values 1, 2, ... of SegmentationClass; None: VOC's 20.
    """
    names = as_names(classes, "CLASSES") or VOC_CLASSES[1:]
    return register_annotations(name, VOCInstanceReader(os.fspath(folder), split, names))


def _map_files(maps: Sequence[InstanceMap]) -> list[Path]:
    files = []
    for of_image in maps:
        files += [of_image.image, *(file for file, _ in of_image.objects)]
        files += [] if of_image.classes is None else [of_image.classes]
    return files


def add_maps(
    content: COCOContent, maps: InstanceMap, names: Mapping[int, str], ignored: set[int]
) -> None:
    """Add an image and the objects that its maps have.

    Args:
        names: of classes, by their value in the map of classes.
        ignored: numbers that are no objects.

    Raises:
        MissingFileError, DataError: a map can't be read, or does not fit the image.
    """
    image_id = content.add_image(maps.image, None)
    size = content.size(image_id)
    classes = None if maps.classes is None else _read(maps.classes, size, maps.image)
    for file, name in maps.objects:
        ids = _read(file, size, maps.image)
        for number, bitmap in objects_of(ids):
            where = f"{file}, object {number}"
            if number in ignored:
                continue
            label = name
            if classes is not None:
                label = _class_name(classes, bitmap, names, f"{where} in {maps.classes}", ignored)
            assert label is not None
            content.add_object(image_id, label, [bitmap], where)


def _read(file: Path, size: tuple[int, int], image: Path) -> np.ndarray:
    values = read_sem_seg(file)
    if values.shape != size:
        raise DataError(
            f"{file} has {values.shape[0]} x {values.shape[1]} pixels, its image {image} {size[0]} "
            f"x {size[1]} (height x width); expected the same"
        )
    return values


def objects_of(ids: np.ndarray) -> Iterator[tuple[int, Bitmap]]:
    """Number and pixels of each object of a map, in the order of the numbers."""
    inside = np.flatnonzero(ids)
    values = ids.ravel()[inside]
    order = np.argsort(values, kind="stable")
    values, inside = values[order], inside[order]
    numbers, starts = np.unique(values, return_index=True)
    if not len(numbers):
        return
    for number, pixels in zip(numbers.tolist(), np.split(inside, starts[1:]), strict=True):
        rows, columns = np.divmod(pixels, ids.shape[1])
        top, left = int(rows[0]), int(columns.min())
        mask = np.zeros((int(rows[-1]) + 1 - top, int(columns.max()) + 1 - left), dtype=bool)
        mask[rows - top, columns - left] = True
        yield number, Bitmap(mask, top, left)


def _class_name(
    classes: np.ndarray, bitmap: Bitmap, names: Mapping[int, str], where: str, ignored: set[int]
) -> str:
    h, w = bitmap.mask.shape
    inside = classes[bitmap.top : bitmap.top + h, bitmap.left : bitmap.left + w][bitmap.mask]
    values, counts = np.unique(inside, return_counts=True)
    known = [(int(c), int(v)) for v, c in zip(values, counts, strict=True) if int(v) in names]
    if not known:
        shown = ", ".join(map(str, values.tolist()))
        raise DataError(
            f"{where} has the classes {shown} only; expected {', '.join(map(str, names))} "
            f"({', '.join(names.values())})"
        )
    return names[max(known, key=lambda pair: (pair[0], -pair[1]))[1]]
