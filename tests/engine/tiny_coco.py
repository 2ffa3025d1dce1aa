"""Four small images with rectangles of two kinds, as COCO's instances and panoptic segments, and a
narrow model of each for them."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from segsuite.data.panoptic import write_panoptic
from tests.helpers import REPO

SIZE = (64, 96)
GROUND = 9  # category of the stuff, after those of the things, 2 and 5
CATEGORIES = [{"id": 2, "name": "light"}, {"id": 5, "name": "dark"}]
# Of each image: category, x, y, width and height.
OBJECTS = [
    [(2, 8, 8, 24, 20), (5, 50, 20, 30, 30)],
    [(2, 40, 10, 40, 40)],
    [(5, 4, 30, 30, 26), (5, 60, 6, 20, 40), (2, 38, 8, 16, 16)],
    [(5, 20, 12, 50, 36)],
]


@functools.cache
def coco_files() -> Path:
    """A folder with ``images``, ``segments``, ``instances.json`` and ``panoptic.json``."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "images").mkdir()
    (folder / "segments").mkdir()
    rng = np.random.default_rng(0)
    images, instances, panoptic = [], [], []
    for i, objects in enumerate(OBJECTS, 1):
        pixels = rng.integers(90, 130, (*SIZE, 3))
        segments = np.ones(SIZE, np.int32)
        infos = [{"id": 1, "category_id": GROUND, "iscrowd": 0}]
        for k, (category, x, y, w, h) in enumerate(objects, 2):
            pixels[y : y + h, x : x + w] += 110 if category == 2 else -80
            segments[y : y + h, x : x + w] = k
            infos.append({"id": k, "category_id": category, "iscrowd": 0})
            mask = np.asfortranarray(segments == k).view(np.uint8)
            rle = coco_mask.encode(mask)
            entry = {"id": 10 * i + k, "image_id": i, "category_id": category, "iscrowd": 0}
            entry |= {"bbox": [x, y, w, h], "area": w * h}
            instances.append(entry | {"segmentation": {**rle, "counts": rle["counts"].decode()}})
        name = f"{i}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "images" / name)
        write_panoptic(folder / "segments" / name, segments)
        images.append({"id": i, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        panoptic.append({"image_id": i, "file_name": name, "segments_info": infos})
    content = {"images": images, "annotations": instances, "categories": CATEGORIES}
    (folder / "instances.json").write_text(json.dumps(content))
    kinds = [*({**c, "isthing": 1} for c in CATEGORIES), {"id": GROUND, "name": "ground"}]
    kinds[-1]["isthing"] = 0
    content = {"images": images, "annotations": panoptic, "categories": kinds}
    (folder / "panoptic.json").write_text(json.dumps(content))
    return folder


@functools.cache
def coco_config(kind: str) -> Path:
    """The configuration of a run of ``instances``, ``panoptic``, or ``panoptic_alone``, whose data
    set has no file of instances."""
    folder = coco_files()
    entry = {
        "FORMAT": "coco_instances" if kind == "instances" else "coco_panoptic",
        "ANNOTATIONS": str(folder / f"{kind.removesuffix('_alone')}.json"),
        "IMAGES": str(folder / "images"),
    }
    if kind != "instances":
        entry["PANOPTIC"] = str(folder / "segments")
    if kind == "panoptic":
        entry["INSTANCES"] = str(folder / "instances.json")
    recipe = "mask_rcnn" if kind == "instances" else "panoptic_fpn"
    name = f"tiny_{kind}"
    config = {
        "_BASE_": str(REPO / "configs" / "smoke" / f"{recipe}_shapes.yaml"),
        "MODEL": {
            "DEVICE": "cpu",
            "ROI_HEADS": {"NUM_CLASSES": 2},
            "SEM_SEG_HEAD": {"NUM_CLASSES": 2},
        },
        "DATASETS": {"REGISTER": {name: entry}, "TRAIN": [name], "TEST": [name]},
        "DATALOADER": {"NUM_WORKERS": 0},
        "SOLVER": {"IMS_PER_BATCH": 2, "MAX_ITER": 2, "WARMUP_ITERS": 1},
        "OUTPUT_DIR": str(folder / kind),
    }
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
