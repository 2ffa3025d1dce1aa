"""A generated data set: overlapping shapes on textured ground, with semantic and instance labels.

It needs no download and is the same everywhere: pixels come from a counter-based generator's raw
64-bit words and integer arithmetic alone, and the files are written without a compressor.

Under the datasets folder, made when it is first asked for::

    shapes_v1/images/{train,val}/*.png
    shapes_v1/labels/{train,val}/*.png
    shapes_v1/annotations/instances_{train,val}.json
"""

from __future__ import annotations

import functools
import json
import logging
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from segsuite.errors import FileAccessError

from ..catalog import DatasetCatalog, MetadataCatalog
from ..records import ColumnRecords
from ..sem_seg import IGNORE_LABEL
from .coco import open_coco_json
from .folder import load_sem_seg_folder
from .png import encode_png
from .root import datasets_root
from .shapes_drawing import CLASSES, Scene, draw_scene

logger = logging.getLogger(__name__)

# Bump when the drawing changes: an older folder is then left alone and a new one made.
FOLDER = "shapes_v1"
COLORS = (
    (52, 58, 64),
    (230, 85, 78),
    (62, 146, 204),
    (246, 189, 63),
    (88, 176, 108),
    (156, 99, 190),
)
NUM_IMAGES = {"train": 240, "val": 60}
# The first word of the generator's key; the split and the image's number are the second.
_SEED = 2015


def register_shapes() -> None:
    """Register ``shapes_train`` and ``shapes_val``, and ``shapes_instances_...`` for instances."""
    for split in NUM_IMAGES:
        name = f"shapes_{split}"
        DatasetCatalog.register(name, functools.partial(load_shapes, split))
        MetadataCatalog.get(name).set(
            stuff_classes=list(CLASSES),
            stuff_colors=list(COLORS),
            thing_classes=list(CLASSES[1:]),
            ignore_label=IGNORE_LABEL,
            label_map=None,
            evaluator_type="sem_seg",
        )
        _register_instances(split)


def _register_instances(split: str) -> None:
    name = f"shapes_instances_{split}"
    DatasetCatalog.register(name, lambda: load_shapes_instances(split))
    MetadataCatalog.get(name).set(
        thing_classes=list(CLASSES[1:]),
        thing_colors=list(COLORS[1:]),
        thing_dataset_id_to_contiguous_id={i: i - 1 for i in range(1, len(CLASSES))},
        evaluator_type="coco",
    ).set_later(
        json_file=lambda: str(shapes_instances_file(ensure_shapes(datasets_root()), split)),
        image_root=lambda: str(datasets_root() / FOLDER / "images" / split),
    )


def load_shapes(split: str) -> list[dict]:
    """The records of "train" or "val"; makes the data set when it is not there."""
    folder = ensure_shapes(datasets_root())
    return load_sem_seg_folder(folder / "images" / split, folder / "labels" / split)


def load_shapes_instances(split: str) -> ColumnRecords:
    """The same images, with an annotation for each shape."""
    folder = ensure_shapes(datasets_root())
    return open_coco_json(shapes_instances_file(folder, split), folder / "images" / split)


def shapes_instances_file(folder: Path, split: str) -> Path:
    """The COCO JSON of a split in the folder that `ensure_shapes` gives."""
    return folder / "annotations" / f"instances_{split}.json"


def ensure_shapes(root: str | os.PathLike) -> Path:
    """Make the data set under `root` unless it is there, and return its folder.

    Raises:
        FileAccessError: `root` can't be written; the message tells how to choose another.
    """
    return make_once(Path(root) / FOLDER, _write_shapes)


def make_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """Have `write` fill a folder unless it is there, and return it.

    Processes may do this at the same time: each writes a folder of its own, and the first one to
    finish gives its folder the final name. What a process that was killed has left of its folder is
    removed.

    Raises:
        FileAccessError: the folder's parent can't be written; the message tells how to
            choose another.
    """
    if folder.is_dir():
        return folder
    logger.info("Making the shapes data set in %s", folder)
    root = folder.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        maker = f"{platform.node()}-{os.getpid()}"
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{maker}-", dir=root))
    except OSError as e:
        raise FileAccessError(
            e.errno,
            f"can't make the shapes data set in {root}: {e.strerror}; set SEGSUITE_DATASETS to a "
            "folder that can be written",
        ) from None
    try:
        write(unfinished)
        unfinished.chmod(0o755)  # mkdtemp makes it private
        unfinished.rename(folder)
    except OSError:
        # A folder that is not empty can't be renamed over: another process was first.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _remove_abandoned(folder: Path) -> None:
    """Remove the unfinished folders of processes of this machine that are not running any more."""
    prefix = f".{folder.name}.{platform.node()}-"
    for path in folder.parent.glob(f"{prefix}*"):
        pid = path.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not _is_running(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # where there is no signal that only asks
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    return True


def _write_shapes(folder: Path) -> None:
    for split, count in NUM_IMAGES.items():
        _write_split(folder, split, count)


def _write_split(folder: Path, split: str, count: int) -> None:
    images, labels = folder / "images" / split, folder / "labels" / split
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    coco: dict = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": c} for i, c in enumerate(CLASSES) if i > 0],
    }
    for number in range(count):
        key = (_SEED, list(NUM_IMAGES).index(split) << 32 | number)
        scene = draw_scene(key)
        name = f"{number:04d}.png"
        (images / name).write_bytes(encode_png(scene.image))
        (labels / name).write_bytes(encode_png(scene.labels, COLORS))
        _add_to_coco(coco, number + 1, name, scene)
    json_file = shapes_instances_file(folder, split)
    json_file.parent.mkdir(exist_ok=True)
    json_file.write_text(json.dumps(coco, separators=(",", ":")) + "\n")


def _add_to_coco(coco: dict, image_id: int, name: str, scene: Scene) -> None:
    height, width = scene.labels.shape
    coco["images"].append({"id": image_id, "file_name": name, "height": height, "width": width})
    for class_id, mask in zip(scene.class_ids, scene.masks, strict=True):
        rle = coco_mask.encode(np.asfortranarray(mask))
        coco["annotations"].append(
            {
                "id": len(coco["annotations"]) + 1,
                "image_id": image_id,
                "category_id": class_id,
                "bbox": [int(x) for x in coco_mask.toBbox(rle)],
                "area": int(coco_mask.area(rle)),
                "iscrowd": 0,
                "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
            }
        )
