"""Cityscapes: street scenes of 50 cities at 1024x2048, 19 classes.

Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016. The
label maps store the ids 0 to 33 of all labels; the 19 that count become the training ids 0 to 18 of
the benchmark, the others are ignored. The labels of the test split are withheld: its files hold
nothing but ignored pixels.

Expected under the datasets folder, as the archives unpack::

    cityscapes/leftImg8bit/{train,val,test}/<city>/*_leftImg8bit.png
    cityscapes/gtFine/{train,val,test}/<city>/*_gtFine_labelIds.png
"""

from __future__ import annotations

import functools

from ..sem_seg import IGNORE_LABEL
from .folder import load_sem_seg_folder
from .register import register_sem_seg
from .root import datasets_root

# Stored id and colour, in the order of the training ids.
_CLASSES = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
_NUM_STORED = 34


def load_cityscapes(split: str) -> list[dict]:
    """The records of "train", "val" or "test"; ``image_id`` is ``<city>/<city>_<numbers>``."""
    root = datasets_root() / "cityscapes"
    return load_sem_seg_folder(
        root / "leftImg8bit" / split,
        root / "gtFine" / split,
        "_leftImg8bit.png",
        "_gtFine_labelIds.png",
    )


def register_cityscapes() -> None:
    """Register ``cityscapes_fine_sem_seg_<split>``, Detectron2's names."""
    label_map = dict.fromkeys(range(_NUM_STORED), IGNORE_LABEL)
    label_map |= {stored: train_id for train_id, (stored, _) in enumerate(_CLASSES.values())}
    classes = {name: color for name, (_, color) in _CLASSES.items()}
    for split in ("train", "val", "test"):
        register_sem_seg(
            f"cityscapes_fine_sem_seg_{split}",
            functools.partial(load_cityscapes, split),
            classes,
            label_map,
        )
