"""Data sets that a configuration describes, without a line of Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segsuite.config import CfgNode
from segsuite.errors import ConfigError, UnknownNameError
from segsuite.utils.registry import unknown_name

from .coco import register_coco_instances
from .coco_panoptic import register_coco_panoptic
from .folder import register_sem_seg_folder
from .root import datasets_root


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


_FORMATS = {
    "sem_seg_folder": _Format(
        ("IMAGES", "LABELS", "CLASSES"),
        ("COLORS", "IGNORE_LABEL", "LABEL_MAP", "IMAGE_SUFFIX", "LABEL_SUFFIX"),
        register_sem_seg_folder,
    ),
    "coco_instances": _Format(("ANNOTATIONS", "IMAGES"), ("IMAGE_IDS",), _register_coco_instances),
    "coco_panoptic": _Format(
        ("ANNOTATIONS", "PANOPTIC", "IMAGES"), ("INSTANCES",), _register_coco_panoptic
    ),
}

_PATHS = {"ANNOTATIONS", "IMAGES", "INSTANCES", "LABELS", "PANOPTIC"}


def register_from_config(cfg: CfgNode) -> None:
    """Register every entry of ``DATASETS.REGISTER``. Doing it again changes nothing.

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

    A relative path that is not there is looked for in `datasets_root` too.

    Raises:
        KeyError: an entry lacks a key or has one that is not known.
        ValueError: an unknown FORMAT, or values that the format's own function refuses.
    """
    for name, entry in cfg.DATASETS.REGISTER.items():
        _register(name, entry)


def _register(name: str, entry: Any) -> None:
    where = f"DATASETS.REGISTER.{name}"
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where}: expected FORMAT and the keys that go with it, found {entry!r}")
    arguments = dict(entry)
    format_name = arguments.pop("FORMAT", "sem_seg_folder")
    if format_name not in _FORMATS:
        expected = ", ".join(f"'{f}'" for f in _FORMATS)
        raise UnknownNameError(f"{where}.FORMAT is '{format_name}'; expected one of {expected}")
    format = _FORMATS[format_name]
    for key in arguments:
        if key not in format.required + format.optional:
            raise UnknownNameError(
                unknown_name(key, ("FORMAT", *format.required, *format.optional), where)
            )
    missing = [key for key in format.required if key not in arguments]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    if "LABEL_MAP" in arguments:
        # Keys of a configuration are text.
        arguments["LABEL_MAP"] = {int(k): v for k, v in arguments["LABEL_MAP"].items()}
    for key in _PATHS & arguments.keys():
        arguments[key] = _find(arguments[key])
    format.register(name, **{key.lower(): value for key, value in arguments.items()})


def _find(path: str) -> str:
    elsewhere = datasets_root() / path
    return str(elsewhere) if not os.path.exists(path) and elsewhere.exists() else path
