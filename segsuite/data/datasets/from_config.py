"""Data sets that a configuration describes, without a line of Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segsuite.config import CfgNode
from segsuite.utils.registry import unknown_name

from .folder import register_sem_seg_folder

_REQUIRED = ("IMAGES", "LABELS", "CLASSES")
_OPTIONAL = ("COLORS", "IGNORE_LABEL", "LABEL_MAP", "IMAGE_SUFFIX", "LABEL_SUFFIX")


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

    Raises:
        KeyError: an entry lacks a key or has one that is not known.
        ValueError: an unknown FORMAT, or values that `register_sem_seg_folder` refuses.
    """
    for name, entry in cfg.DATASETS.REGISTER.items():
        _register(name, entry)


def _register(name: str, entry: Any) -> None:
    where = f"DATASETS.REGISTER.{name}"
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: expected keys {', '.join(_REQUIRED)}, found {entry!r}")
    arguments = dict(entry)
    format = arguments.pop("FORMAT", "sem_seg_folder")
    if format != "sem_seg_folder":
        raise ValueError(f"{where}.FORMAT is '{format}'; expected 'sem_seg_folder'")
    for key in arguments:
        if key not in _REQUIRED + _OPTIONAL:
            raise KeyError(unknown_name(key, ("FORMAT", *_REQUIRED, *_OPTIONAL), where))
    missing = [key for key in _REQUIRED if key not in arguments]
    if missing:
        raise KeyError(f"{where} lacks {', '.join(missing)}")
    if "LABEL_MAP" in arguments:
        # Keys of a configuration are text.
        arguments["LABEL_MAP"] = {int(k): v for k, v in arguments["LABEL_MAP"].items()}
    register_sem_seg_folder(name, **{key.lower(): value for key, value in arguments.items()})
