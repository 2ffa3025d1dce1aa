"""``OUTPUT_DIR/run_info.json``: where a run comes from, and the classes that it is about."""

from __future__ import annotations

import json
import os
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from segsuite.config import CfgNode
from segsuite.data import Metadata, MetadataCatalog
from segsuite.utils.env import env_rows, git_revision

FILE_NAME = "run_info.json"
# Facts about classes that a prediction needs where the data set is not.
_FACTS = (
    *("thing_classes", "thing_colors", "thing_dataset_id_to_contiguous_id"),
    *("stuff_classes", "stuff_colors", "stuff_dataset_id_to_contiguous_id", "ignore_label"),
)


def write_run_info(cfg: CfgNode) -> None:
    """Write the file for a run that starts now."""
    metadata = _catalog_metadata(cfg)
    info = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "git_revision": git_revision(),
        "environment": dict(env_rows()),
        "metadata": {} if metadata is None else _facts(metadata),
    }
    path = Path(cfg.OUTPUT_DIR, FILE_NAME)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(info, indent=1) + "\n")
    temporary.replace(path)


def read_run_info(run_dir: str | os.PathLike) -> dict[str, Any]:
    """What `write_run_info` wrote; empty where it did not."""
    path = Path(run_dir, FILE_NAME)
    return json.loads(path.read_text()) if path.exists() else {}


def run_metadata(cfg: CfgNode) -> Metadata:
    """Names and colours of the classes of a run: as it noted them, else as its data sets have them.

    Raises:
        ValueError: neither is there.
    """
    noted = read_run_info(cfg.OUTPUT_DIR).get("metadata")
    if noted:
        for key in ("thing_dataset_id_to_contiguous_id", "stuff_dataset_id_to_contiguous_id"):
            if key in noted:  # keys of JSON are text
                noted[key] = {int(k): v for k, v in noted[key].items()}
        return Metadata("of the run").set(**noted)
    metadata = _catalog_metadata(cfg)
    if metadata is None:
        raise ValueError(
            f"no class names: '{cfg.OUTPUT_DIR}' has no {FILE_NAME}, and the configuration names "
            "no data set; set DATASETS.TEST to the one that the model was trained for"
        )
    return metadata


def _catalog_metadata(cfg: CfgNode) -> Metadata | None:
    names = [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]
    return MetadataCatalog.get(names[0]) if names else None


def _facts(metadata: Metadata) -> dict[str, Any]:
    return {key: metadata.get(key) for key in _FACTS if metadata.get(key) is not None}
