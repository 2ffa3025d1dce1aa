"""COCO 2017 as semantic segmentation, in three ways.

========================  =======  ============================================================
names                     classes  labels
========================  =======  ============================================================
coco_stuff_sem_seg_*      171      COCO-Stuff (Caesar, Uijlings and Ferrari, CVPR 2018): 80 kinds
                                   of things, 91 of stuff; PNGs of the category id less one
coco_things_sem_seg_*     81       the background and the 80 things, from the instances' JSON
coco_panoptic_sem_seg_*   133      80 things and 53 kinds of stuff, from the panoptic task's files
========================  =======  ============================================================

Expected under the datasets folder; ``segsuite prepare`` writes the last two folders::

    coco/{train,val}2017/*.jpg
    coco/annotations/instances_{train,val}2017.json
    coco/annotations/panoptic_{train,val}2017.json
    coco/annotations/panoptic_{train,val}2017/*.png
    coco/stuffthingmaps/{train,val}2017/*.png
    coco/sem_seg_things/{train,val}2017/*.png
    coco/sem_seg_panoptic/{train,val}2017/*.png
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from segsuite.errors import DataError
from segsuite.utils.files import atomic_path

from ..image_files import decode, open_image
from ..palette import voc_colors
from ..sem_seg import IGNORE_LABEL
from .folder import load_sem_seg_folder
from .register import register_sem_seg
from .root import datasets_root

# By category id, from 1 on. Eleven of the things (12, "street sign", is the first) were given up:
# no annotation has them.
_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear,
zebra, giraffe, hat, backpack, umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis,
snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket,
bottle, plate, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli,
carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, mirror, dining table, window,
desk, toilet, door, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink,
refrigerator, blender, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush,
banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt,
door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog,
food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat,
metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other,
plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea,
shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table,
tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel,
wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""
_GIVEN_UP = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
_LAST_THING = 91
STUFF_NAMES = {
    id: " ".join(name.split())
    for id, name in enumerate(_NAMES.split(","), 1)
    if id not in _GIVEN_UP
}
THING_NAMES = {id: name for id, name in STUFF_NAMES.items() if id <= _LAST_THING}

# What the panoptic task keeps of the stuff, and what it puts together.
_PANOPTIC_STUFF = (
    *(92, 93, 95, 100, 107, 109, 112, 118, 119, 122, 125, 128, 130, 133, 138, 141, 144, 145, 147),
    *(148, 149, 151, 154, 155, 156, 159, 161, 166, 168, 171, 175, 176, 177, 178, 180, 181),
)
_MERGED = (
    *("tree", "fence", "ceiling", "sky-other", "cabinet", "table", "floor-other", "pavement"),
    *("mountain", "grass", "dirt", "paper", "food-other", "building-other", "rock", "wall-other"),
    "rug",
)
PANOPTIC_NAMES = (
    THING_NAMES
    | {id: STUFF_NAMES[id] for id in _PANOPTIC_STUFF}
    | {id: f"{name}-merged" for id, name in enumerate(_MERGED, 184)}
)
_NAMES_BY_KIND = {
    "stuff": STUFF_NAMES,
    "things": {0: "background"} | THING_NAMES,
    "panoptic": PANOPTIC_NAMES,
}
_LABEL_FOLDERS = {
    "stuff": "stuffthingmaps",
    "things": "sem_seg_things",
    "panoptic": "sem_seg_panoptic",
}


def load_coco_sem_seg(kind: str, split: str) -> list[dict]:
    """The records of "stuff", "things" or "panoptic" for "train" or "val"."""
    root = datasets_root() / "coco"
    return load_sem_seg_folder(root / f"{split}2017", root / _LABEL_FOLDERS[kind] / f"{split}2017")


def register_coco_sem_seg() -> None:
    """Register the data sets of this module's table, each with ``train`` and ``val``."""
    colors = voc_colors(256)
    for kind, names in _NAMES_BY_KIND.items():
        label_map = None
        if kind == "stuff":
            label_map = {id - 1: i for i, id in enumerate(names)} | {255: IGNORE_LABEL}
        for split in ("train", "val"):
            register_sem_seg(
                f"coco_{kind}_sem_seg_{split}",
                functools.partial(load_coco_sem_seg, kind, split),
                {name: colors[id] for id, name in names.items()},
                label_map,
            )


def instances_to_sem_seg(
    annotation_file: str | os.PathLike, output: str | os.PathLike, category_ids: Iterable[int]
) -> LabelMapWriter:
    """Draw the instances of a COCO JSON as label maps, one for each image of the file.

    Label 0 is the background, then come the categories. A pixel that instances of several
    categories claim is nobody's: it gets `IGNORE_LABEL`. Crowds count as their category.

    Args:
        output: folder for ``<name of the image>.png``; files there are left as they are.
        category_ids: of the labels 1, 2, ...

    Returns:
        What writes the files when it is iterated over.

    Raises:
        DataError: while writing: a category that is not in `category_ids`.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it tells how long each step takes
        coco = COCO(os.fspath(annotation_file))
    label_of = _labels(annotation_file, category_ids, start=1)

    def draw(image: dict) -> np.ndarray:
        labels = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in coco.imgToAnns[image["id"]]:
            label = label_of(annotation["category_id"])
            mask = coco.annToMask(annotation).astype(bool)
            labels[mask & (labels != 0) & (labels != label)] = IGNORE_LABEL
            labels[mask & (labels == 0)] = label
        return labels

    return LabelMapWriter(list(coco.imgs.values()), draw, Path(output))


def panoptic_to_sem_seg(
    annotation_file: str | os.PathLike, output: str | os.PathLike, category_ids: Iterable[int]
) -> LabelMapWriter:
    """Turn panoptic annotations into label maps of their categories.

    A pixel's colour tells its segment, red + 256 green + 256^2 blue, and the JSON the segment's
    category; segment 0 and what the JSON does not know get `IGNORE_LABEL`.

    Args:
        annotation_file: the JSON; the PNGs are in the folder beside it of the same name.
        output: folder for ``<name>.png``; files there are left as they are.
        category_ids: of the labels 0, 1, ...

    Returns:
        What writes the files when it is iterated over.

    Raises:
        DataError: while writing: a category that is not in `category_ids`.
    """
    annotation_file = Path(annotation_file)
    content = json.loads(annotation_file.read_text())
    label_of = _labels(annotation_file, category_ids, start=0)

    def draw(annotation: dict) -> np.ndarray:
        path = annotation_file.with_suffix("") / annotation["file_name"]
        with open_image(path) as image:
            decode(image, path)
            pixels = np.asarray(image.convert("RGB")).astype(np.int64) @ [1, 256, 256**2]
        segments, index = np.unique(pixels, return_inverse=True)
        category = {s["id"]: s["category_id"] for s in annotation["segments_info"]}
        labels = [label_of(category[s]) if s in category else IGNORE_LABEL for s in segments]
        return np.array(labels, np.uint8)[index.reshape(pixels.shape)]

    return LabelMapWriter(content["annotations"], draw, Path(output))


def _labels(
    annotation_file: str | os.PathLike, category_ids: Iterable[int], start: int
) -> Callable[[int], int]:
    labels = {id: label for label, id in enumerate(category_ids, start)}

    def label_of(category_id: int) -> int:
        if category_id not in labels:
            raise DataError(
                f"{annotation_file} has an annotation of category {category_id}; expected one of "
                f"{', '.join(map(str, labels))}"
            )
        return labels[category_id]

    return label_of


class LabelMapWriter:
    """Draws and writes one label map after the other; gives the path of each."""

    def __init__(self, items: list[dict], draw: Callable[[dict], np.ndarray], output: Path):
        self._items, self._draw, self._output = items, draw, output

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Path]:
        self._output.mkdir(parents=True, exist_ok=True)
        palette = [value for color in voc_colors(256) for value in color]
        for item in self._items:
            path = self._output / Path(item["file_name"]).with_suffix(".png").name
            if not path.exists():
                image = Image.fromarray(self._draw(item))
                image.putpalette(palette)
                with atomic_path(path) as temporary:
                    image.save(temporary)
            yield path
