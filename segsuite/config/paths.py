"""Paths of data in a configuration: relative ones are looked for beside the file they stand in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# The keys of an entry of DATASETS.REGISTER that are paths.
PATH_KEYS = frozenset(
    {
        *("ANNOTATIONS", "CLASS_MAPS", "DATA", "FILES", "FOLDER", "IMAGES", "INSTANCES", "LABELS"),
        *("PANOPTIC", "PROJECT"),
    }
)


def anchor_paths(loaded: dict[str, Any], filename: str) -> dict[str, Any]:
    """The content of a YAML file, with the relative paths of DATASETS.REGISTER that exist beside
    the file made absolute. Others stay: they may be relative to the current folder, or to that of
    the data sets."""
    datasets = loaded.get("DATASETS")
    if not isinstance(datasets, Mapping) or not isinstance(datasets.get("REGISTER"), Mapping):
        return loaded
    folder = os.path.dirname(os.path.abspath(filename))

    def anchored(key: str, value: Any) -> Any:
        if key in PATH_KEYS and (isinstance(value, str) or type(value) is int):
            beside = os.path.join(folder, os.path.expanduser(str(value)))
            return os.path.normpath(beside) if os.path.exists(beside) else value
        return value

    entries = {
        name: {key: anchored(key, value) for key, value in entry.items()}
        if isinstance(entry, Mapping)
        else entry
        for name, entry in datasets["REGISTER"].items()
    }
    return {**loaded, "DATASETS": {**datasets, "REGISTER": entries}}
