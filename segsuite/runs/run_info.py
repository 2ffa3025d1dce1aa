"""``OUTPUT_DIR/run_info.json``: where a run comes from, and the classes that it is about.

Its ``starts`` has an entry for each time that the run was started or resumed: ``started`` (UTC),
``command``, ``git_revision``, ``environment`` (names and versions), ``plugins`` (see `plugins_of`),
``processes``, and the ``iteration`` it began at, null until that is known. ``metadata`` has names
and colours of the classes.
"""

from __future__ import annotations

import os
import shlex
import sys
from datetime import datetime, timezone
from typing import Any

from segsuite.config import CfgNode
from segsuite.data import Metadata, MetadataCatalog
from segsuite.errors import ConfigError, DataError
from segsuite.runtime import read_metadata
from segsuite.utils import comm
from segsuite.utils.env import env_rows, git_revision
from segsuite.utils.files import write_json

from .exported import META_ARCHITECTURE, exported_classes
from .files import RunFiles, read_json
from .plugins import plugins_of

# Facts about classes that a prediction needs where the data set is not.
_FACTS = (
    *("thing_classes", "thing_colors", "thing_dataset_id_to_contiguous_id"),
    *("stuff_classes", "stuff_colors", "stuff_dataset_id_to_contiguous_id", "ignore_label"),
)
_IDS = ("thing_dataset_id_to_contiguous_id", "stuff_dataset_id_to_contiguous_id")


def note_start(cfg: CfgNode, *, resume: bool) -> None:
    """Write the file for a run that starts now, or add to it where the run goes on."""
    metadata = _catalog_metadata(cfg)
    starts = read_json(RunFiles(cfg.OUTPUT_DIR).info).get("starts", []) if resume else []
    start = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "git_revision": git_revision(),
        "environment": dict(env_rows()),
        "plugins": plugins_of(cfg),
        "processes": comm.get_world_size(),
        "iteration": None if resume else 0,
    }
    info = {
        "starts": [*starts, start],
        "metadata": {} if metadata is None else _facts(metadata),
    }
    write_json(RunFiles(cfg.OUTPUT_DIR).info, info, indent=1)


def note_first_iteration(output_dir: str | os.PathLike[str], iteration: int) -> None:
    """Say of the last start at which iteration it began."""
    files = RunFiles(output_dir)
    info = read_json(files.info)
    if info.get("starts"):
        info["starts"][-1]["iteration"] = iteration
        write_json(files.info, info, indent=1)


def noted_metadata(info: dict[str, Any]) -> Metadata | None:
    """Names and colours of the classes in the content of the file; None where they are not.

    Raises:
        DataError: what is noted as a colour is none.
    """
    noted = dict(info.get("metadata") or {})
    if not noted:
        return None
    for key in _IDS:
        if key in noted:
            noted[key] = dict(noted[key])
    for key in ("thing_colors", "stuff_colors"):
        for color in noted.get(key) or ():
            _check_color(color, key)
    return Metadata("of the run").set(**noted)


def _check_color(color: Any, key: str) -> None:
    # Whoever made the run wrote it, and it ends up in the style attributes of pages.
    numbers = isinstance(color, list) and all(type(c) is int and 0 <= c <= 255 for c in color)
    if not numbers or len(color) != 3:
        raise DataError(
            f"the run's run_info.json has {color!r} among its {key}: expected [red, green, blue], "
            "each a whole number from 0 to 255"
        )


def run_metadata(cfg: CfgNode) -> Metadata:
    """Names and colours of the classes of a run: as it noted them, else as its data sets have them;
    of an exported file, those that it names unless a data set is named.

    Raises:
        ConfigError: neither is there.
    """
    if cfg.MODEL.META_ARCHITECTURE == META_ARCHITECTURE:
        return _catalog_metadata(cfg) or exported_classes(read_metadata(cfg.MODEL.WEIGHTS))
    metadata = noted_metadata(read_json(RunFiles(cfg.OUTPUT_DIR).info)) or _catalog_metadata(cfg)
    if metadata is None:
        raise ConfigError(
            f"no class names: there is no {RunFiles(cfg.OUTPUT_DIR).info}, and the configuration "
            "names no data set; set DATASETS.TEST to the one that the model was trained for"
        )
    return metadata


def _catalog_metadata(cfg: CfgNode) -> Metadata | None:
    names = [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]
    return MetadataCatalog.get(names[0]) if names else None


def _facts(metadata: Metadata) -> dict[str, Any]:
    facts = {key: metadata.get(key) for key in _FACTS if metadata.get(key) is not None}
    # Ids may be texts, and keys of JSON are nothing else: pairs keep what they are.
    return facts | {key: [*facts[key].items()] for key in _IDS if key in facts}
