"""Where the data sets are."""

from __future__ import annotations

import os
from pathlib import Path

# Behind "no folder X" and the like.
PATH_ADVICE = (
    "fix the path. A relative one is looked for beside the YAML file, in the current folder, and "
    "in the folder of the data sets, $SEGSUITE_DATASETS or else ./datasets"
)


def datasets_root() -> Path:
    """The folder of the built-in data sets: ``$SEGSUITE_DATASETS``, else ``./datasets``."""
    return Path(os.environ.get("SEGSUITE_DATASETS") or "datasets")
