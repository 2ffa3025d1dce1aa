"""Small data sets in the layouts in which the real ones are published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from segsuite.data.palette import voc_colors

SIZE = (24, 32)
# Two cats and a motorbike, in VOC's numbers and names; COCO's are 17 and 4 ("motorcycle").
VOC_CAT, VOC_MOTORBIKE = 8, 14
COCO_CAT, COCO_MOTORCYCLE = 17, 4


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_labels(path: Path, labels: np.ndarray, palette: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8))
    if palette:
        image.putpalette([value for color in voc_colors(256) for value in color])
    image.save(path)


def boxes(*values: int, ground: int = 0) -> np.ndarray:
    """A label map with a box of each value on a ground."""
    labels = np.full(SIZE, ground, np.uint8)
    for i, value in enumerate(values):
        labels[4 : 14 + i, 2 + 10 * i : 9 + 10 * i] = value
    return labels


def make_voc(root: Path, year: int = 2012, folder: str = "VOCdevkit") -> Path:
    """``train`` has images 1 to 3, ``val`` 4 and 5."""
    voc = root / folder / f"VOC{year}"
    lists = {"train": [1, 2, 3], "val": [4, 5], "trainval": [1, 2, 3, 4, 5]}
    if year == 2007:
        lists["test"] = [6]
    for split, numbers in lists.items():
        path = voc / "ImageSets" / "Segmentation" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{year}_{n:06d}\n" for n in numbers))
        for n in numbers:
            write_image(voc / "JPEGImages" / f"{year}_{n:06d}.jpg", n)
            labels = boxes(VOC_CAT, VOC_MOTORBIKE)
            labels[3] = 255
            write_labels(voc / "SegmentationClass" / f"{year}_{n:06d}.png", labels)
    write_image(voc / "JPEGImages" / f"{year}_000009.jpg", 9)  # an image of another task
    return voc


def make_sbd(root: Path, numbers: tuple[int, ...] = (3, 4, 7, 8)) -> Path:
    """SBD's benchmark folder, and its images in VOC's."""
    from scipy.io import savemat

    dataset = root / "benchmark_RELEASE" / "dataset"
    for name, part in (("train", numbers[:2]), ("val", numbers[2:])):
        (dataset / "cls").mkdir(parents=True, exist_ok=True)
        (dataset / f"{name}.txt").write_text("".join(f"2012_{n:06d}\n" for n in part))
        for n in part:
            content = {"GTcls": {"Segmentation": boxes(VOC_CAT), "CategoriesPresent": [VOC_CAT]}}
            savemat(dataset / "cls" / f"2012_{n:06d}.mat", content)
            write_image(root / "VOCdevkit/VOC2012/JPEGImages" / f"2012_{n:06d}.jpg", n)
    return dataset


def make_cityscapes(root: Path) -> Path:
    folder = root / "cityscapes"
    for split, city in (("train", "ulm"), ("val", "lindau"), ("test", "bonn")):
        for n in range(2):
            name = f"{split}/{city}/{city}_00000{n}_000019"
            write_image(folder / "leftImg8bit" / f"{name}_leftImg8bit.png", n)
            labels = boxes(26, 33, 24, ground=7)
            labels[0] = np.arange(32) + 2  # every stored id from 2 to 33
            for kind in ("labelIds", "instanceIds"):
                write_labels(folder / "gtFine" / f"{name}_gtFine_{kind}.png", labels, palette=False)
    return folder


def make_ade20k(root: Path) -> Path:
    folder = root / "ADEChallengeData2016"
    for split, stem in (("training", "ADE_train_0000000"), ("validation", "ADE_val_0000000")):
        for n in (1, 2):
            write_image(folder / "images" / split / f"{stem}{n}.jpg", n)
            labels = boxes(13, 150, ground=1)
            labels[0] = 0
            write_labels(folder / "annotations" / split / f"{stem}{n}.png", labels, palette=False)
    return folder


def make_coco(root: Path, splits: tuple[str, ...] = ("train", "val")) -> Path:
    """Images 1 to 3 of each split with instances, panoptic annotations and COCO-Stuff label maps.

    Image 3 has no instance.
    """
    folder = root / "coco"
    for split in splits:
        images = [
            {"id": n, "file_name": f"{n:012d}.jpg", "height": SIZE[0], "width": SIZE[1]}
            for n in (1, 2, 3)
        ]
        instances, panoptic = [], []
        for image in images:
            n = image["id"]
            write_image(folder / f"{split}2017" / image["file_name"], n)
            stem = Path(image["file_name"]).stem
            labels = boxes(COCO_CAT - 1, COCO_MOTORCYCLE - 1, ground=169 - 1)  # on trees
            labels[0] = 255
            write_labels(folder / f"stuffthingmaps/{split}2017/{stem}.png", labels, palette=False)
            if n < 3:
                instances += _instances(n, len(instances))
            panoptic.append(_panoptic(folder / f"annotations/panoptic_{split}2017", n, stem))
        categories = [
            {"id": COCO_MOTORCYCLE, "name": "motorcycle", "isthing": 1},
            {"id": COCO_CAT, "name": "cat", "isthing": 1},
        ]
        write_json(
            folder / f"annotations/instances_{split}2017.json",
            {"images": images, "annotations": instances, "categories": categories},
        )
        categories = [*categories, {"id": 184, "name": "tree-merged", "isthing": 0}]
        write_json(
            folder / f"annotations/panoptic_{split}2017.json",
            {"images": images, "annotations": panoptic, "categories": categories},
        )
    return folder


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _instances(image_id: int, count: int) -> list[dict]:
    """A cat as a polygon, and a motorcycle as a crowd that overlaps it by two columns."""
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[4:14, 7:20] = 1
    rle = coco_mask.encode(mask)
    shapes = [
        (COCO_CAT, [[2, 4, 9, 4, 9, 14, 2, 14]], [2, 4, 7, 10], 0),
        (
            COCO_MOTORCYCLE,
            {"size": rle["size"], "counts": rle["counts"].decode()},
            [7, 4, 13, 10],
            1,
        ),
    ]
    return [
        {
            "id": count + i,
            "image_id": image_id,
            "category_id": category,
            "segmentation": segmentation,
            "bbox": bbox,
            "area": bbox[2] * bbox[3],
            "iscrowd": crowd,
        }
        for i, (category, segmentation, bbox, crowd) in enumerate(shapes, 1)
    ]


def _panoptic(folder: Path, image_id: int, stem: str) -> dict:
    """A cat, trees, and a row of no segment."""
    segments = boxes(1, ground=2).astype(np.int64) * 300
    segments[0] = 0
    colors = np.stack([segments % 256, segments // 256, segments // 256**2], -1)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colors.astype(np.uint8)).save(folder / f"{stem}.png")
    return {
        "image_id": image_id,
        "file_name": f"{stem}.png",
        "segments_info": [
            {"id": 300, "category_id": COCO_CAT, "area": 70, "bbox": [2, 4, 7, 10], "iscrowd": 0},
            {"id": 600, "category_id": 184, "area": 600, "bbox": [0, 1, 32, 23], "iscrowd": 0},
        ],
    }
