"""Data sets that a configuration describes, without a line of Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segsuite.config import CfgNode
from segsuite.config.paths import PATH_KEYS
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.utils.registry import unknown_name

from ..catalog import DatasetCatalog
from .class_names import read_class_names, read_integer, read_label_map, read_text
from .coco import register_coco_instances
from .coco_panoptic import register_coco_panoptic
from .cvat import register_cvat
from .folder import register_sem_seg_folder
from .instance_maps import register_instance_maps, register_voc_instances
from .label_studio import register_label_studio
from .labelme import register_labelme
from .parquet import register_parquet, register_parquet_sem_seg
from .root import datasets_root
from .supervisely import register_supervisely
from .yolo import register_yolo


@dataclass
class _Format:
    """A value of FORMAT: the keys that an entry must and may have, and what takes them."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    register: Callable[..., Any]


def _register_coco_instances(
    name: str, annotations: str, images: str, image_ids: Sequence[int] | None = None
) -> None:
    facts = {} if image_ids is None else {"image_ids": list(image_ids)}
    register_coco_instances(name, facts, annotations, images)


def _register_coco_panoptic(
    name: str, annotations: str, panoptic: str, images: str, instances: str | None = None
) -> None:
    register_coco_panoptic(name, annotations, panoptic, images, instances)


# What several formats take, and what reads it: keys of a configuration are text, for one.
_READ: dict[str, Callable[[Any, str], Any]] = {
    "CLASSES": read_class_names,
    "LABEL_MAP": read_label_map,
    "IGNORE_LABEL": read_integer,
    "IMAGE_SUFFIX": read_text,
    "LABEL_SUFFIX": read_text,
}
_CLASS_KEYS = ("CLASSES", "IGNORE_CLASSES")
_PARQUET_KEYS = ("IMAGE_COLUMN", "LABEL_COLUMN", "EXTRACT_TO")
FORMATS = {
    "sem_seg_folder": _Format(
        ("IMAGES", "LABELS", "CLASSES"),
        ("COLORS", "IGNORE_LABEL", "LABEL_MAP", "IMAGE_SUFFIX", "LABEL_SUFFIX"),
        register_sem_seg_folder,
    ),
    "coco_instances": _Format(("ANNOTATIONS", "IMAGES"), ("IMAGE_IDS",), _register_coco_instances),
    "coco_panoptic": _Format(
        ("ANNOTATIONS", "PANOPTIC", "IMAGES"), ("INSTANCES",), _register_coco_panoptic
    ),
    "yolo": _Format(("DATA", "SPLIT"), (), register_yolo),
    "labelme": _Format(("ANNOTATIONS",), ("IMAGES", *_CLASS_KEYS), register_labelme),
    "cvat": _Format(("ANNOTATIONS", "IMAGES"), ("SUBSET", *_CLASS_KEYS), register_cvat),
    "label_studio": _Format(("ANNOTATIONS", "IMAGES"), _CLASS_KEYS, register_label_studio),
    "supervisely": _Format(("PROJECT",), ("DATASETS", *_CLASS_KEYS), register_supervisely),
    "voc_instances": _Format(("FOLDER", "SPLIT"), ("CLASSES",), register_voc_instances),
    "instance_maps": _Format(
        ("IMAGES", "LABELS", "CLASSES"),
        ("CLASS_MAPS", "IGNORE_IDS", "IMAGE_SUFFIX", "LABEL_SUFFIX"),
        register_instance_maps,
    ),
    "parquet": _Format(
        ("FILES",),
        (*_PARQUET_KEYS, *_CLASS_KEYS, "OBJECTS_COLUMN", "BOXES"),
        register_parquet,
    ),
    "parquet_sem_seg": _Format(
        ("FILES", "CLASSES"),
        (*_PARQUET_KEYS, "LABEL_MAP", "IGNORE_LABEL"),
        register_parquet_sem_seg,
    ),
}


# The entries that were registered, by name.
_registered: dict[str, tuple[str, dict[str, Any]]] = {}


def register_from_config(cfg: CfgNode) -> None:
    """Register every entry of ``DATASETS.REGISTER``. Doing it again changes nothing, and an entry
    that is another than before, as after a correction in a notebook, takes the place of that.

    Relative paths are looked for beside the YAML file, in the current folder, and in
    `datasets_root`. Where one is found is written back into `cfg`, unless it is frozen, so that the
    configuration of a run works from any folder.

    ::

        DATASETS:
          REGISTER:
            my_train:
              FORMAT: sem_seg_folder
              IMAGES: /data/my/images/train
              LABELS: /data/my/labels/train
              CLASSES: [background, cat, dog]
              LABEL_MAP: {0: 0, 1: 1, 2: 2, 9: 255}   # optional, as are COLORS, IGNORE_LABEL,
                                                      # IMAGE_SUFFIX and LABEL_SUFFIX
            my_instances_train:
              FORMAT: coco_instances
              ANNOTATIONS: /data/my/annotations/train.json
              IMAGES: /data/my/images/train
              IMAGE_IDS: [9, 25, 30]                            # optional: these images alone
            my_panoptic_train:
              FORMAT: coco_panoptic
              ANNOTATIONS: /data/my/annotations/panoptic_train.json
              PANOPTIC: /data/my/panoptic_train                 # the folder of the PNGs
              IMAGES: /data/my/images/train
              INSTANCES: /data/my/annotations/train.json        # optional

    Raises:
        UnknownNameError: an entry lacks a key or has one that is not known.
        ConfigError: an unknown FORMAT, or values that the format's own function refuses.
    """
    register = cfg.DATASETS.REGISTER
    for name, entry in register.items():
        if isinstance(entry, Mapping):
            entry = _with_absolute_paths(entry)
            if not register.is_frozen():
                register[name] = entry
        _register(name, entry)


def _register(name: str, entry: Any) -> None:
    where = f"DATASETS.REGISTER.{name}"
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where}: expected FORMAT and the keys that go with it, found {entry!r}")
    arguments = dict(entry)
    format_name = arguments.pop("FORMAT", "sem_seg_folder")
    if format_name not in FORMATS:
        expected = ", ".join(f"'{f}'" for f in FORMATS)
        raise UnknownNameError(f"{where}.FORMAT is '{format_name}'; expected one of {expected}")
    format = FORMATS[format_name]
    for key in arguments:
        if key not in format.required + format.optional:
            raise UnknownNameError(
                unknown_name(key, ("FORMAT", *format.required, *format.optional), where)
            )
    missing = [key for key in format.required if key not in arguments]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    for key, read in _READ.items():
        if arguments.get(key) is not None:
            arguments[key] = read(arguments[key], f"{where}.{key}")
    described = (format_name, arguments)
    if name in DatasetCatalog and _registered.get(name, described) != described:
        DatasetCatalog.remove(name)
    format.register(name, **{key.lower(): value for key, value in arguments.items()})
    _registered[name] = described


def _with_absolute_paths(entry: Mapping[str, Any]) -> CfgNode:
    found = CfgNode(new_allowed=True)
    for key, value in entry.items():
        if key in PATH_KEYS and type(value) is int:  # a folder may be called 2024
            value = str(value)
        found[key] = _find(value) if key in PATH_KEYS and isinstance(value, str) else value
    return found


def _find(path: str) -> str:
    """The absolute path; as it is where it is in neither folder, for the message about it."""
    path = os.path.expanduser(path)
    for candidate in (path, datasets_root() / path):
        if os.path.exists(candidate):
            return os.path.abspath(candidate)
    return path
