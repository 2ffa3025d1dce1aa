"""CamVid: street scenes seen from a car, 11 classes.

Brostow, Fauqueur and Cipolla, "Semantic object classes in video: A high-definition ground truth
database", 2009, in the 360x480 version with 367 training, 101 validation and 233 test images that
SegNet (Badrinarayanan et al., 2015) was trained on. The label maps store void pixels as 11.

Expected under the datasets folder::

    camvid/images/{train,val,test}/*.jpg
    camvid/labels/{train,val,test}/*.png
"""

from __future__ import annotations

import functools

from ..sem_seg import IGNORE_LABEL
from .folder import load_sem_seg_folder
from .register import register_sem_seg
from .root import datasets_root

_CLASSES = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (0, 0, 192),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
_VOID = 11


def load_camvid(split: str) -> list[dict]:
    """The records of "train", "val" or "test"."""
    root = datasets_root() / "camvid"
    return load_sem_seg_folder(root / "images" / split, root / "labels" / split)


def register_camvid() -> None:
    """Register ``camvid_train``, ``camvid_val`` and ``camvid_test``."""
    label_map = {i: i for i in range(len(_CLASSES))} | {_VOID: IGNORE_LABEL}
    for split in ("train", "val", "test"):
        register_sem_seg(
            f"camvid_{split}", functools.partial(load_camvid, split), _CLASSES, label_map
        )
