"""Pascal VOC 2007 and 2012: 20 kinds of objects and the background.

Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010. The label maps are
palette PNGs whose indices are the class ids; 255 marks the outlines and what is hard to tell.

``trainaug`` are the 10582 images that results on VOC 2012 are usually trained on: those of
``train`` and, with the outlines of Hariharan et al., "Semantic contours from inverse detectors",
ICCV 2011 (SBD), all others that are not in ``val``. SBD comes as MATLAB files, which
``segsuite prepare voc_2012_aug`` turns into label maps, with the list.

Expected under the datasets folder::

    VOCdevkit/VOC{2007,2012}/JPEGImages/*.jpg
    VOCdevkit/VOC{2007,2012}/SegmentationClass/*.png
    VOCdevkit/VOC{2007,2012}/ImageSets/Segmentation/{train,val,trainval,test}.txt
    VOCdevkit/VOC2012/SegmentationClassAug/*.png
    VOCdevkit/VOC2012/ImageSets/Segmentation/trainaug.txt
"""

from __future__ import annotations

import functools
from pathlib import Path

from segsuite.errors import DataError, MissingFileError

from ..palette import voc_colors
from .exchange import read_text_file
from .register import register_sem_seg
from .root import datasets_root

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)
SPLITS = {
    2007: ("train", "val", "trainval", "test"),
    2012: ("train", "val", "trainval", "trainaug"),
}
LABEL_FOLDERS = ("SegmentationClass", "SegmentationClassAug")


def voc_folder(year: int) -> Path:
    """The folder of one year; Detectron2's layout, without ``VOCdevkit``, serves as well."""
    root, name = datasets_root(), f"VOC{year}"
    short = root / name
    return short if short.is_dir() else root / "VOCdevkit" / name


def load_voc(year: int, split: str) -> list[dict]:
    """The records of a split, in the order of its list.

    In ``trainaug`` an image has VOC's own label map where there is one, else SBD's.

    Raises:
        MissingFileError: the list, or an image or a label map that it names, is missing.
        DataError: the list is empty.
    """
    folder = voc_folder(year)
    list_file = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not list_file.is_file():
        raise MissingFileError(
            f"no list {list_file} of the images of voc_{year}_sem_seg_{split}; fix the path, or "
            "set SEGSUITE_DATASETS to the folder that the data sets are in"
            + (". `segsuite prepare voc_2012_aug` makes it" if split == "trainaug" else "")
        )
    names = read_text_file(list_file).split()
    if not names:
        raise DataError(f"{list_file} is empty; expected the name of an image on each line")
    label_folders = LABEL_FOLDERS if split == "trainaug" else LABEL_FOLDERS[:1]
    files = {
        kind: {path.stem: path for path in (folder / kind).glob(pattern)}
        for kind, pattern in (("JPEGImages", "*.jpg"), *((f, "*.png") for f in label_folders))
    }
    records = []
    for name in names:
        label_map = next((files[f][name] for f in label_folders if name in files[f]), None)
        if name not in files["JPEGImages"] or label_map is None:
            missing = (
                folder / "JPEGImages" / f"{name}.jpg"
                if name not in files["JPEGImages"]
                else folder / label_folders[-1] / f"{name}.png"
            )
            raise MissingFileError(
                f"{list_file} names '{name}', but there is no file {missing}; unpack the archive "
                "again, or take the line out of a copy of the list"
            )
        records.append(
            {
                "file_name": str(files["JPEGImages"][name]),
                "sem_seg_file_name": str(label_map),
                "image_id": name,
            }
        )
    return records


def register_voc() -> None:
    """Register ``voc_2007_sem_seg_<split>`` and ``voc_2012_sem_seg_<split>``."""
    classes = dict(zip(CLASSES, voc_colors(len(CLASSES)), strict=True))
    for year, splits in SPLITS.items():
        for split in splits:
            register_sem_seg(
                f"voc_{year}_sem_seg_{split}",
                functools.partial(load_voc, year, split),
                classes,
            )
