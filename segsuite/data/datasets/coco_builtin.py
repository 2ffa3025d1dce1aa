"""COCO's and LVIS's own data sets, under the names that Detectron2 gives them.

Expected under the datasets folder::

    coco/{train,val}{2017,2014}/*.jpg
    coco/annotations/instances_{train,val}{2017,2014}.json
    coco/annotations/panoptic_{train,val}2017.json
    coco/annotations/panoptic_{train,val}2017/*.png
    lvis/lvis_v1_{train,val}.json
"""

from __future__ import annotations

import functools

from ..catalog import DatasetCatalog, MetadataCatalog
from ..palette import voc_colors
from ..panoptic import THINGS_LABEL
from ..records import ColumnRecords
from ..sem_seg import IGNORE_LABEL
from .coco import open_coco_json
from .coco_panoptic import load_coco_panoptic
from .coco_sem_seg import PANOPTIC_NAMES, THING_NAMES
from .root import datasets_root

_COLORS = voc_colors(256)
_THINGS = {
    "thing_classes": list(THING_NAMES.values()),
    "thing_colors": [_COLORS[id_] for id_ in THING_NAMES],
    "thing_dataset_id_to_contiguous_id": {id_: i for i, id_ in enumerate(THING_NAMES)},
}


def register_coco_builtin() -> None:
    """Register the instances of COCO 2014 and 2017 and of LVIS 1.0, and COCO's panoptic task."""
    for year in (2014, 2017):
        for split in ("train", "val"):
            images, file = f"coco/{split}{year}", f"instances_{split}{year}.json"
            name = f"coco_{year}_{split}"
            _register_instances(name, images, f"coco/annotations/{file}", _THINGS)
    for split in ("train", "val"):
        # The file names of LVIS tell which of COCO's folders an image is in.
        file = f"lvis/lvis_v1_{split}.json"
        _register_instances(f"lvis_v1_{split}", "coco", file, {"evaluator_type": "lvis"})
        _register_panoptic(split)


def _register_instances(name: str, images: str, json_file: str, facts: dict) -> None:
    def load() -> ColumnRecords:
        return open_coco_json(datasets_root() / json_file, datasets_root() / images, name)

    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**{"evaluator_type": "coco"} | facts).set_later(
        json_file=lambda: str(datasets_root() / json_file),
        image_root=lambda: str(datasets_root() / images),
    )


def _register_panoptic(split: str) -> None:
    """``coco_2017_..._panoptic_separated``: instances for things, semantic labels for stuff; and
    ``coco_2017_..._panoptic_stuffonly``: these labels alone."""
    paths = {
        "panoptic_json": f"coco/annotations/panoptic_{split}2017.json",
        "panoptic_root": f"coco/annotations/panoptic_{split}2017",
        "image_root": f"coco/{split}2017",
    }
    stuff = {id_: text for id_, text in PANOPTIC_NAMES.items() if id_ not in THING_NAMES}
    facts = {
        "stuff_classes": ["things", *(text.removesuffix("-merged") for text in stuff.values())],
        "stuff_colors": [(255, 255, 255), *(_COLORS[id_] for id_ in stuff)],
        "stuff_dataset_id_to_contiguous_id": {
            id_: i for i, id_ in enumerate(stuff, THINGS_LABEL + 1)
        },
        "ignore_label": IGNORE_LABEL,
    }
    instances = {"json_file": f"coco/annotations/instances_{split}2017.json"}
    for kind, kind_paths, kind_facts in (
        ("separated", paths | instances, _THINGS | {"evaluator_type": "coco_panoptic_seg"}),
        ("stuffonly", paths, {"evaluator_type": "sem_seg"}),
    ):
        name = f"coco_2017_{split}_panoptic_{kind}"
        DatasetCatalog.register(name, functools.partial(_load_panoptic, kind_paths))
        MetadataCatalog.get(name).set(**facts, **kind_facts).set_later(
            **{key: functools.partial(_path, path) for key, path in kind_paths.items()}
        )


def _path(path: str) -> str:
    return str(datasets_root() / path)


def _load_panoptic(paths: dict[str, str]) -> list[dict]:
    files = {key: _path(path) for key, path in paths.items()}
    return load_coco_panoptic(
        files["panoptic_json"], files["panoptic_root"], files["image_root"], files.get("json_file")
    )
