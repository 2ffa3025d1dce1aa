"""The generated shapes as a panoptic data set: five kinds of things, and the ground as stuff.

Under the datasets folder, made from the shapes data set when it is first asked for::

    shapes_panoptic_v1/panoptic_{train,val}/*.png
    shapes_panoptic_v1/panoptic_{train,val}.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ..catalog import DatasetCatalog, MetadataCatalog
from ..sem_seg import IGNORE_LABEL
from .coco_panoptic import load_coco_panoptic
from .png import encode_png
from .root import datasets_root
from .shapes import (
    COLORS,
    FOLDER,
    NUM_IMAGES,
    ensure_shapes,
    make_once,
    shapes_instances_file,
)
from .shapes_drawing import CLASSES

PANOPTIC_FOLDER = "shapes_panoptic_v1"
# The category of the ground, after those of the shapes.
_GROUND = len(CLASSES)


def register_shapes_panoptic() -> None:
    """Register ``shapes_panoptic_train`` and ``shapes_panoptic_val``."""
    for split in NUM_IMAGES:
        _register(f"shapes_panoptic_{split}", split)


def _register(name: str, split: str) -> None:
    DatasetCatalog.register(name, lambda: load_shapes_panoptic(split))
    MetadataCatalog.get(name).set(
        thing_classes=list(CLASSES[1:]),
        thing_colors=list(COLORS[1:]),
        thing_dataset_id_to_contiguous_id={i: i - 1 for i in range(1, _GROUND)},
        stuff_classes=["things", "ground"],
        stuff_colors=[(255, 255, 255), COLORS[0]],
        stuff_dataset_id_to_contiguous_id={_GROUND: 1},
        ignore_label=IGNORE_LABEL,
        evaluator_type="coco_panoptic_seg",
    ).set_later(
        panoptic_json=lambda: str(_folder() / f"panoptic_{split}.json"),
        panoptic_root=lambda: str(_folder() / f"panoptic_{split}"),
        json_file=lambda: str(_instances_file(split)),
        image_root=lambda: str(datasets_root() / FOLDER / "images" / split),
    )


def load_shapes_panoptic(split: str) -> list[dict]:
    """The records of "train" or "val"; makes the data set when it is not there."""
    return load_coco_panoptic(
        _folder() / f"panoptic_{split}.json",
        _folder() / f"panoptic_{split}",
        datasets_root() / FOLDER / "images" / split,
        _instances_file(split),
    )


def _folder() -> Path:
    return make_once(datasets_root() / PANOPTIC_FOLDER, _write)


def _instances_file(split: str) -> Path:
    return shapes_instances_file(ensure_shapes(datasets_root()), split)


def _write(folder: Path) -> None:
    for split in NUM_IMAGES:
        coco = json.loads(_instances_file(split).read_text())
        shapes: dict[int, list[dict]] = {image["id"]: [] for image in coco["images"]}
        for annotation in coco["annotations"]:
            shapes[annotation["image_id"]].append(annotation)
        (folder / f"panoptic_{split}").mkdir()
        panoptic = {
            "images": coco["images"],
            "annotations": [],
            "categories": [
                *({**category, "isthing": 1} for category in coco["categories"]),
                {"id": _GROUND, "name": "ground", "isthing": 0},
            ],
        }
        for image in coco["images"]:
            pixels, segments = _draw(image, shapes[image["id"]])
            path = folder / f"panoptic_{split}" / image["file_name"]
            path.write_bytes(encode_png(pixels))
            facts = {"image_id": image["id"], "file_name": image["file_name"]}
            panoptic["annotations"].append({**facts, "segments_info": segments})
        text = json.dumps(panoptic, separators=(",", ":"))
        (folder / f"panoptic_{split}.json").write_text(text + "\n")


def _draw(
    image: dict[str, Any], shapes: list[dict[str, Any]]
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The (H, W, 3) uint8 picture of an image's segments, numbered in red, and what they are."""
    segments = np.ones((image["height"], image["width"]), dtype=np.uint8)
    for id_, shape in enumerate(shapes, 2):
        segments[coco_mask.decode(shape["segmentation"]).astype(bool)] = id_
    categories = [_GROUND, *(shape["category_id"] for shape in shapes)]
    infos = []
    for id_, category in enumerate(categories, 1):
        rows, columns = np.nonzero(segments == id_)
        if len(rows):
            x, y = int(columns.min()), int(rows.min())
            bbox = [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y]
            info = {"id": id_, "category_id": category, "iscrowd": 0}
            infos.append({**info, "area": len(rows), "bbox": bbox})
    pixels = np.zeros((*segments.shape, 3), np.uint8)
    pixels[:, :, 0] = segments
    return pixels, infos
